"""What rules find of a picture: when each fires, when it does not, and when it cannot be said."""

import re
from pathlib import Path
from typing import Any

import pytest

from anabranch.messages import (
    Coverage,
    CoverageAt,
    FairnessReport,
    FeatureReport,
    GapReport,
    GroupReport,
    LabelBalanceReport,
    LabelShare,
    LabelsReport,
    MemberReport,
    Message,
    RolloutReport,
)
from config.alerts import default_rules
from config.loading import build, load
from config.settings import Settings
from operations.alerts.finding import Finding, Moment
from operations.alerts.rules import KINDS, judged
from operations.picture import Picture
from support.checkout import ROOT
from support.told import NOW_S, ack, alert, everything, heard, letter, report, signal, step, update

HOUR_S = 3600.0
DAY_S = 86_400.0


def settings(**sections: Any) -> Settings:
    model = {"steps": [{"use": "naive_bayes.GaussianNB"}]}
    return build({"name": "m", "task": "binary", "model": model, **sections})


def found(
    picture: Picture, rule: str, *, now_s: float = NOW_S, listening_s: float = 0.0, **sections: Any
) -> Finding | None:
    """What one of the rules that ship finds of model m."""
    several = judged(picture, {"m": settings(**sections)}, Moment(now_s, listening_s))
    return next((each.finding for each in several if each.key.rule == rule), None)


def fires(told: list[tuple[float, Message]], rule: str, **how: Any) -> bool | None:
    """Whether it is on; None: it cannot be said."""
    finding = found(heard(*told), rule, **how)
    return None if finding is None else finding.is_on


def reports(*at: tuple[float, int], **told: Any) -> list[tuple[float, Message]]:
    """Reports at these times, by the number of events; told by the clock, so some are of the same event."""
    clock = {"records_per_s": 50.0, **told}
    return [(at_s, report(n, **{"id": f"m/0/{n}/report/{at_s}", **clock})) for at_s, n in at]


def labels(*by_age: CoverageAt, mature_age_s: float = 60.0) -> LabelsReport:
    plain = dict.fromkeys(("mature_loss", "young_loss", "mature_positives", "young_positives"))
    coverage = Coverage(by_age=by_age, mature_age_s=mature_age_s, **plain)
    return LabelsReport(waiting=10, oldest_s=5.0, early=0, endings={}, coverage=coverage)


# ── nothing is wrong ────────────────────────────────────────────────────────────────────────────────────────────────

QUIET = {
    "an empty picture": [],
    "the first report of a model": reports((NOW_S - 5, 3), scores={}, windowed={"accuracy": 0.0}, unread=5000),
    "a model that has just begun, badly": reports(
        (NOW_S - 60, 100), (NOW_S - 5, 900), windowed={"accuracy": 0.1}, unread=400
    ),
    "a topic without events for a day": [
        (NOW_S - DAY_S, update(1, kind="first", at_s=NOW_S - DAY_S)),
        *reports((NOW_S - DAY_S, 5000), (NOW_S - HOUR_S, 5000), (NOW_S - 5, 5000), records_per_s=0.0),
    ],
    "a healthy one": [
        (NOW_S - 600, update(1, kind="first", at_s=NOW_S - 600)),
        (NOW_S - 20, ack("one", 1, ts=NOW_S - 20)),
        *reports(*((NOW_S - 600 + 5 * n, 5000 + 100 * n) for n in range(120))),
    ],
    "a few refused records": [*reports((NOW_S - 60, 5000), (NOW_S - 5, 5100)), (NOW_S - 30, letter(1))],
}


@pytest.mark.parametrize("told", QUIET.values(), ids=QUIET.keys())
def test_nothing_fires_where_nothing_is_wrong(told: list[tuple[float, Message]]) -> None:
    """No rule that ships."""
    several = judged(heard(*told), {"m": settings(constraints={"min_accuracy": 0.5})}, Moment(NOW_S))
    assert [each.key.rule for each in several if each.finding and each.finding.is_on] == []


# ── each rule ───────────────────────────────────────────────────────────────────────────────────────────────────────

CONSTRAINED: dict[str, Any] = {"constraints": {"min_accuracy": 0.7}}


def test_a_score_is_judged_by_the_constraints() -> None:
    """And by nothing where there are none; a metric that the window does not have says nothing."""
    low = reports((NOW_S, 2000), windowed={"accuracy": 0.65})
    assert fires(low, "score", **CONSTRAINED) is True
    assert fires(low, "score", constraints={"min_accuracy": 0.6}) is False
    assert fires(low, "score", constraints={"max_logloss": 0.6}) is None
    assert fires(low, "score") is None


