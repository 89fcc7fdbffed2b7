"""Follows a model: predictions are always made by its newest champion, exchanged while threads predict.

    from anabranch import follow

    with follow("fraud", kafka={"bootstrap.servers": "localhost:9092"}) as fraud:
        fraud.wait()
        fraud.predict_proba_one({"amount": 12.5, "terminal_risk": 0.3})

It needs the topics `model-updates` and `model-artifacts` and nothing else of the learner.
"""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

import river

from anabranch.artifact import Artifact, unpack
from anabranch.errors import AnabranchError, ArtifactError, KafkaUnavailable, NoChampionYet
from anabranch.kafka_clients import Kafka
from anabranch.kafka_models import Updates, fetch, order
from anabranch.messages import ModelUpdate

log = logging.getLogger("anabranch.follower")

RETRY_S = 1.0


class Champion(NamedTuple):
    """A model in use: what was announced of it, and the model itself."""

    update: ModelUpdate
    artifact: Artifact


class Follower:
    """The newest champion of a model. Enter it to begin; safe to use from several threads.

    Args:
        model: its name.
        kafka: librdkafka's settings, at least `bootstrap.servers`.
        topic: of the updates.
        trusted: import paths of classes outside River that its artifacts may hold.
        artifact_max_bytes: a larger model is refused.
        on_update: called in the follower's thread after each exchange.
    """

    def __init__(
        self,
        model: str,
        *,
        kafka: Kafka,
        topic: str = "model-updates",
        scope: str = "global",
        trusted: tuple[str, ...] = (),
        artifact_max_bytes: int = 512 * 2**20,
        on_update: Callable[[ModelUpdate], None] | None = None,
    ) -> None:
        self.model = model
        self.kafka = dict(kafka)
        self.topic = topic
        self.scope = scope
        self.trusted = trusted
        self.artifact_max_bytes = artifact_max_bytes
        self.on_update = on_update
        self.last_refusal: str | None = None
        self._champion: Champion | None = None
        self._newest: tuple[int, int] = (0, 0)
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{model}", daemon=True)

    # ── predicting ──────────────────────────────────────────────────────────────────────────────────────────────

    def predict_one(self, x: dict[str, Any]) -> Any:
        """The champion's label or number for the features `x`; binary models answer True for the positive class.

        Features that the learner has never seen, and missing ones (None), are left out: several River models change
        when they meet an unknown one.

        Raises:
            NoChampionYet: no model has come so far.
        """
        artifact = self.champion.artifact
        return artifact.model.predict_one(_known(x, artifact))

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Any, float]:
        """The champion's probability of each label.

        Raises:
            NoChampionYet: no model has come so far.
            NotImplementedError: the model has no probabilities.
        """
        artifact = self.champion.artifact
        proba: dict[Any, float] = artifact.model.predict_proba_one(_known(x, artifact))
        return proba

    @property
    def champion(self) -> Champion:
        """The champion in use. Take it once to make several predictions with the same version."""
        champion = self._champion  # one read: another thread may exchange it at any time
        if champion is None:
            reason = f"; the last one was refused: {self.last_refusal}" if self.last_refusal else ""
            raise NoChampionYet(
                f"no champion of {self.model!r} has been announced on {self.topic!r} yet{reason}; "
                "wait(timeout_s=…) waits for the first"
            )
        return champion

    @property
    def version(self) -> int | None:
        """The version in use, None before the first."""
        champion = self._champion
        return None if champion is None else champion.update.version

    def wait(self, *, version: int = 1, timeout_s: float | None = None) -> ModelUpdate:
        """Wait until a version that is not older is in use.

        Raises:
            NoChampionYet: it did not come in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: (self.version or 0) >= version, timeout_s):
                raise NoChampionYet(
                    f"no version {version} or later of {self.model!r} within {timeout_s} s"
                    + (f"; last refusal: {self.last_refusal}" if self.last_refusal else "")
                )
        return self.champion.update

    # ── following ───────────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with Updates(self.kafka, topic=self.topic, model=self.model, scope=self.scope) as updates:
                    self._follow(updates)
            except AnabranchError as error:
                # Brokers that are away, or a topic that is not there yet: the model in use stays in use.
                if self.last_refusal != str(error):  # said once, however often it is tried
                    log.warning("following %s is interrupted: %s", self.model, error)
                self.last_refusal = str(error)
                self._stopping.wait(RETRY_S)

    def _follow(self, updates: Updates) -> None:
        """Take the newest of what is there, then every newer one that comes."""
        newest: ModelUpdate | None = None
        while not self._stopping.is_set():
            found = updates.poll(0.1)
            self.last_refusal = updates.unreadable or self.last_refusal
            newest = max([*found, *([newest] if newest else [])], key=order, default=None)
            if newest is not None and updates.caught_up and self._consider(newest):
                newest = None

    def _consider(self, update: ModelUpdate) -> bool:
        """Use the update's model if it is newer and everything about it is right; else keep the one in use.

        False if brokers that are away left the question open: it is to be asked once more.
        """
        if order(update) <= self._newest:
            return True
        try:
            champion = Champion(update, self._load(update))
        except KafkaUnavailable as error:
            self._refuse(update, error)
            self._stopping.wait(RETRY_S)
            return False
        except Exception as error:  # whatever bytes from elsewhere bring about: the model in use stays in use
            self._newest = order(update)
            self._refuse(update, error)
            return True
        with self._changed:
            self._newest = order(update)
            self._champion = champion
            self._changed.notify_all()
        self._tell(update)
        return True

    def _refuse(self, update: ModelUpdate, error: Exception) -> None:
        said = str(error) if isinstance(error, AnabranchError | ValueError) else f"{type(error).__name__}: {error}"
        self.last_refusal = f"version {update.version}: {said}"
        log.warning("%s: the update is not taken, the model in use stays: %s", self.model, self.last_refusal)

    def _tell(self, update: ModelUpdate) -> None:
        if self.on_update is None:
            return
        try:
            self.on_update(update)
        except Exception:  # the caller's own: it must not end the following
            log.exception("%s: on_update raised at version %d", self.model, update.version)

    def _load(self, update: ModelUpdate) -> Artifact:
        """From cheap to dear: size, versions, bytes, digest, decoding, canary."""
        pointer = update.artifact
        if pointer.size_bytes > self.artifact_max_bytes:
            raise ArtifactError(
                f"{pointer.size_bytes} bytes are more than artifact_max_bytes {self.artifact_max_bytes}"
            )
        if update.river != river.__version__:
            raise ArtifactError(f"it is of River {update.river}, here is {river.__version__}: install the same")
        return unpack(_fetched(self.kafka, update), sha256=pointer.sha256, trusted=self.trusted)


def _fetched(kafka: Kafka, update: ModelUpdate) -> bytes:
    """The bytes, with one more try: the chunks' leader may just be moving."""
    try:
        return fetch(kafka, update)
    except (ArtifactError, KafkaUnavailable):
        time.sleep(RETRY_S)
        return fetch(kafka, update)


def _known(x: dict[str, Any], artifact: Artifact) -> dict[str, Any]:
    features = artifact.features
    return {name: value for name, value in x.items() if name in features and value is not None}


def follow(model: str, *, kafka: Kafka, **options: Any) -> Follower:
    """Follow a model; see `Follower` for the options."""
    return Follower(model, kafka=kafka, **options)
