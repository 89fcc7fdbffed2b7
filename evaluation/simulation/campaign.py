"""Many simulated runs on all cores: the scenarios that ship, a user's own, and what came of each seed."""

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import structlog

from config.loading import build
from config.settings import Settings
from evaluation.simulation.schedules import Finding, Scenario, Simulation
from evaluation.simulation.stream import Given, Recipe, Stamped, Synthetic
from evaluation.simulation.workers import SimulatedWorkers

# ── What comes of one seed, and many seeds on all cores ─────────────────────────────────────────────────────────────

CHUNK_SEEDS = 20


class Result(NamedTuple):
    """What came of one seed: an empty finding is that all is well."""

    seed: int
    scenario: str
    finding: str
    steps: str
    tried: int = 0
    """How often what is tried happened, where that is counted."""


@contextmanager
def quiet() -> Iterator[None]:
    """Within it nothing is logged: a line for every swap of every run would be many."""
    configured = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        yield
    finally:
        structlog.configure(**configured)


class Trials(Protocol):
    """What can be tried with seeds, in any process."""

    def some(self, seeds: Iterable[int]) -> list[Result]:
        """The results of some seeds."""


def many(trials: Trials, seeds: Sequence[int], *, processes: int) -> Iterator[Result]:
    """The results as they come, from several processes."""
    chunks = [seeds[start : start + CHUNK_SEEDS] for start in range(0, len(seeds), CHUNK_SEEDS)]
    if processes <= 1 or len(chunks) <= 1:
        yield from (result for chunk in chunks for result in trials.some(chunk))
        return
    with multiprocessing.get_context("spawn").Pool(min(processes, len(chunks))) as pool:
        for results in pool.imap_unordered(trials.some, chunks):
            yield from results


# ── The campaign ────────────────────────────────────────────────────────────────────────────────────────────────────

EVENTS = 150
MODELS = (
    "linear",
    "hoeffding_tree",
    "linear of partitions",
    "hoeffding_tree",
    "linear",
    "hoeffding_tree of partitions",
    "linear of partitions",
    "bayes",
    "linear, late",
    "bayes, late",
    "hoeffding_tree of partitions, late",
    "linear, rolled out",
    "linear of partitions, rolled out",
    "linear, late, rolled out",
    "linear, computed",
    "bayes, late, computed",
    "linear of partitions, late, computed",
    "linear, trained elsewhere",
    "hoeffding_tree of partitions, trained elsewhere",
    "bayes, late, trained elsewhere",
    "linear of partitions, several workers",
    "hoeffding_tree of partitions, late, several workers",
    "linear of partitions, several workers",
    "linear, segmented",
    "bayes, late, segmented",
    "linear of partitions, segmented",
)
"""The quick ones oftener; some of them with a model for each partition."""

_SMALL: dict[str, Any] = {
    "task": "binary",
    "scores": {"window": 50, "metrics": ["Accuracy"]},
    "detectors": {
        "adwin": {"use": "drift.ADWIN", "delta": 0.02},
        "page_hinkley": {"use": "drift.PageHinkley", "threshold": 4.0, "delta": 0.02, "alpha": 1.0},
    },
    "trigger": {"debounce_events": 25},
    "retrain": {"recruits": [{"on": "last", "events": 60}, {"on": "detector-window", "events": 15}]},
    "arena": {"false_swap_every": 15, "probation_events": 60, "contest_events": 100, "shadows_max": 3},
    "publish": {"warm_up_events": 25, "refresh_events": 60, "report_events": 50, "canary_rows": 2, "versions_kept": 2},
    "checkpoint": {"every_events": 40, "keep": 3},
}
"""Windows so small that within a few hundred events everything happens that ever does."""


_BYTES_PER_S = {"bayes": 10_000}
"""So few that its refreshes have to wait."""


_LATE: dict[str, dict[str, Any]] = {
    "linear": {"late": True, "horizon": "20m", "default": False, "memory_max": 3},
    "bayes": {"late": True, "corrections": "learned", "early": "30m", "memory_max": 5},
    "hoeffding_tree": {"late": True, "horizon": "20m", "several": "last"},
}
"""What becomes of labels that come late, by the model. A minute passes from event to event."""


_ROLLED_OUT: dict[str, Any] = {"kind": "canary", "step_labels": 15, "tolerance": 0.1}


