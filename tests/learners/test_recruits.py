"""Recruits: each kind of them enters, competes and is known by what it was trained on."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest

from anabranch import statetree
from anabranch.errors import LogTruncated
from anabranch.events import AcceptedEvent, Fired, Record, Shift
from anabranch.messages import Retrain, TrainedOn, Transition
from config.learning import Augment
from config.loading import build
from consumers.jobs import outcome
from detectors.watch import Watch
from learners.lane import Lane
from learners.models import catalogue
from learners.models.training import Repeats
from learners.retraining import Job, JobResult, Plan, retrain
from learners.retraining.lineage import Run
from support.lanes import twin_of
from support.live_lanes import LIVE, Driver, live, mixed, stream

FIRED = (Fired("adwin", Shift(0.2, 0.1, 40)),)
ARENA = {**LIVE["arena"], "probation_events": 5}
OTHER = {"steps": [{"use": "tree.HoeffdingTreeClassifier"}]}


def lane_with(*recruits: dict[str, Any], count: int = 100, own: dict[str, Any] | None = None, **more: Any) -> Lane:
    """A lane of real models that has learned some events."""
    settings = build(
        {
            **LIVE,
            **(own or {}),
            "detectors": {},
            "constraints": {},
            "arena": ARENA,
            "retrain": {"recruits": list(recruits), **more},
        }
    )
    lane = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))
    for each in stream(count):
        lane.on_event(each)
    return lane


def trigger(lane: Lane) -> Job | None:
    """What a trigger brings."""
    return lane.recruits.trigger(FIRED, signal="m/0/99/adwin", champion=lane.champion, event_number=lane.events)


def test_one_that_is_fresh_from_now_enters_at_once() -> None:
    """No job; it learns from the next event on, and says from where."""
    lane = lane_with({"on": "now"})
    assert trigger(lane) is None
    (member,) = lane.shadows.members
    assert (member.name, member.trained_on.events) == ("r100-now", 0)
    before = statetree.digest(member.model)
    lane.on_event(mixed(100, random.Random(1)))
    assert statetree.digest(member.model) != before
    assert member.trained_on.ranges[0].start == 100


def test_a_warm_copy_goes_on_from_the_champion() -> None:
    """It is the champion of the trigger, having learned the last events once more."""
    lane = lane_with({"on": "warm", "events": 30})
    twin = statetree.decode(statetree.encode(lane.champion.model))
    job = trigger(lane)
    assert job is not None
    assert [plan.name for plan in job.plans] == ["r100-warm-30"]
    events = stream(100)[-30:]
    (model,) = retrain(Job.from_state(job.state()), events, lane.settings.model)
    for each in events:
        twin.learn_one(each.x, each.y)
    assert statetree.digest(model) == statetree.digest(twin)


def test_a_recruit_says_what_brought_it_and_what_it_is_a_copy_of() -> None:
    """The signal's id; a warm copy names the champion's version of then, through a checkpoint too."""
    lane = lane_with({"on": "now"}, {"on": "warm", "events": 30}, {"on": "last", "events": 20})
    lane.champion.version = 4
    trigger(lane)
    lane.champion.version = 5
    lane = twin_of(lane)
    (under_way,) = lane.jobs.under_way.values()
    models = retrain(under_way.job, stream(100)[-30:], lane.settings.model)
    lane.admit(JobResult(under_way.job.id, models))
    members = {each.name: (each.trigger, each.parent) for each in twin_of(lane).shadows.members}
    signal = "m/0/99/adwin"
    assert members == {"r100-now": (signal, None), "r100-warm-30": (signal, 4), "r100-last-20": (signal, None)}


def test_a_recruit_on_request_names_the_request() -> None:
    """Its id, as the answer does."""
    lane = lane_with({"on": "now"})
    lane.retrain_asked(Retrain(id="r-17", model="m", ts=0.0, reason="new prices"))
    assert [member.trigger for member in lane.shadows.members] == ["r-17"]


def test_recruits_of_another_model_are_built_from_it() -> None:
    """Retrained or fresh from now, beside those of the champion's own."""
    lane = lane_with(
        {"on": "last", "events": 50}, {"on": "last", "events": 50, "model": OTHER}, {"on": "now", "model": OTHER}
    )
    job = trigger(lane)
    assert job is not None
    assert [plan.name for plan in job.plans] == ["r100-last-50", "r100-last-50-model2"]
    models = retrain(Job.from_state(job.state()), stream(100)[-50:], lane.settings.model)
    lane.admit(JobResult(job.id, models))
    kinds = [type(member.model).__name__ for member in lane.shadows.members]
    assert kinds == ["HoeffdingTreeClassifier", "Pipeline", "HoeffdingTreeClassifier"]


