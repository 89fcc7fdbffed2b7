"""River's objects written in Rust: opaque bytes, checked before and after Rust sees them."""

import struct
from collections.abc import Callable
from typing import Any, Final

from river._river_rust import drift, stats

from anabranch.statetree.leaves import Leaf, demand
from anabranch.statetree.trusted import CorruptState

# An ADWIN bucket row holds `max_buckets` entries and one in overflow; River's default is 5.
_ADWIN_BUCKETS_MAX: Final = 10_000
_ADWIN_HEAD: Final = struct.Struct("<dIQdd3dd4IQ")
_ADWIN_ROW: Final = struct.Struct("<QQQ")
_ADWIN_TAIL: Final = struct.Struct("<dIQII")

# Built with the smallest sizes, since a size from data would be allocated before it is checked.
_BLANK: Final[list[tuple[int, type, Callable[[], Any]]]] = [
    (-60, drift.AdaptiveWindowing, drift.AdaptiveWindowing),
    (-61, stats.RsEWMean, lambda: stats.RsEWMean(0.5)),
    (-62, stats.RsEWVar, lambda: stats.RsEWVar(0.5)),
    (-63, stats.RsIQR, lambda: stats.RsIQR(0.25, 0.75)),
    (-64, stats.RsKurtosis, lambda: stats.RsKurtosis(True)),
    (-65, stats.RsPeakToPeak, stats.RsPeakToPeak),
    (-66, stats.RsQuantile, lambda: stats.RsQuantile(0.5)),
    (-67, stats.RsRollingIQR, lambda: stats.RsRollingIQR(0.25, 0.75, 1)),
    (-68, stats.RsRollingPRAUC, lambda: stats.RsRollingPRAUC(1, 1)),
    (-69, stats.RsRollingQuantile, lambda: stats.RsRollingQuantile(0.5, 1)),
    (-70, stats.RsRollingROCAUC, lambda: stats.RsRollingROCAUC(1, 1)),
    (-71, stats.RsSkew, lambda: stats.RsSkew(True)),
]


def _write(value: Any) -> list[Any]:
    return [value.__getstate__()]


def _reader(cls: type, blank: Callable[[], Any]) -> Callable[[bytes], Any]:
    def read(state: bytes) -> Any:
        demand(type(state) is bytes, f"a {cls.__name__} holds no bytes")
        if cls is drift.AdaptiveWindowing:
            _check_adwin(state)
        made = blank()
        _set_state(made, state)
        demand(made.__getstate__() == state, f"a {cls.__name__} read its bytes as something else")
        return made

    return read


def _set_state(made: Any, state: bytes) -> None:
    """Rust panics on bytes it cannot read, and its PanicException is no Exception."""
    try:
        made.__setstate__(state)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
            raise
        raise CorruptState(f"the bytes of a {type(made).__name__} are damaged: {error}") from None


def _check_adwin(state: bytes) -> None:
    """Walk the rows of buckets, whose lengths Rust would index by without looking."""
    demand(len(state) >= _ADWIN_HEAD.size + _ADWIN_TAIL.size, "an AdaptiveWindowing is cut short")
    head = _ADWIN_HEAD.unpack_from(state)
    buckets, rows, at = head[2], head[-1], _ADWIN_HEAD.size
    demand(1 <= buckets <= _ADWIN_BUCKETS_MAX, f"no AdaptiveWindowing has {buckets} buckets a row")
    row_size = _ADWIN_ROW.size + 2 * 8 * (buckets + 1) + 8
    demand(rows >= 1 and len(state) == at + rows * row_size + _ADWIN_TAIL.size, "an AdaptiveWindowing has odd rows")
    for _ in range(rows):
        _check_adwin_row(state, at, buckets)
        at += row_size
    demand(_ADWIN_TAIL.unpack_from(state, at)[2] == buckets, "an AdaptiveWindowing contradicts itself")


def _check_adwin_row(state: bytes, at: int, buckets: int) -> None:
    size, used, totals = _ADWIN_ROW.unpack_from(state, at)
    (variances,) = struct.unpack_from("<Q", state, at + _ADWIN_ROW.size + 8 * (buckets + 1))
    whole = size == buckets and used <= buckets and totals == variances == buckets + 1
    demand(whole, "an AdaptiveWindowing's row of buckets is damaged")


RUST: Final[dict[type, Leaf]] = {cls: Leaf(tag, _write, _reader(cls, blank)) for tag, cls, blank in _BLANK}
