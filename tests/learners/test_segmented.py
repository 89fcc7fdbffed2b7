"""Per-segment models: let in by evidence on their own segment, displaced by evidence, wherever in memory they lie."""

import random
from typing import Any

import pytest

from anabranch.errors import ConfigError, LearnError
from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import ModelReport, SegmentSwap
from anabranch.rolling import KEY
from config import envelope
from config.loading import build
from learners.arena.members import Cause, Member
from learners.lane import Lane
from support.lanes import QUICK, Reads, digest, event, label, lane_of, settings_of

OWN = {"by": "who", "min_events": 3, "model": {"factory": "support.lanes:reads_own"}}


def segmented(**more: Any) -> Lane:
    """A lane whose champion answers feature c, and whose segments' models answer feature o."""
    return lane_of(Reads("c"), segments={**OWN, **more})


def taught(lane: Lane, count: int, **x: Any) -> list[Prediction]:
    """So many labelled events of segment `a`; what was served for each."""
    served: list[Prediction] = []
    lane.asked = lambda _, answer: served.append(answer)
    for n in range(lane.events, lane.events + count):
        lane.on_event(event(n, **{"who": "a", "o": True, **x}))
    return served


def swaps(lane: Lane) -> list[SegmentSwap]:
    assert lane.segmented is not None
    return lane.segmented.swaps


def test_a_model_that_is_better_on_its_segment_answers_for_it() -> None:
    """And for no other segment, where the champion is as good."""
    lane = segmented()
    served = taught(lane, 60, c=False)
    assert served[0].value is False  # nothing is known of the segment yet
    assert served[-1].value is True
    (swap,) = swaps(lane)
    assert (swap.segment, swap.serves, swap.reason) == ("a", True, "evidence")
    assert swap.evidence >= lane.settings.arena.false_swap_every
    assert taught(lane, 1, who="b", c=False)[0].value is False


def test_the_champion_answers_again_when_it_is_better() -> None:
    """By the same evidence, in a contest of its own."""
    lane = segmented()
    taught(lane, 60, c=False)
    served = taught(lane, 60, o=False)
    assert (served[0].value, served[-1].value) == (False, True)
    first, second = swaps(lane)
    assert (first.serves, second.serves, second.events < 60) == (True, False, True)


def test_a_tie_changes_nothing() -> None:
    """However long it lasts."""
    lane = segmented()
    taught(lane, 1000)
    assert swaps(lane) == []


def test_what_is_scored_is_what_was_served_and_detectors_watch_the_champion() -> None:
    """A champion that is wrong for one segment all the time is still seen to be wrong."""
    lane = segmented()
    taught(lane, 300, c=False)
    assert lane.scores.windowed_values()["accuracy"] == 1.0
    assert lane.champion.loss_mean > 0.9


def test_a_model_competes_after_so_many_events() -> None:
    """Before that it is not even asked."""
    lane = segmented(min_events=40)
    assert not any(each.value for each in taught(lane, 40, c=False))
    assert taught(lane, 40, c=False)[-1].value is True


def test_late_labels_judge_what_was_answered_then() -> None:
    """Not what the models would answer by now."""
    lane = lane_of(Reads("c"), segments=OWN, labels={"late": True, "horizon": "1d"})
    taught(lane, 5, c=False)
    for n in range(5, 45):
        lane.on_event(event(n, y=None, who="a", c=False, o=True))
    assert swaps(lane) == []
    for n in range(5, 45):
        lane.on_label(label(f"e{n}", True))
    assert [each.serves for each in swaps(lane)] == [True]


def test_a_model_that_raises_on_learning_begins_anew() -> None:
    """The champion answers at once, and goes on learning."""
    lane = segmented()
    taught(lane, 60, c=False)
    assert not taught(lane, 1, c=False, **{"o learns": "raise"})[0].unusable
    assert [(each.serves, each.reason) for each in swaps(lane)] == [(True, "evidence"), (False, "fault")]
    assert taught(lane, 1, c=False)[0].value is False


def test_an_answer_that_cannot_be_used_is_not_served() -> None:
    """The champion's is, and the segment's counts as wrong."""
    lane = segmented()
    taught(lane, 60, c=False)
    assert taught(lane, 1, o="raise")[0].value is True
    taught(lane, 60, o="raise")
    assert [each.serves for each in swaps(lane)] == [True, False]


def test_a_champion_that_raises_ends_the_event_before_a_segment_learns_it() -> None:
    """The lane is restored from before it, as ever."""
    lane = segmented()
    with pytest.raises(LearnError):
        taught(lane, 1, **{"c learns": "raise"})
    assert lane.segmented is not None
    assert lane.segmented.totals.models == 0


