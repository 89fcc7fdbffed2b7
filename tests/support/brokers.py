"""Where a real Kafka comes from: an address, a Docker engine, or Kafka's own jars."""

import fcntl
import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache
from pathlib import Path

import docker
from docker.errors import DockerException
from testcontainers.community.kafka import KafkaContainer

from commands.brokers.local import LocalKafka, create_topic

WHICH = "ANABRANCH_TEST_KAFKA"  # an address, or the word jars, which passes a Docker engine by


SASL = """
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller_port}},SASL://127.0.0.1:{sasl}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SASL://127.0.0.1:{sasl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  {users};
"""


def asking_for_passwords(port: int, users: dict[str, str]) -> str:
    """Properties of a `LocalKafka` that asks on this port for one of these users' password, and who may do what."""
    return SASL.format(sasl=port, users=" ".join(f'user_{who}="{password}"' for who, password in users.items()))


class RealKafka:
    """A real broker: its address, and what it is."""

    def __init__(self, bootstrap: str, kind: str) -> None:
        self.bootstrap = bootstrap
        self.kind = kind

    def create_topic(self, topic: str, *, partitions: int = 4) -> int:
        """Creates the topic and returns how many partitions it has."""
        return create_topic(self.bootstrap, topic, partitions=partitions)


@contextmanager
def shared(folder: Path) -> Iterator[RealKafka]:
    """One broker for all processes of a run: the first that asks starts it, and at its end waits for the others.

    Args:
        folder: known to all processes of this run, and to no other run.

    Raises:
        KafkaUnavailable: none can be had.
    """
    told = folder / "kafka"
    with (folder / "kafka.users").open("w") as users, ExitStack() as stack:
        with held(folder / "kafka.lock"):
            fcntl.flock(users, fcntl.LOCK_SH)
            mine = not told.exists()
            broker = a_real_kafka(stack) if mine else RealKafka(*told.read_text().split("\n"))
            told.write_text(f"{broker.bootstrap}\n{broker.kind}")
        yield broker
        gc.collect()  # clients that nobody holds any more would complain that the broker has gone
        if mine:
            with held(folder / "kafka.lock"):
                told.unlink()  # who comes now starts another
            fcntl.flock(users, fcntl.LOCK_UN)
            fcntl.flock(users, fcntl.LOCK_EX)  # until the others have ended, in whichever way


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody else holds it at the same time."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def a_real_kafka(stack: ExitStack) -> RealKafka:
    """In this order: the address given, a Docker engine, Kafka's own jars."""
    which = os.environ.get(WHICH)
    if which and which != "jars":
        return RealKafka(which, f"the one that {WHICH} names")
    if not which and docker_engine_answers():
        # An engine that cannot get the image is as good as none.
        with suppress(DockerException):
            return stack.enter_context(in_docker())
    broker = stack.enter_context(LocalKafka())
    return RealKafka(broker.bootstrap, broker.kind)


@contextmanager
def in_docker() -> Iterator[RealKafka]:
    container = KafkaContainer().with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
    with container:
        yield RealKafka(container.get_bootstrap_server(), f"testcontainers, {container.image}")


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
