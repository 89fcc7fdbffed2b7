"""The detectors and the trigger: what fires, when, how often, and what goes on after a restart."""

import itertools
import random
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anabranch import statetree
from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Findings, Fired, Prediction, Shift
from config.learning import TriggerSettings
from config.loading import build
from detectors.error_signals import ErrorSignal, Gauge, adwin, page_hinkley
from detectors.trigger import Decision, Trigger
from detectors.watch import Watch

MAKE: dict[str, Callable[[], Gauge]] = {
    "adwin": lambda: adwin(delta=0.02),
    "page_hinkley": lambda: page_hinkley(threshold=25.0, delta=0.02, alpha=1.0),
}
every_detector = pytest.mark.parametrize("name", MAKE)


def errors(*parts: tuple[int, float], seed: int) -> list[float]:
    """Zeros and ones, so many at each rate of error."""
    rng = random.Random(seed)
    return [float(rng.random() < rate) for count, rate in parts for _ in range(count)]


def fired(name: str, losses: Iterable[float], *, debounce_events: int = 0) -> list[tuple[int, Shift]]:
    """Where the detector fires, from 1, and what it says."""
    signal = ErrorSignal(name, MAKE[name](), debounce_events=debounce_events)
    return [(n, shift) for n, loss in enumerate(losses, 1) if (shift := signal.update(loss)) is not None]


@pytest.mark.parametrize(
    ("name", "at", "window_events"), [("adwin", 2080, 224), ("page_hinkley", 2099, 135)], ids=list(MAKE)
)
def test_a_rise_of_the_error_is_found(name: str, at: int, window_events: int) -> None:
    """The error rises from .1 to .4 at event 2,001 (seed 0)."""
    ((found_at, shift),) = fired(name, errors((2000, 0.1), (2000, 0.4), seed=0))
    assert (found_at, shift.window_events) == (at, window_events)
    assert shift.statistic > 0
    assert shift.threshold > 0


@every_detector
def test_a_fall_of_the_error_is_no_signal(name: str) -> None:
    """An improvement is nobody's reason to retrain, on any of the seeds 10 to 14."""
    for seed in range(10, 15):
        assert fired(name, errors((1000, 0.4), (3000, 0.1), seed=seed)) == []


@every_detector
def test_a_rise_after_a_fall_is_found(name: str) -> None:
    """A detector that kept silent about an improvement has not gone deaf (seed 1)."""
    found = fired(name, errors((2000, 0.4), (4000, 0.1), (2000, 0.4), seed=1))
    assert [6000 < at <= 6600 for at, _ in found] == [True]


@every_detector
@pytest.mark.parametrize("loss", [0.0, 0.3, 1.0])
def test_a_constant_is_no_drift(name: str, loss: float) -> None:
    """A model that is always right, or always as wrong, sets nothing off."""
    assert fired(name, [loss] * 20_000) == []


@every_detector
def test_noise_is_no_drift(name: str) -> None:
    """At most one false alarm in 100,000 events of unchanging error .2 (seeds 20 to 23)."""
    assert sum(len(fired(name, errors((25_000, 0.2), seed=seed))) for seed in range(20, 24)) <= 1


@pytest.mark.parametrize(("name", "off_by_max"), [("adwin", 400), ("page_hinkley", 200)])
def test_the_change_point_is_estimated(name: str, off_by_max: int) -> None:
    """The median distance to the truth over seeds 0 to 20; ADWIN's window has the width of its buckets."""
    off_by = []
    for seed in range(21):
        at, shift = fired(name, errors((2000, 0.1), (1000, 0.4), seed=seed))[0]
        off_by.append(abs(at - shift.window_events + 1 - 2001))
    assert statistics.median(off_by) <= off_by_max


@every_detector
def test_a_signal_is_debounced(name: str) -> None:
    """Where the error rises again and again, one detector speaks at most once in `debounce_events` + 1 events."""
    losses = errors(*[(400, 0.02 + 0.12 * step) for step in range(8)], seed=4)
    often, seldom = (fired(name, losses, debounce_events=each) for each in (0, 1000))
    assert len(often) > len(seldom) >= 2
    assert all(later - at > 1000 for (at, _), (later, _) in itertools.pairwise(seldom))


