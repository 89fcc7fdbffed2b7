"""Runs the application on uvicorn, in one process or several that share a socket."""

import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import structlog
import uvicorn
from starlette.applications import Starlette
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from anabranch.errors import AnabranchError, ConfigError
from anabranch.follower import Follower
from anabranch.kafka import partitions
from anabranch.scope import GLOBAL, Scope, of_partition
from config import loading
from config.output import Score
from config.settings import Settings
from serving.application import application
from serving.metrics import SHARED_FOLDER
from serving.models import Models, Served
from serving.partitions import KeysWatch, ServedByPartition, see
from serving.stream import AnsweredEvents
from serving.warm_up import WarmUp
from serving.workers import Workers, place_in

STOP_S = 9
"""So long requests in flight may take to end after SIGTERM: ten seconds, less what leaving takes."""

HANGS_S = 30
"""A worker that does not answer its supervisor for so long is replaced. On a busy machine, one that reads a large model
has been silent for more than uvicorn's own five seconds."""

ENDS_S = 5
"""So long a worker whose pipe is closed may take to end."""

TICK_S = 0.01

log = structlog.get_logger()

UVICORN: dict[str, Any] = {
    "timeout_graceful_shutdown": STOP_S,
    "log_level": "warning",
    "access_log": False,
    "server_header": False,
    "ws": "none",
}
"""How uvicorn serves, wherever it listens."""

HANDED_ON = "ANABRANCH_SCORE_HANDED_ON"
"""The environment variable by which worker processes get what the command line said."""


def served(settings: Settings, *, scope: Scope = GLOBAL, worker: int | None = None) -> Served:
    """The model of a configuration, followed on its topics.

    Args:
        worker: of several behind one port, its number. Host, port and number are its name among the followers, which a
            restart keeps: nobody waits for what a process that has ended served.
    """
    score, topics = settings.score, settings.topics
    follower = Follower(
        settings.name,
        kafka=settings.kafka,
        topic=topics.name("updates"),
        scope=scope,
        trusted=settings.model.trusted,
        trusted_keys=score.trusted_keys,
        learn_along=score.learn_along,
        learned=topics.name("learned"),
        max_age=score.max_age,
        min_version=score.min_version,
        ack_as=_name(score, worker) if score.acks else None,
        acks=topics.name("acks"),
        slow=settings.rollout.slow,
    )
    warm_up = WarmUp(follower, wanted=settings.publish.warm_up_events)
    string_max = settings.guard.string_max
    return Served(follower, warm_up=warm_up, string_max=string_max, computes=score.compute, edge=settings.edge)


def _name(score: Score, worker: int | None) -> str:
    here = f"{socket.gethostname()}:{score.port}"
    return here if worker is None else f"{here}/{worker}"


def _of_all_partitions(settings: Settings, *, worker: int | None) -> Served:
    numbers = partitions(settings.kafka, settings.topics.name("events"))
    parts = [served(settings, scope=of_partition(each), worker=worker) for each in numbers]
    averages = settings.score.by_partition == "average"
    return ServedByPartition(parts, partitioner=settings.score.partitioner, averages=averages)


def models_of(several: Sequence[Settings], *, scope: Scope | None = GLOBAL, worker: int | None = None) -> Models:
    """The models of several configurations.

    Args:
        scope: None: with scope = "partition", the models of all partitions, each for the keys that lie on it.
        worker: as in `served`.

    Raises:
        ConfigError: two have one name, or cannot be served as they are configured.
    """
    names = [each.name for each in several]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"two configurations are of model {min(twice)!r}: give each another `name`")
    for each in several:
        if each.scope != several[0].scope:
            raise ConfigError("models of one and of all partitions cannot be served by one process: start two")
        if each.score.predictions and each.scope != "global":
            raise ConfigError(
                f'{each.name}: predictions on a topic are for scope = "global": here each partition has its own model'
            )
        if scope is None and each.score.by_partition == "average" and each.task == "rank":
            raise ConfigError(f'{each.name}: positions have no mean: score.by_partition = "average" is not for rankers')
    models = [
        _of_all_partitions(each, worker=worker) if scope is None else served(each, scope=scope, worker=worker)
        for each in several
    ]
    pairs = list(zip(several, models, strict=True))
    beside = [AnsweredEvents(settings, each) for settings, each in pairs if settings.score.predictions]
    # Whose mean answers needs no partitioner.
    split = [(settings, each) for settings, each in pairs if scope is None and settings.score.by_partition == "own"]
    watches = [_watch_of(settings, len(each.parts)) for settings, each in split]
    return Models(models, beside=[*beside, *watches])


def _watch_of(settings: Settings, count: int) -> KeysWatch:
    topic, partitioner = settings.topics.name("events"), settings.score.partitioner
    return KeysWatch(
        settings.kafka, topic, model=settings.name, count=count, partitioner=partitioner, edge=settings.edge
    )


