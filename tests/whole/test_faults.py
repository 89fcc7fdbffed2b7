"""A short fault campaign: the code of `make faults`, with fewer faults of each kind."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults.kills import kills
from benchmarks.faults.owners import zombies
from benchmarks.faults.shared import shared
from benchmarks.faults.stores import full_disk
from benchmarks.faults.table import Row, table

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

POINTS = {
    "in the middle of a batch": ("record",),
    "before the commit": ("commit:before",),
    "before the outbox": ("outbox:before",),
}
SHORT = {
    "kills": partial(kills, times=1, randomly=1, events=6000, points=POINTS),
    "zombie": partial(zombies, asleep=(("commit:before", 3),)),
    "shared": partial(shared, times=1, assignment="cooperative-sticky"),
    "disk": full_disk,
}


@pytest.mark.parametrize("part", SHORT.values(), ids=SHORT)
def test_no_fault_loses_or_repeats_an_event(part: Callable[..., Iterable[Row]], kafka: Any, tmp_path: Path) -> None:
    """P1: each event is learned exactly once, and announcements are in order, whatever dies, wakes up or is full."""
    rows = list(part(tmp_path, seed=3, bootstrap=kafka.bootstrap))
    assert all(row.is_clean for row in rows), table(rows) + "".join(f"\n{row.complaints}" for row in rows)
