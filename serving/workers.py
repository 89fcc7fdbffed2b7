"""Several workers behind one port: each says of itself whether it answers, and whoever is asked knows it of all."""

import fcntl
import itertools
import os
import threading
import time
from pathlib import Path

import orjson

from serving.models import Models

EVERY_S = 0.5
GONE_S = 5.0
"""Who has said nothing for so long is there no longer."""


def place_in(folder: Path) -> int:
    """The smallest number that no other process has there; whoever comes after this process takes its number over."""
    for number in itertools.count():
        file = os.open(folder / f"place-{number}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            continue
        # It stays open: the system lets go of the lock when the process ends, in whatever way.
        break
    return number


class Workers:
    """The workers that share a folder; it goes on beside the models of one of them.

    Args:
        folder: nobody else writes there.
        models: of this process.
    """

    def __init__(self, folder: Path, models: Models) -> None:
        self.folder = folder
        self.models = models
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)

    def start(self) -> None:
        """Tell from now on."""
        self._tell()
        self._thread.start()

    def stop(self) -> None:
        """This worker ends."""
        self._stopping.set()
        self._thread.join()
        self._file(os.getpid()).unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            self._tell()

    def _tell(self) -> None:
        said = {"ts": time.time(), "reasons": self.models.why_not_ready()}
        file = self._file(os.getpid())
        # Whole or not at all: others may read it at any time.
        draft = file.with_suffix(".draft")
        draft.write_bytes(orjson.dumps(said))
        draft.replace(file)

    def _file(self, worker: int) -> Path:
        return self.folder / f"worker-{worker}.json"

    def why_not_ready(self) -> dict[str, dict[str, str]]:
        """Of each worker that does not answer for some model, by its process id: by model, why."""
        own = self.models.why_not_ready()  # now, and not as it was last told
        found = {str(os.getpid()): own} if own else {}
        for file in sorted(set(self.folder.glob("worker-*.json")) - {self._file(os.getpid())}):
            try:
                said = orjson.loads(file.read_bytes())
            except FileNotFoundError:  # it has ended just now
                continue
            if said["reasons"] and time.time() - said["ts"] < GONE_S:
                found[file.stem.removeprefix("worker-")] = said["reasons"]
        return found
