"""What each screen shows, from the picture alone."""

from typing import Any

import orjson
import pytest

from anabranch.messages import Message, ModelUpdate, RolloutReport
from benchmarks.told_models import DRIFT_EVERY_S, WINS_S, Told, ToldModel
from operations import snapshot, stories
from operations.columns import columns, thinned
from operations.health import RECENT_S, SILENT_S, health
from operations.picture import ModelPicture, Picture, Record

BEGAN_S = 1_000_000.0
LASTS_S = DRIFT_EVERY_S + 900.0
END_S = BEGAN_S + LASTS_S


def heard(told: Told, number: int) -> Record:
    return Record(told.at_s, told.key, 0, number, told.message)


def pictured(*, seconds: float = LASTS_S, extra: tuple[Told, ...] = ()) -> ModelPicture:
    """A model that was told of for so long: its world changes once, and a recruit wins."""
    picture = Picture()
    several = ToldModel("fraud", began_s=BEGAN_S).between(BEGAN_S, BEGAN_S + seconds, interval_s=10.0)
    for number, told in enumerate((*several, *extra)):
        picture.hear(heard(told, number))
    return picture.models["fraud", "global"]


@pytest.fixture(scope="module")
def model() -> ModelPicture:
    return pictured()


def test_each_screen_is_plain_json(model: ModelPicture) -> None:
    """No value is left that only Python knows."""
    found: dict[str, Any] = orjson.loads(orjson.dumps(snapshot.model(model, END_S)))
    assert set(found["parts"]) == set(snapshot.PARTS)
    lengths = {len(found["columns"][name]) for name in ("t", "loss", "version", "event", "pending", "rate")}
    assert lengths == {len(model.points)}


def test_the_overview_compares_with_an_hour_ago() -> None:
    picture = Picture()
    of = ToldModel("fraud", began_s=BEGAN_S)
    for number, told in enumerate(of.between(BEGAN_S, BEGAN_S + 2 * DRIFT_EVERY_S + 60, interval_s=30.0)):
        picture.hear(heard(told, number))
    (row,) = snapshot.overview(picture, BEGAN_S + 2 * DRIFT_EVERY_S + 60)
    assert row["error"]["now"] > 0.2, "the world has just changed"
    assert row["error"]["hour"] < 0.2
    assert row["error"]["day"] is None
    assert row["version"] == 2


def test_the_worst_is_listed_first() -> None:
    picture = Picture()
    for n, name in enumerate(("a-well", "b-alerted")):
        of = ToldModel(name, began_s=BEGAN_S)
        for number, told in enumerate(of.between(BEGAN_S, BEGAN_S + 60, interval_s=10.0)):
            picture.hear(heard(told, number))
        if n:
            picture.hear(heard(Told(BEGAN_S + 50, "alerts", of.alert(BEGAN_S + 50)), 99))
    assert [each["model"] for each in snapshot.overview(picture, BEGAN_S + 60)] == ["b-alerted", "a-well"]


@pytest.mark.parametrize(("later_s", "word"), [(5.0, "well"), (SILENT_S + 30, "silent")])
def test_who_does_not_report_is_silent(model: ModelPicture, later_s: float, word: str) -> None:
    assert health(model, END_S + later_s).word == word


def test_an_alert_counts_for_an_hour() -> None:
    of = ToldModel("fraud", began_s=BEGAN_S)
    model = pictured(seconds=60.0, extra=(Told(BEGAN_S + 60, "alerts", of.alert(BEGAN_S + 60)),))
    assert health(model, BEGAN_S + 70).word == "alert"
    assert "no label has come" in health(model, BEGAN_S + 70).why
    assert health(model, BEGAN_S + 60 + RECENT_S).word == "silent"


def test_a_retired_model_is_said_to_be() -> None:
    model = pictured(seconds=60.0)
    newest = model.newest
    assert newest is not None
    retired = newest.model_copy(update={"kind": "retired", "artifact": None, "seq": 9, "reason": "wrong prices"})
    assert model.hear(Record(BEGAN_S + 60, "updates", 0, 77, retired))
    assert health(model, BEGAN_S + 61) == ("retired", 4, "out of service: wrong prices")
    offered = {each["name"]: each["why_not"] for each in snapshot.parts(model, 0.0, ["actions"])["actions"]["listed"]}
    nothing = "nothing is being rolled out"
    assert offered == {
        "retrain": "",
        "retire": "it is retired already",
        "reinstate": "",
        "approve": nothing,
        "withdraw": nothing,
        "rollback": "no displaced champion is in its probation",
        "pin": "",
        "unpin": "it is not pinned",
        "freeze": "",
        "envelope": "no change envelope waits for approval",
        "thaw": "it is not frozen",
    }


