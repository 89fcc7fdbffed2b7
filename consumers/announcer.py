"""Gives a promotion its bytes and its place on the log: artifact chunks first, then the update that names them.

The bytes of the newest versions stay there. Those before get tombstones, after a newer one was announced.
"""

import hashlib
import platform
from collections.abc import Mapping

import numpy
import river

from anabranch import artifact
from anabranch.messages import ArtifactPointer, ModelUpdate
from anabranch.scope import Scope
from config.settings import Settings
from consumers.ports import Clock, Sink
from learners.derived import Seen
from learners.emitted import Promotion


class Announcer:
    """Publishes artifacts and writes the updates for them. (The outbox publishes the updates.)

    Args:
        envelope: digest of the change envelope in use.
    """

    def __init__(self, settings: Settings, *, scope: Scope, sink: Sink, clock: Clock, envelope: str = "") -> None:
        self.settings = settings
        self.scope = scope
        self.sink = sink
        self.clock = clock
        self.envelope = envelope
        self.kept: list[tuple[str, int, int]] = []
        """Whose bytes lie on the topic: key, partition and chunks of each version, oldest first."""

    def prepare(
        self,
        promotion: Promotion,
        *,
        epoch: int,
        seq: int,
        seen: Seen,
        positions: Mapping[str, int],
        order: str,
        by: str = "",
    ) -> ModelUpdate:
        """Publish the bytes of the promoted model and wait; the update to announce once the checkpoint is safe.

        Args:
            seen: what the promoted model sees of events.
            positions: the next offset by topic and partition, as in `ModelUpdate`.
            by: who asked for it.
        """
        data = packed(promotion, seen, settings=self.settings)
        return ModelUpdate(
            model=self.settings.name,
            scope=self.scope,
            version=promotion.version,
            kind=promotion.kind,
            epoch=epoch,
            seq=seq,
            event_number=promotion.event_number,
            partition=promotion.partition,
            offset=promotion.offset,
            event_ts=promotion.event_ts,
            announced_ts=self.clock.time_s(),
            reason=promotion.reason,
            by=by,
            member=promotion.member,
            displaced_version=promotion.displaced_version,
            share=promotion.share,
            beside=promotion.beside,
            restores=promotion.restores,
            parent=promotion.parent,
            trigger=promotion.trigger,
            trained_on=promotion.trained_on,
            lost=promotion.lost,
            verdict=promotion.verdict,
            constraints=promotion.constraints,
            scores=promotion.scores,
            positions=dict(positions),
            order=order if promotion.learns else "",
            envelope=self.envelope,
            artifact=self._publish(data, promotion.version),
            river=river.__version__,
            python=platform.python_version(),
            numpy=numpy.__version__,
        )

    def _publish(self, data: bytes, version: int) -> ArtifactPointer:
        sha256 = hashlib.sha256(data).hexdigest()
        topic = self.settings.topics.name("artifacts")
        key = artifact.chunk_key(self.settings.name, self.scope, version, sha256=sha256)
        pointer = put(self.sink, data, topic=topic, key=key)
        self.kept.append((key, pointer.partition, pointer.chunks))
        return pointer

    def versions(self) -> list[int]:
        """Those whose bytes lie on the topic, oldest first."""
        # Of keys such as fraud/global/7/3f…/, as `artifact.chunk_key` writes them.
        return [int(key.split("/")[2]) for key, _, _ in self.kept]

    def tidy(self, *, in_use: int | None = None) -> None:
        """Drop the bytes of versions beyond those that are kept. Done once more after a crash, it changes nothing.

        Args:
            in_use: a version that followers have beside the newest: who begins to follow now needs its bytes.
        """
        topic = self.settings.topics.name("artifacts")
        needed = "" if in_use is None else artifact.chunk_key(self.settings.name, self.scope, in_use, sha256="")[:-1]
        beyond = self.kept[: max(0, len(self.kept) - self.settings.publish.versions_kept)]
        for each in beyond:
            key, partition, chunks = each
            if needed and key.startswith(needed):
                continue
            self.kept.remove(each)
            for number in range(chunks):
                self.sink.send(topic, key=f"{key}{number}", value=None, partition=partition)


def put(sink: Sink, data: bytes, *, topic: str, key: str) -> ArtifactPointer:
    """Put bytes on a topic in chunks, and wait; where they lie.

    Args:
        key: of the chunks, less the number that each ends in.
    """
    chunks = artifact.chunks(data)
    sent = sink.send_all(topic, key=key, values=chunks)
    return ArtifactPointer(
        topic=topic,
        partition=sent[0].partition,
        first_offset=sent[0].offset,
        last_offset=sent[-1].offset,
        chunks=len(chunks),
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
    )


def packed(promotion: Promotion, seen: Seen, *, settings: Settings) -> bytes:
    """The bytes by which a promoted model is announced, of the moment at which it is promoted."""
    return artifact.pack(
        promotion.model,
        state=promotion.data,
        task=settings.task,
        positive=settings.positive,
        features=seen.features,
        canary=promotion.canary,
        trusted=settings.model.trusted,
        hidden=seen.hidden,
        derived=seen.derived,
        computing=seen.computing,
    )


def update_key(update: ModelUpdate) -> str:
    """The key of an update on its compacted topic. A retirement takes the place of one before it, of no version."""
    last = "retired" if update.kind == "retired" else update.version
    return f"{update.model}/{update.scope}/{last}"
