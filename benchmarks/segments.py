"""Per-segment models: what they gain where segments differ, what they cost where they do not, and a hundred thousand.

    python -m benchmarks.segments                        both streams, with and without
    python -m benchmarks.segments --many 100000          memory and bytes of so many segments, on disk beyond 10,000

Tenants label five numbers by a linear rule with noise. Where they differ, every second tenant has a rule of its own;
where they do not, all have the same. docs/SEGMENTS.md has what came of it.
"""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from anabranch.messages import TrainedOn
from config.loading import build
from config.settings import Settings
from consumers.jobs import InlineRunner
from consumers.loop import LearningLoop
from consumers.stores import CheckpointStore
from consumers.stores.files import FolderBlobs
from consumers.telling import Ports
from consumers.timing import CpuClock, SystemClock
from evaluation.backtest import Backtest, FileSource, NoSink
from learners.models import catalogue

WIDTH = 5
NOISE = 0.5
SKEW = 4.0
"""Of a hundred thousand tenants: half of the events are of 6 %, a third of 1 %."""


def events(count: int, *, tenants: int, differ: bool, seed: int, skew: float = 1.0) -> Iterator[bytes]:
    """The first events are one of each tenant; then they are drawn, evenly or with a skew towards some."""
    rng = random.Random(seed)
    shared = [rng.gauss(0, 1) for _ in range(WIDTH)]
    for n in range(count):
        tenant = n if n < tenants else int(tenants * rng.random() ** skew)
        x = [rng.gauss(0, 1) for _ in range(WIDTH)]
        total = sum(w * each for w, each in zip(_rule(tenant, shared, differ=differ), x, strict=True))
        features = {"tenant": tenant, **{f"f{at}": each for at, each in enumerate(x)}}
        label = total + rng.gauss(0, NOISE) > 0
        yield orjson.dumps({"id": f"e{n}", "ts": 1.6e9 + n, "features": features, "label": label})


def _rule(tenant: int, shared: list[float], *, differ: bool) -> list[float]:
    if not differ or tenant % 2 == 0:
        return shared
    own = random.Random(tenant)
    return [own.gauss(0, 1) for _ in range(WIDTH)]


def settings(*, segmented: bool, memory_max: int = 10_000) -> Settings:
    """A logistic regression, and with it one a segment."""
    found: Settings = build(
        {
            "name": "segments",
            "task": "binary",
            "model": {
                "steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}],
            },
            "features": {"drop": ["tenant"]},
            "checkpoint": {"every_events": 20_000},
            **({"segments": {"by": "tenant", "memory_max": memory_max}} if segmented else {}),
        }
    )
    return found


def compared(count: int, *, tenants: int, differ: bool, seed: int) -> Iterator[str]:
    """A row without segments, and one with them."""
    for segmented in (False, True):
        of = settings(segmented=segmented)
        run = Backtest(
            of,
            first=lambda: (catalogue.build(of.model, seed=of.seed), TrainedOn()),  # noqa: B023  # called within the round
            values=lambda: events(count, tenants=tenants, differ=differ, seed=seed),
            timestamp_of=None,
            clock=CpuClock(),
        )
        found = run.run()
        swaps = found.get("segments", {})
        told = [found["scores"]["accuracy"], found["followers"]["scores"]["accuracy"], found["events_per_second"]]
        numbers = [swaps.get(which, 0) for which in ("serving", "swapped_in", "swapped_out")]
        which, has = "differ" if differ else "are alike", "yes" if segmented else "no"
        yield f"| {which} | {tenants} | {seed} | {has} | " + " | ".join(map(str, told + numbers))


def many(tenants: int, *, count: int, folder: Path, memory_max: int) -> Iterator[str]:
    """A learner with a store in a folder: what it takes."""
    # Without detectors: nothing is retrained here, and the file keeps no examples for it.
    of = settings(segmented=True, memory_max=memory_max).model_copy(update={"detectors": {}})
    sink, store = NoSink(), CheckpointStore(FolderBlobs(folder, make=True), keep=2)
    source = FileSource(
        lambda: events(count, tenants=tenants, differ=True, seed=1, skew=SKEW), timestamp_of=None, history_max=1000
    )
    loop = LearningLoop(
        of,
        first=lambda: (catalogue.build(of.model, seed=of.seed), TrainedOn()),
        ports=Ports(
            source=source,
            sink=sink,
            stores=lambda scope: store,
            runners=lambda scope: InlineRunner(of, reader=source),
            clock=SystemClock(),
        ),
    )
    empty_mb, began_s = _rss_mb(), time.process_time()
    loop.run(until_end=True)
    seconds, lane = time.process_time() - began_s, loop.owner.lane
    assert lane.segmented is not None
    totals = lane.segmented.totals
    sizes = [len(each.packed) for each in lane.segmented.shelf.entries()]
    on_disk = sum(each.stat().st_size for each in (folder / "blobs").iterdir())
    yield f"{totals.models} segments, {count} events, {memory_max} in memory, {totals.serving} answered by their own"
    yield f"{_rss_mb():.0f} MB at most ({empty_mb:.0f} before the first event)"
    yield f"{1e6 * seconds / count:.0f} us of CPU an event"
    yield f"{sum(sizes) / len(sizes):.0f} bytes a packed segment; {on_disk / 1e6:.0f} MB in the store"


def _rss_mb() -> float:
    """The largest so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=0, help="of each run")
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--many", type=int, default=0, help="so many segments, in place of the streams")
    parser.add_argument("--memory-max", type=int, default=10_000)
    given: Any = parser.parse_args(words)
    if given.many:
        with tempfile.TemporaryDirectory() as folder:
            lines = many(
                given.many, count=given.events or 4 * given.many, folder=Path(folder), memory_max=given.memory_max
            )
            print("\n".join(lines), flush=True)
        return
    columns = ("tenants", "how many", "seed", "segments", "accuracy", "of followers", "events/s of CPU")
    print("|", " | ".join((*columns, "serve", "let in", "displaced")), "|")
    for differ in (True, False):
        for seed in (1, 2, 3):
            for line in compared(given.events or 40_000, tenants=given.tenants, differ=differ, seed=seed):
                print(line, "|", flush=True)


if __name__ == "__main__":
    main()
