"""What comes of one seed, and many seeds on all cores."""

import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol

import structlog

CHUNK_SEEDS = 20


class Result(NamedTuple):
    """What came of one seed: an empty finding is that all is well."""

    seed: int
    scenario: str
    finding: str
    steps: str
    tried: int = 0
    """How often what is tried happened, where that is counted."""


@contextmanager
def quiet() -> Iterator[None]:
    """Within it nothing is logged: a line for every swap of every run would be many."""
    configured = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        yield
    finally:
        structlog.configure(**configured)


class Trials(Protocol):
    """What can be tried with seeds, in any process."""

    def some(self, seeds: Iterable[int]) -> list[Result]:
        """The results of some seeds."""


def many(trials: Trials, seeds: Sequence[int], *, processes: int) -> Iterator[Result]:
    """The results as they come, from several processes."""
    chunks = [seeds[start : start + CHUNK_SEEDS] for start in range(0, len(seeds), CHUNK_SEEDS)]
    if processes <= 1 or len(chunks) <= 1:
        yield from (result for chunk in chunks for result in trials.some(chunk))
        return
    with multiprocessing.get_context("spawn").Pool(min(processes, len(chunks))) as pool:
        for results in pool.imap_unordered(trials.some, chunks):
            yield from results
