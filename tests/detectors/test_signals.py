"""Signals in the lane: what their messages say, what they recruit, and configurations that are refused."""

import random
import re
import tomllib
from typing import Any

import numpy as np
import orjson
import pytest
from river import base

from anabranch import statetree
from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import DriftSignal, Retrain, decode, encode
from config.loading import build
from detectors.catalogue import signal_of
from detectors.columns import column
from detectors.distribution_signals import DistributionSettings, Inputs
from detectors.schedule import EventClock
from detectors.threshold import Threshold, ThresholdSettings
from detectors.watch import Watch
from learners.lane import Lane
from learners.models import catalogue
from learners.retraining import Job
from support.checkout import ROOT


class Always(base.Classifier):
    """Answers true and learns nothing."""

    def predict_one(self, x: dict[str, Any], **kwargs: Any) -> bool:
        """Always the same."""
        return True

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Nothing."""


RECRUITS = [{"on": "detector-window", "events": 30}, {"on": "last"}]
INPUTS = {"use": "inputs", "reference_events": 400, "window": 200}


def settings_of(**more: Any) -> Any:
    table = {
        "name": "m",
        "task": "binary",
        "model": {"factory": f"{__name__}:Always", "trusted": [f"{__name__}:Always"]},
        "scores": {"metrics": ["Accuracy"]},
        "publish": {"warm_up_events": 50},
        "retrain": {"recruits": RECRUITS},
    }
    return build({**table, **more})


def lane_of(**more: Any) -> Lane:
    settings = settings_of(**more)
    return Lane(settings, Always(), watch=Watch(settings))


def learned(lane: Lane, several: list[tuple[dict[str, Any], Any, float]]) -> list[Any]:
    """What a lane says to events with these features, labels and times."""
    events = [AcceptedEvent(f"e{n}", x, y, ts, 0, n) for n, (x, y, ts) in enumerate(several)]
    return [said for event in events for said in lane.on_event(event)]


def moved_at(n: int, count: int, y: Any = True) -> list[tuple[dict[str, Any], Any, float]]:
    """Events of which only the inputs move, at event `n`; the champion is always right."""
    rng = random.Random(1)
    return [({"a": rng.gauss(2.0 * (k >= n), 1), "b": rng.random()}, y, float(k)) for k in range(count)]


def signals(said: list[Any]) -> list[DriftSignal]:
    return [each for each in said if isinstance(each, DriftSignal)]


def test_data_drift_alone_recruits() -> None:
    """The error never moves; the message names the feature, where from and where to, and what to retrain on."""
    said = learned(lane_of(detectors={"inputs": INPUTS}), moved_at(800, 1200))
    (signal,) = signals(said)
    assert (signal.kind, signal.triggered, [each.feature for each in signal.moved]) == ("input", True, ["a"])
    assert signal.moved[0].before["mean"] < 0.2
    assert signal.moved[0].after["mean"] > 1.0
    assert 800 <= signal.offset <= 1050
    assert sum(each.end - each.start for each in signal.window) == signal.window_events == 250
    assert [each.reason for each in said if isinstance(each, Job)] == ["drift: inputs"]
    assert decode(DriftSignal, encode(signal)) == signal


def test_data_drift_needs_no_labels() -> None:
    """The same is signalled where labels have not come yet; there is nothing learned to retrain on before them."""
    said = learned(lane_of(detectors={"inputs": INPUTS}), moved_at(800, 1200, y=None))
    assert [(each.kind, each.event_number, 800 <= each.offset <= 1050) for each in signals(said)] == [
        ("input", 0, True)
    ]


def test_an_event_brings_the_label_and_the_signal_of_its_own() -> None:
    """A signal on an event's features bears that event's number, as one on its label does."""
    lane = lane_of(
        detectors={"due": {"use": "schedule", "every_events": 100}, "full": {"use": "volume", "labels": 100}}
    )
    said = signals(learned(lane, moved_at(0, 100)))
    assert [(each.kind, each.event_number, each.offset) for each in said] == [
        ("volume", 100, 99),
        ("schedule", 100, 99),
    ]


def test_a_message_of_before_still_decodes() -> None:
    """Who wrote it knew of no kinds and no windows."""
    old = {"id": "m/0/1/a", "model": "m", "detector": "a", "partition": 0, "offset": 1, "event": 2, "statistic": 0.5}
    rest = {"threshold": 0.1, "change_point": 1, "window_events": 2, "triggered": True}
    signal = decode(DriftSignal, orjson.dumps({**old, **rest}))
    assert (signal.kind, signal.moved, signal.window, signal.dry_run) == ("error", (), (), False)


def test_a_dry_run_says_what_it_would_do() -> None:
    """And does nothing."""
    lane = lane_of(detectors={"due": {"use": "schedule", "every_events": 600}}, trigger={"dry_run": True})
    said = learned(lane, moved_at(0, 1300))
    assert [(each.triggered, each.dry_run, each.withheld) for each in signals(said)] == [(False, True, "dry run")] * 2
    assert not [each for each in said if isinstance(each, Job)]


def test_signals_together_are_all_named() -> None:
    """The second of two that must come together names the first, with its place and what it found."""
    detectors = {"late": {"use": "schedule", "every_events": 130}, "early": {"use": "volume", "labels": 100}}
    said = signals(learned(lane_of(detectors=detectors, trigger={"when": {"at_least": 2}}), moved_at(0, 150)))
    assert [(each.detector, each.triggered) for each in said] == [("early", False), ("late", True)]
    assert [(each.detector, each.kind, each.offset, each.threshold) for each in said[1].counted] == [
        ("early", "volume", 99, 100.0),
        ("late", "schedule", 129, 130.0),
    ]


@pytest.mark.parametrize("schedule", [{"every": "1h"}, {"cron": "0 0 1 1 *"}])
def test_one_event_from_the_future_sets_nothing_off(schedule: dict[str, str]) -> None:
    """Nor two in a row: three of five must agree on the time."""
    lane = lane_of(detectors={"due": {"use": "schedule", **schedule}})
    future = [({"a": 1.0}, True, 4.0e9)]
    normal = [({"a": 1.0}, True, 1.6e9 + n) for n in range(100)]
    assert signals(learned(lane, [*normal[:50], *future, *future, *normal[50:]])) == []


def test_time_goes_on_the_same_from_a_state() -> None:
    """With the events that have not moved it yet."""
    clock, twin = EventClock(), EventClock()
    for ts in (5.0, 1.0, 9.0, 3.0):
        clock.update(ts)
    twin.restore(statetree.decode(statetree.encode(clock.state())))
    assert [clock.update(ts) for ts in (8.0, 2.0, 11.0)] == [twin.update(ts) for ts in (8.0, 2.0, 11.0)]


def test_new_labels_are_counted_from_the_last_retraining() -> None:
    """One for another reason, 150 events after the first labels, puts the volume off."""
    detectors = {"full": {"use": "volume", "labels": 200}, "due": {"use": "schedule", "every_events": 150}}
    lane = lane_of(detectors=detectors, trigger={"debounce_events": 0}, retrain={"jobs_max": 10, "recruits": RECRUITS})
    said = signals(learned(lane, moved_at(0, 640)))
    assert {each.detector for each in said} == {"due"}


def test_a_metric_is_compared_with_the_champions_own_first_window() -> None:
    """`worsens_by`: from .9 to .7 is a fall by .2; a champion that begins at .7 sets nothing off."""
    settings = ThresholdSettings(metric="Accuracy", window=200, worsens_by=0.15)
    signal, other = (Threshold("it", settings, task="binary") for _ in range(2))
    rights = [n % 10 != 0 for n in range(400)] + [n % 10 > 2 for n in range(400)]
    fired = [n for n, right in enumerate(rights, 1) if signal.on_label(True, Prediction(right), now_s=None)]
    assert len(fired) == 1
    assert 500 < fired[0] <= 640
    assert not any(other.on_label(True, Prediction(right), now_s=None) for right in rights[400:])


def test_a_metric_that_crossed_fires_again_only_after_it_has_recovered() -> None:
    """Hysteresis: `recovers_by` beyond the bound."""
    settings = ThresholdSettings(metric="Accuracy", window=100, below=0.7, recovers_by=0.1)
    signal = Threshold("it", settings, task="binary")
    parts = [(1, 300), (0.6, 300), (0.75, 300), (0.6, 300), (0.9, 300), (0.6, 300)]
    rights = [(n % 20) < 20 * share for share, count in parts for n in range(count)]
    fired = [n for n, right in enumerate(rights, 1) if signal.on_label(True, Prediction(right), now_s=None)]
    assert [(n - 1) // 300 for n in fired] == [1, 5]


@pytest.mark.parametrize("metric", ["ROCAUC", "BalancedAccuracy", "Recall", "Precision", "F1", "MCC", "CohenKappa"])
def test_a_window_without_positives_is_no_judgement(metric: str) -> None:
    """A champion that is always right, on positives that mostly are not there, never sets a metric's signal off."""
    signal = Threshold("it", ThresholdSettings(metric=metric, window=100, below=0.7), task="binary")
    worse = Threshold("it", ThresholdSettings(metric=metric, window=100, worsens_by=0.1), task="binary")
    for n in range(2000):
        answer = Prediction(n % 450 < 3, {True: float(n % 450 < 3), False: float(n % 450 >= 3)})
        assert signal.on_label(n % 450 < 3, answer, now_s=None) is None
        assert worse.on_label(n % 450 < 3, answer, now_s=None) is None
    assert worse.reference == 1