def test_a_change_envelope_that_waits_is_offered_by_its_digest() -> None:
    """What is sent names what was seen, so that a newer one is not approved unseen."""
    model = pictured(seconds=60.0)
    assert model.report is not None
    waiting = model.report.model_copy(update={"id": "m/waiting", "held": ("pinned by ana: audit", "unapproved e1-5f")})
    assert model.hear(Record(BEGAN_S + 61, "reports", 0, 78, waiting))
    offered = {each["name"]: each for each in snapshot.parts(model, 0.0, ["actions"])["actions"]["listed"]}
    assert (offered["envelope"]["why_not"], offered["envelope"]["about"]) == ("", "e1-5f")
    assert (offered["pin"]["why_not"], offered["pin"]["about"]) == ("it is pinned already", "")


def test_a_rollout_offers_a_persons_word_and_is_no_news_for_all() -> None:
    """The preview says who has what; the version for all keys is the one before, until it is decided."""
    model = pictured(seconds=60.0)
    newest, report = model.newest, model.report
    assert newest is not None
    assert report is not None
    told = {"kind": "canary", "share": 25.0, "beside": newest.version, "displaced_version": newest.version}
    canary = newest.model_copy(update={**told, "seq": newest.seq + 1, "version": newest.version + 1})
    assert model.hear(Record(BEGAN_S + 60, "updates", 0, 77, canary))
    rollout = RolloutReport(
        kind="canary", share=25.0, beside=newest.version, labels=3, evidence=0.1, gain=0.0, missing="labels: 3 of 500"
    )
    later = report.model_copy(update={"id": "m/later", "rollout": rollout})
    assert model.hear(Record(BEGAN_S + 61, "reports", 0, 78, later))
    assert (model.newest, model.canary) == (newest, canary)
    found = snapshot.parts(model, 0.0, ["actions", "marks"])
    offered = {each["name"]: each for each in found["actions"]["listed"]}
    assert (offered["approve"]["why_not"], offered["withdraw"]["why_not"]) == ("", "")
    assert "instead of 25 % of them" in offered["approve"]["preview"]
    assert found["marks"][-1]["label"] == f"version {canary.version} for 25 % of the keys"
    back = newest.model_copy(update={"kind": "rollback", "seq": newest.seq + 2, "version": newest.version + 2})
    assert model.hear(Record(BEGAN_S + 62, "updates", 0, 79, back))
    assert (model.newest, model.canary) == (back, None)


def test_a_series_has_holes_where_it_was_not_there(model: ModelPicture) -> None:
    found = columns(model.points)
    shadow = found["shadows"]["r1"]
    inside = [n for n, value in enumerate(shadow) if value is not None]
    since = [found["t"][n] - BEGAN_S - DRIFT_EVERY_S for n in inside]
    assert len(shadow) == len(found["t"])
    assert (min(since), max(since)) == (180.0, 410.0)
    assert max(value for value in found["evidence"]["r1"] if value is not None) > 0.9


def test_thinning_keeps_the_last_of_each_span(model: ModelPicture) -> None:
    kept = thinned(model.points, 300.0)
    assert len(kept) == LASTS_S / 300 + 1
    assert kept[-1] == list(model.points)[-1]


# ── stories ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_page_explains_a_swap(model: ModelPicture) -> None:
    """What fired, who was recruited, how the contest went, what has changed."""
    story = stories.swap(model, 2)
    assert story is not None
    told = {each["heading"]: each["text"] for each in story["words"]}
    assert list(told) == [
        "What fired",
        "Who was recruited",
        "How the contest went",
        "What has changed",
        "Who serves it",
    ]
    assert "adwin (error) fired" in told["What fired"]
    assert "amount" in told["What fired"]
    assert "r1" in told["Who was recruited"]
    assert "2,400 events" in told["How the contest went"]
    assert "replaced version 1" in told["What has changed"]
    assert told["Who serves it"] == "scorer-1:71."
    assert story["effect"]["after"] < story["effect"]["before"]
    times = story["columns"]["t"]
    assert times[0] >= BEGAN_S + DRIFT_EVERY_S + 60
    assert times[-1] <= BEGAN_S + DRIFT_EVERY_S + WINS_S + stories.EFFECT_S


def test_a_version_that_nobody_knows_has_no_story(model: ModelPicture) -> None:
    assert stories.swap(model, 99) is None


def test_a_version_without_trigger_says_so(model: ModelPicture) -> None:
    story = stories.swap(model, 1)
    assert story is not None
    assert story["trigger"] is None
    assert story["next"] == 2
    assert story["words"][0]["text"].startswith("Nothing: no retraining")


