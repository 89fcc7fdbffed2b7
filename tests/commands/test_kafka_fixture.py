"""The brokers that the other tests stand on do what those tests take for granted."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from anabranch.errors import KafkaUnavailable
from commands.brokers import EmbeddedKafka
from commands.brokers.local import KAFKA_VERSION, LocalKafka, create_topic, kafka_jars, main
from support.checkout import ROOT


class RealKafka(Protocol):
    """What the fixtures `kafka` and `any_kafka` give."""

    bootstrap: str
    kind: str

    def create_topic(self, topic: str) -> int: ...


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, value, key=b"k", partition=0)
    assert producer.flush(20) == 0


@contextmanager
def reader(bootstrap: str, group: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
        }
    )
    with closing(consumer):
        yield consumer


def first_record(bootstrap: str, topic: str) -> Message:
    with reader(bootstrap, f"{topic}-reader") as consumer:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(20)
    assert message is not None
    assert message.error() is None
    return message


def committed(bootstrap: str, topic: str, metadata: str) -> TopicPartition:
    with reader(bootstrap, f"{topic}-group") as consumer:
        consumer.commit(offsets=[TopicPartition(topic, 0, 1, metadata)], asynchronous=False)
        return consumer.committed([TopicPartition(topic, 0)], timeout=20)[0]


def test_a_record_makes_the_round_trip(any_kafka: RealKafka, topic_prefix: str) -> None:
    """What is produced is consumed, on both brokers, from a topic of 4 partitions."""
    topic = topic_prefix + "events"
    assert any_kafka.create_topic(topic) == 4
    produce(any_kafka.bootstrap, topic, b"hello")
    message = first_record(any_kafka.bootstrap, topic)
    assert (message.key(), message.value(), message.offset()) == (b"k", b"hello", 0)


def test_the_metadata_of_a_commit_is_read_back(any_kafka: RealKafka, topic_prefix: str) -> None:
    """A commit carries 4,095 bytes of metadata and gives them back."""
    topic = topic_prefix + "events"
    any_kafka.create_topic(topic)
    found = committed(any_kafka.bootstrap, topic, "m" * 4_095)
    assert (found.offset, found.metadata) == (1, "m" * 4_095)


def test_too_much_metadata_is_refused(kafka: RealKafka, topic_prefix: str) -> None:
    """4,096 bytes are refused by a real broker, so a checkpoint's metadata must stay below."""
    kafka.create_topic(topic_prefix + "events")
    with pytest.raises(KafkaException, match="OFFSET_METADATA_TOO_LARGE"):
        committed(kafka.bootstrap, topic_prefix + "events", "m" * 4_096)


def test_the_real_broker_does_not_make_topics_up(kafka: RealKafka, topic_prefix: str) -> None:
    """A misspelled topic is an error, not a new topic."""
    with reader(kafka.bootstrap, topic_prefix) as consumer:
        topic = consumer.list_topics(topic_prefix + "typo", timeout=20).topics[topic_prefix + "typo"]
    assert topic.error is not None


def test_an_embedded_broker_that_is_stopped_says_so() -> None:
    """The address of a broker that is gone is not handed out."""
    with EmbeddedKafka() as broker:
        assert broker.bootstrap.startswith("127.0.0.1:")
    with pytest.raises(KafkaUnavailable, match="not running"):
        broker.bootstrap  # noqa: B018 the access itself raises


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Java the error says that it is Java that is missing."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(KafkaUnavailable, match="`java` is not on the PATH; install"):
        kafka_jars()


