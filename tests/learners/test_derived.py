"""Features that the lane computes: taken when an event is asked, kept with it, hidden from whom they are not for."""

import random
from typing import Any

import orjson
import pytest
from river import base, linear_model, naive_bayes

from anabranch import statetree
from anabranch.events import AcceptedEvent, Prediction
from anabranch.memory import LabelMemory
from anabranch.messages import Example, Transition, decode
from anabranch.remembering import LastLabel
from config.settings import Settings
from consumers.examples import accepted
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from detectors.watch import Watch
from evaluation.simulation.world import MemoryLog
from learners.arena.standing import remembering
from learners.lane import Lane
from learners.models.catalogue import build
from learners.models.tasks import Task
from learners.retraining import Job, Plan, retrain
from support.computed import FEATURES, LINEAR, MEMORY, log_of_payments
from support.lanes import label
from support.loops import filled, loop_on, settings_of, straight, through_crashes

ALONE: dict[str, Any] = {"detectors": {}, "retrain": {"recruits": []}}


def computing(**more: Any) -> Settings:
    """Settings with features and memory."""
    return settings_of(**{"model": LINEAR, "features": FEATURES, "memory": MEMORY, **more})


def lane_of(champion: base.Classifier, **more: Any) -> Lane:
    """A lane with these."""
    settings = computing(labels={"late": True}, **ALONE, **more)
    return Lane(settings, champion, watch=Watch(settings))


class Notes(naive_bayes.GaussianNB):
    """Notes what it is asked and taught."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, Any]] = []
        self.taught: list[dict[str, Any]] = []

    def predict_proba_one(self, x: dict[str, Any], **kwargs: Any) -> dict[Any, float]:
        """Note it."""
        self.asked.append(dict(x))
        return {True: 0.5, False: 0.5}

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Note it."""
        self.taught.append(dict(x))


class Remembers(Notes):
    """The same, and it sees labels."""

    sees_labels = True


def payment(n: int, amount: float, *, y: bool | None = None, terminal: str = "t") -> AcceptedEvent:
    """A customer's payment, so many minutes after the first."""
    x = {"customer": "c", "amount": amount, "@key": terminal}
    return AcceptedEvent(f"e{n}", x, y, 60.0 * n, 0, n)


def test_what_is_learned_is_what_was_seen_when_asked() -> None:
    """The event itself does not count, and a label that comes meanwhile does not either."""
    model = Remembers()
    lane = lane_of(model)
    lane.on_event(payment(0, 10.0))
    lane.on_event(payment(1, 30.0))
    lane.on_label(label("e0", True, ts=90.0))
    lane.on_event(payment(2, 20.0))
    lane.on_label(label("e1", False, ts=150.0))
    first = {"amount": 10.0, "events_1h": 0}
    second = {"amount": 30.0, "paid_1h": 10.0, "events_1h": 1}
    third = {"amount": 20.0, "paid_1h": 20.0, "events_1h": 2, "risk": 1.0, "@label_1": True}
    assert model.asked == [first, second, third]
    assert model.taught == [first, second]


def test_who_is_not_made_for_labels_does_not_see_them() -> None:
    """Nor what only serves as a key."""
    model = Notes()
    lane = lane_of(model)
    for n in range(3):
        lane.on_event(payment(n, 1.0, y=n == 0))
    assert {name for x in (*model.asked, *model.taught) for name in x} == {"amount", "paid_1h", "events_1h", "risk"}


def test_a_default_label_that_is_not_learned_is_not_remembered() -> None:
    """It is said by nobody."""
    for learns, known in ((True, {"risk": 0.0, "@label_1": False}), (False, {})):
        labels = {"late": True, "horizon": "10m", "default": False, "learn_default": learns}
        settings = computing(labels=labels, **ALONE)
        lane = Lane(settings, Remembers(), watch=Watch(settings))
        lane.on_event(payment(0, 1.0))
        lane.on_event(payment(30, 1.0))
        assert lane.end_due() is not None
        lane.on_event(payment(31, 1.0))
        asked = lane.champion.model.asked[-1]
        assert {name: asked[name] for name in asked.keys() & {"risk", "@label_1"}} == known


def test_a_member_is_judged_by_what_it_sees() -> None:
    """The blend's members, too: each answers as it would alone."""
    settings = computing(shadows={"portfolio": "cheap"}, serve="blend", **ALONE)
    seen: list[tuple[Prediction, dict[str, Any]]] = []
    lane = Lane(settings, linear_model.LogisticRegression(), watch=Watch(settings))
    lane.observer = lambda event, served, answers, lane: seen.append((answers.get("persist", served), event.x))
    for n in range(200):
        lane.on_event(payment(n, float(n % 9), y=n % 3 == 0))
    model = next(member.model for member in lane.shadows.members if member.name == "persist")
    assert isinstance(model, LastLabel)
    assert [answer.value for answer, _ in seen[2:]] == [x["@label_1"] for _, x in seen[2:]]


# ── whole loops ─────────────────────────────────────────────────────────────────────────────────────────────────────


def hash_of(loop: LearningLoop) -> str:
    return loop.owner.learning_state_hash()


