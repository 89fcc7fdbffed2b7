"""An executor of processes started fresh, one a call, which end with whoever started them, whatever ends that."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from anabranch import statetree
from anabranch.errors import AnabranchError, ConfigError

PREFIX = "anabranch-job-"
LINES_SHOWN = 3
KILLED = -9
UNMARKED_MAX_S = 3600.0
"""A folder without its owner's mark is of a learner that died while it made it."""


class ProcessEnded(AnabranchError):
    """A process has ended without a result; says how, with the last lines that it wrote."""


class ProcessFuture(Future[Any]):
    """What a process will come to. Unlike other futures it can be cancelled while it runs: its process is killed."""

    def __init__(self) -> None:
        super().__init__()
        self.process: subprocess.Popen[bytes] | None = None
        """As long as it is under way."""
        self._starting = threading.Lock()
        self._is_given_up = False

    def cancel(self) -> bool:
        """End it, whether it waits or runs; False if it has come back already."""
        with self._starting:
            self._is_given_up = True
            if self.process is not None:
                self.process.kill()
        return super().cancel() or not self.done()

    def begin(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """Start the process.

        Raises:
            ProcessEnded: it was cancelled meanwhile.
        """
        with self._starting:
            if self._is_given_up:
                raise ProcessEnded("given up")
            self.process = start()
            return self.process


class ProcessExecutor(Executor):
    """One process a call: never a fork, since librdkafka's threads would not come along.

    What it can call are functions of modules, by their name; arguments and results are plain values or River's models,
    as model bytes hold them. Nothing is pickled.

    Args:
        processes_max: how many run at once; other calls wait for their turn. None: one a core.
    """

    def __init__(self, *, processes_max: int | None = None) -> None:
        tidy()
        self.futures: list[Future[Any]] = []
        """Those that have not come back."""
        # Each of its threads waits for one process.
        self._threads = ThreadPoolExecutor(processes_max or os.cpu_count() or 1, thread_name_prefix=PREFIX + "waits")

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> ProcessFuture:
        """Call the function in a process of its own, as soon as there is room for one."""
        call = statetree.encode([fn.__module__, fn.__qualname__, list(args), kwargs])
        future = ProcessFuture()
        self.futures.append(future)
        future.add_done_callback(self.futures.remove)
        self._threads.submit(_carry_out, future, call)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no further calls.

        Args:
            wait: until all have come back.
            cancel_futures: end those that have not, also those that run.
        """
        for future in list(self.futures) if cancel_futures else ():
            future.cancel()
        self._threads.shutdown(wait, cancel_futures=False)


def _carry_out(future: ProcessFuture, call: bytes) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        with _folder() as folder:
            (folder / "call").write_bytes(call)
            process = future.begin(lambda: _started(folder))
            with process:
                process.wait()
            result = _come_back(process.returncode, folder)
    except Exception as error:  # it is whoever asks for the result that has to know
        future.set_exception(error)
    else:
        future.set_result(result)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of this user's alone, with its mark: a file that is locked as long as the learner lives.

    The kernel lets go of it when this process ends, however it ends; the child does not inherit the file. So whoever
    finds it unlocked knows that the folder is an orphan's.
    """
    made = tempfile.TemporaryDirectory(prefix=PREFIX)
    with (Path(made.name) / "owner").open("wb") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        try:
            yield Path(made.name)
        finally:
            # The folder before its lock: once that is open, another learner may be removing the folder as well.
            made.cleanup()


def _started(folder: Path) -> subprocess.Popen[bytes]:
    # Into a file: a pipe that nobody reads while the job runs would fill up and block it.
    with (folder / "log").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "consumers.jobs.processes", str(folder)],
            env=environment(),
            stdin=subprocess.PIPE,  # nothing is written: its end is the end of this process
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def environment() -> dict[str, str]:
    """Of a child, which must find what this process can import: a factory beside the configuration, say."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}


def _come_back(code: int, folder: Path) -> Any:
    """What an ended process has come to."""
    if code == 0:
        # What it holds was written by this release, and names only what the other process had imported.
        return statetree.decode((folder / "result").read_bytes())
    if code == REFUSED:
        kind, reason = statetree.decode((folder / "result").read_bytes())
        raise (ConfigError if kind == ConfigError.__name__ else AnabranchError)(reason)
    said = (folder / "log").read_text(errors="replace").strip().splitlines()
    raise ProcessEnded(_reason(code, said))


def _reason(code: int, said: Sequence[str]) -> str:
    """Why a process came to nothing, with the last lines it wrote."""
    if code < 0:
        why = f"killed (signal {-code}){': out of memory?' if code == KILLED else ''}"
    else:
        why = f"it ended with code {code}"
    lines = " / ".join(line.strip() for line in said[-LINES_SHOWN:])
    return f"{why}: {lines or 'no word'}"


def tidy() -> None:
    """Remove the folders of learners that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError):  # another learner's, which is locked, or another user's
            if not (folder / "owner").exists():
                if time.time() - folder.stat().st_mtime > UNMARKED_MAX_S:
                    shutil.rmtree(folder, ignore_errors=True)
                continue
            with (folder / "owner").open("rb") as mark:
                # Without waiting: whoever holds the lock lives, and needs the folder.
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


# ── The process that carries out one call: `python -m consumers.jobs.processes FOLDER` ──────────────────────────────

# It reads the call from FOLDER/call, and leaves what came of it in FOLDER/result. It ends when its standard input does:
# the process that holds the other end is gone then, however it ended.

ORPHANED = 1
REFUSED = 3
"""Exit code: the function has raised an error that is for people, which lies in place of the result."""


def main(folder: Path) -> int:
    """Carry out the call in `folder`; the exit code."""
    os.nice(5)  # the champion never waits for a recruit
    module, name, args, kwargs = statetree.decode((folder / "call").read_bytes())
    code = 0
    try:
        result = getattr(import_module(module), name)(*args, **kwargs)
    except AnabranchError as error:
        kind = ConfigError if isinstance(error, ConfigError) else AnabranchError
        code, result = REFUSED, [kind.__name__, str(error)]
    (folder / "part").write_bytes(statetree.encode(result))
    # By a rename, so that a result is whole if it is there.
    (folder / "part").rename(folder / "result")
    return code


def end_with_parent() -> None:
    """From now on this process ends as soon as its standard input does."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 1):
        pass
    # sys.exit() would end this thread alone.
    os._exit(ORPHANED)


if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(Path(sys.argv[1])))
