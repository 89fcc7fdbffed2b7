"""By a person's word: pinned and frozen, where nothing is swapped or learned; another champion, without evidence."""

from typing import Any

import pytest
from river import naive_bayes

from anabranch import statetree
from anabranch.messages import Decision, DecisionAnswer, Retrain
from learners.emitted import Promotion
from learners.lane import Lane
from support.lanes import Reads, contested, digest, entrant, lane_of, shown, spoken, twin_of


def asked(lane: Lane, step: Any, **more: Any) -> tuple[DecisionAnswer, list[Any]]:
    """Somebody's word; the answer, and what else was said."""
    word = Decision(id=step, model="m", ts=1.0, step=step, why="audit", by="ada", **more)
    answer, *others = spoken(lane.decided(word))
    assert isinstance(answer, DecisionAnswer)
    return answer, others


def kinds(said: list[Any]) -> list[str]:
    """What went live."""
    return [each.kind for each in said if isinstance(each, Promotion)]


def weights(lane: Lane) -> list[str]:
    """The champion and its shadows, as they have learned."""
    return [
        statetree.digest(each.model, trusted=lane.settings.model.trusted)
        for each in (lane.champion, *lane.shadows.members)
    ]


def test_a_pinned_champion_is_not_displaced_until_it_is_unpinned() -> None:
    """The shadow that would win is held back, and wins afterwards."""
    lane = contested(Reads("s"))
    assert asked(lane, "pin")[0].accepted
    assert "swap" not in kinds(shown(lane, 100, c=False))
    assert lane.champion.name == "first"
    assert asked(lane, "unpin")[0].accepted
    assert "swap" in kinds(shown(lane, 100, c=False))


def test_a_rollout_stands_still_while_it_is_pinned() -> None:
    """Nor can it be approved or withdrawn, before it is unpinned."""
    lane = contested(Reads("s"), rollout={"kind": "canary", "steps": [5, 25], "step_labels": 50})
    while not lane.succession.rollout.under_way:
        shown(lane, 1, c=False)
        assert lane.events < 1000
    asked(lane, "pin")
    shown(lane, 1000)
    assert lane.succession.rollout.share == 5.0
    for step in ("approve", "withdraw"):
        answer, _ = asked(lane, step)
        assert (answer.accepted, answer.withheld) == (False, "it is pinned by ada: audit")


def test_while_frozen_nothing_is_learned_and_everything_predicts() -> None:
    """Champion and shadows are as they were, and scores go on."""
    lane = lane_of(naive_bayes.GaussianNB())
    entrant(lane, "s", naive_bayes.GaussianNB())
    shown(lane, 100)
    answer, said = asked(lane, "freeze")
    assert answer.accepted
    assert [(each.learns, each.by) for each in said] == [(False, "ada")]
    before, events = weights(lane), lane.events
    assert kinds(shown(lane, 600, c=False)) == []
    assert (weights(lane), lane.events) == (before, events + 600)
    assert (
        lane.retrain_asked(Retrain(id="r", model="m", ts=1.0, reason="x", by="bob")).messages[0].withheld
        == "learning is frozen by ada: audit"
    )  # type: ignore[attr-defined]  # it is an answer
    _, said = asked(lane, "thaw")
    assert [each.learns for each in said] == [True]
    shown(lane, 10)
    assert weights(lane) != before


@pytest.mark.parametrize(
    ("steps", "withheld"),
    [
        (["unpin"], "it is not pinned"),
        (["thaw"], "it is not frozen"),
        (["pin", "pin"], "it is pinned already by ada: audit"),
        (["freeze", "freeze"], "it is frozen already by ada: audit"),
    ],
)
def test_what_is_so_already_is_answered_and_changes_nothing(steps: list[str], withheld: str) -> None:
    """With why."""
    lane = contested(Reads("s"))
    for step in steps[:-1]:
        asked(lane, step)
    before = digest(lane)
    answer, others = asked(lane, steps[-1])
    assert (answer.accepted, answer.withheld, others) == (False, withheld, [])
    assert digest(lane) == before


def test_before_the_first_event_there_is_nothing_to_hold() -> None:
    """It is answered all the same."""
    assert asked(lane_of(), "freeze")[0].withheld == "no event learned yet"


def test_holds_are_in_the_checkpoint_and_in_reports() -> None:
    """A lane that goes on from there holds as well; without any the state is what it was before there were holds."""
    lane = contested(Reads("s"))
    assert not {"pinned", "frozen"} & lane.succession.state().keys()
    asked(lane, "pin")
    asked(lane, "freeze")
    twin = twin_of(lane)
    assert twin.succession.holds == ("pinned by ada: audit", "frozen by ada: audit")
    report = twin.report_between(mark="x")
    assert report is not None
    assert report.held == twin.succession.holds
    assert digest(twin) == digest(lane)


def test_a_shadow_is_promoted_and_taken_back_by_a_persons_word() -> None:
    """Without evidence; the update says who it was, and the displaced one comes back as it has become."""
    lane = contested(Reads("s"))
    first, shadow = lane.champion, lane.shadows.members[0].name
    answer, said = asked(lane, "promote", member=shadow)
    assert answer.accepted
    assert [(each.kind, each.by, each.member, each.displaced_version) for each in said] == [("swap", "ada", shadow, 1)]
    shown(lane, 20)
    answer, said = asked(lane, "rollback")
    assert answer.accepted
    assert [(each.kind, each.by, each.restores) for each in said] == [("rollback", "ada", 1)]
    assert lane.champion is first
    assert digest(twin_of(lane)) == digest(lane)


@pytest.mark.parametrize(
    ("step", "more", "withheld"),
    [
        ("promote", {"member": "nobody"}, "no shadow 'nobody' is in the arena; there: "),
        ("rollback", {}, "no version in its probation as a displaced champion; there: none"),
        ("rollback", {"version": 9}, "version 9 is not in its probation as a displaced champion; there: none"),
    ],
)
def test_who_is_not_there_cannot_answer(step: str, more: dict[str, Any], withheld: str) -> None:
    """The answer says who is."""
    lane = contested(Reads("s"))
    before = digest(lane)
    answer, others = asked(lane, step, **more)
    assert (answer.accepted, others) == (False, [])
    assert answer.withheld.startswith(withheld)
    assert digest(lane) == before


def test_a_pinned_champion_is_not_replaced_by_word_either() -> None:
    """It is to be unpinned first."""
    lane = contested(Reads("s"))
    asked(lane, "pin")
    answer, _ = asked(lane, "promote", member=lane.shadows.members[0].name)
    assert answer.withheld == "it is pinned by ada: audit"


def test_with_a_rollout_a_promoted_shadow_answers_for_a_share_first() -> None:
    """As any other winner."""
    lane = contested(Reads("s"), rollout={"kind": "canary", "steps": [5, 25], "step_labels": 50})
    _, said = asked(lane, "promote", member=lane.shadows.members[0].name)
    assert [(each.kind, each.share) for each in said] == [("canary", 5.0)]
    assert asked(lane, "rollback")[0].withheld == "version 2 is being rolled out: approve or withdraw it first"