@pytest.mark.parametrize("label_after", [0, 40])
def test_after_crashes_the_state_is_that_of_a_straight_run(label_after: int, dying: Any) -> None:
    """What features are computed of, and what waits with its features, is in the checkpoint."""
    settings = computing(
        labels={"late": label_after > 0}, shadows={"portfolio": "cheap"}, checkpoint={"every_events": 60}
    )
    log, store = log_of_payments(700, label_after=label_after), MemoryStore()
    expected = hash_of(straight(log_of_payments(700, label_after=label_after), settings))
    loop, crashes = through_crashes(lambda: loop_on(log, store, settings), dying, store, rng=random.Random(1), most=900)
    assert crashes > 0
    assert hash_of(loop) == expected


def test_the_state_is_in_the_learning_state_hash() -> None:
    """And without these sections the hash is that of before: there is no such key."""
    with_it, without = straight(log_of_payments(60), computing()), straight(filled(60), settings_of())
    assert "derived" in with_it.owner.lane.learning_state()
    assert "derived" not in without.owner.lane.learning_state()
    assert without.owner.lane.derived is None
    other = with_it.owner.lane
    before = statetree.digest(other.learning_state())
    assert other.derived is not None
    other.derived.on_event(payment(9, 1.0))
    assert statetree.digest(other.learning_state()) != before


def examples_of(log: MemoryLog) -> list[dict[str, Any]]:
    """What was told of what was learned."""
    return [orjson.loads(value) for value in log.values("model-examples")]


def test_retraining_learns_what_was_seen_then() -> None:
    """Of the examples, with what a model does not see left out: as the lane has taught it."""
    log, settings = log_of_payments(400), computing(**ALONE)
    loop = straight(log, settings)
    told = examples_of(log)
    assert len(told) == 400
    assert decode(Example, orjson.dumps(told[-1])).features.keys() >= {"customer", "@key", "risk", "@label_2"}
    job = Job("m-1", 400, "test", 1, (Plan("r", tuple(loop.owner.lane.lineage.last(400)), None, b""),))
    (model,) = retrain(job, map(accepted, told), settings.model, views=loop.owner.lane.task.views)
    assert statetree.digest(model) == statetree.digest(loop.owner.lane.champion.model)


def test_recruits_come_of_a_drift_as_ever() -> None:
    """Trained by a job, on examples."""
    log = log_of_payments(1200, turned_at=600)
    lane = straight(log, computing()).owner.lane
    steps = [decode(Transition, value) for value in log.values("model-lifecycle")]
    assert any(step.reason.startswith("trained on") and step.after == "arena" for step in steps)
    assert lane.scores.windowed_values()["accuracy"] > 0.75


def test_features_tell_what_amounts_alone_do_not() -> None:
    """The same stream, with the customer's mean and without."""
    plain = straight(log_of_payments(1500), settings_of(model=LINEAR, **ALONE, features={"drop": ["customer"]}))
    told = straight(log_of_payments(1500), computing(**ALONE))
    scores = [loop.owner.lane.scores.values()["accuracy"] for loop in (plain, told)]
    assert scores[1] > scores[0] + 0.03, scores


def test_signals_are_shown_neither_keys_nor_labels() -> None:
    """Each key would be a category of its own, and a label that drifts is no drift of inputs."""
    settings = computing(labels={"late": True}, **{**ALONE, "detectors": {"inputs": {"use": "inputs"}}})
    lane = Lane(settings, Notes(), watch=Watch(settings))
    for n in range(3000):
        lane.on_event(payment(n, float(n % 9)))
        lane.on_label(label(f"e{n}", n % 2 == 0, ts=60.0 * n))
    assert {each.feature for each in lane.watch.features()} == {"amount", "paid_1h", "events_1h", "risk"}


def test_strings_that_no_member_sees_need_no_encoding() -> None:
    """A portfolio of plain models is enough where the keys are the only words."""
    loop = straight(log_of_payments(60), computing(shadows={"portfolio": "cheap"}, **ALONE))
    lane = loop.owner.lane
    assert not lane.standing.words
    assert {"persist", "linear-memory"} <= {member.name for member in lane.shadows.members}


LABELS_OF: dict[str, tuple[Any, ...]] = {
    "binary": (True, False),
    "multiclass": ("sun", "rain", "snow"),
    "regression": (3.5, -1.0, 12.0),
}


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("task", LABELS_OF)
def test_members_that_know_labels_learn_and_answer(task: str, words: bool) -> None:
    """Of every task, with words among the features and without; from the first event on, which knows none."""
    settings, labels = settings_of(task=task, model={"factory": "a:b"}, memory={"labels": 2}), LABELS_OF[task]
    judge, memory = Task(settings, wants_proba=False), LabelMemory(2, by="", keys_max=1)
    for member in remembering(task, words=words):
        model = build(settings.model.model_copy(update={"steps": member.steps, "factory": None}), seed=1)
        judge.check(model)
        predict, learn = judge.predictor(model), judge.learner(model)
        for n in range(60):
            x = {"a": float(n % 5), **({"word": "ab"[n % 2]} if words else {}), **memory.look({})}
            answer, y = predict(x), labels[n % len(labels)]
            assert not answer.unusable or n < len(labels), (member.name, n, answer)
            learn(x, y)
            memory.on_label({}, y)
