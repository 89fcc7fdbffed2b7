"""How each group is served: what is counted, what it is beside fairlearn, and that counting changes nothing else."""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from anabranch.errors import ConfigError
from anabranch.events import Prediction
from anabranch.messages import FairnessReport, GapReport, ModelReport, ServedGroup
from config.loading import build
from config.settings import Settings
from detectors.watch import Watch
from learners.fairness import OTHERS, Fairness
from learners.lane import Lane
from learners.models import catalogue
from learners.models.tasks import Task
from support.lanes import QUICK, Reads, ReadsNumber, contested, digest, event, lane_of, settings_of, twin_of


def built(**more: Any) -> Settings:
    """Quick settings with keys of the top of the file changed."""
    metrics = ["Accuracy"] if more.get("task", "binary") == "binary" else ["MAE"]
    return build({**QUICK, "scores": {"metrics": metrics, "window": 50}, **more})


def counting(task: str = "binary", **fairness: Any) -> Fairness:
    """What counts under this configuration."""
    settings = built(task=task, fairness={"sensitive": ["g"], **fairness})
    return Fairness(settings, task=Task(settings, wants_proba=False))


def told(fairness: Fairness) -> FairnessReport:
    (report,) = fairness.reports()
    return report


def groups(report: FairnessReport) -> dict[str, ServedGroup]:
    return {each.group: each for each in report.groups}


def gaps(report: FairnessReport) -> dict[str, GapReport]:
    return {each.criterion: each for each in report.gaps}


def test_each_rate_is_a_share_of_what_its_name_says() -> None:
    """By hand: of 100 events, 40 labels are positive, 50 answers, 30 both."""
    fairness = counting()
    for y, answer, times in ((True, True, 30), (True, False, 10), (False, True, 20), (False, False, 40)):
        for _ in range(times):
            fairness.update({"g": "a"}, y, Prediction(answer, {True: 0.75 if answer else 0.25, False: 0.5}))
    (found,) = told(fairness).groups
    assert (found.events, found.selection_rate, found.tpr, found.fpr) == (100, 0.5, 0.75, pytest.approx(1 / 3))
    assert (found.precision, found.accuracy, found.said, found.came) == (0.6, 0.7, 0.5, 0.4)
    assert told(fairness).gaps == ()  # of one group


def test_a_rate_that_divides_by_nothing_is_not_told() -> None:
    """A group without positive labels has no true positive rate, and is no end of a gap."""
    fairness = counting()
    for n in range(200):
        fairness.update({"g": "a"}, n % 2 == 0, Prediction(n % 2 == 0))
        fairness.update({"g": "b"}, False, Prediction(False))
    report = told(fairness)
    assert groups(report)["b"].tpr is None
    assert groups(report)["b"].precision is None
    assert "tpr" not in groups(report)["b"].model_dump()
    assert {"demographic-parity", "accuracy"} == set(gaps(report))


def test_calibration_compares_what_was_said_with_what_came() -> None:
    """Said of both is .5; of one group half come true, of the other a quarter. The interval is that of what came."""
    fairness = counting()
    for n in range(4000):
        for group, every in (("a", 2), ("b", 4)):
            fairness.update({"g": group}, n % every == 0, Prediction(True, {True: 0.5, False: 0.5}))
    found = gaps(told(fairness))["calibration"]
    assert (found.most, found.difference, found.ratio) == ("b", 0.25, None)
    parity = gaps(told(fairness))["predictive-parity"]
    assert (found.low, found.high) == (pytest.approx(parity.low), pytest.approx(parity.high))


def test_an_answer_that_cannot_be_used_is_wrong_and_selects_nobody() -> None:
    fairness = counting()
    for y in (True, False):
        fairness.update({"g": "a"}, y, Prediction(None, unusable="NaN"))
    (found,) = told(fairness).groups
    assert (found.selection_rate, found.accuracy, found.tpr, found.fpr) == (0.0, 0.0, 0.0, 0.0)


