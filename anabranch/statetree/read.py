"""From a state tree, which anybody may have written, to a value."""

import math
import random
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat
from types import MemberDescriptorType
from typing import Any, Final, NamedTuple

import numpy as np
from river.utils import VectorDict

from anabranch.statetree.leaves import demand
from anabranch.statetree.nodes import (
    COUNTER,
    DEFAULT_DICT,
    DEQUE,
    DICT,
    LIST,
    NODES_BY_TAG,
    ORDERED_DICT,
    RIVER_DEQUE,
    SET,
    VECTOR_DICT,
    forgets_rng,
    is_of_class,
    is_plain_class,
    slots_of,
)
from anabranch.statetree.stable_sets import StableSet
from anabranch.statetree.trusted import CorruptState, StateTreeError, Trust
from anabranch.statetree.values import PLAIN, UNMADE, ValueReader

# What Python's own constructors, and the __hash__ of a damaged River object, raise on wrong fields.
_FAULTS: Final = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


_PORTION: Final = 256


class _Layout(NamedTuple):
    """A class and its attributes, each with how a column of its values is set."""

    kind: type
    names: tuple[str, ...]
    setters: tuple["_Setter", ...]
    has_slots: bool
    is_deque: bool
    lacks_rng: bool


_Setter = Callable[[Sequence[Any], Iterable[Any]], None]
"""Gives each of some instances its value of one attribute."""


