"""Values of estimators as JSON and arrays, and back: what a model file can hold. No file here.

Only the types below are written, and only these can come out of a file: no code, no pickle.
"""

import math

import numpy as np
from sklearn.preprocessing import LabelBinarizer

from cmlp._labels import MultioutputBinarizer

BINARIZER = ("neg_label", "pos_label", "sparse_output", "y_type_", "sparse_input_", "classes_")
#: Of an int: Python reads no more than 4300 digits.
MAX_BITS = 13_300
#: Of lists in lists, which the reader takes on top of what it is called by.
MAX_DEPTH = 100


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
    if name.count(".") > MAX_DEPTH:
        raise TypeError(f"A model file cannot hold {name.split('.')[0]}, so deep are its lists.")
    if value is None or isinstance(value, (bool, str)):
        return value
    if type(value) is int:
        if value.bit_length() > MAX_BITS:
            raise TypeError(f"A model file cannot hold {name}, an int of more than 4000 digits.")
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.floating) and value.dtype.itemsize > 8:
        value = np.float64(value)  # of scikit-learn's arithmetic; the engine has no longer ones
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return {"scalar": value.dtype.name, "value": encode(value.item(), name, tensors)}
    if isinstance(value, np.ndarray) and is_number(value.dtype) and not np.ma.isMA(value):
        # one byte order in the file, and no array twice as long as it need be
        tensors[name] = np.asarray(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {"tensor": name}
    if isinstance(value, np.ndarray) and value.dtype.kind in "UO" and not np.ma.isMA(value):
        items = [encode(item, name, tensors) for item in value.ravel().tolist()]
        return {"array": value.dtype.str[1:], "shape": list(value.shape), "items": items}
    if isinstance(value, list) and value and len({type(item) for item in value}) == 1:
        of = type(value[0])
        if of is float or (issubclass(of, np.floating) and is_number(value[0].dtype)):
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
    """The value that ``encode`` made the given JSON of; takes its arrays out of ``tensors``.

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
        return tensors.pop(what)
    if kind == "array":
        dtype = array_type(what, coded["items"])
        array = np.empty(len(coded["items"]), dtype=dtype)
        array[:] = decode(coded["items"], tensors)
        return array.reshape(coded["shape"])
    if kind == "list":
        items = tensors.pop(coded["tensor"])
        return items.tolist() if what == "float" else list(items.astype(number_type(what)))
    if kind == "tuple":
        return tuple(decode(what, tensors))
    if kind == "dict":
        items = decode(what, tensors)
        if not all(is_key(key) for key, _ in items):
            raise ValueError("a key is neither a string nor a number")
        return dict(items)
    if kind == "MT19937":
        return random_state(tensors.pop(what), *decode(coded["rest"], tensors))
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


def random_state(key, position, has_gauss, gauss):
    """A RandomState, of numbers that are looked at: NumPy reads where the position says."""
    if (
        key.shape != (624,)
        or key.dtype != np.uint32
        or type(position) is not int
        or not 0 <= position <= 624
        or has_gauss not in (0, 1)
        or type(gauss) is not float
    ):
        raise ValueError("not a state of MT19937")
    generator = np.random.RandomState(0)
    generator.set_state(("MT19937", key, position, has_gauss, gauss))
    return generator


def is_number(dtype):
    """Whether elements are numbers that a file and Python can hold."""
    return dtype.kind in "fiub" and dtype.itemsize <= 8


def is_key(value):
    """Whether a dict of such keys, whoever chose them, is built in no time."""
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return value is None or isinstance(value, str | float | bool | np.generic)


def number_type(name):
    """The NumPy scalar type of a number."""
    dtype = np.dtype(name)
    if not is_number(dtype):
        raise ValueError(f"{name} is no type of a number")
    return dtype.type


def array_type(name, items):
    """The dtype of an array of strings or objects: no longer than its longest item.

    Objects, where few items are long and an array of strings would be a multiple of them.
    """
    dtype = np.dtype(name)
    if dtype.kind not in "UO":
        raise ValueError(f"{name} is no type of strings")
    lengths = [len(item) if isinstance(item, str) else 0 for item in items]
    longest = max(lengths, default=0)
    if dtype.kind == "O" or longest * len(items) > 64 * (sum(lengths) + len(items)):
        return np.dtype(object)
    return np.dtype(f"U{max(1, min(dtype.itemsize // 4, longest))}")