def displaced(lane: Lane) -> Lane:
    """Let a fresh recruit of the trigger win by hand, and its probation pass."""
    trigger(lane)
    winner = lane.shadows.members[-1]
    winner.contest.powers = [1e9] * 7
    lane.arena.ahead = True
    lane.on_event(mixed(lane.events, random.Random(2)))
    assert lane.champion is winner
    for n in range(lane.events, lane.events + 8):
        lane.on_event(mixed(n, random.Random(n)))
    return lane


def test_a_former_champion_comes_back_as_it_was() -> None:
    """On a later trigger a copy of it enters without training, though nothing of it was left in the arena."""
    lane = displaced(lane_with({"on": "now"}, {"on": "former"}))
    assert lane.lifecycle.states["first"] == "library"
    kept = next(iter(lane.succession.library))
    trigger(lane)
    former = next(each for each in lane.shadows.members if each.name.endswith("-former-1"))
    assert statetree.digest(former.model) == statetree.digest(statetree.decode(kept.data))
    assert former.parent == 1
    trigger(lane)
    assert sum("-former-1" in each.name for each in lane.shadows.members) == 1


def test_the_library_is_bounded() -> None:
    """With `library_max` = 1 the one displaced longest ago is gone, with 0 nothing is kept."""
    lane = lane_with({"on": "now"}, library_max=1)
    displaced(displaced(lane))
    assert len(list(lane.succession.library)) == 1
    assert "first" not in lane.lifecycle.states
    none = displaced(lane_with({"on": "now"}, library_max=0))
    assert list(none.succession.library) == []


def test_a_library_is_in_the_checkpoint() -> None:
    """A restored lane lets the same former champions in."""
    lane = displaced(lane_with({"on": "now"}, {"on": "former"}))
    twin = twin_of(lane)
    for each in (lane, twin):
        trigger(each)
    assert statetree.digest(twin.state()) == statetree.digest(lane.state())


def test_the_default_set_runs() -> None:
    """Fresh from now, on the window, on the last 1,000, and former champions, over three turns of a concept."""
    settings = build({key: value for key, value in LIVE.items() if key != "retrain"})
    lane = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))
    driver = Driver(lane, stream()).run(stream())
    entered = set(driver.lane.lifecycle.states) | {each.split(" ")[0] for each in lane.notes}
    assert any("-now" in name for name in entered)
    assert any("-former-" in name for name in entered)


def job(*, spans: int = 1, events: int = 400) -> Job:
    """A job of one plan over so many events."""
    return Job("j", events, "", 1, tuple(Plan(f"p{n}", (Run(0, 0, events),)) for n in range(spans)))


def rare(n: int) -> AcceptedEvent:
    """One in eight is positive."""
    return AcceptedEvent(f"e{n}", {"a": float(n % 7)}, n % 8 == 0, float(n), 0, n)


PLAIN = {"model": {"steps": [{"use": "tree.HoeffdingTreeClassifier"}]}, "shadows": {}}


class Cut:
    """A log of which retention has taken everything before an offset."""

    def __init__(self, start: int) -> None:
        self.start = start

    def read(self, runs: Sequence[tuple[int, int, int]], *, topic: str = "") -> Iterator[Record]:
        """Numbers that say little."""
        for partition, first, end in runs:
            if first < self.start:
                raise LogTruncated(f"partition {partition}: offsets {first} to {self.start - 1} are gone")
            for n in range(first, end):
                value = {
                    "id": f"e{n}",
                    "ts": 1.6e9,
                    "features": {"a": n % 5, "b": n % 3, "c": "x"},
                    "label": n % 2 == 0,
                }
                yield Record("events", partition, n, 1.6e9, None, orjson.dumps(value))