class Reader(ValueReader):
    """Reads one tree: first every object, empty; then what they hold.

    So shared objects stay shared, cycles close, and nothing recurses along the data. Instances of one layout are
    filled attribute by attribute: what an attribute holds is mostly of one kind, so that it is looked at, and set, by
    few calls for all of them.
    """

    def __init__(self, trust: Trust) -> None:
        super().__init__(trust)
        self._layouts: list[_Layout] = []
        self._spare_rng = random.Random()  # one for all unseeded distributions of this value
        self._place = "the tree"
        self._at: int | None = None  # the node being filled, which is the place then

    def read(self, tree: Any) -> Any:
        """The value of a tree `[layouts, nodes, root]`; raises StateTreeError for any other."""
        try:
            return self._tree(tree)
        except StateTreeError as error:
            raise type(error)(f"{self._where()}: {error}") from error
        except _FAULTS as error:
            raise CorruptState(f"{self._where()} does not hold together: {type(error).__name__}: {error}") from error

    def _where(self) -> str:
        return self._place if self._at is None else f"node {self._at}, a {type(self._made[self._at]).__name__}"

    def _tree(self, tree: Any) -> Any:
        demand(type(tree) is list and len(tree) == 3 and all(type(part) is list for part in tree[:2]), "no state tree")
        layouts, nodes, root = tree
        self._layouts = [self._layout(layout) for layout in layouts]
        self._place = "the nodes"
        places = self._places(nodes)
        self._make(nodes, places)
        self._fill(nodes, places)
        self._place, self._at = "the root", None
        return self._value(root)

    def _layout(self, layout: Any) -> _Layout:
        demand(type(layout) is list and bool(layout) and all(type(name) is str for name in layout), "a damaged layout")
        class_name, *names = layout
        self._place = f"layout of {class_name[:200]!r}"
        kind = self._trust.resolve(class_name)
        demand(isinstance(kind, type) and (is_plain_class(kind) or issubclass(kind, deque)), "not a class to restore")
        demand(len(set(names)) == len(names), "an attribute appears twice")
        # `__class__` would turn the instance into something that nobody has checked.
        demand(not any(name.startswith("__") for name in names), "an attribute starts with two underscores")
        slots = [name for name in names if name in slots_of(kind)]
        demand(len(slots) == len(names) or kind.__dictoffset__ != 0, "an attribute has no place to go")
        # As the names in code are: attributes of such names are found by a comparison of addresses.
        interned = tuple(map(sys.intern, names))
        setters = tuple(_setter(kind, name) for name in interned)
        lacks_rng = forgets_rng(kind) and "_rng" not in names
        return _Layout(kind, interned, setters, bool(slots), issubclass(kind, deque), lacks_rng)

    def _places(self, nodes: list[Any]) -> dict[int, list[int]]:
        """The places of the nodes by their tag, or layout."""
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, node in enumerate(nodes):
            if not (type(node) is list and node and type(node[0]) is int):
                raise CorruptState(f"node {place} is none")
            places[node[0]].append(place)
        return places

    def _make(self, nodes: list[Any], places: dict[int, list[int]]) -> None:
        self._made = [UNMADE] * len(nodes)
        # A VectorDict is given what it holds when it is made, so everything that it may hold is made first.
        for tag in sorted(places, key=VECTOR_DICT.__eq__):
            made = self._empty(tag, [nodes[place] for place in places[tag]])
            for place, thing in zip(places[tag], made, strict=True):
                self._made[place] = thing
        self._is_made = True

    def _empty(self, tag: int, nodes: list[list[Any]]) -> Iterable[Any]:
        """As many objects as there are nodes, all of this tag."""
        if tag >= 0:
            return self._instances(self._layouts[tag], nodes)
        if tag in _EMPTY:
            return [empty() for empty in repeat(_EMPTY[tag], len(nodes))]
        if tag in _BY_HAND:
            return map(_BY_HAND[tag], repeat(self), nodes)
        demand(tag in NODES_BY_TAG, f"no node has the tag {tag}")
        return [NODES_BY_TAG[tag].read(*node[1:]) for node in nodes]

    def _instances(self, layout: _Layout, nodes: list[list[Any]]) -> Iterable[Any]:
        kind, sizes = layout.kind, set(map(len, nodes))
        wanted = len(layout.names)
        demand(
            sizes == {wanted + 1} and not layout.is_deque, f"a {kind.__name__} has {wanted} attributes, one here not"
        )
        # Past the class's own __new__ and __init__: no code runs because bytes have named it.
        return map(object.__new__, repeat(kind, len(nodes)))

    def _deque(self, node: list[Any]) -> deque[Any]:
        return deque(maxlen=node[1])

    def _river_deque(self, node: list[Any]) -> Any:
        _, held, maxlen, *_ = node
        demand(type(held) is list and type(held[0]) is int and held[0] >= 0, "a deque without its attributes")
        layout = self._layouts[held[0]]
        whole = layout.is_deque and len(layout.names) == len(held) - 1 and not layout.has_slots
        demand(whole, f"{layout.kind.__name__} is no deque")
        made = deque.__new__(layout.kind)
        # Past the class's own __init__, which would be run; and here, since `maxlen` cannot be set later.
        deque.__init__(made, (), maxlen)
        return made

    def _vector_dict(self, node: list[Any]) -> "VectorDict[Any, Any]":
        factory = _factory(self._value(node[1]))
        pairs = self._pairs(node[2:])
        demand(all(type(number) is float for number in pairs.values()), "a VectorDict holds more than floats")
        return VectorDict(pairs, factory, None, True)

    def _fill(self, nodes: list[Any], places: dict[int, list[int]]) -> None:
        """Instances first, so that those which are keys can be hashed when dicts and sets are filled."""
        for tag, of_tag in places.items():
            for some in _portions(of_tag) if tag >= 0 else ():
                self._fill_instances(self._layouts[tag], some, [nodes[place] for place in some])
        for some in _portions([place for tag in _FILL for place in places.get(tag, ())]):
            self._fill_containers(some, [nodes[place] for place in some])
        for self._at in places.get(RIVER_DEQUE, ()):
            self._fill_river_deque(self._made[self._at], nodes[self._at])

    def _fill_instances(self, layout: _Layout, places: list[int], nodes: list[list[Any]]) -> None:
        things = [self._made[place] for place in places]
        _, *columns = zip(*nodes, strict=True)
        for set_all, column in zip(layout.setters, columns, strict=True):
            set_all(things, column if PLAIN.issuperset(map(type, column)) else self._read_all(column, places))
        if layout.lacks_rng:
            _set_plain("_rng", object.__setattr__)(things, repeat(self._spare_rng))

    def _fill_containers(self, places: list[int], rows: list[list[Any]]) -> None:
        holders = chain.from_iterable(map(repeat, places, map(len, rows)))
        values = self._read_all(list(chain.from_iterable(rows)), holders)
        end = 0
        for self._at, row in zip(places, rows, strict=True):
            start, end = end, end + len(row)
            _FILL[row[0]](self, self._made[self._at], values[start + 1 : end])

    def _read_all(self, parts: Sequence[Any], holders: Iterable[int]) -> list[Any]:
        """The values of some parts; it is said of a fault in which node it is.

        Args:
            holders: the node that each part is of.
        """
        try:
            return self._values(parts)
        except (StateTreeError, *_FAULTS):
            self._nesting = 0
            for self._at, part in zip(holders, parts, strict=True):
                self._value(part)
            raise

    def _fill_list(self, made: list[Any], values: list[Any]) -> None:
        made.extend(values)

    def _fill_dict(self, made: dict[Any, Any], values: list[Any]) -> None:
        # Not by update(): that of a Counter would add, and one by one takes half of the time.
        parts = iter(values)
        for key, value in zip(parts, parts, strict=True):
            made[key] = value  # noqa: PERF403  # it is there already, and others hold it
        demand(2 * len(made) == len(values), "a key appears twice")

    def _fill_default_dict(self, made: defaultdict[Any, Any], values: list[Any]) -> None:
        made.default_factory = _factory(values[0])
        self._fill_dict(made, values[1:])

    def _fill_set(self, made: set[Any], values: list[Any]) -> None:
        made.update(values)
        demand(len(made) == len(values), "a member appears twice")

    def _fill_deque(self, made: deque[Any], values: list[Any]) -> None:
        _, *held = values
        # extend() would drop what is too much without a word.
        demand(made.maxlen is None or len(held) <= made.maxlen, "a deque holds more than its bound")
        made.extend(held)

    def _fill_river_deque(self, made: deque[Any], node: list[Any]) -> None:
        number, *parts = node[1]
        for set_all, value in zip(self._layouts[number].setters, self._values(parts), strict=True):
            set_all((made,), (value,))
        values = self._values(node[3:])
        demand(made.maxlen is None or len(values) <= made.maxlen, "a deque holds more than its bound")
        # Not the class's own extend(), which may do more than append; whatever it did is in the values already.
        deque.extend(made, values)


