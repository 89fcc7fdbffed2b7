"""The topics of a model and the settings they need. Only `anabranch topics create` makes them, never a consumer."""

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from anabranch.errors import KafkaUnavailable
from anabranch.kafka_clients import TIMEOUT_S, admin
from anabranch.kafka_topics import require
from anabranch.settings import Settings
from consumers.topic_faults import shortcomings

_KEPT = {"cleanup.policy": "compact", "retention.ms": "-1"}
_DAYS_7 = {"cleanup.policy": "delete", "retention.ms": str(7 * 86_400_000)}
_DAYS_30 = {"cleanup.policy": "delete", "retention.ms": str(30 * 86_400_000)}

LEARNED = ("events", "updates", "artifacts", "signals", "reports", "lifecycle", "alerts", "control", "dead_letters")
"""The topics that a learner reads and writes."""

log = structlog.get_logger()

_CONFIGS: dict[str, dict[str, str]] = {
    "events": _DAYS_7,
    "labels": _DAYS_7,
    "updates": _KEPT,
    "artifacts": _KEPT | {"segment.bytes": str(128 * 2**20)},  # smaller ones are cleaned sooner
    "signals": _DAYS_30,
    "reports": _DAYS_7,
    "lifecycle": _DAYS_30,
    "alerts": _DAYS_30,
    "control": _DAYS_30,
    "dead_letters": _DAYS_30,
}


def see(settings: Settings) -> None:
    """See that everything a learner needs is there, before it begins; what else is wrong with it is a warning.

    Raises:
        KafkaRefused: naming all topics that are missing.
        KafkaUnavailable: no broker answers.
    """
    require(settings.kafka, map(settings.topics.name, LEARNED))
    for fault in shortcomings(settings):
        log.warning("topic settings", fault=fault)


def create(settings: Settings) -> dict[str, str]:
    """Create what is missing; by topic, what came of it.

    Raises:
        KafkaUnavailable: no broker answers, or one refuses.
    """
    names = settings.topics
    wanted = [
        NewTopic(
            names.name(which),
            num_partitions=names.partitions if which in ("events", "labels") else 1,
            replication_factor=names.replication,
            config=config,
        )
        for which, config in _CONFIGS.items()
    ]
    client = admin(settings.kafka)  # held by name: its answers are lost when it goes away
    answers = client.create_topics(wanted, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S)
    return {name: _answer(name, future) for name, future in answers.items()}


def _answer(name: str, future: object) -> str:
    try:
        future.result()  # type: ignore[attr-defined]  # confluent_kafka's stubs name no type for it
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return "was there"
        raise KafkaUnavailable(f"{name}: {error.args[0].str()}") from error
    return "created"
