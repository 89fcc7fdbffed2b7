"""Which log a topic is: its id and its cluster's, as far as the brokers tell."""

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from anabranch.errors import KafkaUnavailable
from anabranch.kafka_clients import TIMEOUT_S
from anabranch.ports import Origin

_NO_ID = "A" * 22
"""Zeros in base64: a broker that knows no topic ids."""


def origin(client: AdminClient, topic: str) -> Origin:
    """Ask which log the topic is now.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    try:
        listed = client.list_topics(topic, timeout=TIMEOUT_S)
    except KafkaException as error:
        raise KafkaUnavailable(f"{topic}: {error.args[0].str()}") from error
    has_ids = listed.controller_id in listed.brokers  # without a controller, as embedded, the question would wait
    topic_id = _topic_id(client, topic) if has_ids else ""
    return Origin(topic, topic_id, _known(listed.cluster_id), len(listed.topics[topic].partitions))


def _topic_id(client: AdminClient, topic: str) -> str:
    """Made by the broker for each topic that is created; empty where it does not tell."""
    try:
        described = client.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)[topic].result()
    except KafkaException:
        return ""
    return _known(str(described.topic_id))


def _known(told: str | None) -> str:
    """Empty, where the broker has none."""
    return "" if not told or told.strip("=") == _NO_ID else told
