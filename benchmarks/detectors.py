"""False alarms and delays of all detectors, into benchmarks/DETECTORS.md: `make detectors`, some minutes on two cores.

python -m benchmarks.detectors [--runs N] [--out FILE]
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import river

from benchmarks import detectors_error as errors
from benchmarks import detectors_inputs as inputs

HERE = Path(__file__).parent


def main(words: Sequence[str] | None = None) -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--out", type=Path, default=HERE / "DETECTORS.md")
    options = parser.parse_args(words)
    began = time.monotonic()
    with get_context("spawn").Pool(2, initializer=os.nice, initargs=(5,)) as pool:
        # The slowest first, so that both cores end at about the same time.
        order = sorted(range(len(errors.CONTENDERS)), key=lambda n: errors.CONTENDERS[n].share)
        jobs = {n: pool.apply_async(errors.measured, (errors.CONTENDERS[n], options.runs)) for n in order}
        moves = {test: pool.apply_async(inputs.measured, (test, options.runs)) for test in inputs.TESTS}
        on_error = [_got(jobs[n], errors.CONTENDERS[n].title, began) for n in range(len(errors.CONTENDERS))]
        on_inputs = [_got(moves[test], test, began) for test in inputs.TESTS]
    text = report(on_error, on_inputs, runs=options.runs)
    options.out.write_text(text)
    print(text)
    print(f"{options.out}, in {time.monotonic() - began:.0f} s")


def _got(job: Any, title: str, began: float) -> Any:
    found = job.get()
    print(f"{time.monotonic() - began:6.0f} s  {title}", file=sys.stderr, flush=True)
    return found


def report(on_error: Iterable[errors.Result], on_inputs: Iterable[inputs.Moved], *, runs: int) -> str:
    """Both tables, and how they came about."""
    return "\n".join(
        [
            "# Detectors: false alarms against delay",
            "",
            f"Written by `make detectors ARGS='--runs {runs}'`, with seeds 0 to {runs - 1} for each change.",
            f"River {river.__version__}, Python {platform.python_version()}.",
            "",
            *_error_table(on_error),
            "",
            *_inputs_table(on_inputs),
            "",
        ]
    )


def _error_table(results: Iterable[errors.Result]) -> list[str]:
    titles = [change.title for change in errors.CHANGES]
    return [
        "## On the error",
        "",
        (
            f"Zeros and ones; only alarms on a rise count. False alarms in 100,000 events, over errors of .05, .2 "
            f"and .4; mean delay ± "
            f"its standard error after a change that {errors.BEFORE:,} events precede, in events (m: missed within "
            f"{errors.HORIZON:,})."
        ),
        "",
        f"| | runs | false | {' | '.join(titles)} |",
        f"|---|---|---|{'---|' * len(titles)}",
        *(
            f"| {each.title} | {each.runs} | {_rate(each.false, each.quiet_events)} | "
            f"{' | '.join(map(_mean_delay, each.delays))} |"
            for each in results
        ),
    ]


def _inputs_table(results: Iterable[inputs.Moved]) -> list[str]:
    return [
        "## On the inputs",
        "",
        (
            "Five features of which one moves, after 5,000 events; labels play no part. Defaults: 2,000 events "
            "of reference, a window of 500, Benjamini–Yekutieli at .001, two looks in a row. False alarms in 100,000 "
            "events, independent and with an autocorrelation of .9; median delay in events."
        ),
        "",
        f"| | false | autocorrelated | {' | '.join(inputs.MOVES)} |",
        f"|---|---|---|{'---|' * len(inputs.MOVES)}",
        *(
            f"| {each.test} | {_rate(each.false, each.quiet_events)} | "
            f"{_rate(each.false_with_memory, each.quiet_events)} | "
            f"{' | '.join(map(_median_delay, each.delays.values()))} |"
            for each in results
        ),
    ]


def _rate(alarms: int, events: int) -> str:
    return f"{alarms * 100_000 / events:,.1f}"


def _mean_delay(delays: Sequence[int | None]) -> str:
    found = [each for each in delays if each is not None]
    if not found:
        return _missed(delays)
    error = statistics.stdev(found) / len(found) ** 0.5 if len(found) > 1 else 0.0
    return f"{statistics.mean(found):,.0f} ± {error:,.0f}{_missed(delays)}"


def _median_delay(delays: Sequence[int | None]) -> str:
    found = [each for each in delays if each is not None]
    return (f"{statistics.median(found):,.0f}" if found else "") + _missed(delays)


def _missed(delays: Sequence[int | None]) -> str:
    missed = sum(each is None for each in delays)
    return f" m {missed}" if missed else ""


if __name__ == "__main__":
    main()
