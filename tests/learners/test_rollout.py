"""A champion's way to all keys: in steps, on evidence or by a person's word, and back."""

from typing import Any

import pytest

from anabranch.errors import ConfigError
from anabranch.messages import Decision, DecisionAnswer, ModelUpdate, ServedCounts
from learners.emitted import Promotion
from learners.lane import Lane
from support.lanes import Reads, contested, digest, entrant, event, label, names, settings_of, shown, spoken, twin_of

STEPS = {"kind": "canary", "steps": [5, 25], "step_labels": 50}


def promotions(said: list[Any]) -> list[tuple[str, float | None]]:
    """What went live, and for which share of the keys."""
    return [(each.kind, each.share) for each in said if isinstance(each, Promotion)]


def rolled_out(**rollout: Any) -> tuple[Lane, list[Any]]:
    """A lane whose shadow has just won; what it said."""
    lane = contested(Reads("s"), rollout={**STEPS, **rollout})
    said: list[Any] = []
    while not lane.succession.rollout.under_way:
        said += shown(lane, 1, c=False)
        assert lane.events < 1000
    return lane, said


def decide(lane: Lane, step: Any, **changed: Any) -> tuple[DecisionAnswer, list[Any]]:
    """Somebody's word; the answer, and what else was said."""
    asked = Decision(**{"id": "d1", "model": "m", "ts": 1.0, "step": step, "why": "seen", "by": "ada", **changed})
    answer, *others = spoken(lane.decided(asked))
    assert isinstance(answer, DecisionAnswer)
    return answer, others


def test_a_winner_answers_for_more_keys_step_by_step() -> None:
    """It is not worse, so each step takes its labels and evidence; then it answers for all, and probation begins."""
    lane, said = rolled_out()
    assert promotions(said) == [("canary", 5.0)]
    first = next(each for each in said if isinstance(each, Promotion))
    assert (first.beside, first.displaced_version, first.member) == (1, 1, lane.champion.name)
    later = shown(lane, 3000)
    assert promotions(later) == [("canary", 25.0), ("swap", None)]
    assert later[-1].reason.startswith("not worse than version 1 over ")
    assert lane.succession.displaced is None


def test_both_of_a_rollout_stay_for_as_long_as_it_takes() -> None:
    """Longer than a probation, which begins when it is over."""
    lane, _ = rolled_out(step_labels=500, steps=[5])
    shown(lane, 450)
    assert names(lane) == ["first"]
    assert promotions(shown(lane, 2000)) == [("swap", None)]
    assert names(lane) == []


def test_one_that_is_worse_after_all_is_withdrawn_by_labels() -> None:
    """The displaced champion, which followers still have, comes back."""
    lane, _ = rolled_out()
    said = shown(lane, 200, s=False)
    assert promotions(said) == [("rollback", None)]
    back = said[-1]
    assert (back.restores, back.displaced_version) == (1, 2)
    assert lane.champion.name == "first"
    assert not lane.succession.rollout.under_way


def test_without_labels_it_stays_where_it_is_and_says_what_is_missing() -> None:
    """Events without labels are neither success nor failure."""
    lane, _ = rolled_out()
    for n in range(5000, 7000):
        assert not promotions(spoken(lane.on_event(event(n, None))))
    report = lane.succession.rollout.report()
    assert report is not None
    assert (report.share, report.labels, report.missing) == (5.0, 0, "labels: 0 of 50 have come")
    for n in range(5000, 5060):
        lane.on_label(label(f"e{n}", True))
    assert "evidence that it is not worse" in lane.succession.rollout.missing


def test_what_is_announced_of_it_meanwhile_is_for_its_share() -> None:
    """A refresh of it takes no keys from the displaced one."""
    lane = contested(Reads("s"), rollout={**STEPS, "step_labels": 10_000}, publish={"refresh_events": 100})
    said = shown(lane, 700, c=False)
    found = promotions(said)
    assert ("refresh", None) not in found[found.index(("canary", 5.0)) :]
    assert found.count(("canary", 5.0)) > 2


