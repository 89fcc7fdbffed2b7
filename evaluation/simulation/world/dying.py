"""A process that ends just before the n-th thing that it does to the world."""

from collections.abc import Iterator
from typing import Any

from evaluation.simulation.world.processes import Crash


class Dying:
    """A port of such a process: every call but `close` counts `left` down, and at 0 raises Crash instead.

    Ports of one process share `left`, as `itertools.count(n, -1)`.
    """

    def __init__(self, port: Any, left: Iterator[int]) -> None:
        self.port = port
        self.left = left

    def __getattr__(self, name: str) -> Any:
        act = getattr(self.port, name)

        def step(*args: Any, **named: Any) -> Any:
            if name != "close" and next(self.left) <= 0:
                raise Crash
            return act(*args, **named)

        return step
