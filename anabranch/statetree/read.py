"""From a state tree, which anybody may have written, to a value."""

import math
import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
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
    put,
    slots_of,
)
from anabranch.statetree.trusted import CorruptState, StableSet, StateTreeError, Trust
from anabranch.statetree.values import PLAIN, UNMADE, ValueReader

# What Python's own constructors, and the __hash__ of a damaged River object, raise on wrong fields.
_FAULTS: Final = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError)


class _Layout(NamedTuple):
    """A class and its attributes: `slots` by their place among the values, the others by name."""

    kind: type
    names: tuple[str, ...]
    slots: tuple[tuple[int, Any], ...]
    lacks_rng: bool
    runs_code: bool
    """Whether setting one of the attributes could call something: a property, a descriptor."""


class Reader(ValueReader):
    """Reads one tree: first every object, empty; then what they hold.

    So shared objects stay shared, cycles close, and nothing recurses along the data.
    """

    def __init__(self, trust: Trust) -> None:
        super().__init__(trust)
        self._layouts: list[_Layout] = []
        self._spare_rng = random.Random()  # one for all unseeded distributions of this value
        self._place = "the tree"

    def read(self, tree: Any) -> Any:
        """The value of a tree `[layouts, nodes, root]`; raises StateTreeError for any other."""
        try:
            return self._tree(tree)
        except StateTreeError as error:
            raise type(error)(f"{self._place}: {error}") from error
        except _FAULTS as error:
            raise CorruptState(f"{self._place} does not hold together: {type(error).__name__}: {error}") from error

    def _tree(self, tree: Any) -> Any:
        demand(type(tree) is list and len(tree) == 3 and all(type(part) is list for part in tree[:2]), "no state tree")
        layouts, nodes, root = tree
        self._layouts = [self._layout(layout) for layout in layouts]
        self._make(nodes)
        self._fill(nodes)
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
        slots = tuple((place, slots_of(kind)[name]) for place, name in enumerate(names) if name in slots_of(kind))
        demand(len(slots) == len(names) or kind.__dictoffset__ != 0, "an attribute has no place to go")
        runs_code = any(is_of_class(kind, name) for name in names)
        return _Layout(kind, tuple(names), slots, forgets_rng(kind) and "_rng" not in names, runs_code)

    def _make(self, nodes: list[Any]) -> None:
        late: list[int] = []
        for place, node in enumerate(nodes):
            demand(type(node) is list and bool(node) and type(node[0]) is int, f"node {place} is none")
            # A VectorDict is given what it holds when it is made, so everything that it may hold is made first.
            if node[0] == VECTOR_DICT:
                late.append(place)
            self._made.append(self._empty(node))
        for place in late:
            self._made[place] = self._vector_dict(nodes[place])

    def _empty(self, node: list[Any]) -> Any:
        tag = node[0]
        if tag >= 0:
            return self._instance(tag, len(node) - 1)
        empty = _EMPTY.get(tag)
        if empty is not None:
            return empty()
        if tag == DEQUE:
            return deque(maxlen=node[1])
        if tag == RIVER_DEQUE:
            return self._river_deque(node)
        leaf = NODES_BY_TAG.get(tag)
        demand(leaf is not None, f"no node has the tag {tag}")
        return leaf.read(*node[1:])  # type: ignore[union-attr]  # not None, by the line above

    def _instance(self, layout: int, values: int) -> Any:
        kind, names, *_ = self._layouts[layout]
        demand(len(names) == values and not issubclass(kind, deque), f"a {kind.__name__} with {values} attributes")
        # Past the class's own __new__ and __init__: no code runs because bytes have named it.
        return object.__new__(kind)

    def _river_deque(self, node: list[Any]) -> Any:
        _, held, maxlen, *_ = node
        demand(type(held) is list and type(held[0]) is int and held[0] >= 0, "a deque without its attributes")
        kind, names, slots, *_ = self._layouts[held[0]]
        demand(issubclass(kind, deque) and len(names) == len(held) - 1 and not slots, f"{kind.__name__} is no deque")
        made = deque.__new__(kind)
        # Past the class's own __init__, which would be run; and here, since `maxlen` cannot be set later.
        deque.__init__(made, (), maxlen)
        return made

    def _vector_dict(self, node: list[Any]) -> "VectorDict[Any, Any]":
        factory = self._factory(node[1])
        pairs = self._pairs(node[2:])
        demand(all(type(number) is float for number in pairs.values()), "a VectorDict holds more than floats")
        return VectorDict(pairs, factory, None, True)

    def _fill(self, nodes: list[Any]) -> None:
        """Instances first, so that those which are keys can be hashed when dicts and sets are filled."""
        for place, node in enumerate(nodes):
            if node[0] >= 0:
                self._place = f"node {place}, a {type(self._made[place]).__name__}"
                self._fill_instance(self._made[place], node)
        for place, node in enumerate(nodes):
            fill = _FILL.get(node[0])
            if fill is not None:
                self._place = f"node {place}, a {type(self._made[place]).__name__}"
                fill(self, self._made[place], node)

    def _fill_instance(self, made: Any, node: list[Any]) -> None:
        _, names, slots, lacks_rng, runs_code = self._layouts[node[0]]
        values = [part if type(part) in PLAIN else self._value(part) for part in node[1:]]
        if slots:
            self._fill_slots(made, names, slots, values)
        elif runs_code:
            # Past properties and descriptors, which would be called otherwise.
            vars(made).update(zip(names, values, strict=True))
        else:
            put(made, names, values)
        if lacks_rng:
            put(made, ("_rng",), (self._spare_rng,))

    def _fill_slots(self, made: Any, names: tuple[str, ...], slots: Any, values: list[Any]) -> None:
        for place, slot in slots:
            slot.__set__(made, values[place])
        slotted = {place for place, _ in slots}
        rest = {name: values[place] for place, name in enumerate(names) if place not in slotted}
        if rest:
            vars(made).update(rest)

    def _fill_list(self, made: list[Any], node: list[Any]) -> None:
        made.extend(self._values(node[1:]))

    def _fill_dict(self, made: dict[Any, Any], node: list[Any]) -> None:
        made.update(self._pairs(node[1:]))

    def _fill_counter(self, made: Counter[Any], node: list[Any]) -> None:
        dict.update(made, self._pairs(node[1:]))  # a Counter's own update would add

    def _fill_default_dict(self, made: defaultdict[Any, Any], node: list[Any]) -> None:
        made.default_factory = self._factory(node[1])
        made.update(self._pairs(node[2:]))

    def _fill_set(self, made: set[Any], node: list[Any]) -> None:
        made.update(self._members(node[1:]))

    def _fill_deque(self, made: deque[Any], node: list[Any]) -> None:
        values = self._values(node[2:])
        # extend() would drop what is too much without a word.
        demand(made.maxlen is None or len(values) <= made.maxlen, "a deque holds more than its bound")
        made.extend(values)

    def _fill_river_deque(self, made: deque[Any], node: list[Any]) -> None:
        self._fill_instance(made, node[1])
        values = self._values(node[3:])
        demand(made.maxlen is None or len(values) <= made.maxlen, "a deque holds more than its bound")
        # Not the class's own extend(), which may do more than append; whatever it did is in the values already.
        deque.extend(made, values)


_EMPTY: Final[dict[int, Callable[[], Any]]] = {
    LIST: list,
    DICT: dict,
    SET: StableSet,
    DEFAULT_DICT: defaultdict,
    COUNTER: Counter,
    ORDERED_DICT: OrderedDict,
    VECTOR_DICT: lambda: UNMADE,
}

_FILL: Final[dict[int, Callable[[Reader, Any, list[Any]], None]]] = {
    LIST: Reader._fill_list,
    DICT: Reader._fill_dict,
    SET: Reader._fill_set,
    DEQUE: Reader._fill_deque,
    DEFAULT_DICT: Reader._fill_default_dict,
    COUNTER: Reader._fill_counter,
    ORDERED_DICT: Reader._fill_dict,
    RIVER_DEQUE: Reader._fill_river_deque,
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
