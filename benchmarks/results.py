"""What `make bench` has measured, as tables: medians and spread, and what is left of River's own speed.

>>> table = Table("M", 1000, {"bare": [Run(1.0, 1.0, 50.0)], "kafka": [Run(2.0, 1.9, 80.0)]}, aim=0.6)
>>> print(table.shown())
M, 1,000 events
| | events/s | seconds [least, most] | of the bare loop | processor time, µs an event | MB |
| --- | ---: | ---: | ---: | ---: | ---: |
| bare | 1,000 | 1.00 [1.00, 1.00] | 1.00 | 1,000.0 | 50 |
| kafka | 500 | 2.00 [2.00, 2.00] | 0.50, 0.50 to 0.50 (aim 0.60) | 1,900.0 | 80 |
"""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.latency import Lags
from benchmarks.latency import shown as lags_shown

WAYS = """*bare* decodes the JSON, predicts
and learns with River, from memory, and does nothing else. All others have two detectors and three scores on. *backtest*
and *kafka* are Anabranch, with the guard, duplicates, checkpoints every ten seconds, announcements on evidence,
histograms, time windows: *backtest* from memory, scoring what followers answer, too; *kafka* from Apache Kafka, exactly
once. *compiled* is the copy that `make compile` makes. The others read from Kafka and commit their positions now and
then, as they come; they have no guard, no duplicates, and no checkpoint of the model. Vowpal Wabbit reads from memory,
and its linear model is its own, in C++. CapyMOA reads from memory, and its trees are MOA's, in Java: its Python loop
has the same scores and detectors, its loop in Java has neither, and reads rows as text."""
HEAD = ("", "events/s", "seconds [least, most]", "of the bare loop", "processor time, µs an event", "MB")


class Run(NamedTuple):
    """One measurement: seconds by the wall, seconds of the processor, and the memory at its highest."""

    seconds: float
    cpu: float
    rss_mb: float


class Table(NamedTuple):
    """All ways of learning one stream with one model.

    Attributes:
        measured: by way, a run for each turn; "bare" is River alone, and the n-th run of each way is of the same turn.
        aim: of the bare loop's speed, for what reads from Kafka.
    """

    model: str
    events: int
    measured: Mapping[str, Sequence[Run]]
    aim: float | None = None

    def shown(self) -> str:
        """As Markdown, which is read on a terminal, too."""
        lines = [" | ".join(HEAD), " | ".join(["---", *["---:"] * (len(HEAD) - 1)])]
        lines += [" | ".join((way, *self._cells(way, runs))) for way, runs in self.measured.items()]
        return "\n".join(
            [f"{self.model}, {self.events:,} events", *(f"| {each} |".replace("|  |", "| |") for each in lines)]
        )

    def _cells(self, way: str, runs: Sequence[Run]) -> tuple[str, ...]:
        seconds = [each.seconds for each in runs]
        middle = median(seconds)
        return (
            f"{self.events / middle:,.0f}",
            f"{middle:.2f} [{min(seconds):.2f}, {max(seconds):.2f}]",
            self._share(way, runs),
            f"{median(each.cpu for each in runs) / self.events * 1e6:,.1f}",
            f"{max(each.rss_mb for each in runs):.0f}",
        )

    def _share(self, way: str, runs: Sequence[Run]) -> str:
        """Of the bare loop's speed in the same turn: the median's, and the least and most by turn."""
        bare = self.measured["bare"]
        if way == "bare":
            return "1.00"
        shares = [base.seconds / one.seconds for base, one in zip(bare, runs, strict=True)]
        middle = median(each.seconds for each in bare) / median(each.seconds for each in runs)
        aim = f" (aim {self.aim:.2f})" if self.aim and way.startswith("kafka") else ""
        return f"{middle:.2f}, {min(shares):.2f} to {max(shares):.2f}{aim}"


LATENCY = """## Latency at half load

Events are published at half of the rate at which Anabranch has just learned the model from Kafka, each at its planned
moment, from which the time counts; the first seconds are left out. *Learned*: until the event was predicted, scored and
learned; Anabranch's holds what follows a batch, too (its order is told and, when it is time, a checkpoint written).
*Answered*: until a reader of committed records has the answer of `anabranch score` on `model-predictions`, at half of
the rate at which it answers many that wait; its model was learned before. Peers answer nobody. Broker, publisher and
learner share the processors."""


def document(
    tables: Sequence[Table], *, words: Sequence[str], missing: Sequence[str], latency: Sequence[Lags] = ()
) -> str:
    """benchmarks/RESULTS.md."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("river", "confluent-kafka", "orjson"))
    runs = max(len(each) for table in tables for each in table.measured.values())
    title = f"""# Throughput

Written by `make bench ARGS="{" ".join(words)}"`; not to be edited. Python {platform.python_version()}, {packages};
{_processor()}, shared with the broker.

{runs} turns, each way once a turn, one after the other, every one a process of its own. {WAYS}"""
    missed = [f"Not measured: {each}." for each in missing]
    shown = [f"## {table.shown()}".replace("\n", "\n\n", 1) for table in tables]
    parts = [title, *missed, *shown, *([LATENCY, lags_shown(latency)] if latency else [])]
    return "\n\n".join(parts) + "\n"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} cores of {names[0]}" if names else platform.processor()