def test_whoever_else_is_ahead_meanwhile_is_held_back() -> None:
    """One at a time: the third would be compared with a champion that most keys never had."""
    lane, _ = rolled_out(step_labels=10_000)
    lane.shadows.enter(entrant(lane, "third", Reads("t"), since=lane.events), reason="")
    said = shown(lane, 300, c=True, s=False, t=True)
    assert ("rollback", None) in promotions(said)
    lane, _ = rolled_out(step_labels=10_000)
    lane.shadows.enter(entrant(lane, "third", Reads("t"), since=lane.events), reason="")
    assert not promotions(shown(lane, 300, c=False, s=False, t=True))
    assert any("version 2 is being rolled out" in note for note in lane.notes)


@pytest.mark.parametrize(("kind", "share"), [("manual", 0.0), ("ab", 50.0)])
def test_some_wait_for_a_persons_word(kind: str, share: float) -> None:
    """No evidence takes them further."""
    lane, said = rolled_out(kind=kind, steps=None)
    assert promotions(said) == [("canary", share)]
    assert not promotions(shown(lane, 2000))
    answer, others = decide(lane, "approve")
    assert (answer.accepted, answer.version) == (True, 3)
    assert promotions(others) == [("swap", None)]
    assert (others[0].reason, others[0].by) == ("approved by ada: seen", "ada")


def test_blue_green_switches_at_once() -> None:
    """Followers have both loaded, and none of the keys has the new one before all have."""
    lane, said = rolled_out(kind="blue-green", steps=None)
    assert promotions(said) == [("canary", 0.0)]
    assert promotions(shown(lane, 3000)) == [("swap", None)]


def test_a_person_may_take_it_back() -> None:
    """The displaced one is announced as it is now."""
    lane, _ = rolled_out(kind="manual", steps=None)
    answer, others = decide(lane, "withdraw")
    assert answer.accepted
    assert promotions(others) == [("rollback", None)]
    assert others[0].restores == 1
    assert lane.champion.name == "first"
    assert lane.observed.balance.reference.count == 0  # as after any other change of who answers


def test_a_word_on_nothing_changes_nothing() -> None:
    """It is answered all the same."""
    lane = contested(Reads("s"), rollout=STEPS)
    before = digest(lane)
    answer, others = decide(lane, "approve")
    assert (answer.accepted, answer.withheld, others) == (False, "nothing is being rolled out", [])
    assert digest(lane) == before


def test_a_displaced_champion_that_has_to_leave_ends_it() -> None:
    """There is nobody to go back to."""
    lane, _ = rolled_out(step_labels=10_000)
    assert promotions(shown(lane, 2, c="raise")) == [("swap", None)]
    assert names(lane) == []


def test_a_lane_goes_on_with_it_from_its_state() -> None:
    """In the middle of a step, to the same end at the same event."""
    lane, _ = rolled_out()
    shown(lane, 60)
    twin = twin_of(lane)
    assert digest(twin) == digest(lane)
    assert promotions(shown(lane, 3000)) == promotions(shown(twin, 3000)) == [("canary", 25.0), ("swap", None)]
    assert digest(twin) == digest(lane)


