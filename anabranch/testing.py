"""A follower without Kafka, for the tests of services that follow a model: it is given its models by hand.

>>> from river import dummy
>>> model = dummy.PriorClassifier()
>>> model.learn_one({"amount": 1.0}, True)
>>> with MemoryFollower("fraud") as fraud:
...     _ = fraud.publish(model, features=["amount"])
...     fraud.predict_proba_one({"amount": 12.5, "never seen": 1}), fraud.version
({True: 1.0}, 1)

What it is given goes through bytes and all checks, as a model from the topic does; and until the first one comes,
`predict_one` raises NoChampionYet.
"""

import base64
import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy
import river

from anabranch import artifact, statetree
from anabranch.computing import Computing
from anabranch.errors import ArtifactError
from anabranch.follower import Follower
from anabranch.messages import ArtifactPointer, ModelUpdate, SegmentModel, UpdateKind

# The settings are examined as any are, but nothing connects: on port 1 nobody would answer.
_NOWHERE = {"bootstrap.servers": "127.0.0.1:1"}


class MemoryFollower(Follower):
    """A `Follower` whose updates are published in the same process, and are in use when `publish` returns.

    Args:
        model: its name.
        scope: "global", or "p3" for the model of partition 3.
        trusted: import paths of classes outside River that its models may hold.
        segments: answer by the models that `publish_segment` gives to segments.
        on_update: called after each exchange.
    """

    def __init__(
        self,
        model: str,
        *,
        scope: str = "global",
        trusted: tuple[str, ...] = (),
        segments: bool = False,
        on_update: Callable[[ModelUpdate], None] | None = None,
    ) -> None:
        super().__init__(model, kafka=_NOWHERE, scope=scope, trusted=trusted, segments=segments, on_update=on_update)
        self._packed: dict[int, bytes] = {}
        self._retirements = 0
        self._segments_told = 0

    def publish(
        self,
        model: Any,
        *,
        features: Iterable[str] | Mapping[str, str],
        task: str = "binary",
        positive: str | None = None,
        canary: Iterable[Mapping[str, object]] = (),
        kind: UpdateKind = "swap",
        share: float | None = None,
        computing: Computing | None = None,
        river_version: str = river.__version__,
    ) -> ModelUpdate:
        """Announce a model as the next version.

        Args:
            model: a River model; a copy of it is used.
            features: their names, or their kinds (number, string, boolean) by name; others are left out of what the
                model is asked, as those the learner never saw.
            canary: rows to which the copy must answer as the model does.
            share: with kind "canary": percent of the keys that it answers for, beside the champion.
            computing: what its features are computed of, which goes out with it.
            river_version: another one is refused, as at a service that lags behind.

        Raises:
            ArtifactError: it was refused, and the model in use stays; the message says why.
        """
        version = len(self._packed) + 1
        data = artifact.pack(
            model,
            task=task,
            positive=positive,
            features=features,
            canary=canary,
            trusted=self.trusted,
            computing=b"" if computing is None else computing.packed(),
        )
        self._packed[version] = data
        update = self._announced(data, version=version, kind=kind, share=share, river_version=river_version)
        self._consider(update)
        taken = self.canary.update.version if update.kind == "canary" and self.canary else self.version
        if taken != version:
            raise ArtifactError(self.last_refusal)
        return update

    def publish_segment(self, segment: str, model: Any, *, by: str) -> None:
        """Let a model answer for a segment; None: the champion answers again.

        Args:
            by: the feature whose value the segment is, or `@key`.
        """
        assert self.segments is not None  # made with `segments=True`
        data = b"" if model is None else statetree.encode(model, trusted=self.trusted)
        self._segments_told += 1
        self.segments.hear(
            SegmentModel(
                model=self.model,
                scope=self.scope,
                epoch=1,
                by=by,
                segment=segment,
                event_number=self._segments_told,
                learned=0,
                announced_ts=time.time(),
                artifact_base64=base64.b64encode(data).decode(),
            )
        )

    def retire(self, *, reason: str, by: str = "") -> ModelUpdate:
        """Take the model out of service, until the next is published.

        Raises:
            NoChampionYet: there is none.
        """
        update = self.champion.update
        retired = update.model_copy(
            update={
                "kind": "retired",
                "artifact": None,
                "seq": update.seq + 1,
                "announced_ts": time.time(),
                "reason": reason,
                "by": by,
            }
        )
        self._retirements += 1
        self._consider(retired)
        return retired

    def _announced(
        self, data: bytes, *, version: int, kind: UpdateKind, river_version: str, share: float | None = None
    ) -> ModelUpdate:
        now_s = time.time()
        pointer = ArtifactPointer(
            topic="memory",
            partition=0,
            first_offset=version,
            last_offset=version,
            chunks=1,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
        )
        return ModelUpdate(
            model=self.model,
            scope=self.scope,
            version=version,
            kind="first" if version == 1 else kind,
            share=share,
            beside=self._beside() if kind == "canary" else None,
            epoch=1,
            seq=version + self._retirements,
            event_number=version,
            partition=0,
            offset=version,
            event_ts=now_s,
            announced_ts=now_s,
            reason="published in memory",
            member="memory",
            artifact=pointer,
            river=river_version,
            python=platform.python_version(),
            numpy=numpy.__version__,
        )

    def _beside(self) -> int | None:
        return self.version if self.canary is None else self.canary.update.beside

    def _fetch(self, update: ModelUpdate) -> bytes:
        return self._packed[update.version]

    def _run(self) -> None:
        self._stopping.wait()