def test_numbers_are_compared_by_their_error() -> None:
    """In the label's unit for people, and bounded for the gap; an answer that cannot be used costs all."""
    fairness = counting("regression")
    fairness.task.scale.update(1.0)
    for _ in range(100):
        fairness.update({"g": "a"}, 10.0, Prediction(12.0))
        fairness.update({"g": "b"}, 10.0, Prediction(11.0))
    report = told(fairness)
    assert {name: each.error for name, each in groups(report).items()} == {"a": 2.0, "b": 1.0}
    assert gaps(report)["error"].difference == pytest.approx(0.25)
    fairness.update({"g": "b"}, 10.0, Prediction(None, unusable="NaN"))
    assert groups(told(fairness))["b"].error == 1.0


def test_groups_beyond_the_bound_are_one() -> None:
    """Those that came first are named; who is named keeps its name as long as it comes."""
    fairness = counting(groups_max=3, window=100)
    for n in range(1000):
        fairness.update({"g": n if n > 900 else n % 3}, True, Prediction(True))
    named = groups(told(fairness))
    assert set(named) == {"0", "1", "2", OTHERS}
    assert named[OTHERS].events == 99
    assert sum(each.events for each in named.values()) == 200


def test_counts_cover_one_to_two_windows() -> None:
    """What was long ago is forgotten, in whole blocks; events without the feature are counted apart."""
    fairness = counting(window=100)
    for n in range(350):
        x = {} if n % 10 == 0 else {"g": "early" if n < 200 else "late"}
        fairness.update(x, True, Prediction(True))
    assert [(each.group, each.events) for each in told(fairness).groups] == [("late", 135)]
    assert told(fairness).missing == 15


def test_numbers_are_cut_into_bands() -> None:
    """A cut belongs to the band above it; what is no number is a group of its own."""
    fairness = counting(bands={"g": [30, 45, 60]})
    for value in (18, 29.5, 30, 45, 59, 60, 99, "unknown"):
        fairness.update({"g": value}, True, Prediction(True))
    counted = {name: each.events for name, each in groups(told(fairness)).items()}
    assert counted == {"under 30": 2, "30 to 45": 1, "45 to 60": 2, "60 and over": 2, "unknown": 1}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fairness": {"sensitive": ["g"], "bands": {"g": [60, 30]}}}, "`fairness.bands.g` has to grow"),
        ({"fairness": {"sensitive": ["g", "g"]}}, "names a feature twice"),
        ({"fairness": {"bands": {"age": [30]}}}, "`fairness.bands.age` cuts a feature that is no group"),
        ({"task": "rank", "fairness": {"sensitive": ["g"]}}, 'task = "rank" puts items in order'),
    ],
)
def test_what_cannot_be_compared_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        built(**wrong)


# ── in a lane ───────────────────────────────────────────────────────────────────────────────────────────────────────

OFTEN: dict[str, Any] = {
    "publish": {"report_events": 500},
    "fairness": {"sensitive": ["land", "age"], "bands": {"age": [40]}},
}


def fed(lane: Lane, count: int) -> list[ModelReport]:
    """What is reported of so many events; in PT every fourth positive is missed."""
    found = []
    for n in range(lane.events, lane.events + count):
        y, land = n % 2 == 0, "PT" if n % 3 else "FR"
        lane_told = lane.on_event(event(n, y=y, c=y and not (land == "PT" and n % 4 == 0), land=land, age=n % 80))
        found += [each for each in lane_told if isinstance(each, ModelReport)]
    return found


def test_a_report_tells_each_group_and_the_gaps() -> None:
    (report,) = fed(lane_of(**OFTEN), 500)
    land, age = report.fairness
    assert (land.feature, age.feature) == ("land", "age")
    assert groups(land)["FR"].tpr == 1.0
    assert groups(land)["PT"].tpr == pytest.approx(0.5, abs=0.01)
    found = gaps(land)["equal-opportunity"]
    assert (found.least, found.most) == ("PT", "FR")
    assert found.low < found.difference < found.high
    assert {each.group for each in age.groups} == {"under 40", "40 and over"}
    assert report.model_dump(mode="json")["fairness"][0]["feature"] == "land"


