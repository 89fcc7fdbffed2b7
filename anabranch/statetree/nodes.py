"""The shape of a state tree: tags, paths, and how an object's attributes are read without slowing it down.

A tree is `[layouts, nodes, root]`. A layout is `[class name, attribute names…]`; a node is one
mutable object, `[layout, attribute values…]` or `[tag, …]`. A value is a plain msgpack scalar,
`[index]` for the node at that index, or `[tag, …]`, where every tag is negative.
"""

import functools
import gc
import operator
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import CodeType, FunctionType, MemberDescriptorType, MethodType
from typing import Any, Final, NamedTuple

from river import proba

from anabranch.statetree.leaves import OBJECTS, RUST, VALUES, Leaf

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
                # In the order of the MRO: of two slots of one name it is the first that an attribute access finds.
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
        named = _filled_slots(thing, kind)
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


def _filled_slots(thing: Any, kind: type) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for name, slot in slots_of(kind).items():
        try:
            filled[name] = slot.__get__(thing)
        except AttributeError:
            continue
    return filled


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


# ── Reads and sets an instance's attributes without touching its `__dict__` ─────────────────────────────────────────

# Until somebody asks for the `__dict__`, CPython keeps the attributes in the instance itself, and reads them faster. A
# checkpoint that asked for it would slow a Hoeffding tree down by a fifth for the rest of its life.

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
    # With one of these, that a name can be read no longer shows that the instance has it.
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


# ── Where in a value something was found, as a path such as `.steps['LogisticRegression'].optimizer` ────────────────

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
