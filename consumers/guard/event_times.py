"""When events happened: how a `ts` is read, and what one that cannot be true probably is."""

from datetime import UTC, datetime
from typing import Any

import orjson

from anabranch.values import EARLIEST_S, LATEST_S, epoch_s
from consumers.guard.labels import Refused, named

_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))


class Plausible:
    """Whether an event's time can be true: near the record's timestamp, or a date at all where there is none.

    Args:
        behind_max: seconds that an event may lie before the record's timestamp.
        ahead_max: seconds that it may lie after it.
    """

    def __init__(self, *, behind_max: float, ahead_max: float) -> None:
        self.earliest, self.latest = -behind_max, ahead_max

    def time(self, ts: Any, record_s: float) -> float:
        """Epoch seconds of a `ts`; `record_s` is the record's timestamp, 0 or less where the log knows none.

        Raises:
            Refused: it is no time, or not a plausible one.
        """
        time_s = ts if type(ts) in (float, int) else parsed(ts)
        if not self.earliest <= time_s - record_s <= self.latest and (record_s > 0 or not is_date(time_s)):
            raise self._implausible(ts, time_s, record_s)
        if time_s >= LATEST_S:  # where the record's timestamp is the event's own time
            raise Refused("time", f"ts {str(ts)[:40]} lies after the year 9999{self._unit(time_s, record_s)}")
        return float(time_s)

    def _implausible(self, ts: Any, time_s: float, record_s: float) -> Refused:
        shown = str(ts)[:40]
        if record_s <= 0:
            side = "after the year 9999" if time_s > 0 else "before the year 1"
            return Refused("time", f"ts {shown} lies {side}{self._unit(time_s, record_s)}")
        ahead = time_s - record_s
        side = "after" if ahead > 0 else "before"
        reason = f"ts {shown} lies {abs(ahead):.12g} s {side} the record's timestamp"
        return Refused("time", reason + (self._unit(time_s, record_s) or self._record_unit(time_s, record_s)))

    def _unit(self, time_s: float, record_s: float) -> str:
        """In which unit it would be plausible."""
        for unit, per_second in _UNITS:
            small = time_s / per_second
            # Where the record's timestamp is the event's own time, as in a file, it says nothing about that time.
            compared = record_s > 0 and record_s != time_s
            if _recent(small) and (not compared or self.earliest <= small - record_s <= self.latest):
                return f": {unit}? Seconds are expected"
        return ""

    def _record_unit(self, time_s: float, record_s: float) -> str:
        """Whether it is the record's timestamp that is not right."""
        if record_s >= LATEST_S:
            return ", which lies after the year 9999: Kafka's timestamps are milliseconds"
        day = datetime.fromtimestamp(record_s, UTC).date()
        if self.earliest <= time_s - record_s * 1000 <= self.latest:
            return f", which is of {day}: the producer seems to give it in seconds; Kafka's timestamps are milliseconds"
        return f", which is of {day}"


def is_date(time_s: float) -> bool:
    """Whether a date can say it."""
    return EARLIEST_S <= time_s < LATEST_S


def _recent(time_s: float) -> bool:
    """From 1990 to 2100: what a time in another unit is most probably of."""
    return 631_152_000 <= time_s < 4_102_444_800


def parsed(ts: Any) -> float:
    """Epoch seconds of a `ts` that is no number.

    Raises:
        Refused: it is no moment, or names no zone.
    """
    if type(ts) is not str:
        raise Refused("time", f"'ts' is {named(ts)}, not RFC 3339 or epoch seconds")
    time_s = epoch_s(ts)
    if time_s is None:
        raise Refused("time", f"'ts' {ts[:40]!r} {_fault(ts)}")
    return time_s


def _fault(ts: str) -> str:
    """What is wrong with the text of a moment."""
    if epoch_s(f"{ts}Z") is not None:
        return "names no time zone: append Z if it is UTC"
    if epoch_s(f"{ts}T00:00:00Z") is not None:
        return "is not RFC 3339: a date without a time; write it as 2026-11-25T10:00:00Z"
    if _is_number(ts):
        return "is not RFC 3339: a number in quotes; epoch seconds are sent without them"
    return "is not RFC 3339, as in 2026-11-25T10:00:00Z; or send epoch seconds as a number"


def _is_number(ts: str) -> bool:
    return ts.isascii() and ts.strip().lstrip("-").replace(".", "", 1).isdigit()


def own_time_s(value: bytes) -> float:
    """The event's own time in epoch seconds; 0 where none can be read, for the guard to refuse.

    >>> own_time_s(b'{"ts": "2026-11-21T09:30:00Z"}')
    1795253400.0
    """
    try:
        ts = orjson.loads(value.removeprefix(b"\xef\xbb\xbf"))["ts"]
        return float(ts if type(ts) in (float, int) else parsed(ts))
    except (Refused, orjson.JSONDecodeError, KeyError, TypeError):
        return 0.0