def test_a_log_cut_below_one_recruits_range_costs_that_one_only() -> None:
    """The others are trained and enter; it is gone, with an alert that says which offsets were missing."""
    lane = lane_with(
        {"on": "last", "events": 90}, {"on": "last", "events": 30}, {"on": "last", "events": 20}, own=PLAIN
    )
    job = trigger(lane)
    assert job is not None
    result = outcome(job, Cut(40), lane.settings)
    whole = outcome(job, Cut(0), lane.settings)
    assert result.failures == {"r100-last-90": "partition 1: offsets 10 to 39 are gone"}
    assert [digest_of(each) for each in result.models[1:]] == [digest_of(each) for each in whole.models[1:]]
    steps = [step for step in lane.admit(result) if isinstance(step, Transition) and step.before == "recruiting"]
    assert [(step.member, step.after, step.level) for step in steps] == [
        ("r100-last-90", "gone", "alert"),
        ("r100-last-30", "arena", "info"),
        ("r100-last-20", "arena", "info"),
    ]
    assert lane.notes == [f"job {job.id}, r100-last-90: partition 1: offsets 10 to 39 are gone"]


def test_a_log_cut_below_all_of_them_is_the_jobs_failure() -> None:
    """Nothing could be trained."""
    lane = lane_with({"on": "last", "events": 90}, {"on": "last", "events": 30}, own=PLAIN)
    job = trigger(lane)
    assert job is not None
    result = outcome(job, Cut(99), lane.settings)
    assert result.failure.startswith("partition 1: offsets 10 to 98 are gone; partition")


def test_a_model_that_raises_costs_its_own_plan_only() -> None:
    """The other recruits of the job learn on."""
    words = {"steps": [{"use": "feature_extraction.BagOfWords"}, {"use": "linear_model.LogisticRegression"}]}
    lane = lane_with({"on": "last", "events": 30}, {"on": "last", "events": 30, "model": words}, own=PLAIN)
    job = trigger(lane)
    assert job is not None
    result = outcome(job, Cut(0), lane.settings)
    assert [each is None for each in result.models] == [False, True]
    assert next(iter(result.failures.values())).startswith("training raised")


def digest_of(model: Any) -> str:
    """A model's state."""
    return statetree.digest(model)


def test_a_minority_is_learned_more_often() -> None:
    """`minority` = 3: naive Bayes counts the rarer class three times, the commoner once."""
    settings = build({"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}})
    (model,) = retrain(job(), map(rare, range(400)), settings.model, augment=Augment(minority=3.0))
    assert model.class_counts[False] == 350  # type: ignore[attr-defined]
    assert model.class_counts[True] == pytest.approx(150, abs=3)  # type: ignore[attr-defined]


def test_augmentation_is_seeded_and_off_by_default() -> None:
    """The same job gives the same model, with jitter or not; without augmentation it learns each event once."""
    settings = build({"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}})
    augment = Augment(minority=2.5, jitter=0.1)
    one, two = (retrain(job(), map(rare, range(400)), settings.model, augment=augment)[0] for _ in range(2))
    plain = retrain(job(), map(rare, range(400)), settings.model)[0]
    assert statetree.digest(one) == statetree.digest(two)
    assert sum(plain.class_counts.values()) == 400  # type: ignore[attr-defined]


def test_jitter_moves_numbers_and_nothing_else() -> None:
    """Words, and the event's own features, stay as they are."""
    repeats = Repeats(Augment(minority=2.0, jitter=0.1), seed=1)
    event = AcceptedEvent("e", {"a": 1.0, "word": "red"}, False, 0.0, 0, 0)
    for n in range(20):
        repeats.of(event._replace(x={"a": float(n), "word": "red"}))
    (again,) = repeats.of(event._replace(y=True))
    assert again["word"] == "red"
    assert again["a"] != 1.0 == event.x["a"]


def test_trained_on_is_kept_for_every_kind() -> None:
    """Whoever wins can say where it comes from."""
    lane = lane_with({"on": "now"}, {"on": "last", "events": 20}, own=PLAIN)
    trigger(lane)
    assert all(member.trained_on != TrainedOn() for member in lane.shadows.members)
    assert live().champion.trained_on == TrainedOn()