def test_a_score_of_ones_own() -> None:
    """By its metric, on either side."""
    high = reports((NOW_S, 2000), windowed={"mae": 14.0})
    rules = {"rules": {"mine": {"use": "score", "metric": "mae", "above": 12}}}
    finding = found(heard(*high), "mine", alerts=rules)
    assert finding == Finding(True, 14.0, 12.0, "mae is 14 over the window")


def worse(*, before: float = 0.1, now: float = 0.25, ago_s: float = HOUR_S + 30, events: int = 5000) -> Any:
    champions = [(MemberReport(name="first", kind="champion", loss=loss),) for loss in (before, now)]
    return [
        (NOW_S - ago_s, report(events, members=champions[0])),
        (NOW_S - 5, report(events + 100, members=champions[1])),
    ]


@pytest.mark.parametrize(
    ("how", "is_on"),
    [
        ({}, True),
        ({"now": 0.19}, False),
        ({"ago_s": 600.0}, None),  # there is nothing to compare with yet
        ({"ago_s": 2 * HOUR_S}, None),  # nobody knows how it was an hour ago
        ({"events": 500}, None),  # it had just begun
    ],
    ids=str,
)
def test_a_loss_is_compared_with_that_of_an_hour_ago(how: dict[str, Any], is_on: bool | None) -> None:
    """Where there was a report about then, of a model that had learned enough."""
    assert fires(worse(**how), "worse-than-an-hour-ago") is is_on


def test_drift_fires_for_a_while_after_the_decision() -> None:
    """Not on a signal that decided nothing."""
    assert fires([(NOW_S - 60, signal(10))], "drift") is True
    assert fires([(NOW_S - 60, signal(10, triggered=False))], "drift") is False
    assert fires([(NOW_S - 1000, signal(10))], "drift") is False


def test_drift_says_which_detector_and_when() -> None:
    """The time is that of the signal."""
    finding = found(heard((NOW_S - 60, signal(1233))), "drift")
    assert finding is not None
    assert finding.said == "drift: retraining was decided: 1 in 15 min; the last: adwin at event 1,234"
    assert finding.since_s == NOW_S - 60


def test_signals_of_labels_and_volume_have_a_rule_of_their_own() -> None:
    """One of the error is none of them."""
    assert fires([(NOW_S - 60, signal(10, triggered=False, kind="label"))], "label-shift") is True
    assert fires([(NOW_S - 60, signal(10, triggered=False, kind="error"))], "label-shift") is False


def test_labels_have_stopped_where_records_come_and_nothing_is_learned() -> None:
    """For ten minutes; where no records come either, there is nothing to miss."""
    stopped = reports((NOW_S - 800, 4900), (NOW_S - 700, 5000), *((NOW_S - 5 * n, 5000) for n in range(100, 0, -1)))
    assert fires(stopped, "no-labels") is True
    assert fires(stopped, "no-labels", now_s=NOW_S) is True
    idle = [*stopped[:2], *reports(*((NOW_S - 5 * n, 5000) for n in range(100, 0, -1)), records_per_s=0.0)]
    assert fires(idle, "no-labels") is False
    assert fires([*stopped, *reports((NOW_S, 5010))], "no-labels") is False


def test_labels_that_never_came_yet_are_not_missed() -> None:
    """The first may take weeks."""
    waiting = reports((NOW_S - 5000, 0), (NOW_S - 5, 0), pending=500)
    assert not fires(waiting, "no-labels")


def test_unread_records() -> None:
    """Where the learner says how many there are."""
    assert fires(reports((NOW_S, 2000), unread=20_000), "unread") is True
    assert fires(reports((NOW_S, 2000), unread=None), "unread") is None


def test_one_rollback_and_several() -> None:
    """One within an hour, and more than two within a day, are two alerts; a swap is none."""
    once = [(NOW_S - 600, update(3, kind="rollback")), (NOW_S - 900, update(2))]
    assert fires(once, "rollback") is True
    assert fires(once, "rollbacks-repeated") is False
    assert fires([(NOW_S - 5000, update(3, kind="rollback"))], "rollback") is False
    often = [(NOW_S - HOUR_S * n, update(n, kind="rollback")) for n in (3, 9, 20)]
    assert fires(often, "rollbacks-repeated") is True


