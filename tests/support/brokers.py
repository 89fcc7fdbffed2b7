"""Where a real Kafka comes from: an address, a Docker engine, or Kafka's own jars."""

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache

import docker
from docker.errors import DockerException
from testcontainers.community.kafka import KafkaContainer

from commands.brokers.local import LocalKafka, create_topic

WHICH = "ANABRANCH_TEST_KAFKA"  # an address, or the word jars, which passes a Docker engine by


class RealKafka:
    """A real broker: its address, and what it is."""

    def __init__(self, bootstrap: str, *, kind: str) -> None:
        self.bootstrap = bootstrap
        self.kind = kind

    def create_topic(self, topic: str, *, partitions: int = 4) -> int:
        """Creates the topic and returns how many partitions it has."""
        return create_topic(self.bootstrap, topic, partitions=partitions)


def a_real_kafka(stack: ExitStack) -> RealKafka:
    """In this order: the address given, a Docker engine, Kafka's own jars."""
    which = os.environ.get(WHICH)
    if which and which != "jars":
        return RealKafka(which, kind=f"the one that {WHICH} names")
    if not which and docker_engine_answers():
        # An engine that cannot get the image is as good as none.
        with suppress(DockerException):
            return stack.enter_context(in_docker())
    broker = stack.enter_context(LocalKafka())
    return RealKafka(broker.bootstrap, kind=broker.kind)


@contextmanager
def in_docker() -> Iterator[RealKafka]:
    container = KafkaContainer().with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
    with container:
        yield RealKafka(container.get_bootstrap_server(), kind=f"testcontainers, {container.image}")


@cache
def docker_engine_answers() -> bool:
    """The command `docker` alone is no engine; only one that answers a ping is."""
    with warnings.catch_warnings():
        # docker-py leaves its socket open when nobody answers; it is collected here, not in the middle of a test.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            with closing(docker.from_env(timeout=3)) as client:
                return bool(client.ping())
        except DockerException:
            return False
        finally:
            gc.collect()