@every_detector
@settings(max_examples=25)
@given(at=st.integers(0, 2600))
def test_a_signal_goes_on_from_its_state(name: str, at: int) -> None:
    """Wherever it is interrupted: the same alarms at the same events with the same numbers."""
    losses = errors((1000, 0.1), (800, 0.5), (800, 0.9), seed=5)
    signal, twin = (ErrorSignal(name, MAKE[name](), debounce_events=300) for _ in range(2))
    for loss in losses[:at]:
        signal.update(loss)
    twin.restore(statetree.decode(statetree.encode(signal.state())))
    assert [signal.update(loss) for loss in losses[at:]] == [twin.update(loss) for loss in losses[at:]]
    assert statetree.digest(signal.state()) == statetree.digest(twin.state())


def test_page_hinkley_looks_upwards_whatever_its_mode() -> None:
    """`mode` would make it fire on improvements."""
    assert page_hinkley(mode="both").detector.mode == "up"


# ── the trigger ─────────────────────────────────────────────────────────────────────────────────────────────────────


def decide(trigger: Trigger, names: Iterable[str], event: int, *, now_s: float | None = None) -> Decision:
    """What a trigger makes of signals on an event."""
    fired = [Fired(name, Shift(1.0, 0.5, 10)) for name in names]
    return trigger.decide(fired, event_number=event, place=(0, event), now_s=now_s)


def trigger_of(when: Any = "any", *, debounce_events: int = 100, **more: Any) -> Trigger:
    """A trigger on a and b."""
    return Trigger(TriggerSettings(when=when, debounce_events=debounce_events, **more), names=("a", "b"))


def decided(when: Any, fired_at: dict[int, str], **more: Any) -> list[int]:
    """The events on which a trigger on a and b decides to retrain."""
    trigger = trigger_of(when, **more)
    return [event for event, names in fired_at.items() if decide(trigger, names, event).triggered]


def test_any_signal_triggers_and_then_not_for_a_while() -> None:
    """At most one trigger in `debounce_events`; the bound itself is still silent."""
    assert decided("any", {10: "a", 11: "b", 110: "a", 111: "b", 150: "ab"}) == [10, 111]


def test_all_signals_must_come_within_the_window() -> None:
    """Both within `debounce_events` of each other, in either order; one that was too long ago does not count."""
    assert decided("all", {10: "a", 120: "b", 220: "a", 600: "ab", 1000: "b", 1001: "b"}) == [220, 600]


def test_a_trigger_uses_its_signals_up() -> None:
    """What led to one decision does not lead to the next."""
    assert decided("all", {10: "a", 20: "b", 150: "a", 160: "b"}) == [20, 160]
    assert decided("all", {10: "a", 20: "b", 150: "a"}) == [20]


def test_so_many_signals_must_come_together() -> None:
    """`at_least` counts different signals; one that fires twice is one."""
    assert decided({"at_least": 2}, {10: "a", 20: "a", 30: "b", 300: "ab"}) == [30, 300]


def test_more_signals_than_there_are_is_refused() -> None:
    """Such a trigger would never fire."""
    with pytest.raises(ConfigError, match="at_least = 3, but there are 2 detectors"):
        trigger_of({"at_least": 3})


def test_the_pause_after_a_trigger_is_told_from_how_far_apart_signals_may_come() -> None:
    """`cooldown_events` and `within_events`, where the one number for both does not fit."""
    assert decided("any", {10: "a", 30: "b", 61: "b"}, cooldown_events=50) == [10, 61]
    assert decided("all", {10: "a", 30: "b"}, within_events=15) == []


def test_a_signal_must_fall_silent_before_it_counts_again() -> None:
    """Alarms that go on and on are one; after `silence_events` without any, the next counts."""
    assert decided("any", {10: "a", 60: "a", 110: "a", 180: "a"}, debounce_events=0, silence_events=60) == [10, 180]


def test_a_pause_may_last_for_a_time_of_the_events() -> None:
    """`cooldown`: what is left of it is said."""
    trigger = trigger_of(debounce_events=0, cooldown="1h")
    answers = [decide(trigger, "a", n, now_s=n * 1000.0) for n in range(1, 6)]
    assert [(each.triggered, each.withheld) for each in answers] == [
        (True, ""), *[(False, "cooldown")] * 3, (True, "")
    ]  # fmt: skip


def test_a_day_of_events_has_a_budget() -> None:
    """`per_day_max`: two on this day, and the next day begins at midnight, UTC."""
    trigger = trigger_of(debounce_events=0, per_day_max=2)
    answers = [decide(trigger, "a", n, now_s=n * 20_000.0) for n in range(1, 6)]
    assert [each.withheld for each in answers] == ["", "", "budget", "budget", ""]