def test_a_champion_that_misses_the_positives_that_there_are_is_judged() -> None:
    """The silence is about what the window lacks, not about rarity."""
    signal = Threshold("it", ThresholdSettings(metric="Recall", window=100, below=0.7), task="binary")
    assert [n for n in range(1, 301) if signal.on_label(n == 150, Prediction(False), now_s=None)] == [160]


@pytest.mark.parametrize("test", ["ks", "psi", "jensen-shannon", "wasserstein"])
def test_p_values_are_honest(test: str) -> None:
    """Of 300 windows from the reference's own distribution, at most 8 % have a p-value below .05 (seed 1)."""
    rng = np.random.default_rng(1)
    low = 0
    for _ in range(300):
        each = column(rng.normal(size=2000).tolist())
        each.slide(rng.normal(size=500).tolist(), blocks_max=1)
        low += dict(each.tests(test))[test].p_value < 0.05
    assert low <= 24


COLUMNS: dict[str, tuple[Any, Any]] = {
    "a constant spreads": (lambda rng: 1.0, lambda rng: rng.uniform(0, 100)),
    "another constant": (lambda rng: 5, lambda rng: 6),
    "a constant just above": (lambda rng: 5.0, lambda rng: 5.0000001),
    "a constant below": (lambda rng: 5, lambda rng: 4),
    "two constants, then between": (lambda rng: rng.choice((1, 2)), lambda rng: 1.5),
    "integers become fractions": (lambda rng: rng.randrange(4), lambda rng: rng.uniform(0, 3)),
    "a tail beyond the range": (
        lambda rng: 0 if rng.random() < 0.8 else rng.expovariate(1),
        lambda rng: 0 if rng.random() < 0.8 else 50 + rng.expovariate(1),
    ),
    "zeros only": (lambda rng: 0 if rng.random() < 0.7 else rng.expovariate(1), lambda rng: 0),
    "ties at the top": (lambda rng: min(rng.gauss(0, 1), 0.5), lambda rng: 0.5),
}


