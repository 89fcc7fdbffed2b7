"""Times as tables write them: epoch seconds to nanoseconds, ISO 8601 and its relatives, day first or month first."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from anabranch.errors import ConfigError

YEAR_FIRST = 1970
YEARS_AHEAD = 10
"""A time further ahead of now is a mistake: another unit, or a stand-in for "never"."""

UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}

_SECONDS = r"(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?"
_CLOCK = rf"(?P<hour>\d\d?):(?P<minute>\d\d)(?::{_SECONDS})?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
_ZONE = r"\s*(?P<zone>[Zz]|(?:UTC|GMT|Etc/UTC|utc|gmt)?(?:[+\-−]\d\d?(?::?\d\d)?)?)(?:\[[\w/+-]+\])?"
_ISO = re.compile(
    rf"(?P<year>\d{{4}})(?P<dash>[-/.])(?P<month>\d\d?)(?P=dash)(?P<day>\d\d?)(?:(?:[Tt_]|,?\s+){_CLOCK}{_ZONE})?",
    re.ASCII,
).fullmatch
_SPLIT = re.compile(
    rf"(?P<one>\d\d?)(?P<dash>[-/.])(?P<two>\d\d?)(?P=dash)(?P<year>\d{{4}})(?:(?:[Tt]|,?\s+){_CLOCK}{_ZONE})?",
    re.ASCII,
).fullmatch
_COMPACT = re.compile(
    r"(?P<year>(?:19|20)\d\d)(?P<month>[01]\d)(?P<day>[0-3]\d)"
    rf"(?:[Tt_ ]?(?P<hour>[0-2]\d)(?P<minute>[0-5]\d)(?:{_SECONDS})?(?P<half>){_ZONE})?",
    re.ASCII,
).fullmatch
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:[0-5]\d)?", re.ASCII).fullmatch
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+]?\d+)?", re.ASCII).fullmatch
_ABBREVIATED = re.compile(r"\s*\b([A-Z]{2,5}|[A-Z][a-z]+/[A-Z]\w+)$")

Read = Callable[[str], Any]
"""The time as RFC 3339 or epoch seconds; raises ValueError."""


class TimeColumn:
    """The column that holds the time.

    Args:
        form: a format of strptime's, if the table's own is not known here.
        where: names the file.
    """

    def __init__(self, name: str, *, form: str | None, where: str, now_year: int) -> None:
        self.name = name
        self.form = form
        self.where = where
        self.years = (YEAR_FIRST, now_year + YEARS_AHEAD)
        self.said = ""
        """How the times are read, for people."""
        self._read: Read | None = None
        self._numeric = False
        self._range_s = (0.0, datetime(self.years[1] + 1, 1, 1, tzinfo=UTC).timestamp())

    def decide(self, cells: Sequence[str], *, row: int = 0) -> None:
        """Find out how the times are written.

        Raises:
            ConfigError: in no known way, or in one of two.
        """
        present = [(place, cell.strip()) for place, cell in enumerate(cells, row) if cell.strip()]
        if self.form is not None:
            self._read, self.said = _formatted(self.form), f"read by --ts-format {self.form!r}"
        elif all(_NUMBER(cell) for _, cell in present):
            self._decide_number([cell for _, cell in present])
        else:
            self._decide_words(present)

    def _decide_number(self, cells: Sequence[str]) -> None:
        # Before epochs, since 20261121 would also be a second of the year 1970.
        if cells and all(len(cell) in (8, 14) and _COMPACT(cell) for cell in cells):
            self._read, self.said = _compact, f"dates such as {cells[0]!r}, year first"
            return
        self._numeric = True
        # By the median: single cells, the first among them, may hold a 0 or another stand-in for no time.
        middle = sorted(abs(float(cell)) for cell in cells)[len(cells) // 2] if cells else 0.0
        # 1e11 seconds are the year 5138, and 1e11 milliseconds the year 1973: what lies between has one reading.
        unit = next((name for name, per in UNITS.items() if middle < 1e11 * per), "nanoseconds")
        self._read, self.said = _epoch(UNITS[unit]), f"{unit} since 1970"

    def _decide_words(self, present: Sequence[tuple[int, str]]) -> None:
        for read, said in self._candidates([cell for _, cell in present]):
            if _reads(read, present[0][1]):
                self._read, self.said = read, said
                return
        raise ConfigError(self._refused(*present[0]))

    def _candidates(self, cells: Sequence[str]) -> list[tuple[Read, str]]:
        """The ways of writing, the most usual first."""
        known: list[tuple[Read, str]] = [(_iso, "year first"), (_compact, "year first")]
        first = _SPLIT(cells[0])
        if first is not None:
            known.append(self._split(cells, dash=first["dash"]))
        return [*known, (_mail, "as e-mails write it"), (_fromiso, "ISO 8601")]

    def _split(self, cells: Sequence[str], *, dash: str) -> tuple[Read, str]:
        """Whether the day comes first or the month."""
        pairs = [(int(found["one"]), int(found["two"])) for cell in cells if (found := _SPLIT(cell))]
        day_first, month_first = any(one > 12 for one, _ in pairs), any(two > 12 for _, two in pairs)
        # Where a point stands between day and month, the day comes first.
        if dash == "." and not month_first:
            return _day_first, f"day first, as in {cells[0]!r}"
        if day_first == month_first:
            what = "are read by no one order" if day_first else "may begin with the day or the month"
            raise ConfigError(
                f"{self.where}: column {self.name!r}: times such as {cells[0]!r} {what}; say which: "
                f"--ts-format '%d{dash}%m{dash}%Y' or --ts-format '%m{dash}%d{dash}%Y' (with %H:%M:%S as in the file)"
            )
        return (_day_first, f"day first, as in {cells[0]!r}") if day_first else (_month_first, "month first")

    def values(self, cells: Sequence[str], *, row: int) -> list[Any]:
        """The times, as RFC 3339 or in epoch seconds.

        Raises:
            ConfigError: naming the row and quoting the cell.
        """
        if self._read is None:
            self.decide(cells, row=row)
        return [self._value(cell, place) for place, cell in enumerate(cells, row)]

    def _value(self, cell: str, row: int) -> Any:
        assert self._read is not None
        cell = cell.strip()
        if not cell:
            raise ConfigError(
                f"{self.where}: row {row}: no time: its {self.name!r} is empty; give it one, or leave the row out"
            )
        try:
            time = self._read(cell)
        except (ValueError, OverflowError, TypeError):
            raise ConfigError(self._refused(row, cell)) from None
        if type(time) is str:
            if not self.years[0] <= int(time[:4]) <= self.years[1]:
                raise ConfigError(self._implausible(row, cell, time[:4]))
        elif not self._range_s[0] <= time < self._range_s[1]:
            raise ConfigError(self._implausible(row, cell, _year(time)))
        return time

    def _implausible(self, row: int, cell: str, year: str) -> str:
        hint = ""
        if self._numeric:
            seconds = float(cell)
            fitting = [unit for unit, per in UNITS.items() if self._range_s[0] < seconds / per < self._range_s[1]][:1]
            other = fitting[0] if fitting and fitting[0] not in self.said else "another unit"
            hint = f"; {other}? {self.said} are expected"
        return (
            f"{self.where}: row {row}: {self.name} = {cell!r} is the year {year}{hint}; "
            f"times from {self.years[0]} to {self.years[1]} are taken"
        )

    def _refused(self, row: int, cell: str) -> str:
        said = f"{self.where}: row {row}: {self.name} = {cell[:60]!r} is no time that can be read"
        zone = _ABBREVIATED.search(cell)
        if zone is not None and _iso_or_none(cell[: zone.start()]):
            return f"{said}: the zone {zone[1]!r} has no one offset; write it as +01:00, or the times in UTC"
        other = f", as the others are ({self.said})" if self.said and self.form is None else ""
        how = "write 2026-11-21T09:30:00Z or epoch seconds, or give the format: --ts-format '%d.%m.%Y %H:%M'"
        return f"{said}{other}; {how}"


def looks_like_times(cells: Sequence[str]) -> bool:
    """Whether words in a column, some of them or all, are times."""
    known = [cell.strip() for cell in cells if cell.strip()]
    return bool(known) and all(any(_reads(read, cell) for read in (_iso, _day_or_month, _mail)) for cell in known)


def seconds_of(time: Any) -> float:
    """A time that was read, in epoch seconds."""
    return datetime.fromisoformat(time.upper()).timestamp() if type(time) is str else float(time)


def _reads(read: Read, cell: str) -> bool:
    try:
        read(cell)
    except (ValueError, OverflowError, TypeError):
        return False
    return True


def _year(seconds: float) -> str:
    return f"{math.floor(1970 + seconds / 31_556_952)}"


def _epoch(per_second: int) -> Read:
    if per_second == 1:
        return lambda cell: int(cell) if cell.lstrip("+-").isdigit() else float(cell)
    return lambda cell: int(cell) / per_second if cell.lstrip("+-").isdigit() else float(cell) / per_second


def _formatted(form: str) -> Read:
    return lambda cell: _rfc_3339(datetime.strptime(cell, form))  # noqa: DTZ007  # without a zone it is UTC


def _rfc_3339(moment: datetime) -> str:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat(" ")


def _iso(cell: str) -> str:
    """Year, month, day; the usual form is passed on as it is."""
    if (plain := _RFC_3339(cell)) is not None:
        # The pattern takes a 30th of February as well; this raises on it.
        _ = datetime.fromisoformat(cell.upper())
        return cell if plain[2] else f"{cell}Z"
    found = _ISO(cell)
    if found is None:
        raise ValueError(cell)
    return _assembled(found, found["month"], found["day"])


def _iso_or_none(cell: str) -> str | None:
    return _iso(cell) if _reads(_iso, cell) else None


def _day_first(cell: str) -> str:
    return _of_split(cell, day="one", month="two")


def _month_first(cell: str) -> str:
    return _of_split(cell, day="two", month="one")


def _day_or_month(cell: str) -> str:
    return _day_first(cell) if _reads(_day_first, cell) else _month_first(cell)


def _of_split(cell: str, *, day: str, month: str) -> str:
    found = _SPLIT(cell)
    if found is None:
        raise ValueError(cell)
    return _assembled(found, found[month], found[day])


def _compact(cell: str) -> str:
    found = _COMPACT(cell)
    if found is None:
        raise ValueError(cell)
    return _assembled(found, found["month"], found["day"])


def _mail(cell: str) -> str:
    return _rfc_3339(parsedate_to_datetime(cell))


def _fromiso(cell: str) -> str:
    return _rfc_3339(datetime.fromisoformat(cell))


def _assembled(found: re.Match[str], month: str, day: str) -> str:
    """RFC 3339, of the parts."""
    hour = int(found["hour"] or 0)
    if found["half"]:
        if not 1 <= hour <= 12:
            raise ValueError(found[0])
        hour = hour % 12 + 12 * (found["half"] in "pP")
    fraction = f".{found['fraction'][:9]}" if found["fraction"] else ""
    date = f"{found['year']}-{int(month):02}-{int(day):02}"
    moment = f"{date} {hour:02}:{found['minute'] or '00'}:{found['second'] or '00'}"
    datetime.fromisoformat(moment)
    return moment + fraction + _offset(found["zone"] or "")


def _offset(zone: str) -> str:
    """+02, +0200, UTC+2 as +02:00; nothing as Z."""
    digits = re.sub(r"[^\d+\-−:]", "", zone).replace("−", "-")
    if not digits:
        return "Z"
    hours, minutes = digits[1:].split(":") if ":" in digits else (digits[1:3], digits[3:])
    if int(hours) > 23 or int(minutes or 0) > 59:
        raise ValueError(zone)
    return f"{digits[0]}{int(hours):02}:{int(minutes or 0):02}"
