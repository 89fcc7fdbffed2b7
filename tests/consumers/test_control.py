"""model-control on a broker: `anabranch retrain` writes what a learner's control reads, from where it was."""

import time
from typing import Any

from anabranch.messages import Retrain, decode
from config.loading import build
from consumers.kafka.reader import KafkaControl
from support.command_line import anabranch


def predict(bootstrap: str, topic: str, reason: str) -> str:
    words = ["retrain", "m", "--reason", reason, "--by", "ann", "--topic", topic, "--bootstrap", bootstrap]
    done = anabranch(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def control_of(bootstrap: str, prefix: str) -> KafkaControl:
    return KafkaControl(
        build(
            {
                "name": "m",
                "task": "binary",
                "model": {"factory": "a:b"},
                "topics": {"prefix": prefix},
                "kafka": {"bootstrap.servers": bootstrap},
            }
        )
    )


def read(control: KafkaControl, *, polls_max: int = 300) -> list[tuple[int, str]]:
    """The next requests that come, with their offsets: as soon as there is one."""
    for _ in range(polls_max):
        if records := control.poll():
            return [(each.offset, decode(Retrain, each.value or b"").reason) for each in records]
        time.sleep(0.1)
    return []


def test_a_control_reads_on_from_its_position(any_kafka: Any, topic_prefix: str) -> None:
    """From the end at first, so that older requests are not meant; later from the position of the checkpoint."""
    topic = f"{topic_prefix}model-control"
    any_kafka.create_topic(topic)
    predict(any_kafka.bootstrap, topic, "before")
    control = control_of(any_kafka.bootstrap, topic_prefix)
    position = control.start(None)
    assert "requested a retraining of m" in predict(any_kafka.bootstrap, topic, "prices")
    assert read(control) == [(position, "prices")]
    assert control.start(position) == position
    assert read(control) == [(position, "prices")]
    control.close()


def test_without_the_topic_there_are_no_requests(kafka: Any, topic_prefix: str) -> None:
    """A model that was set up before there was such a topic learns on."""
    control = control_of(kafka.bootstrap, topic_prefix)
    assert control.start(None) == 0
    assert list(control.poll()) == []
