"""The demo's configuration and its other processes: started, watched, and ended whatever happens."""

import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from anabranch.errors import AnabranchError
from commands.brokers import EmbeddedKafka
from commands.demo.stream import LATE_EVENTS
from config import loading
from config.settings import Settings
from consumers.jobs.processes import environment

END_S = 10.0
TAIL_LINES = 12
LINES_MAX = 10_000


class ProcessEnded(AnabranchError):
    """A process of the demo ended by itself; carries the end of its log."""


class Child:
    """A Python module as a process of its own; a context manager that ends it.

    Args:
        name: for people.
        command: the module and its arguments.
        log: where its standard error goes, and its standard output unless `listen`.
        listen: keep the lines of its standard output for `lines`.
    """

    def __init__(self, name: str, *command: str, log: Path, listen: bool = False) -> None:
        self.name = name
        self.command = [sys.executable, "-m", *command]
        self.log = log
        self.listen = listen
        self._lines: queue.Queue[bytes] = queue.Queue(LINES_MAX)

    def __enter__(self) -> Self:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.listen else output,
                stderr=output,
            )
        if self.process.stdout is not None:
            # In a thread: reading a pipe blocks, and one that nobody reads would fill up and block the child.
            threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        return self

    def _read(self, output: IO[bytes]) -> None:
        for line in output:
            self._lines.put(line)

    def lines(self) -> Iterator[bytes]:
        """The lines that came since."""
        while not self._lines.empty():
            yield self._lines.get()

    def check(self) -> None:
        """Do nothing while it runs.

        Raises:
            ProcessEnded: it does not run any more.
        """
        code = self.process.poll()
        if code is not None:
            raise ProcessEnded(f"the {self.name} ended by itself with exit code {code}; {self.tail()}")

    def tail(self) -> str:
        """The end of its log, for an error message."""
        said = self.log.read_text("utf-8", errors="replace").strip().splitlines()[-TAIL_LINES:]
        return "the end of its log:\n  " + "\n  ".join(said) if said else "it left no log"

    def end(self) -> None:
        """Ask it to end, wait, and insist if it does not."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


# ── What the demo runs on: its configuration, and the topics on the embedded broker ─────────────────────────────────

TOPICS = ("events", "labels", "examples", "updates", "artifacts", "signals", "reports", "dead_letters")
REPORT_EVENTS = 250

_CONFIG = """\
name = "fraud"
task = "binary"
seed = {seed}

[model]
steps = [{{ use = "tree.HoeffdingTreeClassifier" }}]

[kafka]
"bootstrap.servers" = "{bootstrap}"
"session.timeout.ms" = 6000  # who joins a group of the embedded broker may have to wait for it
"fetch.wait.max.ms" = 50     # the embedded broker does not wake a waiting reader when a record comes

[labels]
late = true                  # each comes by itself, {late} events after its own: when somebody has complained
early = "60d"                # days pass in seconds here, and the topics are not read in step

[scores]
window = 500
metrics = ["Accuracy", {{ use = "RollingPRAUC", window_size = {events} }}]  # over the whole run

[trigger]
debounce_events = 2000       # about the time that a retraining takes

[arena]
loss = "brier"
min_gain = 0.005
contest_events = 6000

[publish]
refresh_events = 0
report_events = {report_events}

[checkpoint]
store = "{store}"
"""


def write_config(path: Path, *, bootstrap: str, seed: int, events: int) -> Settings:
    """Write the demo's configuration, with its checkpoints beside it; and what it says."""
    store = (path.parent / "checkpoints").as_uri()
    told = {"bootstrap": bootstrap, "store": store, "report_events": REPORT_EVENTS, "late": LATE_EVENTS}
    text = _CONFIG.format(seed=seed, events=events, **told)
    path.write_text(text, "utf-8")
    return loading.load(path)


def make_topics(kafka: EmbeddedKafka, settings: Settings) -> None:
    """Let the topics appear."""
    for which in TOPICS:
        kafka.create_topic(settings.topics.name(which))
