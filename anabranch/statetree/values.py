"""From the parts of a state tree that are written in place to the values they stand for."""

import functools
import operator
from collections.abc import Callable, Hashable, Sequence
from types import FunctionType, MethodType
from typing import Any, Final

from anabranch.statetree.leaves import demand
from anabranch.statetree.nodes import (
    FROZENSET,
    ITEM_GETTER,
    METHOD,
    NAMED,
    NAMED_TUPLE,
    NESTING_MAX,
    PARTIAL,
    SCALARS,
    TUPLE,
    VALUES_BY_TAG,
)
from anabranch.statetree.trusted import Trust

PLAIN: Final = SCALARS | {int}


class _Unmade:
    """Stands for a node that is made later than the nodes that were asked for it."""


UNMADE: Final = _Unmade()


class ValueReader:
    """Reads values that may refer to the objects made so far."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._made: list[Any] = []
        self._is_made = False  # whether all of them are
        self._nesting = 0

    def _value(self, part: Any) -> Any:
        if type(part) in PLAIN:
            return part
        demand(type(part) is list and bool(part) and type(part[0]) is int, "a value of no known kind")
        tag = part[0]
        if tag >= 0:
            return self._node_at(part)
        leaf = VALUES_BY_TAG.get(tag)
        if leaf is not None:
            return leaf.read(*part[1:])
        read = _IN_PLACE.get(tag)
        demand(read is not None and self._nesting <= NESTING_MAX, f"no value has the tag {tag}, or nested too deep")
        self._nesting += 1
        value = read(self, *part[1:])  # type: ignore[misc]  # not None, by the line above
        self._nesting -= 1
        return value

    def _node_at(self, part: list[Any]) -> Any:
        demand(len(part) == 1 and part[0] < len(self._made), f"there is no node {part[0]}")
        made = self._made[part[0]]
        demand(made is not UNMADE, f"node {part[0]} is used by what it is made of")
        return made

    def _values(self, parts: Sequence[Any]) -> list[Any]:
        if not self._is_made:
            return list(map(self._value, parts))
        # Most are plain or refer to a node: a call for each of them would be most of the time.
        made = self._made
        return [
            part
            if type(part) in PLAIN
            else made[part[0]]
            if type(part) is list and len(part) == 1 and type(part[0]) is int and part[0] >= 0
            else self._value(part)
            for part in parts
        ]

    def _pairs(self, parts: list[Any]) -> dict[Any, Any]:
        values = self._values(parts)
        pairs = dict(zip(values[::2], values[1::2], strict=True))
        demand(2 * len(pairs) == len(values), "a key appears twice")
        return pairs

    def _members(self, parts: list[Any]) -> set[Hashable]:
        members = set(self._values(parts))
        demand(len(members) == len(parts), "a member appears twice")
        return members

    def _tuple(self, *parts: Any) -> tuple[Any, ...]:
        return tuple(self._values(list(parts)))

    def _frozenset(self, *parts: Any) -> frozenset[Hashable]:
        return frozenset(self._members(list(parts)))

    def _named_tuple(self, name: str, *parts: Any) -> tuple[Any, ...]:
        kind = self._trust.resolve(name)
        fields = getattr(kind, "_fields", ())
        demand(isinstance(kind, type) and issubclass(kind, tuple) and len(fields) == len(parts), f"{name} with {parts}")
        return tuple.__new__(kind, self._values(list(parts)))

    def _named(self, name: str) -> Any:
        return self._trust.resolve(name)

    def _partial(self, function: list[Any], args: list[Any], keywords: list[Any]) -> functools.partial[Any]:
        (called,) = self._values(function)
        return functools.partial(called, *self._values(args), **self._pairs(keywords))

    def _method(self, name: str, bound_to: Any) -> MethodType:
        function, owner = self._trust.resolve(name), self._value(bound_to)
        kind = owner if isinstance(owner, type) else type(owner)
        # Only a method that the owner's class really has: else bytes could bind a trusted function to any object.
        inherited = [vars(base).get(getattr(function, "__name__", "")) for base in kind.__mro__]
        demand(
            any(getattr(method, "__func__", method) is function for method in inherited)
            and isinstance(function, FunctionType),
            f"{kind.__name__} has no method {name}",
        )
        return MethodType(function, owner)

    def _item_getter(self, *items: Any) -> "operator.itemgetter[Any]":
        return operator.itemgetter(*self._values(list(items)))


_IN_PLACE: Final[dict[int, Callable[..., Any]]] = {
    TUPLE: ValueReader._tuple,
    FROZENSET: ValueReader._frozenset,
    NAMED: ValueReader._named,
    NAMED_TUPLE: ValueReader._named_tuple,
    PARTIAL: ValueReader._partial,
    METHOD: ValueReader._method,
    ITEM_GETTER: ValueReader._item_getter,
}
