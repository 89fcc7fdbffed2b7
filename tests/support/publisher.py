"""A publisher of models, as a learner is one, and an update as it might announce it."""

import hashlib
from typing import Any

from river import dummy

from anabranch import statetree
from anabranch.artifact import chunk_key, chunks
from anabranch.kafka import producer
from anabranch.messages import ArtifactPointer, ModelUpdate, TrainedOn, encode
from anabranch.signatures import Signer
from config.loading import build
from consumers.announcer import Announcer, update_key
from consumers.kafka.sink import KafkaSink
from consumers.timing import SystemClock
from learners.derived import Seen
from learners.emitted import Promotion

UPDATE = ModelUpdate(
    model="m", version=1, kind="first", epoch=1, seq=1, event_number=1, partition=0, offset=0,
    event_ts=0, announced_ts=0,
    reason="", member="first", river="", python="", numpy="",
    artifact=ArtifactPointer(
        topic="a", partition=0, first_offset=0, last_offset=0, chunks=1, sha256="a", size_bytes=1
    ),
)  # fmt: skip


class Publisher:
    """Announces models that always answer the same number of True labels seen."""

    def __init__(self, bootstrap: str, *, prefix: str = "", name: str = "m", signer: Signer | None = None) -> None:
        self.signer = signer
        # The embedded broker does not wake a waiting reader when a record comes.
        self.kafka: dict[str, Any] = {"bootstrap.servers": bootstrap, "fetch.wait.max.ms": 50}
        model = {"steps": [{"use": "dummy.PriorClassifier"}]}
        self.settings = build(
            {"name": name, "task": "binary", "model": model, "topics": {"prefix": prefix}, "kafka": self.kafka}
        )
        self.topic = self.settings.topics.name("updates")
        self.sink = KafkaSink(producer(self.kafka))
        self.announcer = Announcer(self.settings, scope="global", sink=self.sink, clock=SystemClock())

    def announce(self, version: int, **changes: Any) -> ModelUpdate:
        model = dummy.PriorClassifier()
        for label in [True] * version + [False]:
            model.learn_one({}, label)
        promotion = Promotion(
            kind="refresh", version=version, event_number=version, partition=0, offset=version,
            event_ts=0.0, member="first",
            model=model, data=statetree.encode(model), trained_on=TrainedOn(), reason="test",
            scores={}, canary=({"a": 1.0},),
        )  # fmt: skip
        update = self.announcer.prepare(
            promotion, epoch=1, seq=version, seen=Seen({"a": "number"}), positions={}, order=""
        )
        update = update.model_copy(update=changes)
        self.say(update)
        return update

    def say(self, update: ModelUpdate, *, key: str | None = None) -> None:
        """Put an update on the topic."""
        value = encode(update)
        headers = () if self.signer is None else self.signer.headers(value)
        self.sink.send(self.topic, key=key or update_key(update), value=value, headers=headers)
        self.sink.flush()

    def publish(self, data: bytes, good: ModelUpdate, *, seq: int) -> ModelUpdate:
        """Put such bytes on the topic of artifacts, and announce them, with their digest, as a newer model."""
        sha256 = hashlib.sha256(data).hexdigest()
        key = chunk_key(good.model, good.scope, seq, sha256=sha256)
        sent = self.sink.send_all(good.artifact.topic, key=key, values=chunks(data))
        place = {"partition": sent[0].partition, "first_offset": sent[0].offset, "last_offset": sent[-1].offset}
        bytes_ = {"chunks": len(sent), "sha256": sha256, "size_bytes": len(data)}
        pointer = good.artifact.model_copy(update={**place, **bytes_})
        update = good.model_copy(update={"seq": seq, "version": seq, "artifact": pointer})
        self.say(update)
        return update
