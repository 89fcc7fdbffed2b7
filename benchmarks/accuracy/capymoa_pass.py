"""A pass of one of CapyMOA's learners: MOA's loop in a process of an environment of its own, over the same events.

It tests, then trains, and what it answered is measured as for everybody else. It is given the classes beforehand, and
rows as text, in which a feature that an event does not have is missing. It tells no probabilities.
"""

import hashlib
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from anabranch.errors import AnabranchError
from anabranch.events import Prediction
from benchmarks.accuracy.generators import XY
from benchmarks.accuracy.one_pass import Passed

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "others" / "capymoa_fast.py"
PYTHON = ROOT / ".venv-capymoa" / "bin" / "python"
VERSIONS = ROOT / "constraints-capymoa.txt"


class PassFailed(AnabranchError):
    """CapyMOA's process did not end well; says what it said."""


def is_there() -> bool:
    """Whether `make capymoa` has been run."""
    return PYTHON.is_file()


@cache
def recipe() -> str:
    """What the answers depend on besides the events: CapyMOA's version, and the script that runs it."""
    version = re.search(r"^capymoa==\S+", VERSIONS.read_text(), re.MULTILINE)
    assert version is not None, f"{VERSIONS.name} has no capymoa"
    return f"{version[0]} {hashlib.sha256(SCRIPT.read_bytes()).hexdigest()}"


def passed(learner: str, events: Sequence[XY], *, seed: int) -> Passed:
    """A pass over events with labels, which are all known beforehand.

    Args:
        learner: one of the script's.

    Raises:
        PassFailed: the process did not end well.
    """
    classes = sorted({y for _, y in events})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.arff")
        path.write_text("\n".join(rows(events, classes)) + "\n")
        command = [str(PYTHON), str(SCRIPT), learner, str(seed), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PassFailed(f"CapyMOA's {learner} ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    answers = [Prediction(classes[place]) for place in told["answers"]]
    return Passed(served=[(y, answer) for (_, y), answer in zip(events, answers, strict=True)], seconds=told["cpu"])


def rows(events: Sequence[XY], classes: Sequence[Any]) -> Iterator[str]:
    """The events as the lines of an ARFF file; a class is called by its place.

    >>> list(rows([({"a": 1.5}, True), ({"b": True}, False)], [False, True]))[1:]
    ['@attribute a numeric', '@attribute b numeric', '@attribute label {0,1}', '@data', '1.5,?,1', '?,1,0']
    """
    names = list(dict.fromkeys(name for x, _ in events for name in x))
    place = {y: str(number) for number, y in enumerate(classes)}
    yield "@relation events"
    yield from (f"@attribute {name} numeric" for name in names)
    yield f"@attribute label {{{','.join(place.values())}}}"
    yield "@data"
    for x, y in events:
        # The sign makes numbers of truth values, and leaves numbers as they are.
        yield ",".join([*(str(+x[name]) if name in x else "?" for name in names), place[y]])