def test_another_champion_begins_another_contest() -> None:
    """Evidence against one says nothing about the next."""
    lane = segmented()
    taught(lane, 8, c=False)
    assert lane.segmented is not None
    before = lane.segmented.ready["a"].contest
    champion = lane.succession.champion
    lane.lifecycle.move("other", "arena", reason="a test's")
    lane.succession.champion = Member(
        "other", champion.model, lifecycle=lane.lifecycle, task=lane.task, trained_on=champion.trained_on, since=8,
        cause=Cause("first"),
    )  # fmt: skip
    taught(lane, 1, c=False)
    assert (lane.segmented.ready["a"].contest is before, lane.segmented.ready["a"].contest.events) == (False, 1)


def test_while_the_champion_is_pinned_evidence_gathers_and_nothing_is_swapped() -> None:
    """A person's word holds for segments, too."""
    lane = segmented()
    lane.succession.pinned = "by ann: a test"
    taught(lane, 60, c=False)
    assert swaps(lane) == []
    lane.succession.pinned = ""
    taught(lane, 1, c=False)
    assert len(swaps(lane)) == 1


@pytest.mark.parametrize("memory_max", [1, 2])
def test_which_models_are_in_memory_changes_nothing(memory_max: int) -> None:
    """The learning state is the same as with all of them in memory, and however often it is put away."""
    rng = random.Random(4)
    several, few = segmented(), segmented(memory_max=memory_max, packed_max=2)
    blobs: set[str] = set()
    for n in range(400):
        shown = event(n, who=rng.choice("abcdefg"), c=rng.random() < 0.5, o=rng.random() < 0.7)
        for lane in (several, few):
            lane.on_event(shown)
        if n % 50 == 7:
            few.put_away()
            blobs |= few.blobs.keys()
    assert few.segmented is not None
    assert len(blobs) > 5
    assert len(few.segmented.ready) == memory_max
    assert digest(several) == digest(few)


def test_what_asking_leaves_in_a_model_is_kept() -> None:
    """River's scaler takes up a feature that it sees for the first time when it is asked; nothing is learned there."""
    model = {"steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}]}
    several, few = (segmented(model=model, memory_max=size) for size in (100, 1))
    for n in range(60):
        more = {} if n < 30 else {f"new{n}": 1.0}
        shown = event(n, True if n < 30 else None, who=n % 3, **more)
        for lane in (several, few):
            lane.on_event(shown)
    assert digest(several) == digest(few)


def test_a_report_tells_the_swaps_once() -> None:
    """With how many segments there are, and what their own models gain."""
    lane = lane_of(Reads("c"), segments=OWN, publish={"report_events": 50})
    said = [each for n in range(100) for each in lane.on_event(event(n, who="a", c=False, o=True))]
    first, second = (each.segments for each in said if isinstance(each, ModelReport))
    assert first is not None
    assert second is not None
    assert (first.models, first.serving, len(first.swaps), len(second.swaps)) == (1, 1, 1, 0)
    assert second.gain == 1.0


def test_the_kafka_key_can_be_the_segment() -> None:
    """An event without one is in none."""
    lane = segmented(by=KEY)
    assert lane.segmented is not None
    keyed = AcceptedEvent("e", {}, True, 0.0, 0, 0, {KEY: "ann"})
    assert (lane.segmented.segment(keyed), lane.segmented.segment(event(1))) == ("ann", None)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"task": "rank"}, "knows its users itself"),
        ({"publish": {"blocks": 10}}, "publish.blocks"),
        ({"rollout": "canary"}, "rollout"),
        ({"shadows": {"portfolio": "cheap"}}, 'serve = "champion"'),
        ({"memory": {"labels": 2}}, "memory.labels"),
        ({"privacy": {"hidden": ["who"]}}, "segments.by"),
        ({"segments": {"min_events": 7}}, "write `by`"),
    ],
)
def test_what_does_not_go_together_is_refused(more: dict[str, Any], said: str) -> None:
    """With what to do about it."""
    with pytest.raises(ConfigError, match=said):
        build({**QUICK, "segments": OWN, **more})


def test_an_envelope_without_segments_is_as_it_was() -> None:
    """A release with this section is no other configuration."""
    assert "segments" not in envelope.document(settings_of())
    assert envelope.document(settings_of(segments=OWN))["segments"]["by"] == "who"


def test_a_model_of_another_task_is_refused() -> None:
    """Naming the section in which it stands."""
    model = {"steps": [{"use": "linear_model.LinearRegression"}]}
    with pytest.raises(ConfigError, match=r"segments\.model: task = 'binary' needs a classifier"):
        segmented(model=model)