def test_the_share_of_refused_records() -> None:
    """Of those that came meanwhile."""
    letters = [(NOW_S - 100 + n, letter(n)) for n in range(20)]
    assert fires([*reports((NOW_S - 700, 5000), (NOW_S - 5, 5100)), *letters], "dead-letters") is True
    assert fires([*reports((NOW_S - 700, 5000), (NOW_S - 5, 7000)), *letters], "dead-letters") is False
    assert fires([*reports((NOW_S - 700, 5000), (NOW_S - 5, 5000)), *letters[:9]], "dead-letters") is False


def test_of_a_flood_of_refused_records_the_last_ones_are_compared() -> None:
    """The picture keeps two hundred: they are a share of what was learned since the first of them."""
    flood = [(NOW_S - 500 + n, letter(n)) for n in range(490)]
    steady = reports(*((NOW_S - 700 + 5 * n, 5000 + 5 * n) for n in range(140)))
    finding = found(heard(*steady, *flood), "dead-letters")
    assert finding is not None
    assert finding.value == pytest.approx(0.5, abs=0.03)


def test_an_announcement_that_is_old_while_the_model_learns() -> None:
    """A day; a model that learns nothing is not old, and one that is out of service neither."""
    first = (NOW_S - 2 * DAY_S, update(1, kind="first", at_s=NOW_S - 2 * DAY_S))
    learning = reports((NOW_S - 60, 5000), (NOW_S - 5, 5100))
    assert fires([first, *learning], "model-old") is True
    assert fires([first, *reports((NOW_S - 60, 5000), (NOW_S - 5, 5000))], "model-old") is None
    gone = (NOW_S - DAY_S - 60, update(2, kind="retired", at_s=NOW_S - DAY_S - 60))
    assert fires([first, gone, *learning], "model-old") is None


def test_a_learner_is_silent_if_it_tells_by_the_clock() -> None:
    """One that tells every so many events only may have none; and twice its interval has to fit."""
    old = reports((NOW_S - 300, 5000))
    assert fires(old, "learner-silent") is True
    assert fires(old, "learner-silent", publish={"report_interval": "0s"}) is None
    assert fires(old, "learner-silent", publish={"report_interval": "90s"}) is None


def test_a_learner_that_has_gone_back_is_not_silent() -> None:
    """It rebuilds its model, or goes on from an older checkpoint: what it tells is of earlier events."""
    assert fires(reports((NOW_S - 300, 5000), (NOW_S - 5, 100)), "learner-silent") is False


def test_who_has_just_begun_to_listen_calls_nobody_silent() -> None:
    """Brokers were away, or the whole machine was: who has told nothing may be about to."""
    old = [*reports((NOW_S - 300, 5000)), (NOW_S - 300, ack("one", 1, ts=NOW_S - 300))]
    for rule in ("learner-silent", "followers-silent"):
        assert fires(old, rule, listening_s=NOW_S - 30) is None
        assert fires(old, rule, listening_s=NOW_S - 200) is True


def test_followers_that_are_silent_or_behind_are_named() -> None:
    """Neither those that have left, nor those that have not had time yet."""
    told = [
        (NOW_S - 900, update(2, at_s=NOW_S - 900)),
        (NOW_S - 200, ack("a", 2, ts=NOW_S - 200)),
        (NOW_S - 5, ack("b", 1, ts=NOW_S - 5, last_refusal="it was made by River 9")),
        (NOW_S - 200, ack("c", 1, ts=NOW_S - 200, left=True)),
        (NOW_S - 5, ack("d", 2, ts=NOW_S - 5)),
    ]
    silent, behind = found(heard(*told), "followers-silent"), found(heard(*told), "followers-behind")
    assert silent is not None
    assert behind is not None
    assert silent.said == "1 followers say nothing: a"
    assert behind.said == "1 followers do not serve version 2: b; one says: it was made by River 9"
    assert fires([(NOW_S - 60, update(3, at_s=NOW_S - 60)), *told], "followers-behind") is None


