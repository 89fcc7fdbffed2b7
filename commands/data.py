"""The files that a verb was given, as events and records, and what a person is told of them."""

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import DeadLetter
from config.settings import Settings
from consumers.guard import Guard, own_time_s
from evaluation.backtest import TOPIC
from evaluation.files import Files, once
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
    quiet: bool = False,
    **options: Any,
) -> Files:
    """The files as one stream, read as the configuration needs it; what was decided of them is told once."""
    told = {} if settings is None else of_settings(settings)
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


def records(given: Files) -> Iterator[Record]:
    """The records of the files, as a log would hold them."""
    timestamp = given.timestamp_of()
    return (
        Record(TOPIC, 0, number, own_time_s(value) if timestamp is None else timestamp(number), None, value)
        for number, value in enumerate(given.events())
    )


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
