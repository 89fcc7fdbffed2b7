"""Golden runs: whole runs whose every message is known from before, so that a refactoring can show that it is one.

Each case is a stream, a configuration and `golden/CASE.jsonl`: all that the run said, a message a line, and what the
published models answer. Numbers must be the same to the last digit; where the only difference is far behind it
(another processor's logarithm), the run is accepted too.

A change that is meant to change what is said writes the files again, and its diff shows what: `make golden`.
"""

import math
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pytest

from anabranch import artifact
from anabranch.messages import ModelUpdate, decode
from config.loading import build
from config.settings import Settings
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.simulation.audience import Audience
from evaluation.simulation.world import MemoryLog
from support.loops import first_of, ports_on
from support.streams import three_numbers

GOLDEN = Path(__file__).with_name("golden")
TOPICS = ("drift-signals", "model-updates", "model-lifecycle", "model-reports", "model-alerts", "dead-letters")
FAR_BEHIND = 1e-12
"""Relative: what a processor may do to a logarithm."""
VOLATILE = {"artifact", "river", "python", "numpy", "checkpoint_pause_s", "envelope"}
"""Keys that are of the bytes, the machine, the clock or the settings' text, not of what was learned."""

Row = dict[str, Any]


def sea(events: int) -> Iterator[Row]:
    """The concept turns round half way."""
    return three_numbers(events, seed=3, is_turned=lambda n: n >= events // 2)


def flapping(events: int) -> Iterator[Row]:
    """A concept that goes away for a short time and comes back: what won in between is worse after all."""
    return three_numbers(events, seed=7, is_turned=lambda n: n // 400 % 3 == 2)


def shopping(events: int) -> Iterator[Row]:
    """Lists of eight items, shown to people who like two of eight genres."""
    people = Audience(seed=3, users=60, items=100, genres=8, curious=0.1)
    for each in islice(people.lists(events), events):
        yield {"features": each.x, "label": each.y}


def colours(events: int) -> Iterator[Row]:
    """Three classes by two numbers and a word; two classes change places half way."""
    rng = random.Random(5)
    for n in range(events):
        a, b, shop = rng.uniform(-1, 1), rng.uniform(-1, 1), rng.choice(("north", "south"))
        name = "red" if a > 0.3 else "green" if (b > 0) == (shop == "north") else "blue"
        if n >= events // 2:
            name = {"red": "blue", "blue": "red"}.get(name, name)
        yield {"features": {"a": a, "b": b, "shop": shop, "n": n % 7}, "label": name}


def prices(events: int) -> Iterator[Row]:
    """A number by two others; half way its level and slope change. Some features are missing."""
    rng = random.Random(6)
    for n in range(events):
        a, b = rng.gauss(0, 1), rng.gauss(2, 1)
        late = n >= events // 2
        value = (3 * a - b + 10) if not late else (-2 * a + 2 * b + 40)
        features = {"a": a, "b": b if n % 11 else None}
        yield {"features": features, "label": value + rng.gauss(0, 0.5)}


def ratings(events: int) -> Iterator[Row]:
    """Even customers like even films, and then odd ones."""
    rng = random.Random(3)
    for n in range(events):
        customer, film = rng.randrange(20), rng.randrange(20)
        likes = (customer + film) % 2 == (n >= events // 2)
        yield {
            "features": {"customer": f"c{customer}", "film": f"f{film}"},
            "label": (4.5 if likes else 1.5) + rng.gauss(0, 0.1),
        }


def with_poison(events: int) -> Iterator[Row]:
    """On three events the model raises when it learns them."""
    for n, row in enumerate(sea(events)):
        if n in (150, 700, 701):
            row["features"]["f0"] = 666.0
        yield row


def with_late_labels(events: int) -> Iterator[Row]:
    """Every third event comes without its label, and once more with it, fifty events later; some never do."""
    waiting: list[tuple[int, Row]] = []
    for n, row in enumerate(sea(events)):
        due = [each for at, each in waiting if at <= n]
        waiting = [(at, each) for at, each in waiting if at > n]
        yield from due
        row["id"] = f"e{n}"
        if n % 3 == 0:
            if n % 9:
                waiting.append((n + 50, dict(row)))
            yield {**row, "label": None}
        else:
            yield row


def with_bad_records(events: int) -> Iterator[Row]:
    """Labels of another kind, now and then and then two hundred in a row; features that are none."""
    for n, row in enumerate(sea(events)):
        if n % 97 == 5 or 700 <= n < 900:
            yield {**row, "label": "maybe"}
        elif n % 101 == 7:
            yield {"features": 3, "label": True}
        else:
            yield row


def moving(events: int) -> Iterator[Row]:
    """The inputs move half way, the concept does not."""
    for n, row in enumerate(three_numbers(events, seed=3, is_turned=lambda n: False)):
        if n >= events // 2:
            row["features"]["f2"] += 6.0
        yield row


SMALL: dict[str, Any] = {
    "name": "m",
    "task": "binary",
    "scores": {"window": 100, "metrics": ["Accuracy", "LogLoss", "ROCAUC"]},
    "trigger": {"debounce_events": 100},
    "retrain": {"admit_after_events": 20},
    "arena": {"false_swap_every": 1000, "probation_events": 300},
    "publish": {"warm_up_events": 50, "refresh_events": 700, "report_events": 250},
    "checkpoint": {"every_events": 170},
}
BAYES = {"steps": [{"use": "naive_bayes.GaussianNB"}]}
TREE = {"steps": [{"use": "tree.HoeffdingTreeClassifier", "grace_period": 50}]}
LINEAR = {"steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}]}
NUMBERS = {"metrics": ["MAE", "RMSE"], "window": 100}


@dataclass(frozen=True)
class Case:
    """A stream and a configuration."""

    rows: Callable[[int], Iterator[Row]]
    settings: dict[str, Any] = field(default_factory=dict)
    events: int = 2000
    partitions: int = 1

    def configured(self) -> Settings:
        """Its settings."""
        return build({**SMALL, **self.settings})


CASES = {
    "bayes": Case(sea, {"model": BAYES}),
    "tree": Case(sea, {"model": TREE}),
    "linear": Case(sea, {"model": LINEAR, "arena": {"loss": "log", "false_swap_every": 500}}),
    "portfolio": Case(sea, {"model": TREE, "shadows": {"portfolio": "cheap-2"}}),
    "blended": Case(sea, {"model": TREE, "shadows": {"portfolio": "cheap"}}),
    "standing": Case(
        flapping,
        {
            "model": BAYES,
            "shadows": {
                "standing": [
                    {"name": "fresh", "steps": TREE["steps"], "restart_every": 300},
                    {"name": "wary", "steps": LINEAR["steps"], "reset_on_alarm": True},
                ]
            },
        },
        events=2400,
    ),
    "rollback": Case(
        flapping,
        {"model": BAYES, "arena": {"false_swap_every": 30, "probation_events": 600}},
        events=3600,
    ),
    "multiclass": Case(
        colours,
        {
            "task": "multiclass",
            "model": {"steps": [{"use": "tree.HoeffdingTreeClassifier", "grace_period": 50}]},
            "scores": {"metrics": ["Accuracy", "MacroF1", "CrossEntropy"], "window": 100},
            "shadows": {"portfolio": "cheap-2"},
        },
        events=1600,
    ),
    "regression": Case(
        prices,
        {
            "task": "regression",
            "model": {"steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LinearRegression"}]},
            "scores": NUMBERS,
            "shadows": {"portfolio": "cheap-2"},
        },
        events=1600,
    ),
    "reco": Case(
        ratings,
        {
            "task": "reco",
            "model": {"steps": [{"use": "reco.BiasedMF"}], "user": "customer", "item": "film"},
            "scores": NUMBERS,
        },
    ),
    "rank": Case(
        shopping,
        {
            "task": "rank",
            "model": {"steps": [{"use": "ranking.Popularity"}]},
            "shadows": {"portfolio": "cheap-2"},
            "scores": {"window": 100},
        },
        events=1600,
    ),
    "partitions": Case(sea, {"model": BAYES, "scope": "partition"}, events=3000, partitions=2),
    "two-partitions": Case(sea, {"model": TREE}, partitions=2),
    "poison": Case(
        with_poison,
        {
            "model": {
                "factory": "evaluation.simulation.world.choking:bayes",
                "trusted": ["evaluation.simulation.world.choking:Choking"],
            }
        },
        events=1200,
    ),
    "late-labels": Case(with_late_labels, {"model": BAYES}),
    "blocks": Case(
        sea, {"model": TREE, "shadows": {"portfolio": "cheap-2"}, "publish": {**SMALL["publish"], "blocks": 100}}
    ),
    "bad-records": Case(with_bad_records, {"model": BAYES}),
    "inputs": Case(
        moving,
        {
            "model": BAYES,
            "detectors": {
                "inputs": {"use": "inputs", "reference_events": 400, "window": 200, "consecutive_checks": 1},
                "predictions": {"use": "predictions", "reference_events": 400, "window": 200},
                "labels": {"use": "labels", "reference_events": 400, "window": 200},
                "bad": {"use": "threshold", "metric": "LogLoss", "above": 0.6, "window": 100},
                "hourly": {"use": "schedule", "every": 700},
                "thousand": {"use": "volume", "labels": 500},
            },
            "trigger": {"when": {"at_least": 2}, "within_events": 200, "debounce_events": 100},
        },
    ),
    "former": Case(
        flapping,
        {
            "model": TREE,
            "retrain": {
                "admit_after_events": 20,
                "recruits": [{"on": "former"}, {"on": "warm", "events": 300}, {"on": "last", "events": 200}],
                "augment": {"minority": 3.0, "jitter": 0.1},
            },
            "constraints": {"min_accuracy": 0.5, "group": "f0", "window": 300},
        },
        events=2400,
    ),
}


def loops_of(case: Case) -> tuple[LearningLoop, MemoryLog]:
    """The loop on a log that holds the case's stream."""
    settings = case.configured()
    log = MemoryLog(partitions=case.partitions, shared=settings.scope == "partition")
    for n, row in enumerate(case.rows(case.events)):
        event = {"id": row.pop("id", f"e{n}"), "ts": 1.6e9 + n, **row}
        log.append("events", orjson.dumps(event), partition=n % case.partitions)
    stores = dict[str, MemoryStore]()
    ports = ports_on(log, settings, stores=lambda scope: stores.setdefault(scope, MemoryStore()))
    return LearningLoop(settings, first=first_of(settings), ports=ports), log


def said(case: Case) -> Iterator[Row]:
    """All that a run says, and at the end what its models come to."""
    loop, log = loops_of(case)
    loop.run(until_end=True)
    for topic in TOPICS:
        for value in log.values(topic):
            message = orjson.loads(value)
            if topic == "model-updates":
                message["answers"] = answers_of(decode(ModelUpdate, value), log, case.configured())
            yield {"on": topic, **{name: part for name, part in message.items() if name not in VOLATILE}}
    for scope, owner in sorted(loop.owners.items()):
        lane = owner.lane
        counted = {"events": lane.events, "version": lane.version, "refused": owner.guard.refused}
        yield {"scope": scope, **counted, "scores": lane.scores.values(), "waiting": len(lane.join)}


def answers_of(update: ModelUpdate, log: MemoryLog, settings: Settings) -> list[str]:
    """What the published bytes answer to their canary rows."""
    at = update.artifact
    chunks = log.records[at.topic, at.partition][at.first_offset : at.last_offset + 1]
    data = b"".join(chunk.value or b"" for chunk in chunks)
    unpacked = artifact.unpack(data, sha256=at.sha256, trusted=settings.model.trusted)
    return [repr(artifact.predict(unpacked.model, x)) for x, _ in unpacked.canary[-3:]]


def lines_of(name: str) -> list[Row]:
    """What is known of a case."""
    return [orjson.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_bytes().splitlines()]


def normal(line: Row) -> Any:
    """As it is on a line of the file."""
    return orjson.loads(orjson.dumps(line, option=orjson.OPT_SORT_KEYS))


def differences(found: Any, expected: Any, at: str = "") -> Iterator[str]:
    """Where two lines differ, but for what lies far behind."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in sorted(found.keys() | expected.keys()):
            yield from differences(found.get(name, "nothing"), expected.get(name, "nothing"), f"{at}.{name}")
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(one, other, f"{at}[{number}]")
    elif found != expected and not (
        isinstance(found, float) and isinstance(expected, float) and math.isclose(found, expected, rel_tol=FAR_BEHIND)
    ):
        yield f"{at}: {found!r}, and was {expected!r}"


@pytest.mark.parametrize("name", CASES)
def test_a_run_says_what_it_said_before(name: str) -> None:
    """Scores, signals, swaps, evidence, lives, reports, and the answers of what was published."""
    expected = lines_of(name)
    found = [normal(line) for line in said(CASES[name])]
    for number, (now, then) in enumerate(zip(found, expected, strict=False), 1):
        assert not list(differences(now, then)), f"{name}.jsonl line {number}"
    assert len(found) == len(expected)


def test_golden_runs_hold_what_they_are_for() -> None:
    """Swaps, rollbacks, recruits of all kinds, every topic: a run in which nothing happens proves nothing."""
    lines = {name: lines_of(name) for name in CASES}
    every = [line for each in lines.values() for line in each]
    kinds = {line.get("kind") for line in every if line.get("on") == "model-updates"}
    assert {"first", "refresh", "swap", "rollback"} <= kinds
    assert set(TOPICS) <= {line.get("on") for line in every}
    swapped = {name for name, each in lines.items() if any(line.get("kind") == "swap" for line in each)}
    assert swapped >= {"bayes", "tree", "portfolio", "multiclass", "regression", "partitions", "former"}


def main(names: list[str]) -> None:
    """Write the files again."""
    GOLDEN.mkdir(exist_ok=True)
    for name in names or CASES:
        lines = [orjson.dumps(normal(line), option=orjson.OPT_SORT_KEYS) for line in said(CASES[name])]
        (GOLDEN / f"{name}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
        print(f"{name}: {len(lines)} lines")


if __name__ == "__main__":
    main(sys.argv[1:])
