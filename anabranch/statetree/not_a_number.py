"""Whether a NaN stands anywhere in model bytes: one of them is enough to spoil a model for good."""

import math
from typing import Any, Final

import numpy as np

_FLOATS: Final = frozenset({"<f2", "<f4", "<f8"})


def among(tree: Any) -> bool:
    """Whether a NaN is among the values of an unpacked tree; states written in Rust are not looked into."""
    stack = [tree]
    while stack:
        item = stack.pop()
        if type(item) is float:
            if math.isnan(item):
                return True
        elif type(item) is dict:
            stack.extend(item.values())
        elif type(item) is list:
            if _is_array(item) and np.isnan(np.frombuffer(item[-1], item[1])).any():
                return True
            stack.extend(item)
    return False


def _is_array(node: list[Any]) -> bool:
    """An array of floats, or one of numpy's scalars: tag, type, …, bytes."""
    return len(node) >= 3 and type(node[-1]) is bytes and type(node[1]) is str and node[1] in _FLOATS
