"""The shape of a state tree: the tags, and what writer and reader both know about objects.

A tree is `[layouts, nodes, root]`. A layout is `[class name, attribute names…]`; a node is one
mutable object, `[layout, attribute values…]` or `[tag, …]`. A value is a plain msgpack scalar,
`[index]` for the node at that index, or `[tag, …]`, where every tag is negative.
"""

import functools
import operator
import random
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType, MemberDescriptorType
from typing import Any, Final, NamedTuple

from river import proba

from anabranch.statetree.attributes import peek
from anabranch.statetree.leaves import OBJECTS, VALUES, Leaf
from anabranch.statetree.rust import RUST

_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE: made by a class statement

# Values in place.
TUPLE: Final = -20
FROZENSET: Final = -21
NAMED: Final = -22
PARTIAL: Final = -23
METHOD: Final = -24
NAMED_TUPLE: Final = -25
ITEM_GETTER: Final = -26

# Nodes.
LIST: Final = -80
DICT: Final = -81
SET: Final = -82
DEQUE: Final = -83
DEFAULT_DICT: Final = -84
COUNTER: Final = -85
ORDERED_DICT: Final = -86
VECTOR_DICT: Final = -87
RIVER_DEQUE: Final = -88

# Tuples within tuples are the one thing that is written by recursion.
NESTING_MAX: Final = 64

# Needs no wrapping, neither to be written nor to be told from the other types when read.
SCALARS: Final = frozenset({type(None), bool, float, str, bytes})
BUILTIN_FUNCTION: Final = type(len)
METHOD_DESCRIPTOR: Final = type(str.lower)
REFERENCES: Final = (type, FunctionType, BUILTIN_FUNCTION, METHOD_DESCRIPTOR)

LEAF_VALUES: Final[dict[type, Leaf]] = VALUES
LEAF_NODES: Final[dict[type, Leaf]] = {**OBJECTS, **RUST}
VALUES_BY_TAG: Final = {leaf.tag: leaf for leaf in LEAF_VALUES.values()}
NODES_BY_TAG: Final = {leaf.tag: leaf for leaf in LEAF_NODES.values()}


@functools.cache
def slots_of(cls: type) -> dict[str, MemberDescriptorType]:
    """The slots of a class and its bases, by attribute name."""
    found: dict[str, MemberDescriptorType] = {}
    for base in cls.__mro__:
        for name, member in vars(base).items():
            if type(member) is MemberDescriptorType and not name.startswith("__"):
                found.setdefault(name, member)
    return found


@functools.cache
def is_plain_class(cls: type) -> bool:
    """Whether instances hold nothing beyond their attributes: no dict, list or exception underneath."""
    return cls.__flags__ & _HEAP_TYPE != 0 and all(
        base is object or base.__flags__ & _HEAP_TYPE for base in cls.__mro__
    )


@functools.cache
def forgets_rng(cls: type) -> bool:
    """Whether an unseeded random source of this class is no part of its state.

    Every `proba.Gaussian` owns one and only `sample` uses it; they are 96 % of a tree's pickle.
    """
    return issubclass(cls, proba.base.Distribution)


def item_getter_items(getter: "operator.itemgetter[Any]") -> Any:
    """What an itemgetter was made with, which it tells nobody but pickle."""
    return getter.__reduce__()[1]


def refers(written: Any) -> bool:
    """Whether a written value leads to a node; its nesting is bounded by the writer."""
    if type(written) is not list:
        return False
    return (len(written) == 1 and type(written[0]) is int and written[0] >= 0) or any(map(refers, written))


def attributes(thing: Any, kind: type) -> tuple[tuple[str, ...], Sequence[Any]]:
    """The attributes that an instance has now and that are part of its state: names, and values in their order."""
    if slots_of(kind):
        named = {name: slots_of(kind)[name].__get__(thing) for name in _filled_slots(thing, kind)}
        named.update(getattr(thing, "__dict__", {}))
        return tuple(named), tuple(named.values())
    found = peek(thing, kind)
    if found is None:
        held = getattr(thing, "__dict__", {})
        found = tuple(held), tuple(held.values())
    return _without_rng(*found) if forgets_rng(kind) else found


def _without_rng(names: tuple[str, ...], values: Sequence[Any]) -> tuple[tuple[str, ...], Sequence[Any]]:
    held = dict(zip(names, values, strict=True))
    if held.get("seed") is None and type(held.get("_rng")) is random.Random:
        del held["_rng"]
    return tuple(held), tuple(held.values())


def _filled_slots(thing: Any, kind: type) -> Iterable[str]:
    for name, slot in slots_of(kind).items():
        try:
            slot.__get__(thing)
        except AttributeError:
            continue
        yield name


class Shape(NamedTuple):
    """One class with one set of attributes, and the places of these attributes in sorted order.

    The order in which attributes were first set is no part of the state.
    """

    layout: int
    order: Callable[[Sequence[Any]], Iterable[Any]]
    is_deque: bool


def ordered(names: tuple[str, ...]) -> Callable[[Sequence[Any]], Iterable[Any]]:
    """Puts values that stand in the order of `names` into the order of the sorted names."""
    places = sorted(range(len(names)), key=names.__getitem__)
    if places == list(range(len(names))):
        return iter
    return lambda values: [values[place] for place in places]
