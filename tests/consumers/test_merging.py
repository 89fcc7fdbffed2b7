"""The merger of a backlog's partitions: order, bounds, and what must not make it wait for ever."""

import itertools
import random
from collections.abc import Iterator, Sequence

import pytest

from anabranch.events import Partition, Record
from consumers.kafka.backlog import Merger

NOW_S = 1.7e9


def record(partition: int, offset: int, timestamp_s: float) -> Record:
    return Record("events", partition, offset, timestamp_s, None, b"value")


def ends(*several: int) -> dict[Partition, int]:
    """Where the partitions end, from the first."""
    return {Partition("events", number): end for number, end in enumerate(several)}


def partitioned(events: int, *, seed: int, per_ms: int) -> list[list[Record]]:
    """A log of four partitions, one of them busy, with hundreds of records of one millisecond."""
    rng, parts = random.Random(seed), [[], [], [], []]  # type: tuple[random.Random, list[list[Record]]]
    for number in range(events):
        partition = rng.choice((0, 0, 0, 1, 1, 2, 3))
        at = record(partition, len(parts[partition]), 1.6e9 + number // per_ms / 1000)
        parts[partition].append(at._replace(value=b"%d" % number))
    return parts


def runs(parts: Sequence[Sequence[Record]], *, of: int) -> Iterator[list[Record]]:
    """As a consumer hands them over: a long run of each partition in turn."""
    for start in range(0, max(map(len, parts)), of):
        yield from (list(part[start : start + of]) for part in parts if part[start : start + of])


def merged(merger: Merger, parts: Sequence[Sequence[Record]], *, of: int) -> list[Record]:
    merger.start(ends(*map(len, parts)))
    taken: list[Record] = []
    for run in runs(parts, of=of):
        merger.put(run, now_s=NOW_S)
        while some := merger.take(100, monotonic_s=0.0):
            taken += some
    assert not merger.is_merging
    return taken


@pytest.mark.parametrize("per_ms", [1, 20])
def test_runs_of_partitions_come_in_the_order_of_their_time(per_ms: int) -> None:
    """Exactly, where each record has a time of its own; else within the records of some milliseconds."""
    taken = merged(Merger(), partitioned(20_000, seed=3, per_ms=per_ms), of=3000)
    numbers = [int(each.value or b"") for each in taken]
    assert max(abs(place - number) for place, number in enumerate(numbers)) < per_ms
    assert sorted(numbers) == list(range(20_000))


def test_timestamps_that_are_none_change_no_order_within_a_partition() -> None:
    """Missing, absurd, going back: offsets of a partition only rise, and nothing waits for ever."""
    rng = random.Random(5)
    odd = (-0.001, 0.0, 1.0, 1.6e9, 9e15, float("inf"), NOW_S + 60)
    parts = [[record(part, offset, rng.choice(odd)) for offset in range(2000)] for part in range(3)]
    taken = merged(Merger(), parts, of=500)
    for partition in range(3):
        assert [each.offset for each in taken if each.partition == partition] == list(range(2000))


def test_a_log_without_timestamps_is_taken_in_turns() -> None:
    """No partition is learned thousands of records ahead of another."""
    parts = [[record(part, offset, -0.001) for offset in range(3000)] for part in range(3)]
    taken = merged(Merger(), parts, of=1000)
    assert [(each.partition, each.offset) for each in taken[:4]] == [(0, 0), (1, 0), (2, 0), (0, 1)]


def test_a_partition_that_delivers_nothing_is_not_waited_for_long() -> None:
    """Its broker is away: the others go on; and it is waited for again once it delivers."""
    merger = Merger(patience_s=5.0)
    merger.start(ends(100, 100))
    merger.put([record(0, 0, 1.6e9), record(0, 1, 1.6e9 + 1)], now_s=NOW_S)
    assert merger.take(10, monotonic_s=0.0) == []
    assert merger.take(10, monotonic_s=4.9) == []
    assert len(merger.take(10, monotonic_s=5.1)) == 2
    merger.put([record(1, 0, 1.6e9), record(1, 1, 1.6e9 + 9)], now_s=NOW_S)
    assert merger.take(10, monotonic_s=6.0) == []


def test_a_partition_that_has_had_its_share_of_the_bounds_is_named() -> None:
    """By records and by bytes: whoever reads pauses it, and lets it go on when half of it is gone."""
    merger = Merger(records_max=4000, bytes_max=1_000_000)
    merger.start(ends(10**6, 10**6))
    merger.put([record(0, offset, 1.6e9 + offset) for offset in range(1999)], now_s=NOW_S)
    assert merger.crowded() == set()
    merger.put([record(0, 1999, 1.6e9 + 1999)], now_s=NOW_S)
    assert merger.crowded() == {Partition("events", 0)}
    merger.put([record(1, 0, 1.6e9)._replace(value=bytes(500_000))], now_s=NOW_S)
    assert merger.crowded() == set(merger.ends)
    merger.put([record(1, offset, 1.6e9 + 1100) for offset in range(1, 3)], now_s=NOW_S)
    assert len(list(itertools.chain(*iter(lambda: merger.take(100, monotonic_s=0.0), [])))) == 1104
    assert merger.crowded(0.5) == set()
