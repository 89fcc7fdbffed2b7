"""Rounds of shadows in processes beside the learner: each has some of the members, and is sent their turns.

    python -m consumers.rounds FD      such a process; a learner starts it, and it ends with the learner

A process may die or hang at any time: another one begins with the members as they were last brought home, and plays
what they have played since. So what comes of a round hangs on no process. Nothing is pickled: models go as model bytes,
all else as plain values.
"""

import queue
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgpack
import structlog

from anabranch import statetree
from anabranch.errors import AnabranchError
from anabranch.events import Prediction
from config import loading
from config.settings import Settings
from consumers.jobs.packed import whole
from learners.arena.members import Member
from learners.arena.rounds import Played, Turn, asked, played
from learners.models.tasks import Task

log = structlog.get_logger()

ANSWER_MAX_S = 120.0
"""Who has neither read nor answered by then hangs."""

STARTS_MAX = 3
"""So many processes in a row may end without an answer."""

KEPT_MAX = 20_000
"""Turns after which a model is brought home, so that what would have to be played again has a bound."""

_LENGTH = struct.Struct(">I")


class ShadowProcessesEnd(AnabranchError):
    """Processes that play rounds end one after the other, before they have answered."""


class _Gone(Exception):
    """A process has ended, or hangs."""


class _Away:
    """A member in a process.

    Attributes:
        model: as it was last sent or brought home.
        turns: that it has played since.
        round: so many of them are of the round whose answers are wanted.
        serial: of the answer that is wanted.
    """

    def __init__(self, name: str, model: Any, place: int) -> None:
        self.name, self.model, self.place = name, model, place
        self.turns: list[list[Any]] = []
        self.round = self.serial = 0
        self.asks_state = False


class Processes:
    """Plays rounds in so many processes, each with some of the members. (A `Crew` of the arena.)

    Every method raises ShadowProcessesEnd if process after process ends.

    Args:
        task: of the lane.
        answer_max_s: after which a process hangs, and is replaced.
    """

    elsewhere = True

    def __init__(self, settings: Settings, *, task: Task, answer_max_s: float = ANSWER_MAX_S) -> None:
        self.settings, self.task, self.answer_max_s = settings, task, answer_max_s
        self.running: list[_Process | None] = [None] * settings.shadows.processes
        self.has_forest = (settings.shadows.portfolio or "").endswith("+forest")
        self.starts = [0] * settings.shadows.processes
        self.members: dict[str, _Away] = {}
        self.arrived: dict[int, list[Any]] = {}
        """Answers by their serial, until they are asked for."""
        self.serial = 0

    def start(self, plays: Sequence[tuple[Member, Sequence[Turn]]]) -> None:
        """Send every member its turns, and go on."""
        here = {member.name for member, _ in plays}
        self.members = {name: away for name, away in self.members.items() if name in here}
        for member, turns in plays:
            away = self.members.get(member.name)
            if away is not None and len(away.turns) > KEPT_MAX and away.model is member.kept:
                self.home(member)
                away = None
            if away is None or away.model is not member.kept:
                away = self._sent(member)
            mine = [list(turn) for turn in asked(turns)]
            away.turns += mine
            away.round, away.serial = len(mine), self._next()
            self._tell(away, ["play", away.name, away.serial, mine, 0])

    def finish(self) -> dict[str, Played]:
        """Wait for all."""
        found = {}
        for away in self.members.values():
            if away.round:
                answers, fault = self._answer(away)
                found[away.name] = Played([None if each is None else Prediction(*each) for each in answers], fault)
                away.round = 0
        return found

    def home(self, member: Member) -> None:
        """Bring a member's model home, between two rounds. It is sent again with its next turns.

        What is done with a model here, such as being asked about canary rows, may change what it holds: a copy that
        went on elsewhere would not know.

        Raises:
            StateTreeError: the model holds something that cannot be kept.
        """
        away = self.members[member.name]
        away.serial, away.asks_state = self._next(), True
        self._tell(away, ["state", away.name, away.serial])
        data, fault = self._answer(away)
        del self.members[member.name]
        if fault:
            raise statetree.StateTreeError(fault)
        model = statetree.decode(data, trusted=self.settings.model.trusted)
        member.exchange_model(model, task=self.task, trained_on=member.trained_on)

    def close(self) -> None:
        """End the processes."""
        for process in self.running:
            if process is not None:
                process.close()
        self.running = [None] * len(self.running)

    # ── processes that come and go ──────────────────────────────────────────────────────────────────────────────

    def _next(self) -> int:
        self.serial += 1
        return self.serial

    def _sent(self, member: Member) -> _Away:
        """A member whose model goes to the process that has fewest; forests have one of their own, if there are two."""
        places = range(self.has_forest if len(self.running) > 1 else 0, len(self.running))
        if self.has_forest and "forest" in member.place:
            places = range(1)
        busy = [each.place for each in self.members.values()]
        place = min(places, key=busy.count)
        away = _Away(member.name, member.kept, place)
        self.members[member.name] = away
        if self.running[away.place] is not None:
            self._tell(away, self._model(away))
        return away

    def _model(self, away: _Away) -> list[Any]:
        return ["model", away.name, statetree.encode(away.model, trusted=self.settings.model.trusted)]

    def _tell(self, away: _Away, message: list[Any]) -> None:
        process = self.running[away.place]
        try:
            if process is None:
                self._restart(away.place)  # which says this, too
            else:
                process.send(message)
        except _Gone:
            self._restart(away.place)

    def _answer(self, away: _Away) -> tuple[Any, str]:
        while away.serial not in self.arrived:
            process = self.running[away.place]
            try:
                assert process is not None  # it was told something
                serial, answer, fault = process.receive()
            except _Gone as gone:
                log.warning("shadow process lost", model=self.settings.name, reason=str(gone))
                self._restart(away.place)
            else:
                self.starts[away.place] = 0
                self.arrived[serial] = [answer, fault]
        answer, fault = self.arrived.pop(away.serial)
        return answer, fault

    def _restart(self, place: int) -> None:
        """Another process, with all that the one before had: models, what they have played, and what is wanted."""
        while True:
            before = self.running[place]
            if before is not None:
                before.close()
            self.starts[place] += 1
            if self.starts[place] > STARTS_MAX:
                raise ShadowProcessesEnd(
                    f"{STARTS_MAX} processes for shadows have ended or hung before they answered: see what they wrote, "
                    "and leave out `shadows.processes` until that is clear"
                )
            process = self.running[place] = _Process(self.settings, self.task, self.answer_max_s)
            with suppress(_Gone):
                for away in self.members.values():
                    if away.place == place:
                        self._told_again(process, away)
                return

    def _told_again(self, process: "_Process", away: _Away) -> None:
        process.send(self._model(away))
        # Of what was answered before, nobody wants to hear again.
        waits = away.round and away.serial not in self.arrived
        serial = away.serial if waits and not away.asks_state else 0
        if away.turns:
            process.send(["play", away.name, serial, away.turns, len(away.turns) - away.round])
        if away.asks_state:
            process.send(["state", away.name, away.serial])


