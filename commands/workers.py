"""`anabranch learn --workers N`: what the command tells its workers, and what they tell the command.

A worker is `anabranch learn --worker NUMBER`. On its standard output are messages as they are on their topics, and
lines for the command alone: a message is an object of JSON, and such a line an array, of its kind and what it tells.
"""

import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import structlog

from anabranch.errors import ConfigError
from anabranch.kafka import partitions
from anabranch.messages import Message, ModelReport, UnreadableMessage, decode, encode
from commands import logs, wiring
from commands.views.workers import WorkersView
from config.settings import Settings
from consumers.intake import Read
from consumers.kafka import topics
from consumers.loop import LearningLoop
from consumers.workers import Workers, end_with_supervisor

log = structlog.get_logger()

TOLD_EVERY_S = 1.0
PORT_MAX = 65_535

Standing = dict[str, tuple[int, int]]
"""By scope, how many events a worker's model has learned, and how many records it has taken."""


def run(
    settings: Settings, config: Path, options: Mapping[str, object], *, workers: int, metrics_port: int | None
) -> Read:
    """Learn by several processes until SIGTERM or Ctrl-C, or until all have ended by themselves; what they have read.

    Args:
        options: of `anabranch learn`, for each worker.
        metrics_port: of the first worker; each one after it has the next.

    Raises:
        ConfigError: the model cannot be learned so, or there are not so many ports.
        WorkerDied: a worker died over and over.
    """
    _refuse(settings, workers=workers)
    port = settings.metrics.port if metrics_port is None else metrics_port
    commands = [
        _command(config, {**options, "worker": number, "metrics_port": _port(port, number)})
        for number in range(1, workers + 1)
    ]
    view = WorkersView(settings)
    json = bool(options["json"])
    shown = sys.stderr.isatty() and not json
    stopping = threading.Event()
    hearing = Hearing(view, relays=json, shows=shown, stopping=stopping)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with view if shown else nullcontext():
        Workers(commands, listener=hearing).run(stopping=stopping)
    if not json:
        for _, line in sorted(hearing.summaries.items()):
            print(line)
    return hearing.read


def _refuse(settings: Settings, *, workers: int) -> None:
    if settings.scope == "global":
        raise ConfigError(
            f"--workers {workers}: {settings.name} is one model of all partitions, which one process learns "
            '(scope = "global"). Leave --workers out; or set scope = "partition": then each partition has a model of '
            "its own, and the workers share them; docs/SCALE.md says when that pays"
        )
    topics.see(settings)
    count = len(partitions(settings.kafka, settings.topics.name("events")))
    if count < workers:
        log.warning(
            "more workers than partitions",
            workers=workers,
            partitions=count,
            what=f"{workers - count} of them find no partition, and wait until there are more, or another one dies",
        )


def _port(first: int | None, number: int) -> int | None:
    """Of the worker with this number; any that is free, and none at all, stay so."""
    if not first:
        return first
    port = first + number - 1
    if port > PORT_MAX:
        raise ConfigError(f"metrics: worker {number} would listen on port {port}, and there is none above {PORT_MAX}")
    return port


def of_worker(settings: Settings, number: int) -> Settings:
    """Where workers are static members of the group, each is one of its own: else they would displace each other."""
    key = "group.instance.id"
    if key not in settings.kafka:
        return settings
    return settings.model_copy(update={"kafka": {**settings.kafka, key: f"{settings.kafka[key]}-{number}"}})


def _command(config: Path, options: Mapping[str, object]) -> list[str]:
    words = []
    for name, value in options.items():
        if value is None or value is False:
            continue
        option = f"--{name.replace('_', '-')}"
        words += [option] if value is True else [option, str(value)]
    return [sys.executable, "-m", "commands.main", "learn", str(config), *words]


# ── In the command ──────────────────────────────────────────────────────────────────────────────────────────────────


