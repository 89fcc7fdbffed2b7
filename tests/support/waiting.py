"""Waiting until something is true."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(wanted: Callable[[], T], *, within_s: float = 30.0) -> T:
    """What `wanted` answers, once it is something."""
    ends_s = time.monotonic() + within_s
    while not (answer := wanted()):
        assert time.monotonic() < ends_s, f"it did not come to that within {within_s:g} s"
        time.sleep(0.02)
    return answer
