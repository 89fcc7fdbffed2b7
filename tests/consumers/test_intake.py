"""What is said of records that are of no use: the first of each stage, shares, alerts that are told once."""

from typing import Any

from anabranch.messages import DeadLetter
from anabranch.statetree import decode, encode
from consumers.intake import Intake, Read


def said(intake: Intake, outcomes: list[Any]) -> list[tuple[int, str]]:
    """At which record, and of what kind."""
    return [(n, each.kind) for n, outcome in enumerate(outcomes, 1) for each in intake.took(outcome)]


def test_a_thousand_refusals_are_told_once_and_again_after_they_have_mended() -> None:
    """Alerts, and a warning at each band."""
    intake = Intake()
    assert said(intake, ["refused"] * 5000) == [(100, "nothing-accepted"), (1000, ""), (1000, "refused")]
    mended = said(intake, ["learned"] * 1500)
    assert {kind for _, kind in mended} == {""}
    assert [kind for _, kind in said(intake, ["refused"] * 1000)] == ["nothing-accepted", "", "", "", "refused"]


def test_a_share_is_said_when_it_enters_another_band() -> None:
    """A stream with one bad record in fifty says so once."""
    intake = Intake()
    assert said(intake, (["refused"] + ["learned"] * 49) * 200) == [(1000, "")]
    assert said(intake, ["duplicate"] * 900)[-1] == (600, "duplicates")


def test_labels_that_come_later_are_no_reason_for_an_alert() -> None:
    """None at all is one."""
    assert said(Intake(), ["waiting", "label"] * 1000) == []
    assert said(Intake(), ["waiting"] * 3000) == [(1000, "unlabelled")]


def test_it_goes_on_from_a_checkpoint_at_any_record() -> None:
    """A restart neither repeats nor loses what is said."""
    outcomes = ["refused"] * 770 + ["learned"] * 900 + ["duplicate"] * 700
    one, other, seen = Intake(), Intake(), []
    for at in range(0, len(outcomes), 333):
        seen += said(other, outcomes[at : at + 333])
        state = decode(encode(other.state()))
        other = Intake()
        other.restore(state)
    assert [kind for _, kind in seen] == [kind for _, kind in said(one, outcomes)]


def test_the_first_of_each_stage_is_told() -> None:
    """The others lie on dead-letters."""
    place = {"topic": "events", "partition": 0, "offset": 0, "reason": "r", "value_base64": "", "value_bytes": 0}
    intake = Intake()
    letters = [DeadLetter(id="1", stage=stage, **place) for stage in ("time", "time", "label", "time")]
    assert [intake.is_first(each) for each in letters] == [True, False, True, False]


def test_a_run_ends_badly_beyond_a_tenth() -> None:
    """Refused, duplicates and unlabelled count together."""
    assert not Read(100, 4, 3, 3).ended_badly
    assert Read(100, 4, 3, 4).ended_badly
    assert (Read(100, 4, 3, 4) + Read(100, 0, 0, 0)).unused == 11
    assert Read(0, 0, 0, 0).in_words() == ""
