"""The files that a verb was given, as events and records, and what a person is told of them."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import DeadLetter
from config.sections import Seconds
from config.settings import Settings
from consumers.guard import Guard, own_time_s
from evaluation.backtest import TOPIC, LabelValue, Values
from evaluation.files import Files, once
from evaluation.late import Delay, beside, delayed
from evaluation.tables import Reading


def warn(said: str) -> None:
    """Say it on standard error."""
    print(said, file=sys.stderr, flush=True)


def files(
    settings: Settings | None,
    paths: Sequence[Path],
    *,
    keep: Sequence[str] | None = None,
    drop: Sequence[str] | None = None,
    missing: Sequence[str] | None = None,
    may_have: Sequence[str] = (),
    quiet: bool = False,
    **options: Any,
) -> Files:
    """The files as one stream, read as the configuration needs it; what was decided of them is told once.

    Args:
        may_have: columns that are kept where they are there.
    """
    told = {} if settings is None else of_settings(settings)
    told["asked"] = told.get("asked", frozenset()) | frozenset(may_have)
    lists: dict[str, Any] = {"keep": tuple(keep or ()), "drop": tuple(drop or ()), "missing": tuple(missing or ())}
    return Files(paths, Reading(**options, **lists, **told), tell=(lambda said: None) if quiet else _warn_once)


# One for the process: a verb that reads a file several times says what it found only once.
_warn_once = once(warn)


def of_settings(settings: Settings) -> dict[str, Any]:
    """What a configuration says of a table."""
    spec = settings.model_dump(include={"model", "constraints", "detectors", "shadows"}, mode="python")
    return {
        "positive": settings.positive,
        "truths": settings.task == "binary" and settings.positive is None,
        "asked": frozenset(_words(spec)),
    }


def _words(value: Any) -> Iterator[str]:
    """All strings in a configuration: one of them may be a column's name."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(_words, value.values()))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from itertools.chain.from_iterable(map(_words, value))


def late_or_not(
    settings: Settings,
    given: Files,
    *,
    delay: str | None = None,
    delay_column: str | None = None,
    labels: Path | None = None,
    limit: int | None = None,
) -> tuple[Settings, Values]:
    """The events of the files, and labels where they come by themselves; and settings under which these are heard.

    Raises:
        ConfigError: more than one way is given, or a delay is none.
    """
    ways = {"--delay": delay, "--delay-column": delay_column, "--labels": labels}
    named = [way for way, given_way in ways.items() if given_way is not None]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)}: labels come late in one way")
    if not named:
        return settings, lambda: itertools.islice(given.events(), limit)
    settings = settings.model_copy(update={"labels": settings.labels.model_copy(update={"late": True})})
    if labels is not None:
        columns = {"target": "label", "id": "id", "ts": "ts"}
        second = files(settings, [labels], may_have=["revision", "blocked"], quiet=True, **columns)
        return settings, lambda: beside(itertools.islice(given.events(), limit), second.events)
    how = Delay(column=delay_column) if delay is None else delay_of(delay)
    return settings, lambda: delayed(itertools.islice(given.events(), limit), how)


def delay_of(said: str, *, rate: float | None = None) -> Delay:
    """A delay as a person writes it.

    Args:
        rate: events a second, where a time is to be counted in them.

    Raises:
        ConfigError: it is none.
    """
    if said.isdecimal():
        return Delay(events=int(said))
    try:
        seconds = TypeAdapter(Seconds).validate_python(said)
    except ValidationError:
        raise ConfigError(f"{said!r} is no delay: write a number of events, as 1000, or a time, as 10m or 7d") from None
    return Delay(seconds=seconds) if rate is None else Delay(events=round(seconds * rate))


def records(given: Files, values: Values | None = None, *, labels: str = "") -> Iterator[Record]:
    """The records of the files, as a log would hold them.

    Args:
        values: what is made of them, instead of the events as they are; labels among it are on the topic `labels`.
    """
    timestamp = given.timestamp_of()
    numbers, of_labels = itertools.count(), itertools.count()
    for value in (values or given.events)():
        if isinstance(value, LabelValue):
            yield Record(labels, 0, next(of_labels), own_time_s(value.value), None, value.value)
            continue
        number = next(numbers)
        yield Record(TOPIC, 0, number, own_time_s(value) if timestamp is None else timestamp(number), None, value)


def refuse_nothing_accepted(settings: Settings, given: Files, *, limit: int) -> None:
    """See that the guard lets in one of the first events.

    Raises:
        ConfigError: it does not; says why the first was refused.
    """
    guard, letter = Guard(settings), None
    for record in itertools.islice(records(given), limit):
        checked = guard.check(record)
        if isinstance(checked, AcceptedEvent):
            return
        letter = letter or checked
    if isinstance(letter, DeadLetter):
        raise ConfigError(f"{given.name}: every row was refused; the first for this reason: {letter.reason}")
    raise ConfigError(f"{given.name}: there are no events in it")