def test_missing_maven_is_named_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without the jars Maven is needed, and the error says so."""
    (tmp_path / "java").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ANABRANCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(KafkaUnavailable, match="`mvn` is not on the PATH; install"):
        kafka_jars()


def test_a_taken_port_is_an_error_in_words(embedded: EmbeddedKafka, capsys: pytest.CaptureFixture[str]) -> None:
    """`make kafka` beside another broker says what to do."""
    port = embedded.bootstrap.split(":")[1]
    assert main(["--port", port]) == 1
    assert f"port {port} is taken; choose another with --port" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_broker_comes_back_with_its_records(local_kafka: LocalKafka, topic_prefix: str) -> None:
    """After a kill -9 the same data directory and the same address serve the same records."""
    address, topic = local_kafka.bootstrap, topic_prefix + "events"
    create_topic(address, topic)
    produce(address, topic, b"kept")
    local_kafka.kill()
    local_kafka.start()
    assert local_kafka.bootstrap == address
    assert first_record(address, topic).value() == b"kept"


@pytest.mark.kafka
@pytest.mark.slow
def test_a_cluster_id_may_start_with_a_dash(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """One random id in 64 looks like an option to the format tool; the broker starts all the same."""
    monkeypatch.setattr("commands.brokers.local.uuid.uuid4", lambda: uuid.UUID(bytes=b"\xf8" + bytes(15)))
    broker: LocalKafka = request.getfixturevalue("local_kafka")
    assert "cluster.id=-AAAA" in (broker.data_dir / "log" / "meta.properties").read_text()


DIES_HARD = """
import os, pathlib, signal, sys
from commands.brokers.local import LocalKafka
broker = LocalKafka(pathlib.Path(sys.argv[1]))
broker.start()
print(broker.bootstrap.split(":")[1], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_does_not_outlive_a_process_that_dies_hard(kafka: RealKafka, tmp_path: Path) -> None:
    """A kill -9 of the process that started the broker ends the broker too."""
    if "jars by Maven" not in kafka.kind:
        pytest.skip(f"needs Kafka's own jars, and Kafka is {kafka.kind}")
    done = subprocess.run([sys.executable, "-c", DIES_HARD, tmp_path], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    wait_until_refused(int(done.stdout))


def wait_until_refused(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.1)
    pytest.fail(f"port {port} still answers after 10 s")


def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return parsed


def test_compose_runs_kafka_in_kraft_mode_and_our_three_services() -> None:
    """docker-compose.yml is YAML, needs no ZooKeeper, and starts topics, learner and follower; all else if asked."""
    services = compose()["services"]
    plain = {name for name, each in services.items() if "profiles" not in each}
    assert plain == {"kafka", "topics", "learner", "follower"}
    assert services["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert services["kafka"]["environment"]["KAFKA_PROCESS_ROLES"] == "broker,controller"
    volumes = {v.split(":")[0] for s in services.values() for v in s.get("volumes", [])}
    assert {v for v in volumes if not v.startswith(".")} == compose()["volumes"].keys()


@pytest.mark.parametrize(("left_with", "seen"), [(0, 0), (1, 1), (2, 0), (75, 0), (137, 137)])
def test_compose_does_not_restart_a_learner_that_was_fenced(tmp_path: Path, left_with: int, seen: int) -> None:
    """The learner's `restart: on-failure` sees 0 for exit codes 75 and 2, and every other code as it is."""
    learner = compose()["services"]["learner"]
    assert learner["restart"] == "on-failure"
    done = subprocess.run(
        [*learner["entrypoint"], *learner["command"]], check=False, env=path_with(tmp_path, f"exit {left_with}")
    )
    assert done.returncode == seen


def test_compose_stops_the_learner_in_order(tmp_path: Path) -> None:
    """SIGTERM to the process group, as tini sends it, waits for the learner's own last checkpoint."""
    learner = compose()["services"]["learner"]
    body = 'trap "echo checkpoint; exit 0" TERM; echo up; while :; do sleep 0.1; done'
    process = subprocess.Popen(
        [*learner["entrypoint"], *learner["command"]],
        env=path_with(tmp_path, body),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.killpg(process.pid, signal.SIGTERM)
    assert (process.communicate(timeout=10)[0], process.returncode) == ("checkpoint\n", 0)


def path_with(folder: Path, script: str) -> dict[str, str]:
    (folder / "anabranch").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "anabranch").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.mark.parametrize(
    "file", ["constraints.txt", "commands/brokers/local.py", "pyproject.toml", "client/pyproject.toml"]
)
def test_no_registry_is_named(file: str) -> None:
    """Where packages come from is the machine's business: names, versions and hashes only."""
    listeners = re.compile(r"(PLAINTEXT|CONTROLLER)://127\.0\.0\.1")  # the broker's own
    assert "://" not in listeners.sub("", (ROOT / file).read_text())