def test_a_rebuilt_champion_is_for_all_keys() -> None:
    """It has learned the log, and ends what was under way."""
    lane, _ = rolled_out()
    promotion = lane.rebuilt(reason="asked for")
    assert promotion is not None
    assert (promotion.kind, promotion.share) == ("rebuild", None)
    assert not lane.succession.rollout.under_way


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"rollout": {"kind": "canary", "steps": [25, 5]}}, "has to grow"),
        ({"rollout": {"kind": "manual", "steps": [5]}}, "is for canary and ab"),
        ({"rollout": "canary", "arena": {"probation_events": 0}}, "needs the displaced champion"),
        ({"rollout": "slowly"}, "rollout.kind"),
    ],
)
def test_a_mistaken_rollout_is_refused(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings_of(**section)


def test_only_a_canary_has_a_share() -> None:
    """And each has one: a reader that took it for a swap would give it all keys."""
    with pytest.raises(ValueError, match="of kind `canary` has a share"):
        ModelUpdate.model_validate({**_UPDATE, "kind": "swap", "share": 5.0})
    with pytest.raises(ValueError, match="of kind `canary` has a share"):
        ModelUpdate.model_validate({**_UPDATE, "kind": "canary"})


_UPDATE: dict[str, Any] = {
    "model": "m",
    "version": 2,
    "epoch": 1,
    "seq": 2,
    "event_number": 7,
    "partition": 0,
    "offset": 7,
    "event_ts": 1.0,
    "announced_ts": 1.0,
    "reason": "it wins",
    "member": "r1",
    "river": "",
    "python": "",
    "numpy": "",
    "artifact": {
        "topic": "a",
        "partition": 0,
        "first_offset": 0,
        "last_offset": 0,
        "chunks": 1,
        "sha256": "",
        "size_bytes": 1,
    },
}


# ── what followers tell ─────────────────────────────────────────────────────────────────────────────────────────────


def told(**counts: int) -> ServedCounts:
    """Of one follower: five answers of the new version, ninety-five of the other."""
    return ServedCounts(**{"beside": 1, "answers": 5, "answers_beside": 95, "serving": 1, **counts})


def heard(lane: Lane, times: int = 20, **counts: int) -> list[Any]:
    """The same told so often; what was said."""
    return [said for _ in range(times) for said in spoken(lane.served(told(**counts)))]


@pytest.mark.parametrize(("what", "words"), [("failures", "failed"), ("slow", "were slow")])
def test_one_that_fails_or_is_slow_more_often_is_withdrawn_before_labels_come(what: str, words: str) -> None:
    """The step says how often, and how often the displaced one was."""
    lane, _ = rolled_out(step_labels=10_000)
    (back,) = heard(lane, **{what: 4, f"{what}_beside": 1})
    assert (back.kind, back.restores, back.by) == ("rollback", 1, "")
    assert f" answers to followers' callers {words}, and " in back.reason
    assert back.reason.startswith("withdrawn: ")
    assert not lane.succession.rollout.under_way
    assert heard(lane, **{what: 5}) == []  # of a rollout that is over


@pytest.mark.parametrize(
    "counts",
    [
        {"failures": 1, "failures_beside": 19},
        {"slow": 5, "slow_beside": 95},
        {"answers": 0, "answers_beside": 900},
        {"answers_beside": 0, "failures": 5},
        {"beside": 7, "failures": 5},
    ],
)
def test_one_that_is_no_worse_or_not_asked_stays(counts: dict[str, int]) -> None:
    """As bad as the other, never asked, nothing to compare with, or another rollout: none of it is evidence."""
    lane, _ = rolled_out(step_labels=10_000)
    assert heard(lane, 200, **counts) == []
    assert lane.succession.rollout.under_way


def test_followers_that_refuse_it_withdraw_it_once_they_are_the_more_for_a_while() -> None:
    """One that has it would be outvoted by two; and it is no evidence that one was the first to tell."""
    lane, _ = rolled_out(kind="blue-green", steps=None, step_labels=10_000)
    quiet = {"answers": 0, "answers_beside": 0}
    assert heard(lane, 2, serving=0, refusing=1, **quiet) == []
    assert heard(lane, 5, serving=2, refusing=1, **quiet) == []
    (back,) = heard(lane, 3, serving=1, refusing=2, **quiet)
    assert back.reason == "withdrawn: 2 followers refuse it, and 1 serve it"


def test_what_was_heard_is_told_kept_and_can_be_turned_off() -> None:
    """A lane that goes on from a checkpoint decides on the same; 0 never withdraws; nothing moves what is pinned."""
    lane, _ = rolled_out(step_labels=10_000)
    heard(lane, 3, failures=4)
    report = lane.succession.rollout.report()
    assert report is not None
    assert report.served is not None
    assert (report.served.answers, report.served.failures, report.served.answers_beside) == (15, 12, 285)
    twin = twin_of(lane)
    assert digest(twin) == digest(lane)
    assert [each.reason for each in heard(twin, failures=4)] == [each.reason for each in heard(lane, failures=4)]
    lane, _ = rolled_out(step_labels=10_000, false_withdrawal=0)
    assert heard(lane, failures=5, serving=0, refusing=9) == []
    lane, _ = rolled_out(step_labels=10_000)
    decide(lane, "pin")
    assert heard(lane, failures=5) == []
    decide(lane, "unpin")
    assert promotions(heard(lane, 1, failures=0)) == [("rollback", None)]
