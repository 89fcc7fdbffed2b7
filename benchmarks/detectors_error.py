"""Error detectors on simulated zeros and ones: alarms where nothing changes, and how late a change is noticed."""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from anabranch.events import Shift
from config.learning import Detector
from detectors.catalogue import gauge_of

BEFORE = 3_000
"""Events before each change."""
HORIZON = 5_000
"""Events after it, at most; a change not noticed by then is missed."""
QUIET_EVENTS = 50_000
QUIET_RATES = (0.05, 0.2, 0.4)


class Contender(NamedTuple):
    """A detector as a user would configure it; `share` of the runs, where it is slow."""

    title: str
    table: dict[str, Any]
    share: float = 1.0


class Change(NamedTuple):
    """The error goes from `before` to `after`, at once or over `over` events."""

    title: str
    before: float
    after: float
    over: int = 0


CONTENDERS = (
    Contender("always", {}),
    Contender("never", {"use": "drift.NoDrift"}),
    Contender("ADWIN δ=.002 (River's default)", {"use": "drift.ADWIN"}),
    Contender("ADWIN δ=.02 (ours)", {"use": "drift.ADWIN", "delta": 0.02}),
    Contender("ADWIN δ=.1", {"use": "drift.ADWIN", "delta": 0.1}),
    Contender("Page-Hinkley 25 (ours)", {"use": "drift.PageHinkley", "threshold": 25.0, "delta": 0.02, "alpha": 1.0}),
    Contender("Page-Hinkley (River's defaults)", {"use": "drift.PageHinkley"}),
    Contender("SR e-detector 1e5", {"use": "sr.SRDetector", "arl": 1e5}),
    Contender("SR e-detector 1e4", {"use": "sr.SRDetector", "arl": 1e4}),
    Contender("HDDM_A .001", {"use": "drift.binary.HDDMA"}, 0.5),
    Contender("HDDM_W .001", {"use": "drift.binary.HDDMW"}, 0.5),
    Contender("DDM", {"use": "drift.binary.DDM"}),
    Contender("EDDM", {"use": "drift.binary.EDDM"}),
    Contender("FHDDM", {"use": "drift.binary.FHDDM"}),
    Contender("KSWIN", {"use": "drift.KSWIN"}, 0.1),
)

CHANGES = (
    Change(".2→.3", 0.2, 0.3),
    Change(".2→.4", 0.2, 0.4),
    Change(".2→.4 over 2,000", 0.2, 0.4, 2_000),
    Change(".05→.15", 0.05, 0.15),
)


class Result(NamedTuple):
    """What came of one contender."""

    title: str
    runs: int
    quiet_events: int
    false: int
    delays: list[list[int | None]]
    """By change and run; None where it was missed."""


class Always:
    """Alarms on every event."""

    def update(self, loss: float) -> Shift:
        """An alarm."""
        return Shift(loss, 0.0, 1)


def measured(contender: Contender, runs: int) -> Result:
    """One contender on all changes and on quiet streams, of seeds 0 to `runs` - 1."""
    runs = max(1, round(runs * contender.share))
    quiet = max(1, runs // 3)
    false = sum(_false_alarms(contender, seed) for seed in range(quiet))
    delays = [[_delay(contender, change, seed) for seed in range(runs)] for change in CHANGES]
    return Result(contender.title, runs, quiet * QUIET_EVENTS, false, delays)


def _false_alarms(contender: Contender, seed: int) -> int:
    gauge = _gauge(contender)
    rng = random.Random(f"quiet {seed}")
    rate = QUIET_RATES[seed % len(QUIET_RATES)]
    return sum(gauge.update(float(rng.random() < rate)) is not None for _ in range(QUIET_EVENTS))


def _delay(contender: Contender, change: Change, seed: int) -> int | None:
    """Events from the change to the first alarm after it."""
    gauge = _gauge(contender)
    rng = random.Random(f"{change.title} {seed}")
    for _ in range(BEFORE):
        gauge.update(float(rng.random() < change.before))
    for n, rate in enumerate(_rates(change), 1):
        if gauge.update(float(rng.random() < rate)) is not None:
            return n
    return None


def _rates(change: Change) -> Iterator[float]:
    for n in range(HORIZON):
        share = min(1.0, n / change.over) if change.over else 1.0
        yield change.before + share * (change.after - change.before)


def _gauge(contender: Contender) -> Any:
    if not contender.table:
        return Always()
    return gauge_of(Detector.model_validate(contender.table), name=contender.title, seed=1)
