"""The rights of docs/RIGHTS.md on a real Kafka that asks who may do what: with just these everything works."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from anabranch import follow
from anabranch.errors import KafkaForbidden
from anabranch.kafka import producer
from commands.brokers.local import LocalKafka
from config.records import Topics
from consumers.kafka.sink import KafkaSink
from support.brokers import asking_for_passwords
from support.checkout import ROOT
from support.command_line import Done, anabranch, config_in, start
from support.projects import ended, sea
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

USERS = ("learner", "follower", "producer", "operator", "auditor")
GRANT = "kafka-acls --add --allow-principal User:learner --operation WRITE --topic model-updates"
MODEL = """name = "fraud"
task = "binary"
[model]
steps = [{{ use = "naive_bayes.GaussianNB" }}]
[checkpoint]
store = "{folder}/checkpoints"
every = "300ms"
[kafka]
"bootstrap.servers" = "{bootstrap}"
"session.timeout.ms" = 6000
"""


def documented() -> Iterator[tuple[str, ResourceType, str, AclOperation]]:
    """Who, on what, which operation: the table in docs/RIGHTS.md."""
    text = (ROOT / "docs/RIGHTS.md").read_text()
    kinds = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP}
    for who, kind, name, operations in re.findall(r"^\| (\w+) \| (topic|group) (\S+) \| ([A-Z, ]+) \|$", text, re.M):
        resource = Topics().name(name) if kind == "topic" else name
        for each in operations.split(", "):
            yield who, kinds[kind], resource, AclOperation[each]


def binding(who: str, kind: ResourceType, name: str, operation: AclOperation) -> AclBinding:
    allow = AclPermissionType.ALLOW
    return AclBinding(kind, name, ResourcePatternType.LITERAL, f"User:{who}", "*", operation, allow)


class Secured:
    """A broker that asks, and who may do what there."""

    def __init__(self, broker: LocalKafka, port: int, folder: Path) -> None:
        self.admin = AdminClient({"bootstrap.servers": broker.bootstrap})
        self.bootstrap, self.folder = f"127.0.0.1:{port}", folder
        self.everybody = self._config("everybody", broker.bootstrap)
        assert anabranch("topics", "create", self.everybody).returncode == 0
        bindings = [binding(*each) for each in documented()]
        for future in self.admin.create_acls(bindings).values():
            future.result(10)
        until(lambda: self.rights() == len(bindings))  # the controller has them before the broker has

    def give(self, who: str, kind: ResourceType, name: str, operation: AclOperation) -> None:
        """It is there again."""
        for future in self.admin.create_acls([binding(who, kind, name, operation)]).values():
            future.result(10)
        until(lambda: self.rights() == len([*documented()]))

    def rights(self) -> int:
        """How many the broker knows."""
        every = AclBindingFilter(
            ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        return len(self.admin.describe_acls(every).result(10))

    def kafka(self, who: str) -> dict[str, Any]:
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "sasl_plaintext",
            "sasl.mechanism": "PLAIN",
            "sasl.username": who,
            "sasl.password": who,
        }

    def config(self, who: str) -> Path:
        """The configuration as this user has it."""
        lines = "".join(
            f'"{key}" = "{value}"\n' for key, value in self.kafka(who).items() if key != "bootstrap.servers"
        )
        return self._config(who, self.bootstrap, lines)

    def _config(self, who: str, bootstrap: str, more: str = "") -> Path:
        (folder := self.folder / who).mkdir(exist_ok=True)
        return config_in(folder, MODEL.format(folder=self.folder, bootstrap=bootstrap) + more)

    def carried_out(self, who: str, *words: str) -> Done:
        """A verb as this user."""
        return anabranch(*(self.config(who) if word == "CONFIG" else word for word in words))

    def take(self, who: str, kind: ResourceType, name: str, operation: AclOperation) -> None:
        """This right is no longer there."""
        told = binding(who, kind, name, operation)
        wanted = AclBindingFilter(
            told.restype, told.name, told.resource_pattern_type, told.principal, told.host, told.operation,
            told.permission_type,
        )  # fmt: skip
        for future in self.admin.delete_acls([wanted]).values():
            assert len(future.result(10)) == 1
        until(lambda: self.rights() == len([*documented()]) - 1)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with LocalKafka(properties=asking_for_passwords(port, {who: who for who in USERS})) as broker:
        yield Secured(broker, port, tmp_path_factory.mktemp("rights"))


def test_with_just_the_rights_of_the_table_everything_works(secured: Secured) -> None:
    """A learner learns, announces and is asked; a follower follows; an auditor verifies."""
    failed: list[Any] = []
    events = Producer(secured.kafka("producer"))
    for value in sea(600):
        events.produce("events", value, on_delivery=lambda error, _: failed.append(error) if error else None)
    assert not events.flush(30)
    assert failed == []
    learner = start("learn", secured.config("learner"))
    with follow("fraud", kafka=secured.kafka("follower")) as model:
        model.wait(timeout_s=60)
        assert model.predict_one({"f0": 9.0, "f1": 9.0, "f2": 1.0}) in (True, False)
    asked = secured.carried_out("operator", "models", "freeze", "CONFIG", "--reason", "audit", "--by", "ann")
    assert asked.returncode == 0, asked.stderr
    assert not asked.stderr
    until(lambda: "freeze: ann" in secured.carried_out("auditor", "audit", "list", "CONFIG").stdout, within_s=60)
    learner.terminate()
    code, said = ended(learner)
    assert code == 0, said
    verified = secured.carried_out("auditor", "audit", "verify", "CONFIG")
    assert verified.returncode == 0, verified.stderr
    found = secured.carried_out("learner", "doctor", "CONFIG")
    assert "ok       acl.topics" in found.stdout, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model-updates", f"this user lacks WRITE on model-updates; grant it: `{GRANT}`"),
        ("model-audit", "not authorised for model-audit: give this user the rights"),
    ],
    ids=["it may be read", "it is hidden"],
)
def test_a_topic_that_may_not_be_written_is_named_before_anything_begins(
    secured: Secured, name: str, said: str
) -> None:
    """With what to do; the doctor finds it, too, under its code."""
    secured.take("learner", ResourceType.TOPIC, name, AclOperation.WRITE)
    try:
        refused = secured.carried_out("learner", "learn", "CONFIG", "--until-end")
        assert (refused.returncode, said in refused.stderr) == (1, True), refused.stderr
        found = secured.carried_out("learner", "doctor", "CONFIG", "--json")
        (finding,) = [each for each in map(orjson.loads, found.stdout.splitlines()) if each["code"] == "acl.topics"]
        assert (found.returncode, finding["level"]) == (1, "failure")
        assert name in finding["what"]
        assert "kafka-acls --add" in finding["fix"]
    finally:
        secured.give("learner", ResourceType.TOPIC, name, AclOperation.WRITE)


def test_a_right_that_is_taken_while_messages_go_out_is_named(secured: Secured) -> None:
    """As it is by a sink, which a learner has; with the topic."""
    sink = KafkaSink(producer(secured.kafka("operator")))
    sink.send("model-audit", key="m", value=b"{}")
    with pytest.raises(KafkaForbidden, match=r"model-audit: .*: grant this user WRITE there; docs/RIGHTS.md"):
        sink.flush()