def test_who_comes_into_the_arena_after_a_version_is_not_in_its_story() -> None:
    """A refresh brought nobody, and a recruit of the next minute is another version's."""
    won_s = BEGAN_S + DRIFT_EVERY_S + WINS_S
    later, at_s = ToldModel("fraud", began_s=BEGAN_S), won_s + 60
    step = later.step(at_s, "recruiting", "arena", "recruited on another signal").model_copy(update={"member": "r9"})
    model = pictured(extra=(Told(at_s, "lifecycle", step),))
    told = {each["heading"]: each["text"] for each in (stories.swap(model, 2) or {})["words"]}
    assert "r9" in [each["member"] for each in (stories.swap(model, 2) or {})["steps"]]
    assert told["Who was recruited"].startswith("Into the arena came r1.")
    newest = model.newest
    assert newest is not None
    refresh = newest.model_copy(update={"kind": "refresh", "trigger": "", "verdict": None, "version": 3, "seq": 3})
    model.hear(Record(at_s + 60, "updates", 0, 78, refresh))
    assert [each["heading"] for each in (stories.swap(model, 3) or {})["words"]] == ["What fired", "What has changed"]


def test_a_swap_that_was_asked_for_names_who_asked() -> None:
    of = ToldModel("fraud", began_s=BEGAN_S)
    model = pictured(extra=(Told(END_S - 900, "answers", of.answer(END_S - 900, "req-7")),))
    newest = model.newest
    assert newest is not None
    asked = newest.model_copy(update={"trigger": "req-7", "version": 3, "seq": 3})
    model.hear(Record(END_S - 300, "updates", 0, 78, asked))
    story = stories.swap(model, 3)
    assert story is not None
    assert story["words"][0]["text"] == "ana asked for it: new tariffs since Monday."


def test_versions_say_how_they_did_since(model: ModelPicture) -> None:
    newest, first = stories.versions(model, END_S)
    assert (newest["version"], newest["displaced_version"], newest["followers"]) == (2, 1, ["scorer-1:71"])
    assert first["followers"] == []
    assert newest["since"]["loss"] < first["since"]["loss"]
    assert newest["since"]["points"] + first["since"]["points"] == len(model.points)


def test_the_audit_has_people_and_the_learner_in_one_order() -> None:
    of = ToldModel("fraud", began_s=BEGAN_S)
    model = pictured(extra=(Told(BEGAN_S + 30, "answers", of.answer(BEGAN_S + 30, "req-1")),))
    entries = stories.audit(model, END_S)
    times = [each["at_s"] for each in entries]
    assert times == sorted(times, reverse=True)
    assert [(each["who"], each["what"], each["outcome"]) for each in entries[-2:]] == [
        ("ana", "retrain", "accepted"),
        ("the learner", "announce version 1 (first)", "done"),
    ]


# ── what a message changes ──────────────────────────────────────────────────────────────────────────────────────────


def told_as(key: str, model: ModelPicture) -> Message:
    several = {"updates": model.updates, "signals": model.signals, "lifecycle": model.steps}
    return several[key][-1].message


@pytest.mark.parametrize("key", ["updates", "signals", "lifecycle"])
def test_exactly_the_parts_that_are_said_to_change_do(key: str) -> None:
    """A page that is only told of these is as new as one that is loaded again."""
    model = pictured()
    before = snapshot.parts(model, END_S, snapshot.PARTS)
    message = told_as(key, model)
    other = (
        message.model_copy(update={"seq": 50, "version": 50})
        if isinstance(message, ModelUpdate)
        else message.model_copy(update={"id": "another"})
    )
    assert model.hear(Record(END_S, key, 0, 5_000, other))
    after = snapshot.parts(model, END_S, snapshot.PARTS)
    really = {name for name in snapshot.PARTS if before[name] != after[name]}
    assert really
    assert really <= snapshot.changed(model, {key})


def test_windows_are_told_when_one_has_ended() -> None:
    picture = Picture()
    of = ToldModel("fraud", began_s=BEGAN_S)
    for number, told in enumerate(of.between(BEGAN_S, BEGAN_S + 200, interval_s=10.0)):
        model = picture.hear(heard(told, number))
        if model is None or told.key != "reports":
            continue
        assert model.report is not None
        assert ("windows" in snapshot.changed(model, {"reports"})) == bool(model.report.windows)
    starts = [each.start for each in picture.models["fraud", "global"].windows["minute"]]
    assert starts == [BEGAN_S + 20, BEGAN_S + 80]


def test_a_dead_letter_is_shown_as_text(model: ModelPicture) -> None:
    shown = snapshot.parts(model, END_S, ["letters"])["letters"]
    assert shown["by_stage"] == {"schema": 1}
    assert shown["listed"][0]["text"].startswith('{"id": "a"')
