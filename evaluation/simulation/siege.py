"""A siege of the guard: a thousand hostile records, none of which may raise, leave a trace, or bring in a NaN."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from anabranch import statetree
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import DeadLetter, Event, UnreadableMessage, decode, encode
from config.loading import build
from config.settings import Settings
from consumers.guard.guard import REASON_MAX, Guard, Repeated
from evaluation.simulation.hostile import hostile
from evaluation.simulation.result import Result

RECORDS = 1_000
"""Of a siege."""

VALUE_SHOWN = 300
_SMALL = {"features_max": 8, "event_max_bytes": 2_000, "string_max": 40, "shapes_max": 30, "classes_max": 4}
_SMALL_TOO = {**_SMALL, "dedup_window": 50, "dead_letter_max_bytes": 100}


class Breach(Exception):
    """A record did what none may."""


@dataclass
class Siege:
    """A guard, and a twin that is shown only what the guard has accepted: refused records must make no difference."""

    settings: Settings
    seed: int
    make: Callable[[Settings], Guard] = Guard
    record: Record | None = field(init=False, default=None)

    def run(self) -> None:
        """All records.

        Raises:
            Breach: `record` is the one at which it was noticed.
        """
        guard, twin = self.make(self.settings), self.make(self.settings)
        for record in hostile(self.settings, Random(self.seed), records=RECORDS):
            self.record = record
            answer = self._answer(guard, record)
            if isinstance(answer, AcceptedEvent):
                self._fit(answer)
                if twin.check(record) != answer:
                    raise Breach("a guard that has seen no refused records answers otherwise")
                _read_by_others(record)
            elif isinstance(answer, DeadLetter):
                self._publishable(answer)
        self._same(guard, twin)

    def _answer(self, guard: Guard, record: Record) -> AcceptedEvent | DeadLetter | None:
        """What the guard says; the cheap half of "leaves no trace" is looked at for each record."""
        before = _size(guard)
        try:
            answer = guard.check(record)
        except Exception as error:
            raise Breach(f"the guard raises {type(error).__name__}: {error}") from error
        if isinstance(answer, Repeated):  # nobody waits here
            answer = guard.label_lost(answer, record)
        if not isinstance(answer, AcceptedEvent | DeadLetter | None):
            raise Breach(f"the guard answers {answer!r}")
        if not isinstance(answer, AcceptedEvent) and _size(guard) != before:
            raise Breach("a record that was not accepted is remembered")
        return answer

    def _fit(self, event: AcceptedEvent) -> None:
        """Finite numbers, bounded strings, nothing else."""
        limits = self.settings.guard
        values = (event.id, event.ts, *event.x, *event.x.values(), *([] if event.y is None else [event.y]))
        if len(event.x) > limits.features_max:
            raise Breach(f"{len(event.x)} features")
        for value in values:
            fault = _fault(value, string_max=limits.string_max)
            if fault:
                raise Breach(f"{fault} was accepted")

    def _publishable(self, letter: DeadLetter) -> None:
        size = len(encode(letter))
        # base64 makes 4 bytes of 3; a character of the reason takes 6 bytes at most; the rest is small.
        if size > self.settings.guard.dead_letter_max_bytes * 4 // 3 + 6 * REASON_MAX + 1_000:
            raise Breach(f"its dead letter has {size} bytes")

    def _same(self, guard: Guard, twin: Guard) -> None:
        """The dear half, once: the guard remembers what its twin does, and a checkpoint holds it."""
        remembered = _remembered(guard)
        if remembered != _remembered(twin):
            raise Breach("refused records are remembered")
        twin.restore(statetree.decode(statetree.encode(guard.state())))
        if _remembered(twin) != remembered:
            raise Breach("a checkpoint does not hold what the guard remembers")


def _read_by_others(record: Record) -> None:
    """Other readers of the topic validate with the published model."""
    try:
        decode(Event, record.value or b"")
    except UnreadableMessage as error:
        raise Breach(f"others cannot read what was accepted: {error}") from error


def _size(guard: Guard) -> tuple[int, ...]:
    return len(guard.kinds), len(guard.labels.known), len(guard.ids.young), len(guard.ids.old), guard.accepted


def _remembered(guard: Guard) -> dict[str, Any]:
    return {name: value for name, value in guard.state().items() if name != "counts"}


def _fault(value: object, *, string_max: int) -> str:
    if type(value) is str:
        return f"a string of {len(value)} characters" if len(value) > string_max else ""
    if type(value) in (int, float, bool):
        return "" if math.isfinite(value) else f"{value}"  # type: ignore[arg-type]  # one of the three above
    return f"a {type(value).__name__}"


@dataclass(frozen=True)
class Sieges:
    """Runs seeds over settings: siege n is of settings n modulo their number."""

    settings: Sequence[Settings]
    make: Callable[[Settings], Guard] = Guard

    def some(self, seeds: Iterable[int]) -> list[Result]:
        """The results of some seeds."""
        return [self.one(seed) for seed in seeds]

    def one(self, seed: int) -> Result:
        """One seed."""
        settings = self.settings[seed % len(self.settings)]
        siege = Siege(settings, seed, self.make)
        finding = ""
        try:
            siege.run()
        except Breach as breach:
            finding = str(breach)
        record = siege.record
        assert record is not None
        value = "" if record.value is None else repr(record.value[:VALUE_SHOWN])
        return Result(seed, settings.name, finding, f"record {record.offset}: {value}" if finding else "")


def shipped() -> Sieges:
    """Each task, within the bounds as they ship and within narrow ones."""
    tasks: list[dict[str, Any]] = [
        {"task": "binary"},
        {"task": "multiclass"},
        {"task": "regression"},
        {"task": "binary", "positive": "red"},
    ]
    return Sieges([_settings(task, bounds) for task in tasks for bounds in ({}, _SMALL, _SMALL_TOO)])


def _settings(task: dict[str, Any], bounds: dict[str, int]) -> Settings:
    name = f"guard-{task['task']}{'-narrow' if bounds else ''}"
    model = {"steps": [{"use": "naive_bayes.GaussianNB"}]}
    return build({"name": name, **task, "model": model, "guard": bounds})