class _Process:
    """One process, which answers messages in their order."""

    def __init__(self, settings: Settings, task: Task, answer_max_s: float) -> None:
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(answer_max_s)
        words = [sys.executable, "-m", "consumers.rounds", str(theirs.fileno())]
        # Out of reach of a terminal's Ctrl-C: the learner's last checkpoint wants the models that it has.
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
        )
        theirs.close()
        with suppress(_Gone):  # who waits for an answer sees it
            self.send([whole(settings), task.wants_proba])

    def send(self, message: Any) -> None:
        """Without waiting for what comes of it."""
        try:
            _write(self.socket, message)
        except OSError as error:
            raise _Gone(str(error) or type(error).__name__) from error

    def receive(self) -> Any:
        """The next answer: its serial, what it is, and what is wrong."""
        try:
            return _read(self.socket)
        except (OSError, EOFError) as error:
            raise _Gone(str(error) or f"ended with {self.process.poll()}") from error

    def close(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        self.socket.close()


def _write(to: socket.socket, message: Any) -> None:
    data = msgpack.packb(message)
    to.sendall(_LENGTH.pack(len(data)) + data)


def _read(of: socket.socket) -> Any:
    (length,) = _LENGTH.unpack(_exactly(of, _LENGTH.size))
    return msgpack.unpackb(_exactly(of, length), strict_map_key=False)


def _exactly(of: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        part = of.recv(count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


# ── within such a process ───────────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    """Play what comes, until the learner is gone."""
    with socket.socket(fileno=int(sys.argv[1])) as learner, suppress(EOFError, OSError):
        settings, wants_proba = _read(learner)
        known = loading.build(settings)
        stage = _Stage(known, Task(known, wants_proba=wants_proba))
        for message in _messages(learner):
            answer = stage.take(*message)
            if answer is not None:
                _write(learner, answer)


def _messages(learner: socket.socket) -> Iterator[list[Any]]:
    """What comes; it is read at once, so that nobody waits to write while the other does."""
    waiting: queue.Queue[Any] = queue.Queue()

    def read() -> None:
        with suppress(EOFError, OSError):
            while True:
                waiting.put(_read(learner))
        waiting.put(None)

    threading.Thread(target=read, daemon=True).start()
    yield from iter(waiting.get, None)


class _Stage:
    """The members that a process has."""

    def __init__(self, settings: Settings, task: Task) -> None:
        self.trusted, self.task = settings.model.trusted, task
        self.models: dict[str, Any] = {}
        self.doing: dict[str, tuple[Callable[[Any], Prediction], Callable[[Any, Any], None]]] = {}

    def take(self, what: str, name: str, *more: Any) -> list[Any] | None:
        """Do what a message says; the answer, if it wants one."""
        if what == "model":
            model = self.models[name] = statetree.decode(more[0], trusted=self.trusted)
            self.doing[name] = self.task.shadow_predictor(model), self.task.learner(model)
            return None
        if what == "play":
            serial, turns, skipped = more
            answers, fault = played(*self.doing[name], turns)
            return [serial, [None if each is None else list(each) for each in answers[skipped:]], fault]
        try:
            return [more[0], statetree.encode(self.models[name], trusted=self.trusted), ""]
        except statetree.StateTreeError as error:
            return [more[0], b"", str(error)]


if __name__ == "__main__":
    main()
