"""Prints a stream of labelled events whose concept changes half way, as JSON lines: `python examples/sea_stream.py`."""

import itertools
import sys

import orjson
from river.datasets import synth

EVENTS = 10_000


def main() -> None:
    """River's SEA generator, variant 2 and then variant 3."""
    rows = itertools.chain(
        itertools.islice(synth.SEA(variant=2, seed=1, noise=0.05), EVENTS // 2),
        itertools.islice(synth.SEA(variant=3, seed=2, noise=0.05), EVENTS // 2),
    )
    for number, (x, y) in enumerate(rows):
        features = {f"sensor_{name}": round(value, 3) for name, value in x.items()}
        event = {"id": f"sea-{number}", "ts": 1_600_000_000 + number, "features": features, "label": bool(y)}
        sys.stdout.buffer.write(orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