@pytest.mark.parametrize("test", ["ks", "psi", "jensen-shannon", "wasserstein"])
@pytest.mark.parametrize(("before", "after"), COLUMNS.values(), ids=COLUMNS)
def test_a_frequent_value_that_moves_is_noticed(before: Any, after: Any, test: str) -> None:
    """It has a bin of its own, and what lies beyond the reference's range is new; nothing fires before it moves."""
    rng, signal = random.Random(11), Inputs("inputs", DistributionSettings(test=test))  # type: ignore[arg-type]
    fired = [n for n in range(9000) if signal.update({"k": (before if n < 6000 else after)(rng)})]
    assert len(fired) == 1
    assert 6000 < fired[0] <= 7000


def test_columns_of_an_older_layout_begin_afresh() -> None:
    """Their bins cannot be told from today's: a new reference is taken, and nothing raises."""
    signal, later = (Inputs("inputs", DistributionSettings(reference_events=300)) for _ in range(2))
    for n in range(400):
        signal.update({"k": n % 7})
    state = signal.state()
    del state["columns"]["k"]["layout"]
    later.restore(state)
    assert (later.columns, later.wanted) == (None, 300)


def test_values_that_hang_on_those_before_them_set_nothing_off() -> None:
    """An autocorrelation of .9 without drift: at most one signal in 20,000 events (seed 2)."""
    rng, value, fired = random.Random(2), 0.0, 0
    signal = Inputs("inputs", DistributionSettings())
    for _ in range(20_000):
        value = 0.9 * value + rng.gauss(0, 0.19**0.5)
        fired += signal.update({"a": value}) is not None
    assert fired <= 1


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"use": "drift.ADWYN"}, "did you mean 'drift.ADWIN'?"),
    ({"use": "drift.DDM"}, "did you mean 'drift.binary.DDM'?"),
    ({"use": "drift.ADWIN", "delte": 1}, "no parameter `delte`; did you mean `delta`?"),
    ({"use": "sr.SRDetector", "arl": 0}, "refuses its parameters: arl is a number of events"),
    ({"use": "inputs", "window": 100}, "window must be 200 or more, not 100"),
    ({"use": "inputs", "tests": "ks"}, "unknown key `tests`; did you mean `test`?"),
    ({"use": "inputs", "test": "kolmogorov"}, "test must be 'ks', 'psi'"),
    ({"use": "threshold", "metric": "Acuracy", "below": 0.5}, "did you mean Accuracy?"),
    ({"use": "threshold", "metric": "MAE", "below": 0.5}, "MAE does not fit task = 'binary'"),
    ({"use": "threshold", "metric": "Accuracy"}, "write one of `below`, `above` and `worsens_by`"),
    ({"use": "schedule", "cron": "0 25 * * *"}, '"0 3 * * *", at 03:00 UTC'),
    ({"use": "schedule"}, "write one of `every_events`, `every` and `cron`"),
    ({"use": "volume", "labels": 0}, "labels must be 1 or more, not 0"),
]


