"""The process that carries out one retraining job: `python -m consumers.retraining_process FOLDER`.

It reads the job from FOLDER/job, the events from the log, and leaves the models in FOLDER/models.
"""

import os
import sys
from pathlib import Path

from anabranch import settings_file, statetree
from consumers.kafka_reader import KafkaLogReader
from consumers.recruiting import carried_out
from learners.retraining import Job


def main(folder: Path) -> None:
    """Carry out the job in `folder`."""
    os.nice(5)  # the champion never waits for a recruit
    order = statetree.decode((folder / "job").read_bytes())
    settings = settings_file.build(order["settings"])
    job = Job.from_state(order["job"])
    models = carried_out(job, KafkaLogReader(settings), settings)
    (folder / "models").write_bytes(statetree.encode(list(models), trusted=settings.model.trusted))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