def loaded(configs: Sequence[Path], overrides: Mapping[str, object]) -> list[Settings]:
    """The settings of several files; what the command line says counts for all of them.

    Raises:
        ConfigError: one cannot be read, or has segments, which only followers know.
    """
    found = []
    for config in configs:
        settings = loading.load(config)
        if settings.segments.by is not None:
            raise ConfigError(
                f"{config}: per-segment models ([segments]) are not served over HTTP, and answer no topic: follow the "
                f"model where it is needed, with `follow({settings.name!r}, segments=True, …)`; docs/SEGMENTS.md"
            )
        # Classes of artifacts may be defined beside the file, as for `learn`.
        sys.path.insert(0, str(config.resolve().parent))
        score = Score.model_validate(settings.score.model_dump() | dict(overrides))
        found.append(settings.model_copy(update={"score": score}))
    return found


def run(
    configs: Sequence[Path],
    several: Sequence[Settings],
    *,
    overrides: Mapping[str, object],
    workers: int,
    scope: Scope | None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; what is in flight then is answered.

    Args:
        several: what `loaded` made of the files and the overrides.
        scope: as in `models_of`.

    Raises:
        ConfigError: the models cannot be served so. It is raised here, since nobody would hear it of a worker.
    """
    score = several[0].score
    # Whose mean answers needs no partitioner.
    for each in [each for each in several if scope is None and each.score.by_partition == "own"]:
        see(each.kafka, each.topics.name("events"), partitioner=each.score.partitioner, edge=each.edge)
    app: Starlette | str = application(models_of(several, scope=scope), score)
    if workers > 1:
        # Each worker makes its own.
        words = {"configs": list(map(str, configs)), "overrides": dict(overrides), "scope": scope}
        os.environ[HANDED_ON] = orjson.dumps(words).decode()
        app = "serving.server:handed_on"
    # uvicorn raises the signal once more when it has ended, and before it begins nothing is in flight.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    if workers == 1:
        uvicorn.run(app, host=score.host, port=score.port, **UVICORN)
        return
    config = uvicorn.Config(
        app,
        factory=True,
        host=score.host,
        port=score.port,
        workers=workers,
        timeout_worker_healthcheck=HANGS_S,
        **UVICORN,
    )
    Supervisor(config, sockets=[config.bind_socket()]).run()


class Supervisor(Multiprocess):
    """uvicorn's, which tells of each worker that it replaces: of uvicorn's own lines only warnings are shown."""

    def keep_subprocess_alive(self) -> None:
        """Called twice a second."""
        before = [(each, _why_gone(each)) for each in self.processes]
        super().keep_subprocess_alive()
        for (old, why), new in zip(before, self.processes, strict=True):
            if old is not new:
                # What ended between the two questions.
                reason = why or f"it ended with exit code {old.exitcode}"
                log.warning("worker replaced", worker=old.pid, why=reason, by=new.pid)


def _why_gone(worker: Process) -> str:
    """Empty where it answers. One that hangs is ended here: uvicorn would wait for it once more, as long again."""
    # While this process holds the worker's end of the pipe too, one that ends while it is asked is not seen to end.
    worker.child_conn.close()
    if worker.is_alive(HANGS_S):
        return ""
    # The pipe may be closed a moment before the process has ended.
    worker.process.join(ENDS_S)
    if worker.exitcode is not None:
        return f"it ended with exit code {worker.exitcode}"
    worker.process.kill()
    worker.process.join()
    return f"it did not answer for {HANGS_S} s"


@contextmanager
def in_a_thread(app: Starlette, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Serve beside other work of this process, until the block ends.

    Args:
        port: 0: any that is free.

    Yields:
        The port.

    Raises:
        AnabranchError: it could not begin.
    """
    config = uvicorn.Config(app, host=host, port=port, **UVICORN)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="scorer", daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise AnabranchError(f"the scorer cannot listen on {host}:{port}: is the port taken?")
        time.sleep(TICK_S)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def handed_on() -> Starlette:
    """The application, in whichever process this is."""
    threading.Thread(target=_end_with_supervisor, name="supervised", daemon=True).start()
    given = orjson.loads(os.environ[HANDED_ON])
    several = loaded([Path(each) for each in given["configs"]], given["overrides"])
    folder = os.environ.get(SHARED_FOLDER)
    scope = None if given["scope"] is None else Scope(given["scope"])
    models = models_of(several, scope=scope, worker=place_in(Path(folder)) if folder else None)
    return application(models, several[0].score, workers=Workers(Path(folder), models) if folder else None)


def _end_with_supervisor() -> None:
    """A worker whose supervisor was killed would keep the port, and nobody would replace it when it ends."""
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None  # a worker is started by it
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)
