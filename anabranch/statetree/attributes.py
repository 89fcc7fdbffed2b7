"""Reads and sets an instance's attributes without touching its `__dict__`.

Until somebody asks for the `__dict__`, CPython keeps the attributes in the instance itself, and reads them faster. A
checkpoint that asked for it would slow a Hoeffding tree down by a fifth for the rest of its life.
"""

import functools
import gc
import operator
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any, Final

_MISSING: Final = object()
_WAYS_MAX: Final = 16
"""Sets of attributes that are remembered for a class; a class that has more is read by its `__dict__`."""

Way = tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]

_ways: dict[type, list[Way]] = {}


def peek(thing: Any, kind: type) -> tuple[tuple[str, ...], tuple[Any, ...]] | None:
    """Names, sorted, and values of the attributes of an instance without slots; None where only `__dict__` tells.

    What the instance refers to, for the garbage collector, is its class and its attributes: so many names that all
    can be read are the right ones, and all of them.
    """
    count = len(gc.get_referents(thing)) - 1
    if count < 2:  # one referent may be the `__dict__` itself
        return None
    for names, values_of in _ways.get(kind, ()):
        if len(names) == count:
            try:
                return names, values_of(thing)
            except AttributeError:
                continue
    names = tuple(name for name in candidates(kind) if getattr(thing, name, _MISSING) is not _MISSING)
    if len(names) != count:
        return None
    ways = _ways.setdefault(kind, [])
    values_of = operator.attrgetter(*names)
    if len(ways) < _WAYS_MAX:
        ways.append((names, values_of))
    return names, values_of(thing)


@functools.cache
def candidates(kind: type) -> tuple[str, ...]:
    """The names that the class's own code mentions and that are no names of the class, sorted."""
    if any("__getattr__" in vars(base) or "__getattribute__" in vars(base) for base in kind.__mro__[:-1]):
        return ()
    mentioned = {name for base in kind.__mro__ for thing in vars(base).values() for name in _names_in(thing)}
    return tuple(sorted(name for name in mentioned if not name.startswith("__") and not is_of_class(kind, name)))


def _names_in(thing: Any) -> Iterator[str]:
    """The names in a function's code, a property's or a static method's, and in the code within it."""
    functions = (thing, *(getattr(thing, part, None) for part in ("fget", "fset", "__func__", "__wrapped__")))
    codes: list[CodeType] = [each.__code__ for each in functions if isinstance(each, FunctionType)]
    while codes:
        code = codes.pop()
        yield from code.co_names
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]


def is_of_class(kind: type, name: str) -> bool:
    """Whether the class has something of this name, so that reading or setting it on an instance may run code."""
    return any(name in vars(base) for base in kind.__mro__)


def put(thing: Any, names: Sequence[str], values: Sequence[Any]) -> None:
    """Set attributes, none of which is a name of the class, as `self.name = value` does."""
    for name, value in zip(names, values, strict=True):
        object.__setattr__(thing, name, value)
