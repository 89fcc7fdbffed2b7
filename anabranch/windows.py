"""What is counted of one entity: sums and different values over a window of event time, decaying means, the last time.

A window is kept in 32 buckets, so it reaches back between 31/32 and the whole of its length. A late event is counted in
the bucket of its own time, and sees the buckets up to that one; what lies a whole window before the newest event of its
entity is forgotten. All state is in plain lists, which a checkpoint holds as they are.

>>> amounts = Sums(over_s=3200.0)
>>> state = amounts.fresh()
>>> for ts, amount in [(0.0, 10.0), (50.0, 20.0), (1000.0, 3.0), (500.0, 4.0)]:
...     amounts.add(state, ts, amount)
>>> amounts.read(state, 1000.0), amounts.read(state, 3250.0), amounts.read(state, 600.0)
((4, 37.0), (2, 7.0), (3, 34.0))
"""

from bisect import bisect_left, bisect_right
from collections.abc import Hashable
from math import fsum
from typing import Any

BUCKETS = 32
"""Of a window."""

DISTINCT_MAX = 256
"""So many different values of an entity are known at most: with more, the count stays there."""


class Sums:
    """How many values came within the window, and their sum.

    Args:
        over_s: length of the window in seconds of event time.
        adds: otherwise only the count is asked for, and the sum is said to be 0.
    """

    def __init__(self, *, over_s: float, adds: bool = True) -> None:
        self.width_s = over_s / BUCKETS
        self.adds = adds

    def fresh(self) -> list[Any]:
        """Of an entity that was never seen: the buckets' numbers, their counts and their sums."""
        return [[], [], []]

    def read(self, state: list[Any], ts: float) -> tuple[int, float]:
        """Count and sum of the window that ends at `ts`."""
        numbers, counts, sums = state
        if not numbers:
            return 0, 0.0
        now = int(ts // self.width_s)
        first = bisect_right(numbers, now - BUCKETS)
        if not first and numbers[-1] <= now:
            return sum(counts), fsum(sums) if self.adds else 0.0
        last = bisect_right(numbers, now)
        return sum(counts[first:last]), fsum(sums[first:last])

    def add(self, state: list[Any], ts: float, value: float) -> None:
        """One more value."""
        self.read_and_add(state, ts, value)

    def read_and_add(self, state: list[Any], ts: float, value: float) -> tuple[int, float]:
        """Count and sum of the window that ends at `ts`, before the value is added."""
        numbers, counts, sums = state
        now = int(ts // self.width_s)
        before: tuple[int, float] = (0, 0.0)
        if numbers:
            if now < numbers[-1]:
                before = self.read(state, ts)
                self._add_behind(state, now, value)
                return before
            if numbers[0] <= now - BUCKETS:
                gone = bisect_right(numbers, now - BUCKETS)
                del numbers[:gone], counts[:gone], sums[:gone]
            before = sum(counts), fsum(sums) if self.adds else 0.0
            if numbers and now == numbers[-1]:
                counts[-1] += 1
                sums[-1] += value
                return before
        numbers.append(now)
        counts.append(1)
        sums.append(value)
        return before

    def _add_behind(self, state: list[Any], now: int, value: float) -> None:
        """To a bucket before the newest."""
        numbers, counts, sums = state
        if now <= numbers[-1] - BUCKETS:
            return
        at = bisect_left(numbers, now)
        if numbers[at] == now:
            counts[at] += 1
            sums[at] += value
        else:
            numbers.insert(at, now)
            counts.insert(at, 1)
            sums.insert(at, value)


class Distinct:
    """How many different values came within the window; each counts where it was seen last.

    Args:
        over_s: length of the window in seconds of event time.

    >>> shops = Distinct(over_s=3200.0)
    >>> state = shops.fresh()
    >>> for ts, shop in [(0.0, "a"), (50.0, "b"), (1000.0, "a"), (900.0, "c")]:
    ...     shops.add(state, ts, shop)
    >>> shops.read(state, 1000.0), shops.read(state, 3300.0), shops.read(state, 950.0)
    (3, 2, 2)
    """

    def __init__(self, *, over_s: float) -> None:
        self.width_s = over_s / BUCKETS

    def fresh(self) -> dict[Any, int]:
        """The bucket in which each value was seen last, oldest first."""
        return {}

    def read(self, state: dict[Any, int], ts: float) -> int:
        """How many of the window that ends at `ts`."""
        now = int(ts // self.width_s)
        least = now - BUCKETS
        return sum(least < bucket <= now for bucket in state.values())

    def add(self, state: dict[Any, int], ts: float, value: Hashable) -> None:
        """One more value."""
        now = int(ts // self.width_s)
        newest = next(reversed(state.values())) if state else now
        if now >= newest:
            state.pop(value, None)
            state[value] = now
            self._forget(state, now - BUCKETS)
        elif now > newest - BUCKETS and state.get(value, -1) < now:
            # Late, and new or seen before it only: to its place among the others.
            state[value] = now
            ordered = sorted(state.items(), key=_bucket_of)
            state.clear()
            state.update(ordered)
            self._forget(state, newest - BUCKETS)

    def _forget(self, state: dict[Any, int], least: int) -> None:
        """What the window has left, and what is too much."""
        gone = list[Any]()
        for value, bucket in state.items():
            if bucket > least and len(state) - len(gone) <= DISTINCT_MAX:
                break
            gone.append(value)
        for value in gone:
            del state[value]


def _bucket_of(item: tuple[Any, int]) -> int:
    return item[1]


class Decaying:
    """A mean in which a value counts half after each half-life of event time.

    Args:
        half_life_s: seconds.

    >>> level = Decaying(half_life_s=60.0)
    >>> state = level.fresh()
    >>> for ts, value in [(0.0, 3.0), (60.0, 0.0)]:
    ...     level.add(state, ts, value)
    >>> level.read(state)
    1.0
    """

    def __init__(self, *, half_life_s: float) -> None:
        self.half_life_s = half_life_s

    def fresh(self) -> list[float]:
        """The time of the latest value, the sum of all weights, and that of the weighted values."""
        return [0.0, 0.0, 0.0]

    def read(self, state: list[float]) -> float | None:
        """The mean; None before the first value."""
        return state[2] / state[1] if state[1] else None

    def add(self, state: list[float], ts: float, value: float) -> None:
        """One more value. One that comes late counts as if it had come in time."""
        at, weight, total = state
        if not weight:
            state[:] = ts, 1.0, value
        elif ts >= at:
            fading = 0.5 ** ((ts - at) / self.half_life_s)
            state[:] = ts, weight * fading + 1.0, total * fading + value
        else:
            faded = 0.5 ** ((at - ts) / self.half_life_s)
            state[1:] = weight + faded, total + value * faded


class Latest:
    """When something was seen last.

    >>> seen = Latest()
    >>> state = seen.fresh()
    >>> for ts in (5.0, 3.0):
    ...     seen.add(state, ts)
    >>> seen.read(state, 7.5), seen.read(state, 4.0), seen.read([], 4.0)
    (2.5, 0.0, None)
    """

    def fresh(self) -> list[float]:
        """The latest time, if there is one."""
        return []

    def read(self, state: list[float], ts: float) -> float | None:
        """Seconds from then to `ts`, 0 if that is before; None if it was never seen."""
        return max(0.0, ts - state[0]) if state else None

    def add(self, state: list[float], ts: float) -> None:
        """Seen once more."""
        state[:] = [max(ts, state[0]) if state else ts]
