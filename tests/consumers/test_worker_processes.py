"""The workers of one command, as real processes that do as they are told: die, go on, end."""

import signal
import sys
import threading
import time
from contextlib import suppress

import pytest

from anabranch.errors import ConfigError
from consumers import workers
from consumers.workers import WorkerDied, Workers
from support.waiting import until

PATIENT = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); "
FOR_EVER = PATIENT + "signal.pause()"


class Heard:
    """What the workers have said."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, bytes]] = []
        self.left: list[int] = []

    def heard(self, number: int, line: bytes) -> None:
        self.lines.append((number, line))

    def gone(self, number: int) -> None:
        self.left.append(number)


class Running:
    """Workers that run in a thread; what they came to."""

    def __init__(self, *programs: str) -> None:
        self.heard = Heard()
        self.workers = Workers([[sys.executable, "-c", each] for each in programs], listener=self.heard)
        self.stopping = threading.Event()
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.workers.run(stopping=self.stopping)
        except Exception as error:
            self.error = error

    def ended(self, *, stop: bool = False) -> BaseException | None:
        """What was raised, once it has come to its end."""
        if stop:
            self.stopping.set()
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.error

    def pid(self, number: int) -> int:
        process = self.workers.workers[number - 1].process
        assert process is not None
        return process.pid


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a second start."""
    monkeypatch.setattr(workers, "AGAIN_S", 0.01)
    monkeypatch.setattr(workers, "TICK_S", 0.01)


def test_one_that_is_killed_is_started_again_and_the_others_go_on() -> None:
    """The other one is the process that it was."""
    running = Running(FOR_EVER, FOR_EVER)
    try:
        until(lambda: len(running.heard.lines) == 2)
        first, other = running.pid(1), running.pid(2)
        with suppress(ProcessLookupError):
            running.workers.workers[0].ask_to_end(signal.SIGKILL)
        until(lambda: len(running.heard.lines) == 3)
        assert (running.pid(1) != first, running.pid(2) == other) == (True, True)
        assert running.heard.left == [1]
    finally:
        assert running.ended(stop=True) is None
    assert sorted(running.heard.left) == [1, 1, 2]


def test_one_that_dies_over_and_over_ends_the_command() -> None:
    """The others end well; the error says which it was, how often and how."""
    error = Running("raise SystemExit(1)", FOR_EVER).ended()
    assert isinstance(error, WorkerDied)
    assert "worker 1 has died 5 times in a row" in str(error)
    assert "ended with code 1" in str(error)


def test_one_that_dies_over_and_over_ends_nobody_who_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that is away ends who starts, not who runs: the one is tried again, the others wait for the broker."""
    monkeypatch.setattr(workers, "WELL_S", 0.5)
    monkeypatch.setattr(workers, "AGAIN_MAX_S", 0.01)
    running = Running(FOR_EVER, "import time; time.sleep(0.1); raise SystemExit(1)")
    try:
        until(lambda: running.heard.lines)
        running.workers.workers[0].began_s -= 1.0  # it has been there for longer
        until(lambda: running.heard.left.count(2) > 8)
        assert running.error is None
    finally:
        running.stopping.set()
        running.thread.join(30)


def test_what_is_accepted_at_the_first_start_is_accepted_once() -> None:
    """What is lost later needs a person again."""
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "--accept-loss", "--json"]
    heard = Heard()
    worker = workers.Worker(1, command, listener=heard)
    for _ in range(2):
        worker.start()
        until(worker.has_ended)
    assert heard.lines == [(1, b"['--accept-loss', '--json']\n"), (1, b"['--json']\n")]


def test_who_is_not_heard_does_not_stand_still() -> None:
    """Whatever the listener raises: the pipe is read on."""

    class Deaf(Heard):
        def heard(self, number: int, line: bytes) -> None:
            super().heard(number, line)
            raise ValueError("what was that?")

    heard = Deaf()
    program = "for _ in range(2000): print('x' * 99)"
    worker = workers.Worker(1, [sys.executable, "-c", program], listener=heard)
    worker.start()
    until(worker.has_ended)
    assert len(heard.lines) == 2000


@pytest.mark.parametrize(("code", "kind"), [(2, ConfigError), (75, workers.OwnershipLost)])
def test_what_no_start_mends_ends_the_command_at_once(code: int, kind: type[Exception]) -> None:
    """A configuration that cannot be used: with the exit code that one process would have had."""
    running = Running(f"raise SystemExit({code})", FOR_EVER)
    assert isinstance(running.ended(), kind)
    assert running.heard.left.count(1) == 1


def test_all_that_end_well_by_themselves_end_the_command() -> None:
    """As with --until-end; what they said last was heard."""
    running = Running("print('one')", "print('two')")
    assert running.ended() is None
    assert sorted(running.heard.lines) == [(1, b"one\n"), (2, b"two\n")]


def test_one_that_ends_well_is_not_started_again() -> None:
    """Somebody has asked this one to end, and the others have its partitions."""
    running = Running("print('one')", FOR_EVER)
    try:
        until(lambda: running.heard.left == [1])
        time.sleep(0.1)
        assert [line for _, line in running.heard.lines].count(b"one\n") == 1
    finally:
        assert running.ended(stop=True) is None


def test_one_that_does_not_end_is_killed_and_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervisors would kill the command itself a little later."""
    monkeypatch.setattr(workers, "STOP_S", 0.3)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    running = Running(deaf, FOR_EVER)
    until(lambda: len(running.heard.lines) == 2)
    assert "worker 1 was killed by signal 9" in str(running.ended(stop=True))


def test_a_stop_before_anything_has_begun_is_no_fault() -> None:
    """There is nothing to checkpoint yet, and signals are not heard."""
    running = Running("import time; print('up', flush=True); time.sleep(60)")
    until(lambda: running.heard.lines)
    assert running.ended(stop=True) is None


def test_a_worker_ends_when_its_command_is_killed() -> None:
    """Nobody would start it again, or end it."""
    program = "from consumers.workers import end_with_supervisor; end_with_supervisor(); " + FOR_EVER
    running = Running(program)
    until(lambda: running.heard.lines)
    process = running.workers.workers[0].process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert running.ended() is None  # it has ended well, after a SIGTERM from itself


def test_a_life_that_was_long_enough_begins_the_row_anew() -> None:
    """One that is killed once an hour is started again for ever, and soon."""
    deaths = workers.Deaths()
    assert [deaths.again_in_s(lived_s=3600.0) for _ in range(20)] == [workers.AGAIN_S] * 20


def test_the_pause_grows_up_to_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start reads checkpoints."""
    monkeypatch.setattr(workers, "AGAIN_S", 10.0)
    deaths, bound = workers.Deaths(), workers.AGAIN_MAX_S
    assert [deaths.again_in_s(lived_s=0.0) for _ in range(5)] == [10.0, 20.0, bound, bound, None]
