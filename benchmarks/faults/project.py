"""One model of the campaign: its configuration, its events on a real Kafka, and its learners as processes."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from anabranch.kafka import producer
from anabranch.scope import GLOBAL, Scope, of_partition
from benchmarks.faults import witness
from benchmarks.faults.stream import SPICE, Spice, Stream
from commands import wiring
from consumers.checkpoint import contents_of, positions_of
from consumers.kafka.topics import create
from consumers.stores import store_of

ROOT = Path(__file__).resolve().parent.parent.parent
WAIT_S = 180.0
SESSION_S = 6.0
RETRAINING = b"consumers.jobs.processes"
"""The program of a retraining process."""

NO_DETECTORS = "[detectors]\n"
"""Nothing but the events then goes into the state, so that its hash is that of a straight run."""

NO_SWAPS = """
[trigger]
debounce_events = 1000
[arena]
false_swap_every = 1e300
[retrain]
recruits = [{ on = "last", events = 3000 }]
"""
"""Retraining, but the first champion stays: so its counts are of every event."""

SWAPS = """
[trigger]
debounce_events = 1000
[retrain]
library_max = 0
recruits = [{ on = "detector-window", events = 30 }, { on = "last", events = 1000 }]
"""
"""Recruits that have learned everything since they began, which can be counted."""

_CONFIG = """
name = "{name}"
task = "binary"
scope = "{scope}"
assignment = "{assignment}"
pending_max = 2_000_000  # more than any part has
[model]
factory = "witness:{factory}"
trusted = ["witness:Witness"]
[topics]
prefix = "{name}-"
partitions = {partitions}
[checkpoint]
store = "{store}"
every = "300ms"
every_events = 250
[publish]
warm_up_events = 100
refresh_events = 400
bytes_per_s = 0  # records are made as fast as they come: in their event time a model would hardly be announced
{sections}
[kafka]
"bootstrap.servers" = "{bootstrap}"
"session.timeout.ms" = {session_ms}
"heartbeat.interval.ms" = 1000
"reconnect.backoff.max.ms" = 1000
"""


class Learner:
    """A learner as a process of its own, with its journal and its log."""

    patience_s = WAIT_S

    def __init__(self, project: "Project", number: int, words: list[str]) -> None:
        self.journal = project.folder / f"{project.name}-{number}.journal"
        self.log = project.folder / f"{project.name}-{number}.log"
        self.journal.touch()
        command = [sys.executable, "-m", "benchmarks.faults.learner", str(project.config)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--journal", str(self.journal), *words],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def notes(self, word: str) -> list[str]:
        """The journal's lines that begin with a word."""
        return [line for line in self.journal.read_text().splitlines() if line.startswith(word)]

    def wait_for(self, word: str, *, more_than: int = 0) -> None:
        """Wait until the journal holds more such lines."""
        self._until(lambda: len(self.notes(word)) > more_than or self._has_ended(), f"{self.log}: no {word}")

    def wait_to_say(self, words: str) -> None:
        """Wait until its log holds these words; it has to live on."""

        def has_said() -> bool:
            return words in self.log.read_text(errors="replace") or self._has_ended()

        self._until(has_said, f"{self.log}: it does not say {words!r}")
        if self._has_ended():
            raise TimeoutError(f"{self.log}: it has ended: {self.said()}")

    def progress(self) -> int:
        """How many records were committed, last."""
        commits = self.notes("commit")
        return int(commits[-1].split()[1]) if commits else 0

    def _furthest(self) -> int:
        return max((int(each.split()[1]) for each in self.notes("commit")), default=0)

    def holds(self) -> set[int]:
        """The partitions that it owns, as far as it knows."""
        held: set[int] = set()
        for line in self.journal.read_text().splitlines():
            word, _, listed = line.partition(" ")
            if word in ("owned", "released", "lost") and listed:
                partitions = {int(each) for each in listed.split(",")}
                held = held | partitions if word == "owned" else held - partitions
        return held

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(how)

    def ended(self) -> int:
        """The exit code, once it has ended."""
        self._until(self._has_ended, f"{self.log}: it does not end")
        return self.process.wait()

    def _has_ended(self) -> bool:
        return self.process.poll() is not None

    def _until(self, true: Callable[[], bool], otherwise: str) -> None:
        """Wait until it is true. As long as it comes further, patience begins again: it is slow, and not stuck."""
        reached = -1
        while (further := self._furthest()) > reached:
            reached = further
            with suppress(TimeoutError):
                return until(true, otherwise, within_s=self.patience_s)
        raise TimeoutError(otherwise)

    def said(self) -> str:
        """What it printed last, for complaints."""
        lines = self.log.read_text(errors="replace").strip().splitlines() or ["no word"]
        own = [line for line in lines if line.startswith("anabranch:")]
        return (own or lines)[-1][:300]


