"""`anabranch train`: carries out the retraining jobs of a learner, on any machine."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    config: Annotated[Path, typer.Argument(help="the model's TOML file, the learner's own")],
) -> None:
    """Take retraining jobs from their topic and carry them out, for learners with `retrain.executor = "topic"`.

    Start as many workers as you like, on any machines; each carries out one job at a time, and the topic's partitions
    bound how many have one. The jobs of a worker that dies are taken by another. SIGTERM and Ctrl-C end it at once, and
    leave what it was at to the others.
    """
    import signal
    import threading

    from anabranch.errors import ConfigError
    from commands import wiring
    from consumers.jobs.processes import ProcessExecutor
    from consumers.jobs.worker import Worker
    from consumers.kafka.topics import TRAINED, require
    from consumers.timing import SystemClock

    settings = wiring.settings_at(config)
    if settings.retrain.executor != "topic":
        raise ConfigError(
            f'{config}: retrain.executor = "{settings.retrain.executor}": its learner puts no jobs on a topic; '
            'write "topic" there, for the learner and its workers'
        )
    read = "examples" if settings.labels.tells_examples else "events"
    require(settings.kafka, [settings.topics.name(which) for which in (*TRAINED, read)])
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with ProcessExecutor(processes_max=1) as executor:
        worker = Worker(
            settings, executor=executor, clock=SystemClock(), stopping=stopping, process=wiring.this_process()
        )
        worker.run()
    print(f"{worker.delivered} results delivered")