def _portions(places: list[int]) -> Iterator[list[int]]:
    """So few nodes at a time that what one pass over them has fetched from memory is still near for the next."""
    return (places[start : start + _PORTION] for start in range(0, len(places), _PORTION))


def _factory(value: Any) -> Any:
    demand(value is None or callable(value), "a default factory that cannot be called")
    return value


# ── How the values of one attribute are set, which runs no code of a class ──────────────────────────────────────────


def _setter(kind: type, name: str) -> _Setter:
    if name in slots_of(kind):
        return _set_slot(slots_of(kind)[name])
    if is_of_class(kind, name):
        return _set_beneath(name)
    # setattr() takes a third of the time, and is the same where no class has a `__setattr__` of its own to be run.
    has_own = any("__setattr__" in vars(base) for base in kind.__mro__[:-1])
    return _set_plain(name, object.__setattr__ if has_own else setattr)


def _set_slot(slot: MemberDescriptorType) -> _Setter:
    def set_all(things: Sequence[Any], values: Iterable[Any]) -> None:
        any(map(slot.__set__, things, values))

    return set_all


def _set_beneath(name: str) -> _Setter:
    """Past properties and descriptors, which would be called otherwise."""

    def set_all(things: Sequence[Any], values: Iterable[Any]) -> None:
        for thing, value in zip(things, values, strict=True):
            vars(thing)[name] = value

    return set_all


def _set_plain(name: str, set_one: Callable[[Any, str, Any], None]) -> _Setter:
    """As `self.name = value` does, without touching the `__dict__`."""

    def set_all(things: Sequence[Any], values: Iterable[Any]) -> None:
        # It returns None each time, so any() goes to the end; a loop in Python would take three times as long.
        any(map(set_one, things, repeat(name), values))

    return set_all


_EMPTY: Final[dict[int, Callable[[], Any]]] = {
    LIST: list,
    DICT: dict,
    SET: StableSet,
    DEFAULT_DICT: defaultdict,
    COUNTER: Counter,
    ORDERED_DICT: OrderedDict,
}

_BY_HAND: Final[dict[int, Callable[[Reader, list[Any]], Any]]] = {
    DEQUE: Reader._deque,
    RIVER_DEQUE: Reader._river_deque,
    VECTOR_DICT: Reader._vector_dict,
}

_FILL: Final[dict[int, Callable[[Reader, Any, list[Any]], None]]] = {
    LIST: Reader._fill_list,
    DICT: Reader._fill_dict,
    SET: Reader._fill_set,
    DEQUE: Reader._fill_deque,
    DEFAULT_DICT: Reader._fill_default_dict,
    COUNTER: Reader._fill_dict,
    ORDERED_DICT: Reader._fill_dict,
}


# ── Whether a NaN stands anywhere in model bytes: one of them is enough to spoil a model for good ───────────────────

_FLOATS: Final = frozenset({"<f2", "<f4", "<f8"})


def any_nan(tree: Any) -> bool:
    """Whether a NaN is among the values of an unpacked tree; states written in Rust are not looked into."""
    # By a stack of its own: a tree that has grown into a chain is deeper than Python recurses.
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
