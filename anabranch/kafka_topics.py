"""Whether the topics that somebody needs are there: asked for at once, before anything begins."""

import time
from collections.abc import Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import ClusterMetadata

from anabranch.errors import KafkaRefused
from anabranch.kafka_clients import ABSENT, TIMEOUT_S, UNAUTHORISED, Kafka, admin, reach

AGAIN_S = 0.5


def require(kafka: Kafka, topics: Iterable[str], *, timeout_s: float = TIMEOUT_S) -> None:
    """See that all these topics are there.

    Raises:
        KafkaRefused: naming all that are not, and all that this user is not shown.
        KafkaUnavailable: no broker answers.
    """
    cluster = reach(kafka, timeout_s=timeout_s)
    unlisted = [topic for topic in dict.fromkeys(topics) if not _is_in(cluster, topic)]
    if not unlisted:
        return
    faults = _asked_for(kafka, unlisted)
    absent = [topic for topic, code in faults.items() if code in ABSENT]
    hidden = [topic for topic, code in faults.items() if code in UNAUTHORISED]
    said = []
    if absent:
        said.append(f"missing topics: {', '.join(absent)}; create them with `anabranch topics create CONFIG`")
    if hidden:
        said.append(f"not authorised for {', '.join(hidden)}: give this user the rights to read and write there")
    if said:
        raise KafkaRefused("; ".join(said))


def _is_in(cluster: ClusterMetadata, topic: str) -> bool:
    return topic in cluster.topics and cluster.topics[topic].error is None


def _asked_for(kafka: Kafka, topics: Iterable[str]) -> dict[str, int]:
    """The error of each by name: a list of all topics leaves out those that a user may not see.

    A broker that makes topics up itself makes them now; that takes it a moment.
    """
    client, faults = admin(kafka), dict.fromkeys(topics, 0)
    for pause_s in (0.0, AGAIN_S):
        time.sleep(pause_s)
        for topic in faults:
            try:
                error = client.list_topics(topic, timeout=TIMEOUT_S).topics[topic].error
            except KafkaException as raised:
                error = raised.args[0]
            faults[topic] = 0 if error is None else error.code()
        faults = {topic: code for topic, code in faults.items() if code}
        if not faults:
            break
    return faults