def test_counting_decides_nothing() -> None:
    """The same without it: the learning state, and a report but for what it tells of groups."""
    with_groups, without = lane_of(**OFTEN), lane_of(publish=OFTEN["publish"])
    (told_with,), (told_without,) = fed(with_groups, 500), fed(without, 500)
    assert digest(with_groups) == digest(without)
    assert "fairness" not in told_without.model_dump()
    assert told_with.model_copy(update={"fairness": ()}) == told_without


def test_counts_are_in_the_checkpoint() -> None:
    """A lane that goes on from one says the same as one that never stopped."""
    straight, first = lane_of(**OFTEN), lane_of(**OFTEN)
    fed(first, 777)
    assert fed(straight, 1500)[1:] == fed(twin_of(first), 1500 - 777)


def test_a_checkpoint_of_before_begins_to_count() -> None:
    """Without the section there was nothing to keep."""
    before = lane_of(publish=OFTEN["publish"])
    fed(before, 250)
    lane = twin_of(before, settings_of(**OFTEN))
    (report,) = fed(lane, 250)
    assert sum(each.events for each in report.fairness[0].groups) == 250


def test_counting_begins_again_with_another_champion() -> None:
    """What the displaced one did to a group is not held against its successor."""
    lane = contested(Reads("s"), fairness={"sensitive": ["land"]})
    begun = lane.champion.name
    for n in range(100, 400):
        lane.on_event(event(n, c=False, land="PT"))
        if lane.champion.name != begun:
            break
    assert lane.champion.name != begun
    assert lane.observed.fairness_reports()[0].groups == ()


def test_regressors_are_told_by_their_error() -> None:
    settings = built(task="regression", fairness={"sensitive": ["land"]})
    lane = Lane(settings, ReadsNumber("p"), watch=Watch(settings))
    for n in range(200):
        lane.on_event(event(n, y=1.0, p=3.0 if n % 2 else 1.0, land="PT" if n % 2 else "FR"))  # type: ignore[arg-type]
    (report,) = lane.observed.fairness_reports()
    assert {each.group: each.error for each in report.groups} == {"FR": 0.0, "PT": 2.0}
    assert [each.criterion for each in report.gaps] == ["error"]


# ── beside fairlearn ────────────────────────────────────────────────────────────────────────────────────────────────


class Served(NamedTuple):
    """An event, what was answered, and its label."""

    group: str
    y: bool
    answer: bool


def stream(seed: int, events: int = 3000) -> Iterator[Served]:
    """Three groups of different size that are served differently."""
    rng = random.Random(seed)
    for _ in range(events):
        group = rng.choices("abc", [0.6, 0.3, 0.1])[0]
        y = rng.random() < {"a": 0.4, "b": 0.25, "c": 0.5}[group]
        yield Served(group, y, rng.random() < ({"a": 0.8, "b": 0.6, "c": 0.7}[group] if y else 0.2))