@pytest.mark.parametrize(("table", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_a_mistake_is_refused_with_what_to_write(table: dict[str, Any], said: str) -> None:
    """And with the place."""
    with pytest.raises(ConfigError) as caught:
        signal_of("it", settings_of(detectors={"it": table}))
    assert said in str(caught.value)
    assert str(caught.value).startswith("detectors.it: ")


def test_a_regression_has_no_wrong_labels() -> None:
    """Detectors of zeros and ones are refused for it, and the others named."""
    with pytest.raises(ConfigError, match=r"take drift\.ADWIN"):
        signal_of("it", settings_of(task="regression", scores={}, detectors={"it": {"use": "drift.binary.DDM"}}))


@pytest.mark.parametrize("document", ["README.md", "docs/SIGNALS.md"])
def test_what_the_documents_show_can_be_written(document: str) -> None:
    """Each block of TOML with signals or a trigger is taken as it stands."""
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / document).read_text(), flags=re.DOTALL)
    tables = [table for table in map(tomllib.loads, blocks) if {"detectors", "trigger"} & set(table)]
    assert tables
    for table in tables:
        assert Watch(settings_of(**table)).trigger.needed == 1


def test_a_trigger_without_a_retraining_costs_no_share_of_the_day() -> None:
    """One a day, and on the first a job is still under way: the next one after it counts."""
    settings = build(
        {
            "name": "m",
            "task": "binary",
            "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]},
            "detectors": {"due": {"use": "schedule", "every_events": 100}},
            "trigger": {"per_day_max": 1, "debounce_events": 0},
            "retrain": {"jobs_max": 1},
        }
    )
    lane = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))
    lane.on_event(AcceptedEvent("e0", {"a": 1.0}, True, 1.6e9, 0, 0))
    lane.retrain_asked(Retrain(id="a", model="m", ts=0, reason="x", events=1))
    said = []
    for n in range(1, 350):
        if n == 150:
            lane.jobs.under_way.clear()
        said += lane.on_event(AcceptedEvent(f"e{n}", {"a": 1.0}, True, 1.6e9 + n, 0, n))
    signals = [each for each in said if isinstance(each, DriftSignal)]
    assert [(each.triggered, each.withheld) for each in signals] == [
        (False, "jobs: 1 under way"),
        (True, ""),
        (False, "budget"),
    ]


def test_a_named_feature_that_never_came_is_not_watched() -> None:
    """Its first value, a string, used to be read as a number."""
    signal = Inputs("inputs", DistributionSettings(features=("country",)), of_classes=True)
    for n in range(4000):
        x: dict[str, object] = {"a": float(n)} if n < 2500 else {"a": float(n), "country": "FR"}
        assert signal.on_event(AcceptedEvent(f"e{n}", x, True, 1.6e9, 0, n), Prediction(True), now_s=None) is None
