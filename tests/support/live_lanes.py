"""Lanes of real models over a stream that turns round: quick to notice, to recruit and to swap."""

import random
from collections.abc import Iterable, Sequence
from typing import Any

from anabranch import statetree
from anabranch.events import AcceptedEvent
from config.loading import build
from detectors.watch import Watch
from learners.emitted import Promotion
from learners.lane import Lane
from learners.models import catalogue
from learners.retraining import Job, JobResult, retrain
from support.lanes import QUICK, Reads, brought, digest

LIVE: dict[str, Any] = {
    **QUICK,
    "model": {
        "steps": [
            {
                "use": "compose.TransformerUnion",
                "transformers": [
                    {
                        "use": "compose.Pipeline",
                        "steps": [
                            {"use": "compose.Select", "keys": ["a", "b"]},
                            {"use": "preprocessing.StandardScaler"},
                        ],
                    },
                    {
                        "use": "compose.Pipeline",
                        "steps": [{"use": "compose.Select", "keys": ["word"]}, {"use": "preprocessing.OneHotEncoder"}],
                    },
                ],
            },
            {"use": "linear_model.LogisticRegression"},
        ]
    },
    "scores": {"metrics": ["Accuracy", "LogLoss", "ROCAUC"], "window": 50},
    "detectors": {"adwin": {"use": "drift.ADWIN", "delta": 0.1}, **QUICK["detectors"]},
    "retrain": {"recruits": [{"on": "detector-window", "events": 20}, {"on": "last", "events": 60}]},
    "arena": {**QUICK["arena"], "loss": "brier"},
    "constraints": {"min_accuracy": 0.1, "window": 30},
    "publish": {"warm_up_events": 20, "refresh_events": 150, "report_events": 100},
}


def live(use: str | None = None) -> Lane:
    """A lane of real models that is quick to notice, to recruit and to swap."""
    settings = build({**LIVE, "model": {"steps": [{"use": use}]}} if use else LIVE)
    return Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))


def mixed(n: int, rng: random.Random) -> AcceptedEvent:
    """An event with numbers and a word, whose concept turns round every 250 events."""
    x = {"a": rng.gauss(0, 1), "b": rng.random(), "word": rng.choice(["red", "green", "blue", "grey"])}
    y = (x["a"] + (x["word"] in ("red", "grey")) > 0.5) != (n // 250 % 2 == 1)
    return AcceptedEvent(f"e{n}", x, y, float(n), n // 7 % 3, n)


def comparable(said: Any) -> Any:
    """What a lane says as plain values: of a model, its state."""
    if isinstance(said, Promotion):
        return said._replace(model=statetree.digest(said.model, trusted=[f"{Reads.__module__}:Reads"]))
    return said.state() if isinstance(said, Job) else said


class Driver:
    """Feeds a lane, retrains its jobs inline, and admits them some events later; every third label comes late."""

    def __init__(self, lane: Lane, log: Sequence[AcceptedEvent], *, admit_after: int = 30, label_after: int = 11):
        self.lane = lane
        self.log = {(each.partition, each.offset): each for each in log}
        self.admit_after, self.label_after = admit_after, label_after
        self.said: list[Any] = []

    def take(self, each: AcceptedEvent, late: AcceptedEvent | None) -> None:
        """One event, the late label that comes after it, and the jobs that are due."""
        self.said += self.lane.on_event(each._replace(y=None) if each.offset % 3 == 0 else each)
        if late is not None and late.offset % 3 == 0:
            self.said += self.lane.on_label(brought(late), by=late)
        for under_way in list(self.lane.jobs.under_way.values()):
            if self.lane.events >= under_way.job.event_number + self.admit_after:
                self.lane.admit(self.result(under_way.job))

    def result(self, job: Job) -> JobResult:
        """The models that a job gives: the same whenever it is carried out."""
        longest = max((plan.runs for plan in job.plans), key=lambda runs: sum(run.end - run.start for run in runs))
        events = [self.log[run.partition, n] for run in longest for n in range(run.start, run.end)]
        return JobResult(job.id, retrain(job, events, self.lane.settings.model))

    def run(self, events: Iterable[AcceptedEvent]) -> "Driver":
        """All the events in turn."""
        by_offset = {each.offset: each for each in self.log.values()}
        for each in events:
            self.take(each, by_offset.get(each.offset - self.label_after))
        return self


def stream(count: int = 900) -> list[AcceptedEvent]:
    """Events of seed 5."""
    rng = random.Random(5)
    return [mixed(n, rng) for n in range(count)]


def whole_run() -> str:
    """Everything that was said over the stream, and the state at its end, as one digest."""
    driver = Driver(live(), stream()).run(stream())
    said = [comparable(each) for each in driver.said]
    plain = [repr(each) for each in said]
    return statetree.digest([plain, digest(driver.lane)])
