"""The process that carries out one retraining job: `python -m consumers.jobs.child FOLDER`.

It reads the job from FOLDER/job, the events from the log, and leaves what came of it in FOLDER/result. It ends when its
standard input does: the learner, which holds the other end, is gone then, however it ended.
"""

import os
import sys
import threading
from pathlib import Path

from anabranch import statetree
from config import loading
from consumers.jobs import carried_out
from consumers.kafka.reader import KafkaLogReader
from learners.retraining.jobs import Job

ORPHANED = 1


def main(folder: Path) -> None:
    """Carry out the job in `folder`."""
    os.nice(5)  # the champion never waits for a recruit
    order = statetree.decode((folder / "job").read_bytes())
    settings = loading.build(order["settings"])
    job = Job.from_state(order["job"])
    done = carried_out(job, KafkaLogReader(settings), settings)
    result = [list(done.models), done.failure, dict(done.failures)]
    (folder / "part").write_bytes(statetree.encode(result, trusted=settings.model.trusted))
    (folder / "part").rename(folder / "result")


def end_with_parent() -> None:
    """From now on this process ends as soon as its standard input does."""
    threading.Thread(target=_wait_for_end, daemon=True).start()


def _wait_for_end() -> None:
    while os.read(0, 1):
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))
