"""A set that iterates in the same order in every process, whatever PYTHONHASHSEED is."""

from collections.abc import Iterator
from typing import Any, Final

import msgpack


class StableSet(set[Any]):
    """What `statetree.decode` makes of a set.

    River's `Select` and `OneHotEncoder` put features in the order in which a set iterates, and a linear
    model's sum depends on that order in its last bit. The order of a plain set depends on the process
    and on its past; this one iterates in the order of its members' bytes.

    >>> list(StableSet(["weir", "bed", "ford"]))
    ['bed', 'ford', 'weir']
    """

    __slots__ = ("_order",)
    _order: list[Any] | None

    def __iter__(self) -> Iterator[Any]:
        if getattr(self, "_order", None) is None:
            self._order = sorted(super().__iter__(), key=_order_key)
        return iter(self._order or ())

    def add(self, member: Any, /) -> None:
        """Add a member; one that is there already, as on every event in a tree's classes, leaves the order known."""
        if member not in self:
            self._order = None
            super().add(member)

    def __reduce__(self) -> tuple[Any, ...]:
        return StableSet, (list(self),)


def _order_key(member: Any) -> bytes:
    try:
        key: bytes = msgpack.packb(member, unicode_errors="surrogatepass")
    except (OverflowError, TypeError, ValueError):
        return repr(member).encode("utf-8", "surrogatepass")
    return key


def _forgetting_order(name: str) -> Any:
    change = getattr(set, name)

    def changed(self: StableSet, *args: Any) -> Any:
        self._order = None
        return change(self, *args)

    changed.__name__ = name
    return changed


_CHANGES: Final = (
    "clear difference_update discard intersection_update pop remove symmetric_difference_update update "
    "__iand__ __ior__ __isub__ __ixor__"
)
for _name in _CHANGES.split():
    setattr(StableSet, _name, _forgetting_order(_name))
