"""What a member asks about its group."""

import threading
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition

from anabranch.errors import KafkaUnavailable
from anabranch.events import Partition
from consumers.kafka.group import ASKED_MAX, Group
from support.lanes import settings_of

EVENTS = [Partition("events", 0)]


class SlowCoordinator:
    """Stands for librdkafka's admin client while the coordinator gives no answer for a while."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)

    def list_consumer_group_offsets(
        self, asked: list[ConsumerGroupTopicPartitions], request_timeout: float
    ) -> dict[str, Future[ConsumerGroupTopicPartitions]]:
        """An answer, after those that are none."""
        answer: Future[ConsumerGroupTopicPartitions] = Future()
        if self.codes:
            answer.set_exception(KafkaException(KafkaError(self.codes.pop(0))))
        else:
            found = [TopicPartition(each.topic, each.partition, 7) for each in asked[0].topic_partitions]
            answer.set_result(ConsumerGroupTopicPartitions(asked[0].group_id, found))
        return {asked[0].group_id: answer}


def committed(client: Any, *, stopping: bool = False) -> Any:
    stop = threading.Event()
    if stopping:
        stop.set()
    return Group(settings_of(), stopping=stop).committed(client, EVENTS)


def test_a_coordinator_that_is_slow_is_asked_again() -> None:
    found = committed(SlowCoordinator(*[KafkaError._TIMED_OUT] * (ASKED_MAX - 1)))
    assert {partition: each.offset for partition, each in found.items()} == {EVENTS[0]: 7}


@pytest.mark.parametrize(
    ("codes", "stopping"),
    [
        ([KafkaError._TIMED_OUT] * ASKED_MAX, False),
        ([KafkaError.GROUP_AUTHORIZATION_FAILED], False),
        ([KafkaError._TIMED_OUT], True),
    ],
)
def test_not_for_ever_nor_where_it_has_refused_nor_while_stopping(codes: list[int], stopping: bool) -> None:
    with pytest.raises(KafkaUnavailable, match="offsets of group anabranch-m"):
        committed(SlowCoordinator(*codes), stopping=stopping)
