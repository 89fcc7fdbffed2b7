"""Values of a state tree that hold no others: numbers, dates, arrays, random states, River's Rust objects.

Each rule is a pair of pure functions: `write` turns the value into a list of plain
msgpack fields, `read` checks such fields and rebuilds the value from them.
"""

import datetime as dt
import random
import statistics
import struct
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from river._river_rust import drift, stats

from anabranch.statetree.trusted import CorruptState, UnsupportedState

BIG_INT_MAX_BYTES: Final = 65_536
_RANDOM_WORDS: Final = 624

# Float128 and friends are left out: their padding bytes are not defined.
_DTYPES: Final = {
    np.dtype(code).str: np.dtype(code)
    for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}


class Leaf(NamedTuple):
    """How one type is written and read; `tag` is its place in the format and never changes."""

    tag: int
    write: Callable[[Any], list[Any]]
    read: Callable[..., Any]


def demand(holds: bool, fault: str) -> None:
    """Raise CorruptState unless a fact about untrusted data holds."""
    if not holds:
        raise CorruptState(fault)


def _write_big_int(value: int) -> list[Any]:
    # One bit more than bit_length() counts, for the sign.
    size = value.bit_length() // 8 + 1
    if size > BIG_INT_MAX_BYTES:
        raise UnsupportedState(f"an integer of {size} bytes is above the bound of {BIG_INT_MAX_BYTES}")
    return [value.to_bytes(size, "little", signed=True)]


def _read_big_int(data: bytes) -> int:
    demand(type(data) is bytes and len(data) <= BIG_INT_MAX_BYTES, "an integer is too long")
    return int.from_bytes(data, "little", signed=True)


def _write_scalar(value: np.generic) -> list[Any]:
    return [value.dtype.str, value.tobytes()]


def _read_scalar(dtype: str, data: bytes) -> Any:
    return _read_array(dtype, "C", [1], data)[0]


def _write_array(value: np.ndarray[Any, Any]) -> list[Any]:
    if value.dtype.str not in _DTYPES:
        raise UnsupportedState(f"an array of dtype {value.dtype} cannot be kept; use a native number or bool dtype")
    order: Any = "F" if value.flags.f_contiguous and not value.flags.c_contiguous else "C"
    return [value.dtype.str, order, list(value.shape), value.tobytes(order)]


def _read_array(dtype: str, order: Any, shape: list[int], data: bytes) -> np.ndarray[Any, Any]:
    demand(type(dtype) is str and dtype in _DTYPES and order in ("C", "F"), f"no array of {dtype!r}, order {order!r}")
    demand(len(shape) <= 32 and all(type(n) is int and 0 <= n < 2**40 for n in shape), f"no array has shape {shape}")
    demand(type(data) is bytes, "an array holds no bytes")
    kind, count = _DTYPES[dtype], 1
    for n in shape:
        count *= n
    demand(len(data) == count * kind.itemsize, f"{len(data)} bytes do not fill an array of {dtype}, shape {shape}")
    demand(kind.kind != "b" or not data.strip(b"\x00\x01"), "a boolean array holds other bytes than 0 and 1")
    # A copy, since frombuffer() gives a view that cannot be written to, and models change their arrays in place.
    return np.frombuffer(data, kind).reshape(shape, order=order).copy(order=order)


def _write_random(value: random.Random) -> list[Any]:
    version, words, gauss = value.getstate()
    return [version, struct.pack("<624I", *words[:-1]), words[-1], gauss]


def _read_random(version: int, words: bytes, position: int, gauss: float | None) -> random.Random:
    demand(version == 3 and (gauss is None or type(gauss) is float), f"no random state of version {version}")
    _check_twister(words, position)
    fresh = random.Random()
    fresh.setstate((3, (*struct.unpack("<624I", words), position), gauss))
    return fresh


def _check_twister(words: bytes, position: int) -> None:
    """A position outside the 624 words makes numpy read foreign memory."""
    demand(type(words) is bytes and len(words) == 4 * _RANDOM_WORDS, "a Mersenne Twister needs 624 words")
    demand(type(position) is int and 0 <= position <= _RANDOM_WORDS, f"no Mersenne Twister stands at {position}")


def _twister_state(words: bytes, position: int) -> dict[str, Any]:
    _check_twister(words, position)
    key = np.frombuffer(words, "<u4").astype(np.uint32)
    return {"bit_generator": "MT19937", "state": {"key": key, "pos": position}}


def _write_random_state(value: np.random.RandomState) -> list[Any]:
    state: Any = value.get_state(legacy=False)
    if state["bit_generator"] != "MT19937":
        raise UnsupportedState(f"a RandomState over {state['bit_generator']} cannot be kept; use MT19937")
    inner = state["state"]
    words = inner["key"].astype("<u4").tobytes()
    return [words, int(inner["pos"]), int(state["has_gauss"]), float(state["gauss"])]


def _read_random_state(words: bytes, position: int, has_gauss: int, gauss: float) -> np.random.RandomState:
    demand(has_gauss in (0, 1) and type(gauss) is float, "a RandomState's spare normal is damaged")
    fresh = np.random.RandomState(np.random.MT19937(0))
    fresh.set_state({**_twister_state(words, position), "has_gauss": has_gauss, "gauss": gauss})
    return fresh


