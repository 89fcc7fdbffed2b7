"""Runs all competitors over all streams, and writes benchmarks/ACCURACY.md.

    python -m benchmarks.accuracy [--streams NAME …] [--entries WORD …] [--seeds N] [--quick] [--data FOLDER]

Each pass is kept as it ends: interrupt and start again as you like. What the code or the configuration has changed
since is run again.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from benchmarks.accuracy import document
from benchmarks.accuracy.entries import ENTRIES, Entry
from benchmarks.accuracy.jobs import ROOT, Job, can_run, carry_out, planned, trials
from benchmarks.accuracy.results import Cache, Results
from benchmarks.accuracy.streams import SEEDS, STREAMS, Stream

QUICK_EVENTS = 3000


def main(words: Sequence[str] | None = None) -> int:
    """Run what is not known yet, and write the table."""
    options = _options(words)
    streams, entries = _chosen(options)
    cache = Cache(options.cache)
    limit = QUICK_EVENTS if options.quick else None
    jobs = list(planned(streams, entries, seeds=options.seeds, data=options.data, limit=limit))
    jobs += [] if options.streams or options.entries else trials(seeds=options.seeds)
    if not options.table:
        _run([job for job in jobs if cache.get(job) is None and can_run(job)], cache, workers=options.workers)
    known = [result for job in jobs if (result := cache.get(job)) is not None]
    left_out = [each.name for each in streams if not each.is_there(options.data)]
    unknown = [job.entry for job in jobs if cache.get(job) is None]
    text = document.written(Results(known, streams=streams), entries, left_out=left_out, unknown=unknown, limit=limit)
    if options.out is None:
        print(text)
    else:
        options.out.write_text(text)
        print(f"wrote {options.out}")
    return 0


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", nargs="+", default=[], help="only these")
    parser.add_argument("--entries", nargs="+", default=[], help="only competitors whose names begin so")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="of synthetic streams")
    parser.add_argument(
        "--quick", action="store_true", help=f"the first {QUICK_EVENTS:,} events only, to standard output"
    )
    parser.add_argument("--data", type=Path, default=_data_folder(), help="the folder of the .csv.gz files")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--cache", type=Path, default=_cache_folder(), help="where results are kept")
    parser.add_argument("--table", action="store_true", help="run nothing, write the table of what is known")
    parser.add_argument("--out", type=Path, help="the file to write; by default benchmarks/ACCURACY.md for a whole run")
    options = parser.parse_args(words)
    whole = not (options.quick or options.streams or options.entries or options.seeds < len(SEEDS))
    options.out = options.out or (ROOT / "benchmarks" / "ACCURACY.md" if whole else None)
    return options


def _data_folder() -> Path:
    return Path(os.environ.get("ANABRANCH_DATA") or ROOT.parent / "shared" / "data")


def _cache_folder() -> Path:
    return Path(os.environ.get("ANABRANCH_CACHE") or Path.home() / ".cache" / "anabranch") / "accuracy"


def _chosen(options: argparse.Namespace) -> tuple[list[Stream], list[Entry]]:
    known = [each.name for each in STREAMS]
    unknown = [each for each in options.streams if each not in known]
    if unknown:
        raise SystemExit(f"no stream {unknown[0]!r}; there are {', '.join(known)}")
    streams = [each for each in STREAMS if not options.streams or each.name in options.streams]
    words = [word.lower() for word in options.entries]
    entries = [each for each in ENTRIES if not words or each.name.lower().startswith(tuple(words))]
    if not entries:
        raise SystemExit(f"no competitor of that name; there are {', '.join(each.name for each in ENTRIES)}")
    return streams, entries


def _run(jobs: Sequence[Job], cache: Cache, *, workers: int) -> None:
    """Carry the jobs out in processes of their own, and keep each result as it comes."""
    began_s = time.monotonic()
    for number, (job, result) in enumerate(_carried_out(jobs, workers), 1):
        cache.keep(result)
        said = " ".join(f"{name} {result[name]:.4g}" for name in ("accuracy", "mae", "us", "swaps") if name in result)
        minutes = (time.monotonic() - began_s) / 60
        print(f"[{number}/{len(jobs)}, {minutes:.1f} min] {job}: {result.get('refused', said)}", flush=True)


def _carried_out(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, dict[str, Any]]]:
    # A process for each pass: what an earlier one has left behind costs the next one neither memory nor time.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, max_tasks_per_child=1) as pool:
        under_way = {pool.submit(carry_out, job): job for job in jobs}
        try:
            for each in as_completed(under_way):
                yield under_way[each], each.result()
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise SystemExit("interrupted; what is done is kept") from None
        except BrokenProcessPool:
            raise SystemExit("a pass ended its process, for want of memory perhaps; what is done is kept") from None


if __name__ == "__main__":
    sys.exit(main())
