"""Labels of a classifier: classes that a fit learns, targets for the network, what y may follow.

Methods of MLPClassifier over ``_labels``. No training, no probabilities.
"""

import numpy as np
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import _check_partial_fit_first_call, unique_labels

from cmlp._class_weight import weigh_classes
from cmlp._labels import (
    MultioutputBinarizer,
    as_array,
    as_before,
    as_indicator,
    check_labels,
    classes_of_columns,
    is_list_of_classes,
    is_multioutput,
    validatable,
)
from cmlp._typing import Classes
from cmlp._validation import (
    are_classes,
    fit_label_binarizer,
    indicator,
    ravel_column,
    validate_training_data,
)


class LabellingMixin:
    """Methods of a classifier that read and check y, with its ``_label_binarizer``."""

    classes_: Classes

    def _learn_classes(self, y, classes):
        known = vars(self).get("classes_")
        if type(known) is list:
            self._check_column_classes(known, classes)
        elif known is not None and (classes is None or are_classes(classes, known)):
            pass  # what a stream of calls comes with
        elif known is None and (columns := classes_of_columns(classes, y)) is not None:
            self._label_binarizer = MultioutputBinarizer.from_classes(columns)
            self.classes_ = self._label_binarizer.classes_
        elif _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            y = as_array(y)
            if y.ndim == 2 and y.shape[1] > 1:
                self._label_binarizer.fit(as_indicator(y))
            else:
                self._label_binarizer.fit(classes)
                self.classes_ = self._label_binarizer.classes_

    def _weigh_samples(self, targets, sample_weight):
        if self.class_weight is None:
            return sample_weight
        classes = self.classes_
        if type(classes) is list:
            columns = [own.argmax(axis=1) for own in self._label_binarizer.split(targets)]
            positions = np.stack(columns, axis=1)
        elif self._label_binarizer.y_type_.startswith("multilabel"):
            classes, positions = None, targets.astype(np.intp)
        elif targets.shape[1] == 1:
            positions = targets[:, 0].astype(np.intp)
        else:
            positions = targets.argmax(axis=1)
        return weigh_classes(self.class_weight, classes, positions, sample_weight)

    def _validate_held_out(self, X, y):
        X, y = validate_training_data(self, X, validatable(y), reset=False)
        if y.ndim == 2 and y.shape[1] == 1:
            y = ravel_column(y)
        if type(self.classes_) is list:
            unseen = self._label_binarizer.unknown(y)
            if any(labels.size for labels in unseen):
                raise ValueError(
                    f"y_val contains previously unseen labels in its columns: {unseen}"
                )
            return X, y, self._label_binarizer.transform(y)
        y = as_before(self._label_binarizer, y)
        unseen = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unseen):
            raise ValueError(f"y_val contains previously unseen labels: {unseen.tolist()}")
        targets = indicator(self._label_binarizer, y)
        if targets is None:
            targets = self._label_binarizer.transform(y).astype(bool)
        return X, y, targets

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_training_data(self, X, validatable(y), reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = ravel_column(y)
        binarizer = getattr(self, "_label_binarizer", None)
        # a resumed fit has the classes of its checkpoint
        continues = hasattr(self, "classes_") and (incremental or (self.warm_start and not reset))
        # a small part of several columns of classes may look like a multilabel indicator
        if (continues and type(self.classes_) is list) or (not continues and is_multioutput(y)):
            return X, self._column_targets(y, continues)
        if continues:
            y = as_before(binarizer, y)
        elif y.ndim == 2:
            y = as_indicator(y)
        if not continues:
            binarizer = self._label_binarizer = fit_label_binarizer(y)
            self.classes_ = binarizer.classes_
        elif self.warm_start or self.classes_ is not binarizer.classes_:
            self._check_classes(unique_labels(y))
        targets = indicator(binarizer, y)
        if targets is None:
            if incremental:
                self._check_classes(unique_labels(y))
            # bool: a sixty-fourth of a float64 matrix of indicators, and no upcast of float32
            targets = binarizer.transform(y).astype(bool)
        return X, targets

    def _check_column_classes(self, known, classes):
        """Raise unless the ``classes`` of a further partial_fit are those of the columns."""
        if classes is None:
            return
        columns = classes if is_list_of_classes(classes) else [classes] * len(known)
        given = MultioutputBinarizer.from_classes(columns).classes_
        if [c.tolist() for c in given] != [c.tolist() for c in known]:
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was:"
                f" {known!r}"
            )

    def _column_targets(self, y, continues):
        """Indicators of the classes of each column of y, new or those of earlier calls."""
        if not continues:
            self._label_binarizer = MultioutputBinarizer.from_targets(y)
            self.classes_ = self._label_binarizer.classes_
        binarizer = self._label_binarizer
        unknown = binarizer.unknown(y)
        if any(labels.size for labels in unknown):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}."
                f" 'y' has, in addition, {unknown} in its columns."
            )
        targets = binarizer.transform(y)
        if continues and self.warm_start and not targets.any(axis=0).all():
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the"
                f" previous call to fit. Previously got {self.classes_}, `y` lacks some."
            )
        return targets

    def _check_classes(self, classes):
        """Whether y may follow the y of the previous call."""
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the"
                    f" previous call to fit. Previously got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}."
                f" 'y' has {classes}."
            )

    def _targets(self, y):
        """Targets for labels given after fit, in the form that the loss needs."""
        if type(self.classes_) is list:
            unknown = self._label_binarizer.unknown(y)
            if any(labels.size for labels in unknown):
                raise ValueError(f"y contains previously unseen labels in its columns: {unknown}")
            return self._label_binarizer.transform(y)
        if self._label_binarizer.y_type_ in ("binary", "multiclass"):
            y = ravel_column(y)
        else:
            y = as_before(self._label_binarizer, as_array(y))
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if unknown.size:
            raise ValueError(f"y contains previously unseen labels: {unknown}")
        return self._label_binarizer.transform(y)

    def _choose_out_activation(self):
        return "softmax" if self._label_binarizer.y_type_.startswith("multiclass") else "logistic"

    def _output_groups(self):
        if type(vars(self).get("classes_")) is not list:
            return None
        return tuple(len(classes) for classes in self.classes_)

    def _check_loaded(self):
        binarizer = vars(self).get("_label_binarizer")
        columns = check_labels(binarizer, vars(self).get("classes_"))
        self.classes_ = binarizer.classes_  # one array, and the one that predict reads
        n_outputs = 1 if binarizer.y_type_ == "binary" else sum(map(len, columns))
        if self.n_outputs_ != n_outputs:
            raise ValueError(f"n_outputs_ is {self.n_outputs_}, classes_ need {n_outputs}")
        if self.out_activation_ != self._choose_out_activation():
            raise ValueError(
                f"out_activation_ must be {self._choose_out_activation()!r} for these labels, got"
                f" {self.out_activation_!r}"
            )
