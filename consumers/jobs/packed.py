"""A retraining job and what came of it as bytes, for a process that carries it out: here, or on another machine."""

import hashlib
from typing import Any

import msgpack
import orjson
from river.__version__ import __version__ as river_version

from anabranch import statetree
from config import loading
from config.settings import Settings
from consumers.jobs import carried_out
from consumers.kafka.reader import KafkaLogReader
from learners.models import speedups
from learners.retraining import Job, JobResult

DECIDING = (
    "name",
    "task",
    "positive",
    "scope",
    "model",
    "topics",
    "guard",
    "privacy",
    "labels",
    "features",
    "memory",
    "constraints",
    "fairness",
)
"""The keys of the configuration that a job's models depend on, beside `retrain.augment`."""


def packed(job: Job) -> bytes:
    """The job, without the settings."""
    return statetree.encode(job.state())


def name_of(job: bytes) -> str:
    """What the learner calls a packed job."""
    return str(statetree.decode(job)["id"])


def whole(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, with the one secret that learning depends on: the key of the pseudonyms."""
    table = settings.model_dump(mode="json")
    if settings.privacy.key:
        table["privacy"]["pseudonyms"] = settings.privacy.key.decode()
    return table


def carry_out(settings: dict[str, Any], job: bytes) -> bytes:
    """Read the job's stretch of the log once, train all of its recruits on it; what came of it, for `unpacked`.

    The same job under the same settings gives the same models, wherever and however often it is carried out.

    Args:
        settings: as `whole` gives them.
        job: as `packed` gives it.

    Raises:
        KafkaUnavailable: the log cannot be read now.
    """
    known = loading.build(settings)
    speedups.install()
    done = carried_out(Job.from_state(statetree.decode(job)), KafkaLogReader(known), known)
    return told(done, known)


def told(done: JobResult, settings: Settings) -> bytes:
    """A finished job's models and failures."""
    return statetree.encode([list(done.models), done.failure, dict(done.failures)], trusted=settings.model.trusted)


def unpacked(job_id: str, result: bytes, settings: Settings) -> JobResult:
    """The finished job.

    Raises:
        StateTreeError: another version of River wrote it, it holds a class that is not trusted, or it is damaged.
    """
    models, failure, failures = statetree.decode(result, trusted=settings.model.trusted)
    return JobResult(job_id, tuple(models), failure=failure, failures=dict(failures))


def digest(job: bytes, settings: Settings) -> str:
    """Names the job, all that its models depend on included: SHA-256, hexadecimal.

    Whoever carries out a job under other settings, or with another version of River, comes to another digest.
    """
    table = settings.model_dump(mode="json", include=set(DECIDING))
    table["retrain"] = settings.retrain.augment.model_dump(mode="json")
    table["privacy"]["pseudonyms"] = settings.edge.key_id
    about = orjson.dumps([river_version, table], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(msgpack.packb([about, _state(job)])).hexdigest()


def _state(job: bytes) -> bytes:
    """The job as it is: `packed` also says which versions of Python and NumPy wrote it."""
    state: bytes = msgpack.packb(statetree.decode(job))
    return state