def _write_generator(value: np.random.Generator) -> list[Any]:
    state: Any = value.bit_generator.state
    if state["bit_generator"] == "MT19937":
        return ["MT19937", state["state"]["key"].astype("<u4").tobytes(), int(state["state"]["pos"])]
    if state["bit_generator"] != "PCG64":
        raise UnsupportedState(f"a Generator over {state['bit_generator']} cannot be kept; use PCG64")
    wide = [state["state"][part].to_bytes(16, "little") for part in ("state", "inc")]
    return ["PCG64", *wide, state["has_uint32"], state["uinteger"]]


def _read_generator(name: str, *fields: Any) -> np.random.Generator:
    demand(name in ("MT19937", "PCG64"), f"no Generator over {name!r}")
    bits: Any = np.random.MT19937(0) if name == "MT19937" else np.random.PCG64(0)
    bits.state = _twister_state(*fields) if name == "MT19937" else _pcg_state(*fields)
    return np.random.Generator(bits)


def _pcg_state(state: bytes, inc: bytes, has_uint32: int, uinteger: int) -> dict[str, Any]:
    demand(len(state) == len(inc) == 16 and bool(inc[0] & 1), "a PCG64 needs 128 bits of state and an odd increment")
    demand(has_uint32 in (0, 1) and type(uinteger) is int and 0 <= uinteger < 2**32, "a PCG64's spare is damaged")
    wide = {"state": int.from_bytes(state, "little"), "inc": int.from_bytes(inc, "little")}
    return {"bit_generator": "PCG64", "state": wide, "has_uint32": has_uint32, "uinteger": uinteger}


def _write_timezone(zone: dt.tzinfo | None) -> list[Any] | None:
    if zone is None:
        return None
    if type(zone) is not dt.timezone:
        raise UnsupportedState(f"a time zone of type {type(zone).__qualname__} cannot be kept; use datetime.timezone")
    offset = zone.utcoffset(None)
    unnamed = zone == dt.UTC or zone.tzname(None) == dt.timezone(offset).tzname(None)
    return [*_write_timedelta(offset), None if unnamed else zone.tzname(None)]


def _read_timezone(fields: list[Any] | None) -> dt.timezone | None:
    if fields is None:
        return None
    *offset, name = fields
    return dt.timezone(_read_timedelta(*offset)) if name is None else dt.timezone(_read_timedelta(*offset), name)


def _write_timedelta(value: dt.timedelta) -> list[Any]:
    return [value.days, value.seconds, value.microseconds]


def _read_timedelta(days: int, seconds: int, microseconds: int) -> dt.timedelta:
    demand(all(type(n) is int for n in (days, seconds, microseconds)), "a duration is not made of integers")
    return dt.timedelta(days, seconds, microseconds)


def _write_datetime(value: dt.datetime) -> list[Any]:
    day, clock = value.date(), value.timetz()
    return [day.year, day.month, day.day, *_write_time(clock)]


def _write_time(value: dt.time) -> list[Any]:
    fields = [value.hour, value.minute, value.second, value.microsecond]
    return [*fields, _write_timezone(value.tzinfo), value.fold]


def _read_time(*fields: Any) -> dt.time:
    hour, minute, second, microsecond, zone, fold = fields
    return dt.time(hour, minute, second, microsecond, _read_timezone(zone), fold=fold)


def _read_datetime(year: int, month: int, day: int, *clock: Any) -> dt.datetime:
    return dt.datetime.combine(dt.date(year, month, day), _read_time(*clock))


def _read_normal(mu: Any, sigma: Any) -> statistics.NormalDist:
    demand(type(mu) is type(sigma) is float, "a normal distribution is not made of floats")
    return statistics.NormalDist(mu, sigma)


# Written by value: their identity is no part of the state.
VALUES: Final[dict[type, Leaf]] = {
    int: Leaf(-1, _write_big_int, _read_big_int),
    range: Leaf(-2, lambda v: [v.start, v.stop, v.step], range),
    statistics.NormalDist: Leaf(-3, lambda v: [v.mean, v.stdev], _read_normal),
    dt.datetime: Leaf(-4, _write_datetime, _read_datetime),
    dt.date: Leaf(-5, lambda v: [v.year, v.month, v.day], dt.date),
    dt.time: Leaf(-6, _write_time, _read_time),
    dt.timedelta: Leaf(-7, _write_timedelta, _read_timedelta),
    dt.timezone: Leaf(-8, lambda v: list(_write_timezone(v) or ()), lambda *fields: _read_timezone(list(fields))),
    **{dtype.type: Leaf(-9, _write_scalar, _read_scalar) for dtype in _DTYPES.values()},
}

# Written once each, since two holders of the same random source must share it afterwards too.
OBJECTS: Final[dict[type, Leaf]] = {
    np.ndarray: Leaf(-40, _write_array, _read_array),
    random.Random: Leaf(-41, _write_random, _read_random),
    np.random.RandomState: Leaf(-42, _write_random_state, _read_random_state),
    np.random.Generator: Leaf(-43, _write_generator, _read_generator),
}


# ── River's objects written in Rust: opaque bytes, checked before and after Rust sees them ──────────────────────────

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
