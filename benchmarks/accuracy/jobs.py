"""Jobs: one pass each, by themselves, with the key under which its result is kept."""

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from anabranch.errors import AnabranchError
from benchmarks.accuracy import batch_pass, capymoa_pass, false_swaps, measures, one_pass, our_pass
from benchmarks.accuracy.entries import ENTRIES, Entry
from benchmarks.accuracy.generators import XY
from benchmarks.accuracy.streams import SEEDS, STREAMS, Stream
from learners.models import speedups

ROOT = Path(__file__).resolve().parents[2]
_HARNESS = ("generators", "rivals", "one_pass", "measures")
_BATCH = ("generators", "batch_pass", "measures")
_CAPYMOA = ("generators", "capymoa_pass", "measures")
_OURS = ("our_pass",)
_TRIALS = ("false_swaps",)
_ROOMS = ("anabranch", "config", "detectors", "learners", "consumers", "evaluation")

TRIALS: dict[str, Callable[[int], dict[str, Any]]] = {
    "forced alarms": false_swaps.forced_alarms,
    "tied models": false_swaps.tied_models,
}
"""Experiments that need no stream of the catalogue."""

TRIAL_SEEDS = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Job:
    """A pass to be carried out by any process; `stream` is empty for a trial."""

    stream: str
    entry: str
    seed: int
    data: str
    limit: int | None = None

    def __str__(self) -> str:
        return f"{self.stream or 'trial'}, {self.entry}, seed {self.seed}"

    def key(self) -> str:
        """The same for the same stream, seed, competitor, code and versions."""
        recipe = self.stream and _stream(self).recipe() + _stream(self).digest(Path(self.data))
        parts: list[Any] = [recipe, self.seed, self.limit, versions(), self._code()]
        if self.stream:
            parts.append(_entry(self).table(_stream(self).task))
        return hashlib.sha256(json.dumps([*parts, self.entry], sort_keys=True).encode()).hexdigest()

    def _code(self) -> str:
        if not self.stream:
            return code(_HARNESS + _OURS + _TRIALS, ours=True)
        if _entry(self).way == "batch":
            return code(_BATCH, ours=False) + batch_pass.versions()
        if _entry(self).way == "capymoa":
            return code(_CAPYMOA, ours=False) + capymoa_pass.recipe()
        ours = _entry(self).way == "anabranch"
        return code(_HARNESS + (_OURS if ours else ()), ours=ours)


def planned(
    streams: Sequence[Stream], entries: Sequence[Entry], *, seeds: int, data: Path, limit: int | None
) -> Iterable[Job]:
    """All passes: the eight streams first, the slowest competitors last, so that an interrupted run is of some use."""
    pairs = [(stream, entry) for entry in entries for stream in streams]
    for stream, entry in sorted(pairs, key=lambda pair: (pair[1].seeds < len(SEEDS), pair[0].group != "eight")):
        if stream.is_there(data) and entry.table(stream.task) is not None:
            for seed in stream.seeds[: min(seeds, entry.seeds)]:
                yield Job(stream.name, entry.name, seed, str(data), limit)


def can_run(job: Job) -> bool:
    """Whether what the pass needs is installed; what CapyMOA needs is in an environment of its own."""
    way = _entry(job).way if job.stream else ""
    return capymoa_pass.is_there() if way == "capymoa" else way != "batch" or bool(batch_pass.versions())


def trials(*, seeds: int) -> Iterable[Job]:
    """The experiments on false swaps."""
    return (Job("", name, seed, "") for name in TRIALS for seed in TRIAL_SEEDS[: seeds + 2])


def carry_out(job: Job) -> dict[str, Any]:
    """The pass, in whatever process this is; with `refused`, why this version cannot run it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    about = {"key": job.key(), "stream": job.stream, "entry": job.entry, "seed": job.seed}
    try:
        return about | (_pass(job) if job.stream else TRIALS[job.entry](job.seed))
    except AnabranchError as error:
        return about | {"refused": str(error)}


def _pass(job: Job) -> dict[str, Any]:
    stream, entry = _stream(job), _entry(job)
    events = stream.events(seed=job.seed, data=Path(job.data), limit=job.limit)
    passed = _passed(entry, stream, events, seed=job.seed)
    if stream.task in ("regression", "reco"):
        measured = measures.of_numbers(passed.served)
    else:
        days = stream.days(data=Path(job.data), limit=job.limit)
        measured = measures.of_labels(passed.served, with_hits=bool(stream.changes), days=days)
    measured |= _followed(passed, stream.task)
    if entry.way == "capymoa":
        for of_probabilities in ("brier", "pr_auc", "top_a_day"):
            measured.pop(of_probabilities, None)
    return {
        "events": len(events),
        **measured,
        "announced": passed.announced,
        "us": passed.seconds / len(events) * 1e6,
        "swaps": passed.swaps,
        "judged": passed.judged,
        "wrong": passed.wrong,
        "signals": passed.signals,
    }


def _followed(passed: one_pass.Passed, task: str) -> dict[str, float]:
    """What followers' answers were worth, and the live one's to the same events: from the first announcement on."""
    copies = passed.followed
    if not copies:
        return {}
    live = passed.served[-len(copies) :]
    if task in ("regression", "reco"):
        return {"followers": measures.of_numbers(copies)["mae"], "live_then": measures.of_numbers(live)["mae"]}
    return {"followers": measures.accuracy(copies), "live_then": measures.accuracy(live)}


def _passed(entry: Entry, stream: Stream, events: list[XY], *, seed: int) -> one_pass.Passed:
    table = entry.table(stream.task) or {}
    if entry.way == "capymoa":
        return capymoa_pass.passed(table["learner"], events, seed=seed)
    if entry.way == "batch":
        return batch_pass.refitted(entry.name, events)
    settings = one_pass.settings_of(table, task=stream.task, seed=seed, rare=stream.group == "rare")
    if entry.way == "anabranch":
        return our_pass.anabranch(settings, events)
    speedups.remove(for_good=True)  # rivals take the time that they take without us; a pass has a process of its own
    return one_pass.rival(entry.way, settings, events)


def _stream(job: Job) -> Stream:
    return next(each for each in STREAMS if each.name == job.stream)


def _entry(job: Job) -> Entry:
    return next(each for each in ENTRIES if each.name == job.entry)


@cache
def versions() -> str:
    """What the results depend on besides the project."""
    packages = ", ".join(f"{name} {version(name.lower())}" for name in ("River", "NumPy"))
    return f"Python {platform.python_version()}, {packages}"


@cache
def code(modules: Iterable[str], *, ours: bool) -> str:
    """The digest of the code that a pass runs: modules of the harness, and for Anabranch the rooms it is made of.

    A River model is only built and asked by Anabranch's code: it does not change with it, and takes long.
    """
    paths = [ROOT / "benchmarks" / "accuracy" / f"{name}.py" for name in modules]
    if ours:
        paths += [path for room in _ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
