"""Model bytes: any River model as a typed state tree, safe to read from strangers, never pickle.

    data = encode(model)
    twin = decode(data)  # predicts and learns on exactly as `model` would

Equal state gives equal bytes, in every process. Objects are made empty and given their attributes;
nothing that the bytes name is ever called. What a class keeps outside its attributes is lost, which
is why `refusals` names the River classes that do so.
"""

import gc
import hashlib
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgpack
import numpy as np
from river.__version__ import __version__ as river_version

from anabranch.statetree.read import Reader, any_nan
from anabranch.statetree.trusted import (
    CorruptState,
    StateTreeError,
    Trust,
    UnsupportedState,
    UntrustedClass,
    VersionMismatch,
)
from anabranch.statetree.write import Writer, pack

__all__ = [
    "CorruptState",
    "StateTreeError",
    "UnsupportedState",
    "UntrustedClass",
    "VersionMismatch",
    "decode",
    "digest",
    "encode",
    "holds_nan",
    "refusals",
]

MAGIC: Final = b"anabranch-state\x00"
FORMAT: Final = 1


def encode(value: Any, *, trusted: Iterable[str] = ()) -> bytes:
    """Write a value and everything it holds as bytes.

    Args:
        value: a River model, or scalars, containers, arrays and dates, at any depth.
        trusted: import paths of classes outside River, as `"package.module:Class"` or `"package.module"`.

    Raises:
        UnsupportedState: naming the first part that cannot be restored faithfully.
        UntrustedClass: naming a class or function that is neither River's nor trusted.
    """
    versions = [FORMAT, river_version, platform.python_version(), np.__version__]
    return MAGIC + _pack([*versions, _tree(value, trusted)])


def decode(data: bytes, *, trusted: Iterable[str] = ()) -> Any:
    """Rebuild the value from what `encode` has written; anything else raises, and runs nothing.

    Raises:
        VersionMismatch: if another format or another version of River wrote it.
        UntrustedClass: naming a class or function that is neither River's nor trusted.
        CorruptState: if it is damaged.
    """
    body = _envelope(data)
    with _gc_paused():
        return Reader(Trust(trusted)).read(_unpack(body))


def digest(value: Any, *, trusted: Iterable[str] = ()) -> str:
    """The sha256 of a value's state, in hex: equal states give equal digests, also across processes.

    Only the state counts, not the versions that `encode` records beside it.
    """
    return hashlib.sha256(_tree(value, trusted)).hexdigest()


def refusals(value: Any, *, trusted: Iterable[str] = ()) -> list[str]:
    """Why a value cannot be restored faithfully, one reason a part; empty if it can.

    Ask after some learning too: parts that a model makes later are only seen when they are there.
    """
    faults: list[str] = []
    Writer(Trust(trusted), faults).write(value)
    return faults


def holds_nan(data: bytes) -> bool:
    """Whether what `encode` has written holds a NaN. (An infinity is how River begins a minimum.)

    Raises:
        VersionMismatch, CorruptState: as `decode`.
    """
    return any_nan(_unpack(_envelope(data)))


def _tree(value: Any, trusted: Iterable[str]) -> bytes:
    with _gc_paused():
        return _pack(Writer(Trust(trusted)).write(value))


def _pack(value: Any) -> bytes:
    try:
        data: bytes = pack(value)
    except (OverflowError, ValueError) as error:
        raise UnsupportedState(f"some text or bytes in it cannot be written: {error}") from error
    return data


def _envelope(data: bytes) -> bytes:
    """The bytes of the tree, once format and versions are known to fit."""
    if not data.startswith(MAGIC):
        raise CorruptState(f"these {len(data)} bytes are no model of ours: they do not begin with {MAGIC!r}")
    match _unpack(data[len(MAGIC) :]):
        # First of all, since an envelope of another format may look otherwise behind its number.
        case [int(found), *_] if found != FORMAT:
            raise VersionMismatch(f"the bytes are of format {found}, this program reads {FORMAT}: update the older one")
        case [_, str(written_by), str(), str(), bytes(body)]:
            _check_river(written_by)
            return body
        case _:
            raise CorruptState("the envelope around the model is damaged")


def _check_river(written_by: str) -> None:
    if written_by != river_version:
        raise VersionMismatch(
            f"the bytes were written with River {written_by}, here is River {river_version}: "
            "the layout of its models changes between versions, so install the same one"
        )


def _unpack(data: bytes) -> Any:
    try:
        # Strings of Python may hold half of a surrogate pair, which UTF-8 does not know.
        return msgpack.unpackb(data, unicode_errors="surrogatepass", ext_hook=_refuse_extension)
    except (msgpack.UnpackException, ArithmeticError, MemoryError, RecursionError, TypeError, ValueError) as error:
        raise CorruptState(f"the bytes are no msgpack of ours: {type(error).__name__}: {error}") from error


def _refuse_extension(code: int, data: bytes) -> None:
    raise CorruptState(f"a state tree has no msgpack extension {code}")


@contextmanager
def _gc_paused() -> Iterator[None]:
    """A tree is tens of thousands of small lists, none of them garbage, and each scan for some walks them all."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