def test_a_rollout_that_comes_no_further() -> None:
    """It is told what is missing; what is announced of it between two steps is none."""
    rollout = RolloutReport(
        kind="canary", share=5.0, beside=1, labels=3, evidence=0.0, gain=0.0, missing="labels: 3 of 500 have come"
    )
    canary = {"kind": "canary", "share": 5.0, "beside": 1}
    began = (NOW_S - 25 * HOUR_S, update(2, at_s=NOW_S - 25 * HOUR_S, displaced_version=1, **canary))
    again = (NOW_S - HOUR_S, update(3, at_s=NOW_S - HOUR_S, **canary))
    learning = reports((NOW_S - 60, 5000), (NOW_S - 5, 5100), rollout=rollout)
    assert fires([began, again, *learning], "rollout-stuck") is True
    told = found(heard(began, again, *learning), "rollout-stuck")
    assert told is not None
    assert told.said.endswith("missing: labels: 3 of 500 have come")
    step = (NOW_S - HOUR_S, update(3, at_s=NOW_S - HOUR_S, displaced_version=1, **canary))
    assert fires([began, step, *learning], "rollout-stuck") is False
    assert fires([began, *reports((NOW_S - 60, 5000), (NOW_S - 5, 5100))], "rollout-stuck") is None
    # Most keys have the version before: followers that serve it are not behind.
    first, serving = (NOW_S - 900, update(1, at_s=NOW_S - 900)), (NOW_S - 5, ack("a", 1, ts=NOW_S - 5))
    assert fires([first, again, serving], "followers-behind") is False


def test_a_probation_without_end() -> None:
    """As long as events are learned; one that has ended is none."""
    began = [(NOW_S - 7 * HOUR_S, step(10, before="arena", after="probation"))]
    learning = reports((NOW_S - 60, 5000), (NOW_S - 5, 5100))
    assert fires([*began, *learning], "probation-stuck") is True
    ended = (NOW_S - HOUR_S, step(20, before="probation", after="serving"))
    assert fires([*began, ended, *learning], "probation-stuck") is None
    assert fires([*began, *reports((NOW_S - 5, 5000))], "probation-stuck") is None


def test_coverage_is_judged_where_labels_should_be_there() -> None:
    """At the age by which most of those that come have come; of a hundred events or more."""
    young, old = CoverageAt(age_s=10, asked=900, share=0.1), CoverageAt(age_s=600, asked=500, share=0.4)
    assert fires(reports((NOW_S, 2000), labels=labels(young, old)), "coverage") is True
    good = CoverageAt(age_s=600, asked=500, share=0.9)
    assert fires(reports((NOW_S, 2000), labels=labels(young, good)), "coverage") is False
    few = CoverageAt(age_s=600, asked=50, share=0.1)
    assert fires(reports((NOW_S, 2000), labels=labels(few)), "coverage") is None


def test_a_gap_between_groups() -> None:
    """Small groups say nothing."""
    groups = [GroupReport(group=name, events=500, rate=rate) for name, rate in (("a", 0.9), ("b", 0.6))]
    tiny = GroupReport(group="c", events=5, rate=0.0)
    assert fires(reports((NOW_S, 2000), groups=(*groups, tiny)), "group-gap") is True
    assert fires(reports((NOW_S, 2000), groups=(groups[0], tiny)), "group-gap") is None


def test_a_gap_between_sensitive_groups_that_is_no_chance() -> None:
    """The lower end counts. Selection rates may differ with what is right, unless somebody asks for them."""
    apart = {"most": "old", "least": "young"}
    sure = GapReport(criterion="accuracy", difference=0.3, low=0.15, high=0.5, **apart)
    unsure = GapReport(criterion="equalized-odds", difference=0.6, low=0.05, high=0.9, **apart)
    parity = GapReport(criterion="demographic-parity", difference=0.6, low=0.5, high=0.7, **apart)

    def of(*gaps: GapReport) -> tuple[FairnessReport, ...]:
        return (FairnessReport(feature="age", groups=(), gaps=gaps),)

    finding = found(heard(*reports((NOW_S, 2000), fairness=of(sure, unsure, parity))), "fairness-gap")
    assert finding is not None
    assert (finding.is_on, finding.value) == (True, 0.15)
    assert finding.said == "the accuracy gap by age is 0.3 (young to old), at least 0.15"
    assert fires(reports((NOW_S, 2000), fairness=of(unsure, parity)), "fairness-gap") is False
    assert fires(reports((NOW_S, 2000), fairness=of(parity)), "fairness-gap") is None
    assert fires(reports((NOW_S, 2000)), "fairness-gap") is None


def test_a_feature_that_has_moved() -> None:
    """The furthest is named."""
    plain: dict[str, Any] = {"events": 500, "before": (), "now": (), "missing_before": 0.0, "missing": 0.0}
    features = (FeatureReport(feature="amount", psi=0.4, **plain), FeatureReport(feature="hour", psi=0.1, **plain))
    finding = found(heard(*reports((NOW_S, 2000), features=features)), "feature-shift")
    assert finding is not None
    assert (finding.is_on, finding.said) == (True, "the distribution of amount has moved: PSI 0.40")


