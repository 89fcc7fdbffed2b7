"""Rounds of shadows in processes beside the learner: each has some of the members, and is sent their turns.

    python -m consumers.rounds FD      such a process; a learner starts it, and it ends with the learner

A process may die or hang at any time: another one begins with the members as they were last brought home, and plays
what they have played since. So what comes of a round hangs on no process. Nothing is pickled: models go as model bytes,
all else as plain values.
"""

import os
import queue
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
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
from consumers.jobs.processes import environment
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

PIECE = 500
"""Turns of a message when they are played again: each is answered, or who takes long for all would seem to hang."""

UNKEPT = {each.__name__: each for each in (statetree.UnsupportedState, statetree.UntrustedClass)}
"""Why a state cannot be kept, by the name under which another process says so."""

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
        round: so many of them are of the round that has not been finished.
        serial: of the answer that was asked for last.
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
        self.wanted: dict[int, int] = {}
        """By the serials of answers that have not come yet, the place of the process that is to give them."""
        self.arrived: dict[int, list[Any]] = {}
        """Answers by their serial, until they are asked for."""
        self.serial = 0

    def start(self, plays: Sequence[tuple[Member, Sequence[Turn]]], *, present: Collection[str]) -> None:
        """Send every member its turns, and go on."""
        for away in [each for each in self.members.values() if each.name not in present]:
            self._drop(away)
        for member, turns in plays:
            away = self._of(member)
            mine = [list(turn) for turn in asked(turns)]
            away.turns += mine
            away.round, away.serial = len(mine), self._next(away.place)
            self._tell(away, ["play", away.name, away.serial, mine])

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
        away.serial, away.asks_state = self._next(away.place), True
        self._tell(away, ["state", away.name, away.serial])
        data, fault = self._answer(away)
        away.asks_state = False
        if fault:
            kind, reason = fault
            raise UNKEPT.get(kind, statetree.StateTreeError)(reason)
        model = statetree.decode(data, trusted=self.settings.model.trusted)
        self._drop(away)
        member.exchange_model(model, task=self.task, trained_on=member.trained_on)

    def close(self) -> None:
        """End the processes."""
        for process in self.running:
            if process is not None:
                process.close()
        self.running = [None] * len(self.running)

    # ── processes that come and go ──────────────────────────────────────────────────────────────────────────────

    def _next(self, place: int) -> int:
        self.serial += 1
        self.wanted[self.serial] = place
        return self.serial

    def _of(self, member: Member) -> _Away:
        """Where a member plays; its model goes there if it is another than before, or after a visit at home."""
        away = self.members.get(member.name)
        if away is not None and away.model is not member.kept:
            self._drop(away)
        elif away is not None:
            if len(away.turns) <= KEPT_MAX:
                return away
            try:
                self.home(member)
            except statetree.StateTreeError:
                return away  # the next checkpoint lets go of it, as it would if it played here
        return self._sent(member)

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

    def _drop(self, away: _Away) -> None:
        """Its process is to forget it."""
        del self.members[away.name]
        if self.running[away.place] is not None:
            self._tell(away, ["drop", away.name])

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

    def _answer(self, away: _Away) -> tuple[Any, Any]:
        while away.serial not in self.arrived:
            process = self.running[away.place]
            try:
                assert process is not None  # it was told something
                serial, answer, fault = process.receive()
            except _Gone as gone:
                log.warning("shadow process lost", model=self.settings.name, reason=str(gone))
                self._restart(away.place)
            else:
                self._arrive(serial, answer, fault)
        answer, fault = self.arrived.pop(away.serial)
        return answer, fault

    def _arrive(self, serial: int, answer: Any, fault: Any) -> None:
        place = self.wanted.pop(serial, None)
        if place is None:
            return  # something that was played again
        self.arrived[serial] = [answer, fault]
        # Not before all have answered: one that ends its process does so each time, however often the others answer.
        if place not in self.wanted.values():
            self.starts[place] = 0

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
        before = len(away.turns) - away.round
        for first in range(0, before, PIECE):
            process.send(["play", away.name, 0, away.turns[first : min(first + PIECE, before)]])
        if away.round:
            # Of what was answered before, nobody wants to hear again.
            serial = away.serial if away.serial in self.wanted else 0
            process.send(["play", away.name, serial, away.turns[before:]])
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
            words,
            env=environment(),
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
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
        os._exit(0)  # the learner is gone: nobody wants what a model may be doing for long yet

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield waiting.get()


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
        if what == "drop":
            self.models.pop(name, None), self.doing.pop(name, None)
            return None
        return self._play(name, *more) if what == "play" else self._state(name, *more)

    def _play(self, name: str, serial: int, turns: list[Any]) -> list[Any]:
        doing = self.doing.get(name)
        # One that has raised goes no further, also where its turns come again in pieces.
        answers, fault = played(*doing, turns) if doing is not None else Played([])
        if fault:
            del self.doing[name]
        return [serial, [None if each is None else list(each) for each in answers] if serial else [], fault]

    def _state(self, name: str, serial: int) -> list[Any]:
        try:
            return [serial, statetree.encode(self.models[name], trusted=self.trusted), ""]
        except statetree.StateTreeError as error:
            return [serial, b"", [type(error).__name__, str(error)]]


if __name__ == "__main__":
    main()
