"""Events on which the champion raises: left out one by one, and frozen when too many come in a row."""

import random
from typing import Any

import orjson
import pytest
from river import base, linear_model

from anabranch.errors import LearnError, LearningFrozen
from anabranch.events import Partition, Record
from anabranch.messages import DeadLetter, decode
from config.loading import build
from config.settings import Settings
from consumers.loop import LearningLoop
from consumers.poison import Poison
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryLog, MemorySource
from support import loops


class Choking(base.Classifier):
    """A linear model that raises on marked rows: before it predicts, or half way through learning."""

    def __init__(self) -> None:
        self.inner = linear_model.LogisticRegression()

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        self.inner.learn_one(x, y)
        if x["poison"] == 1:
            raise ArithmeticError("choked")

    def predict_proba_one(self, x: dict[Any, Any], **named: Any) -> Any:
        if x["poison"] == 2:
            raise ZeroDivisionError("choked early")
        return self.inner.predict_proba_one(x)


def settings_of(**changes: Any) -> Settings:
    model = {"factory": f"{__name__}:Choking", "trusted": [f"{__name__}:Choking"]}
    return build({"name": "m", "task": "binary", "model": model, "detectors": {}, **changes})


def event(n: int, poison: int, *, labelled: bool = True) -> bytes:
    features = {"a": float(n % 7), "poison": poison}
    label = {"label": n % 7 > 3} if labelled else {}
    return orjson.dumps({"id": f"e{n}", "ts": 1.6e9, "features": features, **label})


def log_of(poisons: list[int], *, partitions: int = 1, unlabelled: tuple[int, ...] = ()) -> MemoryLog:
    """One event for each number: 0 is a good one."""
    log = MemoryLog(partitions=partitions)
    for n, poison in enumerate(poisons):
        log.append("events", event(n, poison, labelled=n not in unlabelled), partition=n % partitions)
    return log


class CountingSource(MemorySource):
    """A source that remembers where it was sent back to; the first time is its start."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log, "events")
        self.rewound_to: list[int] = []

    def rewind(self, positions: dict[Partition, int]) -> None:
        self.rewound_to.append(positions[Partition("events", 0)])
        super().rewind(positions)


def loop_on(log: MemoryLog, store: MemoryStore, settings: Settings) -> LearningLoop:
    return loops.loop_on(log, store, settings, source=CountingSource(log))


def run(log: MemoryLog, settings: Settings | None = None) -> LearningLoop:
    loop = loop_on(log, MemoryStore(), settings or settings_of())
    loop.run(until_end=True)
    return loop


def letters_in(log: MemoryLog) -> list[int]:
    """The offsets of the dead letters, each once: they are sent at least once."""
    letters = (decode(DeadLetter, value) for value in log.values("dead-letters"))
    return sorted({letter.offset for letter in letters if letter.stage == "learn"})


def stormy(events: int, *, share: float, seed: int) -> list[int]:
    rng = random.Random(seed)
    return [rng.choice((1, 2)) if rng.random() < share else 0 for _ in range(events)]


@pytest.mark.parametrize("partitions", [1, 3])
def test_a_storm_of_poison_rewinds_once_for_each_event(partitions: int) -> None:
    """One event in a hundred costs one rewind each, and the rest is learned as if they had never been."""
    poisons = stormy(3000, share=0.01, seed=1)
    log = log_of(poisons, partitions=partitions)
    loop = run(log)
    assert isinstance(loop.ports.source, CountingSource)
    assert len(loop.ports.source.rewound_to) == sum(map(bool, poisons)) > 20
    assert loop.owner.lane.events == poisons.count(0)
    assert not loop.owner.poison.places


def test_a_storm_leaves_the_learning_state_of_the_clean_stream() -> None:
    """Bit for bit: what was half learned is undone."""
    poisons = stormy(2000, share=0.01, seed=2)
    clean, dirty = MemoryLog(), log_of(poisons)
    for n, poison in enumerate(poisons):
        if not poison:
            clean.append("events", event(n, 0))
    assert run(dirty).owner.learning_state_hash() == run(clean).owner.learning_state_hash()
    assert letters_in(dirty) == [n for n, poison in enumerate(poisons) if poison]


def test_a_rewind_goes_back_no_further_than_to_the_poison_before() -> None:
    """A checkpoint stands right behind each, or a storm would learn everything again each time."""
    poisons = [0] * 500 + [1] + [0] * 9 + [2] + [0] * 9
    log = log_of(poisons)
    loop = run(log, settings_of(publish={"refresh_level": 0}))
    assert isinstance(loop.ports.source, CountingSource)
    assert loop.ports.source.rewound_to == [200, 501]  # the first champion's checkpoint, the first poison


@pytest.mark.parametrize("row", [[1, 1, 1], [2, 2, 2], [1, 2, 1], [2, 1, 2]])
def test_too_many_in_a_row_freeze_learning(row: list[int]) -> None:
    """Loudly, with the offsets, what was raised, and what to do; what is there to be learned stays in the log."""
    log = log_of([0] * 50 + row + [0] * 50)
    store, settings = MemoryStore(), settings_of(guard={"poison_max": 3})
    with pytest.raises(LearningFrozen, match=r"raised on 3 events in a row, at partition 0 offset 50, 51, 52;.*choked"):
        loop_on(log, store, settings).run(until_end=True)
    assert log.committed is not None
    assert log.committed.positions == {Partition("events", 0): 52}
    assert letters_in(log) == [50, 51]


def test_a_restart_does_not_thaw() -> None:
    """A supervisor that starts it again would otherwise plough through the whole topic, a few events at a time."""
    log = log_of([0] * 50 + [1] * 20)
    store, settings = MemoryStore(), settings_of(guard={"poison_max": 3})
    for _ in range(4):
        with pytest.raises(LearningFrozen):
            loop_on(log, store, settings).run(until_end=True)
    assert letters_in(log) == [50, 51]


def test_a_higher_bound_thaws() -> None:
    """What the message says works: the rest is left out, and learning goes on behind it."""
    log, store = log_of([0] * 50 + [1] * 5 + [0] * 10), MemoryStore()
    with pytest.raises(LearningFrozen):
        loop_on(log, store, settings_of(guard={"poison_max": 3})).run(until_end=True)
    loop = loop_on(log, store, settings_of(guard={"poison_max": 9}))
    loop.run(until_end=True)
    assert loop.owner.lane.events == 60


def test_a_learned_event_between_breaks_the_row() -> None:
    """Many that are scattered are no reason to stop."""
    log = log_of([1, 0, 2, 0] * 20)
    assert run(log, settings_of(guard={"poison_max": 2})).owner.lane.events == 40


def test_an_event_without_a_label_does_not_break_the_row() -> None:
    """It was predicted for, and nothing was learned."""
    log = log_of([0, 1, 0, 1], unlabelled=(2,))
    with pytest.raises(LearningFrozen, match="offset 1, 3"):
        run(log, settings_of(guard={"poison_max": 2}))


SECOND = "(event 2 in a row: perhaps the model's state is to blame, and not the event)"


def test_the_dead_letter_says_what_was_raised() -> None:
    """Also across a restart: the checkpoint remembers it."""
    log = log_of([0] * 50 + [1, 2] + [0] * 5)
    run(log)
    letters = [decode(DeadLetter, value) for value in log.values("dead-letters")]
    assert [each.reason for each in letters] == [
        "the champion raises on it: ArithmeticError: choked",
        f"the champion raises on it: ZeroDivisionError: choked early {SECOND}",
    ]


def test_what_was_raised_is_kept_short_and_free_of_addresses() -> None:
    """It lies in checkpoints, which must not grow with a model's messages nor differ between processes."""
    poison = Poison(in_a_row_max=10)
    for offset, text in enumerate((f"no {object()}", "x" * 5000)):
        poison.found(LearnError(partition=0, offset=offset, learned=0, cause=ValueError(text)), kinds={})
    restored = Poison(in_a_row_max=10)
    restored.restore(poison.state())
    first, second = (restored.reason(Record("", 0, offset, 0.0, None, b"")) for offset in (0, 1))
    assert first == "the champion raises on it: ValueError: no <object object at 0x…>"
    assert len(second) < 350


