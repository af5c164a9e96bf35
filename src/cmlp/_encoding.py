"""Values of estimators as JSON and arrays, and back: what a model file can hold. No file here.

Only the types below are written, and only these can come out of a file: no code, no pickle.
"""

import math

import numpy as np
from sklearn.preprocessing import LabelBinarizer

from cmlp._labels import MultioutputBinarizer

BINARIZER = ("neg_label", "pos_label", "sparse_output", "y_type_", "sparse_input_", "classes_")


def encode(value, name, tensors):
    """The value as what ``json.dumps`` takes; arrays of numbers go to ``tensors`` under the name.

    Parameters
    ----------
    value : object
    name : str
        What the value is called in error messages, and its arrays in the file.
    tensors : dict of str to ndarray

    Raises
    ------
    TypeError
        If the value is not of a type that a model file can hold.
    """
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return {"scalar": value.dtype.name, "value": encode(value.item(), name, tensors)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        # one byte order in the file, and no array twice as long as it need be
        tensors[name] = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
        return {"tensor": name}
    if isinstance(value, np.ndarray) and value.dtype.kind in "UO":
        items = [encode(item, name, tensors) for item in value.ravel().tolist()]
        return {"array": value.dtype.str[1:], "shape": list(value.shape), "items": items}
    if isinstance(value, list) and value and len({type(item) for item in value}) == 1:
        of = type(value[0])
        if of is float or (issubclass(of, np.floating) and value[0].dtype.itemsize <= 8):
            tensors[name] = np.array(value)
            return {"list": "float" if of is float else value[0].dtype.name, "tensor": name}
    if isinstance(value, (list, tuple)):
        items = [encode(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        items = [
            [encode(key, f"{name} (a key)", tensors), encode(item, f"{name}.{i}", tensors)]
            for i, (key, item) in enumerate(value.items())
        ]
        return {"dict": items}
    if isinstance(value, np.random.RandomState):
        state = value.get_state(legacy=False)
        if state["bit_generator"] == "MT19937":
            rest = [state["state"]["pos"], state["has_gauss"], state["gauss"]]
            tensors[name] = state["state"]["key"]
            return {"MT19937": name, "rest": rest}
    if type(value) is LabelBinarizer:
        items = {key: vars(value)[key] for key in BINARIZER if key in vars(value)}
        return {
            "LabelBinarizer": {
                key: encode(item, f"{name}.{key}", tensors) for key, item in items.items()
            }
        }
    if type(value) is MultioutputBinarizer:
        return {"MultioutputBinarizer": encode(value.classes_, f"{name}.classes_", tensors)}
    raise TypeError(f"A model file cannot hold {name}={value!r}, a {type(value).__name__}.")


def decode(coded, tensors):
    """The value that ``encode`` made the given JSON of.

    Raises
    ------
    Exception
        Of many types, if the JSON was made by something else; nothing has happened then.
    """
    if isinstance(coded, list):
        return [decode(item, tensors) for item in coded]
    if not isinstance(coded, dict):
        return coded
    kind = next(iter(coded))
    what = coded[kind]
    if kind == "float":
        return float(what)
    if kind == "scalar":
        return number_type(what)(decode(coded["value"], tensors))
    if kind == "tensor":
        return tensors[what]
    if kind == "array":
        dtype = np.dtype(what)
        if dtype.kind not in "UO" or dtype.itemsize > 4 * longest(coded["items"]):
            raise ValueError(f"{what} is not the type of these items")
        array = np.empty(len(coded["items"]), dtype=dtype)
        array[:] = decode(coded["items"], tensors)
        return array.reshape(coded["shape"])
    if kind == "list":
        items = tensors[coded["tensor"]]
        return items.tolist() if what == "float" else list(items.astype(number_type(what)))
    if kind == "tuple":
        return tuple(decode(what, tensors))
    if kind == "dict":
        return dict(decode(what, tensors))
    if kind == "MT19937":
        random_state = np.random.RandomState()
        position, has_gauss, gauss = coded["rest"]
        random_state.set_state(("MT19937", tensors[what], position, has_gauss, gauss))
        return random_state
    if kind == "LabelBinarizer":
        binarizer = LabelBinarizer()
        for key, item in what.items():
            if key not in BINARIZER:
                raise ValueError(f"a LabelBinarizer has no {key}")
            setattr(binarizer, key, decode(item, tensors))
        return binarizer
    if kind == "MultioutputBinarizer":
        return MultioutputBinarizer(decode(what, tensors))
    raise ValueError(f"unknown kind {kind!r}")


def number_type(name):
    """The NumPy scalar type of a number."""
    dtype = np.dtype(name)
    if dtype.kind not in "fiub":
        raise ValueError(f"{name} is no type of a number")
    return dtype.type


def longest(items):
    """The length of the longest string, at least what an object takes."""
    return max([2, *(len(item) for item in items if isinstance(item, str))])
