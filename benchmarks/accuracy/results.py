"""Results: kept as JSON lines, one a pass, and put together for the table."""

import json
import statistics
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.accuracy import measures
from benchmarks.accuracy.jobs import Job
from benchmarks.accuracy.streams import Stream


class Cache:
    """A file of results by key; it outlives an interrupted run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "results.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.kept = {each["key"]: each for each in self._read()}

    def _read(self) -> Iterable[dict[str, Any]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        for line in lines:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:  # the end of a run that was killed
                continue

    def get(self, job: Job) -> dict[str, Any] | None:
        """The result, if the job has been carried out."""
        return self.kept.get(job.key())

    def keep(self, result: dict[str, Any]) -> None:
        """Add a result, at once."""
        self.kept[result["key"]] = result
        with self.path.open("a") as file:
            file.write(json.dumps(result) + "\n")


class Results:
    """All passes of a table, averaged over the seeds."""

    def __init__(self, results: Sequence[dict[str, Any]], *, streams: Sequence[Stream]) -> None:
        self.streams = [each for each in streams if any(result["stream"] == each.name for result in results)]
        self.all = [each for each in results if "refused" not in each]
        self.refused = {each["entry"]: each["refused"] for each in results if "refused" in each}
        self._by: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for each in self.all:
            self._by.setdefault((each["stream"], each["entry"]), []).append(each)

    def of(self, stream: str, entry: str) -> list[dict[str, Any]]:
        """The passes, one a seed."""
        return self._by.get((stream, entry), [])

    def mean(self, stream: str, entry: str, measure: str) -> float | None:
        """The mean over the seeds; None if it was not measured."""
        values = [each[measure] for each in self.of(stream, entry) if measure in each]
        return statistics.fmean(values) if values else None

    def mean_over(self, streams: Sequence[str], entry: str, measure: str) -> float | None:
        """The mean of the streams' means; None if one is missing."""
        values = [self.mean(stream, entry, measure) for stream in streams]
        known = [each for each in values if each is not None]
        return statistics.fmean(known) if known and len(known) == len(values) else None

    def total(self, streams: Sequence[str], entry: str, measure: str) -> int:
        """The sum over streams and seeds."""
        return sum(each.get(measure, 0) for stream in streams for each in self.of(stream, entry))

    def recovery(self, stream: str, entry: str) -> float | None:
        """Mean events to recover from a change, over changes and seeds."""
        values = [self._recoveries[stream, entry, each["seed"]] for each in self.of(stream, entry) if "hits" in each]
        several = [each for value in values for each in value]
        return statistics.fmean(several) if several else None

    @cached_property
    def _recoveries(self) -> dict[tuple[str, str, int], list[int]]:
        found = {}
        for stream in self.streams:
            for seed in stream.seeds:
                hits = self._hits(stream.name, seed)
                for entry, each in hits.items():
                    found[stream.name, entry, seed] = [
                        measures.recovery_events(each, change=change, end=end, level=_best(hits.values(), end))
                        for change, end in measures.segments(stream.changes, events=len(each))
                    ]
        return found

    def _hits(self, stream: str, seed: int) -> dict[str, Any]:
        return {
            each["entry"]: measures.unpacked(each["hits"], events=each["events"])
            for each in self.all
            if each["stream"] == stream and each["seed"] == seed and "hits" in each
        }


def _best(hits: Iterable[Any], end: int) -> float:
    """The best final level that any competitor reached."""
    return max(measures.final_level(each, end=end) for each in hits)