def test_a_decision_names_all_signals_it_rests_on() -> None:
    """Also those that fired before, with where they did."""
    trigger = trigger_of("all")
    decide(trigger, "a", 10)
    assert [(each.detector, each.event_number, each.offset) for each in decide(trigger, "b", 20).counted] == [
        ("a", 10, 10),
        ("b", 20, 20),
    ]


def test_a_trigger_goes_on_from_its_state() -> None:
    """Half of a decision survives a restart, and so does the silence after one."""
    trigger, twin = trigger_of("all"), trigger_of("all")
    decide(trigger, "a", 10)
    twin.restore(statetree.decode(statetree.encode(trigger.state())))
    assert decide(twin, "b", 20).triggered
    trigger.restore(statetree.decode(statetree.encode(twin.state())))
    assert not decide(trigger, "ab", 120).triggered


# ── the watch ───────────────────────────────────────────────────────────────────────────────────────────────────────


def watch(**more: Any) -> Watch:
    """The watch of a model with the default pair of detectors, unless told otherwise."""
    return Watch(build({"name": "m", "task": "binary", "model": {"factory": "a:b"}, **more}))


def seen(watch: Watch, losses: Iterable[float], *, after: int = 0) -> list[tuple[int, str, bool]]:
    """What a watch finds: the event, the detector, and whether it is reason to retrain."""
    found = ((n, updated(watch, loss, n)) for n, loss in enumerate(losses, after + 1))
    return [(n, fired.name, each.triggered) for n, each in found if each is not None for fired in each.fired]


def updated(watch: Watch, loss: float, n: int) -> Findings | None:
    """What a watch finds on an event whose label is true, and the champion's answer right if the loss is 0."""
    seen = AcceptedEvent(f"e{n}", {}, True, float(n), 0, n)
    return watch.update(loss, event_number=n, seen=seen, answer=Prediction(loss == 0.0))


def test_a_watch_reports_both_detectors_and_triggers_once() -> None:
    """ADWIN fires first and triggers; Page-Hinkley's signal is published too, and passed over (seed 0)."""
    assert seen(watch(), errors((2000, 0.1), (2000, 0.4), seed=0)) == [
        (2080, "adwin", True),
        (2099, "page_hinkley", False),
    ]
    both = seen(watch(trigger={"when": "all"}), errors((2000, 0.1), (2000, 0.4), seed=0))
    assert both == [(2080, "adwin", False), (2099, "page_hinkley", True)]


@settings(max_examples=15)
@given(at=st.integers(1900, 2300))
def test_a_watch_goes_on_from_its_state(at: int) -> None:
    """Both detectors and the trigger, from any event around the drift."""
    losses = errors((2000, 0.1), (1000, 0.4), seed=0)
    whole, twin = watch(), watch()
    seen(whole, losses[:at])
    twin.restore(statetree.decode(statetree.encode(whole.state())))
    assert seen(whole, losses[at:], after=at) == seen(twin, losses[at:], after=at)
    assert statetree.digest(whole.state()) == statetree.digest(twin.state())


def test_a_new_champion_is_watched_afresh() -> None:
    """Its errors are not measured against those of the champion it displaced."""
    started_over = watch()
    seen(started_over, errors((2000, 0.1), seed=0))
    started_over.start_over()
    assert seen(started_over, errors((3000, 0.4), seed=5), after=2000) == []


def test_signals_of_the_displaced_champion_do_not_count_for_the_new_one() -> None:
    """Half of a decision taken on the old champion's errors is forgotten with them (seed 0)."""
    both = watch(trigger={"when": "all"})
    assert seen(both, errors((2000, 0.1), (2000, 0.4), seed=0)[:2090]) == [(2080, "adwin", False)]
    both.start_over()
    assert decide(both.trigger, ["page_hinkley"], 2091).triggered is False


def test_a_detector_whose_settings_changed_begins_afresh() -> None:
    """A checkpoint does not bring old parameters back; the detector that stayed as it was goes on."""
    old = watch()
    seen(old, errors((500, 0.1), seed=0))
    same = dict(old.settings.detectors["page_hinkley"])
    changed = watch(detectors={"adwin": {"use": "drift.ADWIN", "delta": 0.5}, "page_hinkley": same})
    changed.restore(old.state())
    kept = [each["state"]["detector"] for each in changed.state()["signals"]]
    assert (kept[0].delta, kept[0].width) == (0.5, 0)
    assert kept[1] is old.state()["signals"][1]["state"]["detector"]