@pytest.mark.peers
@pytest.mark.parametrize("seed", [1, 2])
def test_gaps_and_rates_are_fairlearns(seed: int) -> None:
    """To the last digits: what people know by a name from there is called so here."""
    fairlearn = pytest.importorskip("fairlearn.metrics", reason="fairlearn is not installed: `make peers`")
    sklearn = pytest.importorskip("sklearn.metrics")
    several = list(stream(seed))
    fairness = counting()
    for each in several:
        fairness.update({"g": each.group}, each.y, Prediction(each.answer))
    report = told(fairness)
    y, answers, sensitive = ([getattr(each, name) for each in several] for name in ("y", "answer", "group"))
    found, given = gaps(report), {"sensitive_features": sensitive}
    for criterion, name in (
        ("demographic-parity", "demographic_parity"),
        ("equal-opportunity", "equal_opportunity"),
        ("equalized-odds", "equalized_odds"),
    ):
        difference = getattr(fairlearn, f"{name}_difference")(y, answers, **given)
        ratio = getattr(fairlearn, f"{name}_ratio")(y, answers, **given)
        assert found[criterion].difference == pytest.approx(difference, abs=1e-12)
        assert found[criterion].ratio == pytest.approx(ratio, abs=1e-12)
    frame = fairlearn.MetricFrame(
        metrics={
            "selection_rate": fairlearn.selection_rate,
            "tpr": fairlearn.true_positive_rate,
            "fpr": fairlearn.false_positive_rate,
            "precision": sklearn.precision_score,
            "accuracy": sklearn.accuracy_score,
            "events": fairlearn.count,
        },
        y_true=y,
        y_pred=answers,
        **given,
    )
    for name, each in groups(report).items():
        for metric, value in frame.by_group.loc[name].items():
            assert getattr(each, metric) == pytest.approx(value, abs=1e-12)
    for metric, criterion in (("precision", "predictive-parity"), ("accuracy", "accuracy")):
        assert found[criterion].difference == pytest.approx(frame.difference()[metric], abs=1e-12)
        assert found[criterion].ratio == pytest.approx(frame.ratio()[metric], abs=1e-12)


# ── mitigation in the race ──────────────────────────────────────────────────────────────────────────────────────────


def unfair(lane: Lane, count: int, *, seed: int = 5) -> Iterator[ModelReport]:
    """In PT three of ten labels are positive, elsewhere more than half; `a` tells something of the label."""
    rng = random.Random(seed)
    for n in range(lane.events, lane.events + count):
        is_pt = rng.random() < 0.3
        y = rng.random() < (0.3 if is_pt else 0.55)
        x = {"land": "PT" if is_pt else "FR", "a": rng.gauss(float(y), 1), "b": float(is_pt)}
        yield from (each for each in lane.on_event(event(n, y=y, **x)) if isinstance(each, ModelReport))


def test_the_verdict_on_a_mitigated_shadow_tells_what_it_costs_and_wins() -> None:
    """Both run beside the champion: they are right less often, and treat groups more alike."""
    linear = {"use": "linear_model.LogisticRegression"}
    seen = {"use": "compose.Select", "keys": ["a", "b", "land"]}
    onehot = {"use": "compose.SelectType", "types": ["number"]}
    inner = {"use": "compose.Pipeline", "steps": [onehot, linear]}
    around = {"feature": "land", "model": inner}
    settings = built(
        model={"steps": [seen, onehot, linear]},
        shadows={
            "standing": [
                {"name": "weighed", "steps": [seen, {"use": "fairness.Reweighing", **around}]},
                {"name": "thresholds", "steps": [seen, {"use": "fairness.GroupThresholds", **around}]},
            ]
        },
        constraints={"group": "land", "group_metric": "demographic-parity", "window": 2000},
        arena={"min_gain": 0.1},
        scores={"metrics": ["Accuracy"], "window": 2000},
        detectors={},
        publish={"report_events": 4000},
    )
    lane = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))
    (report,) = unfair(lane, 4000)
    verdicts = {each.name: each.verdict for each in report.members if each.verdict}
    assert set(verdicts) == {"weighed", "thresholds"}
    champion = {each.group: each.rate for each in report.groups}
    for verdict in verdicts.values():
        assert verdict.gap_won is not None
        assert verdict.gap_won > 0.5 * (champion["FR"] - champion["PT"]) > 0.1
        assert verdict.lost is not None
        assert 0.0 < verdict.lost < 0.06
    assert lane.champion.name == "first"


def test_without_groups_a_verdict_is_what_it_was() -> None:
    lane = contested(Reads("s"))
    report = lane.report_between(mark="1")
    assert report is not None
    verdict = report.members[1].verdict
    assert verdict is not None
    assert not {"gap_won", "lost"} & set(verdict.model_dump())