STRINGS = {
    "scaler": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}],
    "linear": [{"use": "linear_model.LogisticRegression"}],
    "passive-aggressive": [{"use": "linear_model.PAClassifier"}],
    "bayes": [{"use": "naive_bayes.GaussianNB"}],
}


@pytest.mark.parametrize("steps", STRINGS.values(), ids=STRINGS)
def test_strings_that_a_model_cannot_take_are_named(steps: list[dict[str, Any]]) -> None:
    """With what to do about it: encode them, then rebuild, since a restart brings the model back."""
    log = MemoryLog()
    for n in range(20):
        x = {"amount": float(n), "country": "FR", "shop": "x"}
        log.append("events", orjson.dumps({"id": f"e{n}", "ts": 1.6e9, "features": x, "label": n % 2 == 0}))
    settings = build({"name": "m", "task": "binary", "model": {"steps": steps}, "scores": {"metrics": ["Accuracy"]}})
    with pytest.raises(
        LearningFrozen, match=r"The features country, shop are strings: encode .*`anabranch rebuild CON"
    ):
        loop_on(log, MemoryStore(), settings).run(until_end=True)


def test_what_has_nothing_to_do_with_strings_is_not_blamed_on_them() -> None:
    """Only an exception that speaks of them is."""
    poison = Poison(in_a_row_max=1)
    for cause in (ZeroDivisionError("string"), ValueError("math domain error")):
        with pytest.raises(LearningFrozen) as raised:
            poison.found(LearnError(partition=0, offset=0, learned=0, cause=cause), kinds={"a": "string"})
        assert "strings" not in str(raised.value)


@pytest.mark.parametrize("seed", range(6))
def test_crashes_in_a_storm_change_nothing_that_was_learned(seed: int, dying: Any) -> None:
    """Poison and crashes together: the state is that of the run without crashes."""
    poisons = stormy(1500, share=0.01, seed=3)
    expected = run(log_of(poisons)).owner.learning_state_hash()
    log, store, rng = log_of(poisons), MemoryStore(), random.Random(seed)
    loop, crashes = loops.through_crashes(lambda: loop_on(log, store, settings_of()), dying, store, rng=rng, most=40)
    assert crashes > 3
    assert loop.owner.learning_state_hash() == expected
    assert letters_in(log) == [n for n, poison in enumerate(poisons) if poison]
