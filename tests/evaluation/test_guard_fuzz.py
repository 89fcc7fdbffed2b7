"""GuardFuzz of the guard: they find nothing in it, they find what is planted there, and each can be replayed."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from anabranch.events import AcceptedEvent, Record
from commands.main import app
from config.settings import Settings
from consumers.guard import Guard
from consumers.guard.labels import Refused
from consumers.guard.reading import Reading
from evaluation.simulation import guard_fuzz
from evaluation.simulation.guard_fuzz import GuardFuzz

RUNS_TO_FIND = 24
"""Within so many runs each planted bug is found."""

sound = guard_fuzz.shipped()


def findings(guard: type[Guard]) -> list[str]:
    """What the runs say of a guard."""
    results = GuardFuzz(sound.settings, make=guard).some(range(RUNS_TO_FIND))
    return [each.finding for each in results if each.finding]


class LenientReading(Reading):
    """Reads JSON as Python does: recursively, and with much that others do not take."""

    def decode(self, value: bytes | None, *, what: str = "event") -> dict[str, Any]:
        try:
            table: dict[str, Any] = json.loads(value or b"")
        except ValueError as error:
            raise Refused("decode", str(error)) from error
        if type(table) is not dict:
            raise Refused("schema", "not an object")
        return table


class Lenient(Guard):
    """Takes what such a reading takes."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, reading=LenientReading(settings))


class UnboundedReading(Reading):
    """Never looks at the length of a string."""

    def check_string(self, name: str, value: Any) -> None:
        if type(value) is not str:
            raise Refused("schema", f"{name!r} is no string")


class Unbounded(Guard):
    """Takes strings of any length."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, reading=UnboundedReading(settings))


class Eager(Guard):
    """Remembers a feature before it has seen the whole event."""

    def _new_kind(self, name: str, kind: str, new: dict[str, str]) -> None:
        super()._new_kind(name, kind, new)
        self.kinds[name] = kind


class Grudging(Guard):
    """Holds it against an id that its event was refused once, in a place that nobody counts."""

    def check(self, record: Record) -> Any:
        answer = super().check(record)
        if not isinstance(answer, AcceptedEvent) and "a" in self.kinds:
            self.kinds["a"] = "string"
        return answer


@pytest.mark.interpreted
@pytest.mark.parametrize(
    ("guard", "finding"),
    [
        (Lenient, "others cannot read what was accepted"),
        (Lenient, "the guard raises RecursionError"),
        (Unbounded, "characters was accepted"),
        (Eager, "a record that was not accepted is remembered"),
        (Grudging, "a guard that has seen no refused records answers otherwise"),
    ],
)
def test_what_is_planted_in_the_guard_is_found(guard: type[Guard], finding: str) -> None:
    """Malformed records that a weaker guard lets in, chokes on, or remembers."""
    assert any(finding in each for each in findings(guard)), findings(guard)


def test_the_guard_holds() -> None:
    """P7, P8: it never raises, takes only finite numbers and bounded strings, and keeps no trace of what it refuses."""
    assert findings(Guard) == []


@pytest.mark.interpreted
def test_a_run_that_fails_can_be_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command that is printed shows the same record again."""
    monkeypatch.setattr(guard_fuzz, "shipped", lambda: GuardFuzz(sound.settings, make=Lenient))
    done = CliRunner().invoke(app, ["simulate", "--records", "20000", "--answers", "0", "--processes", "1"])
    *_, record, finding, replay = done.stdout.splitlines()
    again = CliRunner().invoke(app, replay.removeprefix("replay it: anabranch ").split())
    assert (done.exit_code, again.exit_code) == (1, 1)
    assert again.stdout.splitlines() == [record, finding]


def test_fuzzing_is_a_part_of_simulate() -> None:
    """With a line of their own, in front of the schedules."""
    done = CliRunner().invoke(
        app, ["simulate", "--records", "3000", "--answers", "0", "--seeds", "1", "--processes", "1"]
    )
    assert done.stdout.startswith("3,000 malformed records before the guard, all well"), done.output