class Hearing:
    """Hears the workers: their messages go on as they are, or to a view; where they stand is kept.

    Args:
        relays: messages are printed.
        shows: reports are shown.
        stopping: set when nobody reads what is printed any more.
    """

    def __init__(self, view: WorkersView, *, relays: bool, shows: bool, stopping: threading.Event) -> None:
        self.view = view
        self.relays = relays
        self.shows = shows
        self.stopping = stopping
        self.summaries: dict[tuple[int, str], str] = {}
        """Of each partition's model, by the last worker that had it."""
        self.read = Read(0, 0, 0, 0)
        """By all workers, of the partitions that they had at their end."""
        self._lock = threading.Lock()

    def heard(self, number: int, line: bytes) -> None:
        """A line of a worker's: one for this command, a message, or what something else has printed there."""
        with self._lock:
            if told := _told_in(line):
                self._told(number, *told)
            elif self.relays or not line.startswith(b"{"):
                self._print(line)
            elif self.shows:
                with suppress(UnreadableMessage):
                    self.view.hear(decode(ModelReport, line))

    def _told(self, number: int, kind: str, told: Any) -> None:
        if kind == "standing":
            self.view.stands(number, told)
        elif kind == "summary":
            self.summaries[len(told["scope"]), told["scope"]] = told["line"]  # p9 before p10
        elif kind == "read":
            self.read += Read(**told)

    def _print(self, line: bytes) -> None:
        try:
            sys.stdout.write(line.decode(errors="replace"))
            sys.stdout.flush()
        except BrokenPipeError:  # `anabranch learn … --json | head` ends like this, and nothing is wrong
            self.relays = False
            self.stopping.set()

    def gone(self, number: int) -> None:
        """It has nothing any more."""
        with self._lock:
            self.view.stands(number, {})


def _told_in(line: bytes) -> tuple[str, Any] | None:
    """What a worker's `Teller` says in this line; None where somebody else has printed it."""
    if not line.startswith(b'["'):
        return None
    with suppress(orjson.JSONDecodeError):
        match orjson.loads(line):
            case [("standing" | "summary" | "read") as kind, dict(told)]:
                return kind, told
    return None


# ── In a worker ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Teller:
    """Tells the command what becomes of a worker, in a line each; a context manager. The process ends with the command.

    Args:
        number: of the worker; each line of the log says it.
        tells_all: every message, and not reports alone.
    """

    def __init__(self, number: int, *, tells_all: bool) -> None:
        logs.configure(worker=number)
        self.tells_all = tells_all
        self.loop: LearningLoop | None = None
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._tell_on, name="teller", daemon=True)

    def hear(self, message: Message) -> None:
        """A message of the learner's."""
        if self.tells_all or isinstance(message, ModelReport):
            self._put(encode(message))

    def ended(self, loop: LearningLoop) -> None:
        """What the worker's models have come to."""
        for owner in loop.owners.values():
            self._tell("summary", {"scope": str(owner.scope), "line": wiring.summary(owner)})
        self._tell("read", asdict(loop.read))

    def _standing(self) -> Standing:
        owners = list(self.loop.owners.values()) if self.loop else []
        return {str(each.scope): (each.lane.events, each.guard.taken) for each in owners if hasattr(each, "lane")}

    def _tell(self, kind: str, told: object) -> None:
        self._put(orjson.dumps([kind, told]))

    def _put(self, line: bytes) -> None:
        # A broken pipe: the command is gone, and this process ends as well, after a checkpoint.
        with self._lock, suppress(BrokenPipeError):
            sys.stdout.write(f"{line.decode()}\n")
            sys.stdout.flush()

    def __enter__(self) -> Self:
        end_with_supervisor()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join()

    def _tell_on(self) -> None:
        before: Sequence[tuple[str, tuple[int, int]]] | None = None
        while not self._ending.wait(TOLD_EVERY_S):
            now = sorted(self._standing().items())
            if now != before:
                self._tell("standing", dict(now))
                before = now
