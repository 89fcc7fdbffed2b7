"""From a value to its state tree."""

import functools
import operator
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any, Final

import msgpack
from river.utils import VectorDict

from anabranch.statetree.nodes import (
    COUNTER,
    DEFAULT_DICT,
    DEQUE,
    DICT,
    FROZENSET,
    ITEM_GETTER,
    LEAF_NODES,
    LEAF_VALUES,
    LIST,
    METHOD,
    NAMED,
    NAMED_TUPLE,
    NESTING_MAX,
    ORDERED_DICT,
    PARTIAL,
    REFERENCES,
    RIVER_DEQUE,
    SCALARS,
    SET,
    TUPLE,
    VECTOR_DICT,
    Shape,
    attributes,
    is_plain_class,
    item_getter_items,
    ordered,
    path_to,
    refers,
)
from anabranch.statetree.stable_sets import StableSet
from anabranch.statetree.trusted import StateTreeError, Trust, UnsupportedState

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1

pack: Final = functools.partial(msgpack.packb, unicode_errors="surrogatepass")


class Writer:
    """Writes one value, object after object in the order in which they are met.

    With `faults`, what cannot be written is noted there and skipped instead of raised.
    """

    def __init__(self, trust: Trust, faults: list[str] | None = None) -> None:
        self._trust = trust
        self._faults = faults
        self._found: list[Any] = []  # the objects of the nodes, which also keeps their ids from being reused
        self._finders: list[int] = []  # the node in which each of them was first met
        self._refs: dict[int, list[int]] = {}
        self._layouts: list[list[str]] = []
        self._layout_places: dict[tuple[str, ...], int] = {}
        self._shapes: dict[type, dict[tuple[str, ...], Shape]] = {}
        self._node_kinds: set[type] = set()  # types known to be written as nodes, which is the question most often
        self._at = -1
        self._nesting = 0

    def write(self, root: Any) -> list[Any]:
        """The tree `[layouts, nodes, root]`."""
        top = self._value(root)
        nodes: list[Any] = []
        # One after the other and not by recursion: a Hoeffding tree may be a chain that is deeper than Python's stack.
        while len(nodes) < len(self._found):
            self._at = len(nodes)
            nodes.append(self._node(self._found[self._at]))
        return [self._layouts, nodes, top]

    def _give_up(self, error: StateTreeError, *held: Any) -> None:
        """Say where the fault is: in the object being written, or in a value that it holds."""
        if error.is_placed:
            raise error
        placed = type(error)(f"{path_to(self._found, self._finders, self._at, *held)}: {error}")
        placed.is_placed = True
        if self._faults is None:
            raise placed from error
        self._faults.append(str(placed))

    def _value(self, value: Any) -> Any:
        kind = type(value)
        if kind in SCALARS or (kind is int and _INT_MIN <= value <= _INT_MAX):
            return value
        known = self._refs.get(id(value))
        if known is not None:
            return known
        if kind in self._node_kinds:
            return self._ref(value)
        try:
            return self._compound(value, kind)
        except StateTreeError as error:
            self._give_up(error, value)
            return None

    def _compound(self, value: Any, kind: type) -> list[Any]:
        leaf = LEAF_VALUES.get(kind)
        if leaf is not None:
            return [leaf.tag, *leaf.write(value)]
        write = _IN_PLACE.get(kind)
        if write is not None:
            return self._nested(write, value)
        if isinstance(value, tuple):
            return self._nested(Writer._named_tuple, value)
        if isinstance(value, REFERENCES):
            return self._named(value)
        self._node_kinds.add(kind)
        return self._ref(value)

    def _ref(self, value: Any) -> list[int]:
        ref = self._refs[id(value)] = [len(self._found)]
        self._found.append(value)
        self._finders.append(self._at)
        return ref

    def _nested(self, write: "Callable[[Writer, Any], list[Any]]", value: Any) -> list[Any]:
        if self._nesting >= NESTING_MAX:
            raise UnsupportedState(f"tuples nested deeper than {NESTING_MAX} cannot be kept; use lists")
        self._nesting += 1
        try:
            return write(self, value)
        finally:
            self._nesting -= 1

    def _named(self, thing: Any) -> list[Any]:
        return [NAMED, self._trust.name(thing)]

    def _values(self, values: Iterable[Any]) -> list[Any]:
        # Most values are plain: a call for each of them would be half of the time.
        return [value if type(value) in SCALARS else self._value(value) for value in values]

    def _pairs(self, pairs: dict[Any, Any]) -> list[Any]:
        return [part if type(part) in SCALARS else self._value(part) for pair in pairs.items() for part in pair]

    def _members(self, members: Iterable[Any]) -> list[Any]:
        """The members of a set in an order that no hash seed changes."""
        written = self._values(members)
        if any(map(refers, written)):
            raise UnsupportedState("a set of mutable objects has no order to write it in; use a dict or a list")
        # The order in which a set iterates is no part of its state, and differs between processes.
        return sorted(written, key=pack)

    def _node(self, thing: Any) -> Any:
        kind = type(thing)
        leaf = LEAF_NODES.get(kind)
        write = _NODES.get(kind, Writer._instance)
        try:
            return write(self, thing) if leaf is None else [leaf.tag, *leaf.write(thing)]
        except StateTreeError as error:
            self._give_up(error)
            return None

    def _instance(self, thing: Any) -> list[Any]:
        names, values = attributes(thing, type(thing))
        shape = self._shape(type(thing), names)
        written = [shape.layout, *self._values(shape.order(values))]
        if shape.is_deque:
            return [RIVER_DEQUE, written, thing.maxlen, *self._values(thing)]
        return written

    def _shape(self, kind: type, names: tuple[str, ...]) -> Shape:
        shapes = self._shapes.get(kind)
        if shapes is None:
            shapes = self._shapes[kind] = {}
        shape = shapes.get(names)
        if shape is None:
            shape = shapes[names] = self._new_shape(kind, names)
        return shape

    def _new_shape(self, kind: type, names: tuple[str, ...]) -> Shape:
        class_name = self._trust.name(kind)
        is_deque = deque in kind.__mro__
        if not (is_deque or is_plain_class(kind)):
            raise UnsupportedState(f"{class_name} is built on a type written in C; hold that in an attribute instead")
        for name in names:
            if type(name) is not str or name.startswith("__"):
                raise UnsupportedState(f"{class_name} has an attribute {name!r}, which model bytes may not contain")
        return Shape(self._layout(class_name, *sorted(names)), ordered(names), is_deque)

    def _layout(self, *layout: str) -> int:
        """Attributes set in another order make another shape but the same layout."""
        place = self._layout_places.get(layout)
        if place is None:
            place = self._layout_places[layout] = len(self._layouts)
            self._layouts.append([*layout])
        return place

    def _tuple(self, value: tuple[Any, ...]) -> list[Any]:
        return [TUPLE, *self._values(value)]

    def _frozenset(self, value: frozenset[Any]) -> list[Any]:
        return [FROZENSET, *self._members(value)]

    def _named_tuple(self, value: tuple[Any, ...]) -> list[Any]:
        return [NAMED_TUPLE, self._trust.name(type(value)), *self._values(value)]

    def _partial(self, value: functools.partial[Any]) -> list[Any]:
        keywords = [part for pair in value.keywords.items() for part in pair]
        return [PARTIAL, *(self._values(part) for part in ([value.func], value.args, keywords))]

    def _method(self, value: MethodType) -> list[Any]:
        return [METHOD, self._trust.name(value.__func__), self._value(value.__self__)]

    def _item_getter(self, value: "operator.itemgetter[Any]") -> list[Any]:
        return [ITEM_GETTER, *self._values(item_getter_items(value))]

    def _list(self, value: list[Any]) -> list[Any]:
        return [LIST, *self._values(value)]

    def _dict(self, value: dict[Any, Any]) -> list[Any]:
        return [_DICT_TAGS[type(value)], *self._pairs(value)]

    def _default_dict(self, value: defaultdict[Any, Any]) -> list[Any]:
        return [DEFAULT_DICT, self._value(value.default_factory), *self._pairs(value)]

    def _set(self, value: set[Any]) -> list[Any]:
        return [SET, *self._members(value)]

    def _deque(self, value: deque[Any]) -> list[Any]:
        return [DEQUE, value.maxlen, *self._values(value)]

    def _vector_dict(self, value: "VectorDict[Any, Any]") -> list[Any]:
        """River's own pickling tells what one holds: data, default factory, mask."""
        data, factory, mask, _ = value.__reduce__()[1]
        if mask is not None:
            raise UnsupportedState("a VectorDict with a mask is halfway through learning; write it between two events")
        pairs = self._pairs(data)
        if any(map(refers, pairs)):
            raise UnsupportedState("a VectorDict with mutable keys cannot be kept")
        return [VECTOR_DICT, self._value(factory), *pairs]


_DICT_TAGS: Final = {dict: DICT, Counter: COUNTER, OrderedDict: ORDERED_DICT}

_IN_PLACE: Final[dict[type, Callable[[Writer, Any], list[Any]]]] = {
    tuple: Writer._tuple,
    frozenset: Writer._frozenset,
    functools.partial: Writer._partial,
    MethodType: Writer._method,
    operator.itemgetter: Writer._item_getter,
}

_NODES: Final[dict[type, Callable[[Writer, Any], list[Any]]]] = {
    list: Writer._list,
    dict: Writer._dict,
    Counter: Writer._dict,
    OrderedDict: Writer._dict,
    defaultdict: Writer._default_dict,
    set: Writer._set,
    StableSet: Writer._set,
    deque: Writer._deque,
    VectorDict: Writer._vector_dict,
}
