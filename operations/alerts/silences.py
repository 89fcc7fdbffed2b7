"""When nobody is told: windows of time, once, each day, or as cron has it.

>>> night = Silence(daily="22:00-06:00", why="nobody is there")
>>> [is_within(night, datetime(2026, 11, 26, hour, 30, tzinfo=UTC).timestamp()) for hour in (21, 22, 3, 6)]
[False, True, True, False]
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from cronsim import CronSim

from config.alerts import Silence
from operations.alerts.rules import Key


def silence_of(silences: Iterable[Silence], key: Key, now_s: float) -> Silence | None:
    """The silence in which an alert is, if it is in one."""
    return next((each for each in silences if _is_about(each, key) and is_within(each, now_s)), None)


def _is_about(silence: Silence, key: Key) -> bool:
    return (not silence.rules or key.rule in silence.rules) and (not silence.models or key.model in silence.models)


def is_within(silence: Silence, now_s: float) -> bool:
    """Whether it is on at that time: its beginning included, its end not."""
    if silence.since is not None and silence.until is not None:
        return silence.since.timestamp() <= now_s < silence.until.timestamp()
    now = datetime.fromtimestamp(now_s, UTC)
    if silence.daily is not None:
        return _is_time_of_day(silence.of_the_day, 60 * now.hour + now.minute)
    assert silence.cron is not None, "a silence is one of the three"
    before = now - timedelta(seconds=silence.lasts)  # what began then has just ended; CronSim gives what comes after
    return next(CronSim(silence.cron, before.replace(tzinfo=None)), now.replace(tzinfo=None)) <= now.replace(
        tzinfo=None
    )


def _is_time_of_day(between: tuple[int, int], minute: int) -> bool:
    begin, end = between
    return begin <= minute < end if begin <= end else minute >= begin or minute < end