_COMPUTED: dict[str, Any] = {
    "features": {
        "keys_max": 3,
        "drop": ["b"],
        "rules": [
            {"name": "events", "what": "count", "by": "@key", "over": "30m"},
            {"name": "level", "what": "ewma", "of": "a", "by": "@key", "over": "10m"},
            {"name": "others", "what": "distinct", "of": "b", "by": "@key", "over": "1h"},
            {"name": "since", "what": "since_last", "by": "@key"},
            {"name": "risk", "what": "positive_rate", "by": "@key", "over": "20m"},
        ],
    },
    "memory": {"labels": 2, "key": "@key", "keys_max": 3},
    "shadows": {
        "standing": [{"name": "persist", "steps": [{"use": "memory.LastLabel"}]}],
    },
}
"""Features that are computed, of fewer entities than there are keys."""


_SEGMENTED: dict[str, Any] = {
    "serve": "champion",
    "segments": {"by": "tenant", "memory_max": 3, "packed_max": 2, "min_events": 5, "refresh_events": 9},
}
"""Per-segment models, of which some are always packed, and some lie in blobs."""


_TRAINED_ELSEWHERE: dict[str, Any] = {**_SMALL["retrain"], "executor": "topic", "job_timeout": 8.0}
"""By workers. Each time that the loop asks for results is a second, so that a slow worker is too late."""


def shipped(name: str) -> Scenario:
    """One of `MODELS`, with poison in its events."""
    named, *how = name.split(", ")
    factory, _, of_partitions = named.partition(" of ")
    model = {
        "factory": f"evaluation.simulation.world.choking:{factory}",
        "trusted": ["evaluation.simulation.world.choking:Choking"],
    }
    scope = "partition" if of_partitions else "global"
    publish = {**_SMALL["publish"], "bytes_per_s": _BYTES_PER_S.get(factory, 1_000_000)}
    slug = name.replace("_", "-").replace(",", "").replace(" ", "-")
    more: dict[str, Any] = {
        "labels": _LATE[factory] if "late" in how else {},
        **({"rollout": _ROLLED_OUT} if "rolled out" in how else {}),
        **({"retrain": _TRAINED_ELSEWHERE} if "trained elsewhere" in how else {}),
        **(_COMPUTED if "computed" in how else {}),
        **(_SEGMENTED if "segmented" in how else {}),
    }
    settings = build({**_SMALL, "name": slug, "scope": scope, "model": model, "publish": publish, **more})
    recipe = Recipe(Synthetic(EVENTS, poison=0.01, tenants=5 if "segmented" in how else 0))
    scenario = Scenario(name, settings, recipe, workers="several workers" in how)
    return replace(scenario, rebuilds=0.0) if of_partitions else scenario  # a rebuild has the group to itself


def configured(settings: Settings, *, events: int, given: Sequence[Stamped] = ()) -> Scenario:
    """A user's model, on given events or on so many synthetic ones.

    Two settings are as a simulation must have them: the lineage remembers every event, and the log is read from its
    start.
    """
    retrain = settings.retrain.model_copy(update={"history_max": max(settings.retrain.history_max, 2 * events)})
    fitted = settings.model_copy(update={"retrain": retrain, "start": "earliest"})
    return Scenario(settings.name, fitted, Recipe(Given(tuple(given)) if given else Synthetic(events)))


def with_workers(scenario: Scenario) -> tuple[Scenario, ...]:
    """A user's model; where each partition has one of its own, also as several workers learn them."""
    if scenario.settings.scope != "partition":
        return (scenario,)
    # A rebuild has the group to itself.
    return scenario, replace(scenario, name=f"{scenario.name}, several workers", workers=True, rebuilds=0.0)


@dataclass(frozen=True)
class Campaign:
    """Runs seeds over scenarios: seed n has scenario n modulo their number, alone or with others."""

    scenarios: Sequence[Scenario]

    def one(self, seed: int) -> Result:
        """One seed."""
        scenario = self.scenarios[seed % len(self.scenarios)]
        simulation = (SimulatedWorkers if scenario.workers else Simulation)(scenario, seed=seed)
        finding = ""
        try:
            simulation.run()
        except Finding as found:
            finding = str(found)
        return Result(seed, scenario.name, finding, str(simulation.schedule))

    def some(self, seeds: Iterable[int]) -> list[Result]:
        """Some seeds, silently."""
        with quiet():
            return [self.one(seed) for seed in seeds]
