"""Where in a value something was found, as a path such as `.steps['LogisticRegression'].optimizer`."""

import functools
from collections import deque
from collections.abc import Iterator
from types import MethodType
from typing import Any, Final

from anabranch.statetree.nodes import slots_of

_SHOWN_MAX: Final = 40


def path_to(found: list[Any], finders: list[int], at: int, *held: Any) -> str:
    """The path from the root to `found[at]`, where `finders[i]` is the object that led to `found[i]`.

    With `held`, the path to a value that `found[at]` holds.
    """
    steps = [_step(found[at], value) for value in held if at >= 0]
    while at >= 0 and finders[at] >= 0:
        steps.append(_step(found[finders[at]], found[at]))
        at = finders[at]
    return "".join(reversed(steps)) or "the value itself"


def _step(holder: Any, held: Any) -> str:
    for step, thing in _parts(holder):
        if thing is held:
            return step
    for step, thing in _parts(holder):
        if any(inner is held for inner in _inside(thing)):
            return step
    return f"<in {type(holder).__name__}>"


def _parts(holder: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(holder, dict):
        yield from ((f"[{_short(key)}]", thing) for key, thing in holder.items())
        yield from ((f"<key {_short(key)}>", key) for key in holder)
        yield "<default factory>", getattr(holder, "default_factory", None)
    elif isinstance(holder, list | deque):
        yield from ((f"[{index}]", thing) for index, thing in enumerate(holder))
    yield from ((f".{name}", thing) for name, thing in getattr(holder, "__dict__", {}).items())
    kind: type = type(holder)
    yield from ((f".{name}", slot.__get__(holder)) for name, slot in slots_of(kind).items() if hasattr(holder, name))


def _inside(thing: Any) -> Iterator[Any]:
    """What a value that is written in place holds, at any depth."""
    parts: tuple[Any, ...] = ()
    if isinstance(thing, tuple | frozenset):
        parts = tuple(thing)
    elif isinstance(thing, functools.partial):
        parts = (thing.func, *thing.args, *thing.keywords.values())
    elif isinstance(thing, MethodType):
        parts = (thing.__self__,)
    for part in parts:
        yield part
        yield from _inside(part)


def _short(key: Any) -> str:
    text = repr(key)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
