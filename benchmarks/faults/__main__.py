"""The fault campaign: every event learned exactly once, through every crash, on a real Kafka with real processes.

    python -m benchmarks.faults [--seed N] [--only WORD]

It prints a table, and exits with 1 unless every row of it is clean.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import structlog

from benchmarks.faults.followers import bad_newest
from benchmarks.faults.kills import kills, kills_over_partitions, kills_while_retraining
from benchmarks.faults.late import late_labels
from benchmarks.faults.logs import added_partitions, long_outage, other_logs, transactions
from benchmarks.faults.outside import broker_outage, broker_restarts, dying_jobs, long_sleep, orphaned_jobs
from benchmarks.faults.owners import newcomers, strangers, zombies, zombies_with_a_letter
from benchmarks.faults.shared import shared, shared_zombie
from benchmarks.faults.stores import damages, damages_over_partitions, full_disk
from benchmarks.faults.table import Row, table
from benchmarks.faults.trainers import dying_workers
from benchmarks.faults.workers import workers
from commands.brokers.local import LocalKafka

Part = Callable[[dict[str, Any], LocalKafka], Iterable[Row]]

PARTS: dict[str, Part] = {
    "kills": lambda where, kafka: kills(**where, times=2, randomly=20, events=45_000),
    "partitions": lambda where, kafka: kills_over_partitions(**where, randomly=8, events=20_000),
    "retraining": lambda where, kafka: kills_while_retraining(**where, times=2, swaps=False),
    "swaps": lambda where, kafka: kills_while_retraining(**where, times=3, swaps=True),
    "late": lambda where, kafka: late_labels(**where, times=10, waiting=1_000_000, events=200_000),
    "zombies": lambda where, kafka: zombies(**where),
    "letters": lambda where, kafka: zombies_with_a_letter(**where),
    "shared": lambda where, kafka: shared(**where, times=5, assignment="range"),
    "cooperative": lambda where, kafka: shared(**where, times=5, assignment="cooperative-sticky"),
    "shared-zombie": lambda where, kafka: shared_zombie(**where, assignment="range"),
    "cooperative-zombie": lambda where, kafka: shared_zombie(**where, assignment="cooperative-sticky"),
    "workers": lambda where, kafka: workers(**where, times=5, assignment="range"),
    "cooperative-workers": lambda where, kafka: workers(**where, times=5, assignment="cooperative-sticky"),
    "newcomers": lambda where, kafka: newcomers(**where, times=2),
    "strangers": lambda where, kafka: strangers(**where, times=2),
    "damages": lambda where, kafka: damages(**where, times=2),
    "refork": lambda where, kafka: damages_over_partitions(**where, times=2),
    "followers": lambda where, kafka: bad_newest(**where),
    "disk": lambda where, kafka: full_disk(**where),
    "jobs": lambda where, kafka: dying_jobs(**where),
    "orphans": lambda where, kafka: orphaned_jobs(**where, times=2),
    "trainers": lambda where, kafka: dying_workers(**where, times=2),
    "transactions": lambda where, kafka: transactions(**where, times=2),
    "added": lambda where, kafka: added_partitions(**where, times=2),
    "logs": lambda where, kafka: other_logs(**where),
    "sleep": lambda where, kafka: long_sleep(**where),
    "broker": lambda where, kafka: broker_restarts(**where, times=1, kafka=kafka),
    "outage": lambda where, kafka: broker_outage(**where, kafka=kafka),
    "long-outage": lambda where, kafka: long_outage(**where, kafka=kafka),
}

ALONE = ("broker", "outage", "long-outage")
"""Parts that take the broker away."""

AT_ONCE = 2
"""So many of the others run side by side: most of their time is spent waiting."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=tuple(PARTS), action="append", help="only this part; may be given again")
    options = parser.parse_args(words)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))  # straight runs stay quiet
    began_s = time.monotonic()
    rows = list(campaign(options.only or list(PARTS), seed=options.seed))
    unclean = [row for row in rows if not row.is_clean]
    print(f"\n{table(rows)}\n\nseed {options.seed}, {time.monotonic() - began_s:.0f} s")
    for row in unclean:
        print(f"NOT CLEAN: {row.fault}: {'; '.join(row.complaints) or 'see the counts'}", file=sys.stderr)
    return 1 if unclean or not rows else 0


def campaign(parts: Sequence[str], *, seed: int) -> Iterator[Row]:
    """Carry out the parts on a broker of their own."""
    with tempfile.TemporaryDirectory(prefix="anabranch-faults-") as folder, LocalKafka() as kafka:
        print(f"{kafka.kind}; seed {seed}", flush=True)
        where = {"folder": Path(folder), "seed": seed, "bootstrap": kafka.bootstrap}
        together = [PARTS[part] for part in parts if part not in ALONE]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for rows in pool.map(lambda part: list(part(where, kafka)), together):
                yield from rows
        for part in parts:
            if part in ALONE:
                yield from PARTS[part](where, kafka)


if __name__ == "__main__":
    sys.exit(main())
