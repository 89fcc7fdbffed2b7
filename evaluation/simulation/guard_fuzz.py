"""Fuzzes the guard with malformed records: mostly good but for one thing, or bytes that are nothing."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from anabranch import statetree
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import DeadLetter, Event, UnreadableMessage, decode, encode
from config.loading import build
from config.settings import Settings
from consumers.guard import REASON_MAX, Guard, Repeated
from evaluation.simulation.campaign import Result

NOW_S = 1.6e9
NAMES = ("a", "b", "c", "d")
PARTITION_MAX = 2

_GOOD_VALUES = (b"1.5", b"0", b"-2.25", b"7", b"true", b"false", b'"red"', b"null", b"1e-9")
_GOOD_TIMES = (b"1600000000", b"1.6e9", b'"2020-09-13T12:26:40Z"', b'"2020-09-13 14:26:40.5+02:00"')
_LABELS = {
    "binary": (b"true", b"false", b"0", b"1"),
    "multiclass": (b'"red"', b'"blue"', b"2"),
    "regression": (b"1.5", b"-3"),
}
_WORDS = (b'"red"', b'"blue"')
_OTHER_LABELS = (b"null", b"true", b"1", b'"red"', b'"green"', b"2", b"1.5")

_NUMBERS = (
    *(
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"nan",
        b"inf",
        b"1e999",
        b"-1e999",
        b"1e308",
        b"-1e308",
        b"1e100",
        b"1.1e100",
    ),
    *(b"5e-324", b"-0.0", b"-0", b"9" * 19, b"-" + b"9" * 25, b"9" * 309, b"9" * 400, b"0." + b"0" * 400 + b"1"),
    *(b"0x1F", b"1_000", b"+1", b"01", b"1.", b".5", b"1e", b"--1", b"18446744073709551615", b"18446744073709551616"),
)
_STRINGS = (
    *(
        b'""',
        b'"\\u0000"',
        b'"\x00"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\ud83d\\ude00"',
        b'"\xff\xfe"',
        b'"\xc0\xaf"',
    ),
    *(b'"\xed\xa0\x80"', b'"\\x"', b'"\xf4\x90\x80\x80"', b"'a'", b'"a', b'"\\', b'"\\u12', b'"__class__"', b'"id"'),
    *(
        b'"' + b"s" * 100 + b'"',
        b'"' + b"\\u0007" * 3000 + b'"',
        '"é\u2028\U0001f600"'.encode(),
        b'"' + b"L" * 70_000 + b'"',
    ),
)
_SHAPES = (
    *(b"null", b"{}", b"[]", b"[1]", b'{"a":1}', b"[[[[]]]]", b'{"a":{"b":{"c":[]}}}', b"True", b"None", b"undefined"),
    *(b"[" * 400, b"[" * 5000 + b"]" * 5000, b'{"a":' * 900 + b"1" + b"}" * 900, b"[" + b"1," * 500 + b"1]", b"", b","),
)
_TIMES = (
    *(b'"0001-01-01T00:00:00+14:00"', b'"9999-12-31T23:59:59-14:00"', b'"2020-W37-7T12:26:40Z"', b'"20200913T122640Z"'),
    *(
        b'"2020-09-13T24:00:00Z"',
        b'"2020-02-30T00:00:00Z"',
        b'"2020-09-13T12:26:40"',
        b'"2020-09-13T12:26:60Z"',
        b"1.6e12",
    ),
    *('"２０２０-09-13T12:26:40Z"'.encode(), b'"2020-09-13T12:26:40+99:99"', b"-1e18", b"true"),
)
_MALFORMED = (*_NUMBERS, *_STRINGS, *_SHAPES, *_TIMES)
_TIMESTAMPS_S = (0.0, -0.001, 9.2e15, -9.2e15, 1.7e9)
_NOTHINGS = (
    None,
    b"",
    b" ",
    b"\x00",
    b"null",
    b"{",
    b"{}",
    b"[]",
    b"\xef\xbb\xbf{}",
    b"\x80\x04K\x01.",
    b"[" * 100_000,
)


def malformed(settings: Settings, rng: Random, *, records: int) -> Iterator[Record]:
    """So many records on the topic of events, at rising offsets; about half of them any guard takes."""
    topic = settings.topics.name("events")
    labels = _LABELS[settings.task] if settings.positive is None else _WORDS
    for offset in range(records):
        at_s = NOW_S if rng.random() < 0.97 else rng.choice(_TIMESTAMPS_S)
        yield Record(topic, rng.randint(0, PARTITION_MAX), offset, at_s, None, _value(rng, offset, labels))


def _value(rng: Random, number: int, labels: Sequence[bytes]) -> bytes | None:
    chance = rng.random()
    if chance < 0.02:
        return rng.choice(_NOTHINGS)
    if chance < 0.03:
        return rng.randbytes(rng.randint(0, 300))
    value = _event(rng, number, labels, malformed_parts=chance < 0.45)
    return _mangled(value, rng) if chance > 0.85 else value


def _event(rng: Random, number: int, labels: Sequence[bytes], *, malformed_parts: bool) -> bytes:
    """The text of an event, with something malformed in one of its parts."""
    label = rng.choice(labels if rng.random() < 0.95 else _OTHER_LABELS)
    # Now and then an id of before: a duplicate, or a label that comes later.
    id_ = b'"e%d"' % (number if rng.random() < 0.95 else rng.randint(0, number))
    features = [(b'"%s"' % name.encode(), rng.choice(_GOOD_VALUES[:4])) for name in NAMES[: rng.randint(0, len(NAMES))]]
    parts = [id_, rng.choice(_GOOD_TIMES), _object(features), label]
    if malformed_parts:
        which = rng.randrange(6)
        if which < len(parts):
            parts[which] = rng.choice(_MALFORMED)
        else:
            parts[2] = _object(_hostile_features(features, rng))
    keys = [b'"id"', b'"ts"', b'"features"', b'"label"']
    if malformed_parts and rng.random() < 0.1:
        keys[rng.randrange(4)] = rng.choice((*keys, *_STRINGS))
    pairs = list(zip(keys, parts, strict=True))
    if malformed_parts and rng.random() < 0.1:  # a key that is there twice, in any order
        pairs.append((rng.choice(keys), rng.choice((*parts, *_MALFORMED))))
        rng.shuffle(pairs)
    return _object(pairs)


def _hostile_features(features: Sequence[tuple[bytes, bytes]], rng: Random) -> list[tuple[bytes, bytes]]:
    """With a feature more, of any name and value; with many; or with types that change from event to event."""
    chance = rng.random()
    if chance < 0.1:
        return [(b'"n%d"' % n, b"1") for n in range(rng.choice((9, 100, 1001)))]
    name = rng.choice((b'"a"', b'"f%d"' % rng.randint(0, 50), *_STRINGS))
    return [*features, (name, rng.choice(_MALFORMED if chance < 0.8 else _GOOD_VALUES))]


def _object(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"{" + b",".join([name + b":" + value for name, value in pairs]) + b"}"


# ── bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _mangled(value: bytes, rng: Random) -> bytes:
    """With damage of one kind."""
    return rng.choice(_DAMAGE)(value, rng)


def _flipped(value: bytes, rng: Random) -> bytes:
    damaged = bytearray(value)
    for _ in range(rng.randint(1, 4)):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _cut(value: bytes, rng: Random) -> bytes:
    return value[: rng.randrange(len(value))]


def _put_in(value: bytes, rng: Random) -> bytes:
    at = rng.randint(0, len(value))
    return value[:at] + rng.choice((rng.randbytes(3), *_MALFORMED)) + value[at:]


def _taken_out(value: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(value))
    return value[:at] + value[at + rng.randint(1, 6) :]


def _doubled(value: bytes, rng: Random) -> bytes:
    start, end = sorted((rng.randint(0, len(value)), rng.randint(0, len(value))))
    return value[:end] + value[start:]


def _widened(value: bytes, rng: Random) -> bytes:
    return value.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-32", "utf-8-sig")))


_DAMAGE: Sequence[Callable[[bytes, Random], bytes]] = (_flipped, _cut, _put_in, _taken_out, _doubled, _widened)


# ── A fuzz run of the guard: a thousand malformed records; none may raise, leave a trace, or bring in a NaN ─────────

RECORDS = 1_000
"""Of a run."""

VALUE_SHOWN = 300
_SMALL = {"features_max": 8, "event_max_bytes": 2_000, "string_max": 40, "shapes_max": 30, "classes_max": 4}
_SMALL_TOO = {**_SMALL, "dedup_window": 50, "dead_letter_max_bytes": 100}


class FuzzFinding(Exception):
    """A record did what none may."""


@dataclass
class GuardRun:
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
        for record in malformed(self.settings, Random(self.seed), records=RECORDS):
            self.record = record
            answer = self._answer(guard, record)
            if isinstance(answer, AcceptedEvent):
                self._fit(answer)
                if twin.check(record) != answer:
                    raise FuzzFinding("a guard that has seen no refused records answers otherwise")
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
            raise FuzzFinding(f"the guard raises {type(error).__name__}: {error}") from error
        if isinstance(answer, Repeated):  # nobody waits here
            answer = guard.label_lost(answer, record)
        if not isinstance(answer, AcceptedEvent | DeadLetter | None):
            raise FuzzFinding(f"the guard answers {answer!r}")
        if not isinstance(answer, AcceptedEvent) and _size(guard) != before:
            raise FuzzFinding("a record that was not accepted is remembered")
        return answer

    def _fit(self, event: AcceptedEvent) -> None:
        """Finite numbers, bounded strings, nothing else."""
        limits = self.settings.guard
        values = (event.id, event.ts, *event.x, *event.x.values(), *([] if event.y is None else [event.y]))
        if len(event.x) > limits.features_max:
            raise FuzzFinding(f"{len(event.x)} features")
        for value in values:
            fault = _fault(value, string_max=limits.string_max)
            if fault:
                raise FuzzFinding(f"{fault} was accepted")

    def _publishable(self, letter: DeadLetter) -> None:
        size = len(encode(letter))
        # base64 makes 4 bytes of 3; a character of the reason takes 6 bytes at most; the rest is small.
        if size > self.settings.guard.dead_letter_max_bytes * 4 // 3 + 6 * REASON_MAX + 1_000:
            raise FuzzFinding(f"its dead letter has {size} bytes")

    def _same(self, guard: Guard, twin: Guard) -> None:
        """The dear half, once: the guard remembers what its twin does, and a checkpoint holds it."""
        remembered = _remembered(guard)
        if remembered != _remembered(twin):
            raise FuzzFinding("refused records are remembered")
        twin.restore(statetree.decode(statetree.encode(guard.state())))
        if _remembered(twin) != remembered:
            raise FuzzFinding("a checkpoint does not hold what the guard remembers")


def _read_by_others(record: Record) -> None:
    """Other readers of the topic validate with the published model."""
    try:
        decode(Event, record.value or b"")
    except UnreadableMessage as error:
        raise FuzzFinding(f"others cannot read what was accepted: {error}") from error


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
class GuardFuzz:
    """Runs seeds over settings: run n is of settings n modulo their number."""

    settings: Sequence[Settings]
    make: Callable[[Settings], Guard] = Guard

    def some(self, seeds: Iterable[int]) -> list[Result]:
        """The results of some seeds."""
        return [self.one(seed) for seed in seeds]

    def one(self, seed: int) -> Result:
        """One seed."""
        settings = self.settings[seed % len(self.settings)]
        run = GuardRun(settings, seed, self.make)
        finding = ""
        try:
            run.run()
        except FuzzFinding as found:
            finding = str(found)
        record = run.record
        assert record is not None
        value = "" if record.value is None else repr(record.value[:VALUE_SHOWN])
        return Result(seed, settings.name, finding, f"record {record.offset}: {value}" if finding else "")


def shipped() -> GuardFuzz:
    """Each task, within the bounds as they ship and within narrow ones."""
    tasks: list[dict[str, Any]] = [
        {"task": "binary"},
        {"task": "multiclass"},
        {"task": "regression"},
        {"task": "binary", "positive": "red"},
    ]
    return GuardFuzz([_settings(task, bounds) for task in tasks for bounds in ({}, _SMALL, _SMALL_TOO)])


def _settings(task: dict[str, Any], bounds: dict[str, int]) -> Settings:
    name = f"guard-{task['task']}{'-narrow' if bounds else ''}"
    model = {"steps": [{"use": "naive_bayes.GaussianNB"}]}
    return build({"name": name, **task, "model": model, "guard": bounds})