class Project:
    """A model with topics of its own.

    Args:
        folder: of the whole campaign; `witness.py` is put there.
        spice: the shares of bad records, duplicates and poison.
    """

    def __init__(
        self,
        folder: Path,
        *,
        bootstrap: str,
        name: str,
        seed: int,
        scope: str = "global",
        assignment: str = "range",
        partitions: int = 1,
        factory: str = "linear",
        sections: str = NO_DETECTORS,
        store: Path | None = None,
        spice: Spice = SPICE,
        flip_every: int = 0,
        session_s: float = SESSION_S,
    ) -> None:
        _bring_witness(folder)
        self.folder = folder
        self.name = name
        self.config = folder / f"{name}.toml"
        self.config.write_text(
            _CONFIG.format(
                name=name,
                scope=scope,
                assignment=assignment,
                factory=factory,
                partitions=partitions,
                store=store or folder / "checkpoints",
                sections=sections,
                bootstrap=bootstrap,
                session_ms=int(session_s * 1000),
            )
        )
        self.settings = wiring.settings_at(self.config)
        create(self.settings)
        self.stream = Stream(seed=f"{seed}/{name}", partitions=partitions, spice=spice, flip_every=flip_every)
        self.learners: list[Learner] = []

    @property
    def scopes(self) -> dict[Scope, list[int]]:
        """The partitions of each of its models."""
        every = list(range(len(self.stream.log)))
        return {GLOBAL: every} if self.settings.scope == "global" else {of_partition(each): [each] for each in every}

    @property
    def blobs(self) -> Path:
        """The folder of the checkpoints' blobs."""
        return Path(self.settings.checkpoint.store) / self.name / "blobs"

    def feed(self, count: int) -> None:
        """Put the next records on the log."""
        publisher = Producer(producer(self.settings.kafka))
        topic = self.settings.topics.name("events")
        for partition, value in self.stream.more(count):
            publisher.produce(topic, value, partition=partition)
            publisher.poll(0)
        assert not publisher.flush(30), "the events could not be put on the log"

    def learn(
        self, *, pace: float = 0.0, at: str = "", passing: int = 1, how: str = "kill", end: bool = False
    ) -> Learner:
        """Start a learner."""
        words = [f"--pace={pace}", f"--at={at}", f"--passing={passing}", f"--how={how}"]
        learner = Learner(self, len(self.learners), [*words, "--until-end"] if end else words)
        self.learners.append(learner)
        return learner

    def state(self, scope: Scope = GLOBAL) -> dict[str, Any]:
        """The newest checkpoint in the store; that of the very beginning if there is none yet."""
        store = store_of(self.settings, scope)
        entries = store.manifest()
        if not entries:
            return {}
        return contents_of(self.settings, store, sha=str(entries[-1]["sha"]), scope=scope).state

    def positions(self) -> dict[int, int]:
        """What the newest checkpoints have learned, by partition."""
        held = [positions_of(self.state(scope).get("positions", {})) for scope in self.scopes]
        return {partition.number: at for positions in held for partition, at in positions.items()}

    def shown(self, scope: Scope = GLOBAL) -> dict[str, Any]:
        """What `anabranch state CONFIG --json` prints."""
        which = [] if scope.is_global else ["--partition", str(scope.number)]
        command = [sys.executable, "-m", "commands.main", "state", str(self.config), "--json", *which]
        shown: dict[str, Any] = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
        return shown

    def close(self) -> None:
        """End every process that is still there; a stopped one too."""
        for learner in self.learners:
            learner.kill()
            learner.ended()


def _bring_witness(folder: Path) -> None:
    """Whole or not at all: another project's learner may be importing it."""
    beside = folder / f"witness.{threading.get_ident()}"
    shutil.copy(witness.__file__, beside)
    beside.replace(folder / "witness.py")


@contextmanager
def project(folder: Path, **given: Any) -> Iterator[Project]:
    """A project whose processes do not outlive it."""
    made = Project(folder, **given)
    try:
        yield made
    finally:
        made.close()


def until(true: Any, otherwise: str, *, within_s: float = WAIT_S) -> None:
    """Wait until it is true.

    Raises:
        TimeoutError: saying `otherwise`.
    """
    deadline_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline_s:
            raise TimeoutError(otherwise)
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """The processes that a process has started, whichever of its threads it was."""
    found: list[int] = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # a thread that has ended
            found += map(int, listed.read_text().split())
    return found


def retrainings(pid: int) -> list[int]:
    """The retraining processes of a learner that run their own program.

    Until they do, one of its threads waits for them to begin.
    """
    return [child for child in children(pid) if RETRAINING in _command(child)]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def folder_of(retraining: int) -> Path:
    """Where a retraining process works."""
    return Path(_command(retraining).decode().rstrip("\0").rpartition("\0")[2])


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal."""
    return _state(pid) == "T"


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its code."""
    return _state(pid) in ("", "Z")


def _state(pid: int) -> str:
    try:
        found = re.search(r"\) (\w) ", Path(f"/proc/{pid}/stat").read_text())
    except OSError:
        return ""
    return found[1] if found else ""


def wake(pid: int) -> None:
    """Let a stopped process go on."""
    os.kill(pid, signal.SIGCONT)