def balance(effect: float, *, events: int = 500, was: float = 0.1, now: float = 0.25) -> LabelBalanceReport:
    shares = tuple(
        LabelShare(label=name, before=b, now=n) for name, b, n in (("no", 1 - was, 1 - now), ("yes", was, now))
    )
    return LabelBalanceReport(events_before=500, events=events, effect=effect, shares=shares, furthest="yes")


def test_labels_that_are_distributed_otherwise() -> None:
    """The label that moved most is named; a model that has just begun, or one with few labels, is not judged."""
    finding = found(heard(*reports((NOW_S, 2000), balance=balance(0.41))), "label-balance")
    assert finding is not None
    assert finding.is_on
    assert "yes was 10.0% of them, and is 25.0% of the last 500" in finding.said
    assert fires(reports((NOW_S, 2000), balance=balance(0.2)), "label-balance") is False
    assert fires(reports((NOW_S, 2000), balance=balance(0.9, events=100)), "label-balance") is None
    assert fires(reports((NOW_S, 900)), "label-balance") is None


def test_numbers_as_labels_that_have_moved() -> None:
    """By their mean."""
    moved = LabelBalanceReport(
        events_before=500, events=500, effect=1.5, mean_before=3.0, mean=6.0, sd_before=2.0, sd=2.0
    )
    finding = found(heard(*reports((NOW_S, 2000), balance=moved)), "label-balance")
    assert finding is not None
    assert (finding.is_on, finding.value) == (True, 1.5)
    assert "their mean was 3, and is 6" in finding.said


def test_answers_that_cannot_be_used() -> None:
    """Of the champion; a shadow's hurt nobody."""
    members = (MemberReport(name="f", kind="champion", loss=0.1, unusable=0.02),)
    assert fires(reports((NOW_S, 2000), members=members), "unusable") is True
    shadow = (
        MemberReport(name="f", kind="champion", loss=0.1),
        MemberReport(name="s", kind="recruit", loss=1, unusable=1),
    )
    assert fires(reports((NOW_S, 2000), members=shadow), "unusable") is False


def test_what_the_learner_asks_somebody_to_look_at() -> None:
    """An alert of its own; not what is only worth knowing."""
    assert fires([(NOW_S - 60, alert(5))], "learner-alert") is True
    assert fires([(NOW_S - 60, alert(5, level="info"))], "learner-alert") is False


# ── all rules ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_kind_ships_and_is_explained() -> None:
    """In the document, with its name; and each rule that ships."""
    document = (ROOT / "docs" / "ALERTS.md").read_text()
    assert {each["use"] for each in default_rules().values()} == KINDS.keys()
    assert [name for name in (*KINDS, *default_rules()) if f"`{name}`" not in document] == []


def test_the_configuration_in_the_document_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands there, with the secret from the environment."""
    (text,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "ALERTS.md").read_text(), re.DOTALL)
    path = tmp_path / "m.toml"
    path.write_text(f'name = "m"\ntask = "binary"\n{text}[model]\nsteps = [{{ use = "naive_bayes.GaussianNB" }}]\n')
    monkeypatch.setenv("HOOK_SECRET", "of this test")
    alerts = load(path).alerts
    assert alerts.sinks.keys() == {"on-call", "alertmanager"}
    assert (alerts.rules["unread"].above, alerts.rules["mae-high"].lasting) == (500, 600)
    assert alerts.silences[0].rules == ("drift", "feature-shift")


def test_a_rule_is_changed_key_by_key_and_can_be_switched_off() -> None:
    """The others stay as they ship."""
    rules = {"unread": {"above": 5}, "drift": {"enabled": False}, "coverage": {"above": 0.9}}
    changed = settings(alerts={"rules": rules}).alerts.rules
    assert (changed["unread"].above, changed["unread"].lasting) == (5, 300)
    assert (changed["coverage"].below, changed["coverage"].above) == (None, 0.9)
    assert found(everything(), "drift", alerts={"rules": rules}) is None
    assert changed.keys() == default_rules().keys()


def test_models_of_other_configurations_are_not_judged() -> None:
    """They have rules of their own."""
    assert judged(everything(), {"other": settings()}, Moment(NOW_S)) == []
