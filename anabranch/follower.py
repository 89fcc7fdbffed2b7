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
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import river

from anabranch.artifact import Artifact, unpack, warm_up
from anabranch.candidates import RETRY_S, Candidates, Refusals, answers_for, order, said
from anabranch.champion import Champion
from anabranch.errors import (
    ArtifactError,
    ArtifactMissing,
    KafkaUnavailable,
    ModelRetired,
    ModelTooOld,
    NoChampionYet,
)
from anabranch.kafka import Kafka, examine
from anabranch.kafka.artifacts import Artifacts
from anabranch.kafka.live import LIVE_S, LiveModel
from anabranch.kafka.updates import Acks, SegmentUpdates, Updates
from anabranch.messages import ModelUpdate
from anabranch.ranking import Ranked
from anabranch.segments import SegmentModels
from anabranch.signatures import TrustedKeys
from anabranch.tally import Tally

log = logging.getLogger("anabranch.follower")

T = TypeVar("T")


class Follower:
    """The newest champion of a model. Enter it to begin; safe to use from several threads.

    Args:
        model: its name.
        kafka: librdkafka's settings, at least `bootstrap.servers`.
        topic: of the updates.
        trusted: import paths of classes outside River that its artifacts may hold.
        trusted_keys: public keys as `anabranch keys show` prints them, one of which must have signed an update; with
            `learn_along`, the learned order as well. Several make a rotation without a gap; one that is taken out is
            revoked, for followers that start from then on. None: no signature is asked for.
        artifact_max_bytes: a larger model is refused.
        learn_along: go on learning from the events that the learner learns, in its order, so that predictions are made
            by the model that it has now and not by the last announced copy. Needs the topic of the learned order, and
            those of the events.
        max_age: seconds; an older model answers nothing. Its age counts from its announcement, or from when the learner
            has told what was last learned along: let `publish.refresh_interval` of the learner be shorter.
        min_version: a version before it answers nothing.
        ack_as: a name of this follower's own (a host and port, a pod): under it the version that it serves is told on
            `acks`, for `anabranch followers`. None: nothing is told.
        acks: the topic for it; by default `model-acks`, with the prefix that `topic` has.
        learned: the topic of the learned order; by default `model-learned`, with the prefix that `topic` has.
        segments: answer by the model of an event's segment where it has one of its own: docs/SEGMENTS.md. Needs the
            topic `model-segments`, with the prefix that `topic` has.
        slow: seconds; while a new champion is rolled out, answers that take longer are counted and told on `acks`.
        on_update: called in the follower's thread after each exchange, and when the model is retired.

    Raises:
        ConfigError: librdkafka does not take its settings, or one of the keys is none.
    """

    def __init__(
        self,
        model: str,
        *,
        kafka: Kafka,
        topic: str = "model-updates",
        scope: str = "global",
        trusted: tuple[str, ...] = (),
        trusted_keys: Sequence[str] | None = None,
        artifact_max_bytes: int = 512 * 2**20,
        learn_along: bool = False,
        learned: str | None = None,
        max_age: float | None = None,
        min_version: int = 0,
        ack_as: str | None = None,
        acks: str | None = None,
        slow: float = 0.1,
        segments: bool = False,
        on_update: Callable[[ModelUpdate], None] | None = None,
    ) -> None:
        # Here, where the caller hears of a mistaken setting: the thread would only log it, and try for ever.
        examine(kafka)
        self.model = model
        self.kafka = dict(kafka)
        self.topic, self.scope = topic, scope
        self.trusted = trusted
        self.keys = None if trusted_keys is None else TrustedKeys(trusted_keys)
        self.artifact_max_bytes = artifact_max_bytes
        prefix = topic.removesuffix("model-updates")
        self.learned = learned or f"{prefix}model-learned"
        self.ack_as = ack_as
        told_on = acks or f"{prefix}model-acks"
        self._acks = None if ack_as is None else Acks(kafka, topic=told_on, follower=ack_as, model=model, scope=scope)
        self.tally = Tally(slow_s=slow)
        """What is counted of answers while a new champion is rolled out."""
        self._began_ts = time.time()
        self._taken_s: float | None = None
        self._live = (
            LiveModel(kafka, topic=self.learned, model=model, scope=scope, trusted=trusted, keys=self.keys)
            if learn_along
            else None
        )
        self.segments = SegmentModels(trusted=trusted) if segments else None
        self.max_age, self.min_version = max_age, min_version
        self.on_update = on_update
        self._refusals = Refusals()
        self._champion: Champion | None = None
        self._canary: Champion | None = None
        self._retired: ModelUpdate | None = None
        self._candidates, self._canaries = Candidates(), Candidates()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._artifacts = Artifacts(kafka)
        # A daemon, so that a service which forgets to leave the follower can end all the same.
        self._thread = threading.Thread(target=self._run, name=f"follow-{model}", daemon=True)

    # ── predicting ──────────────────────────────────────────────────────────────────────────────────────────────

    def predict_one(self, x: dict[str, Any], *, key: str | bytes | None = None) -> Any:
        """The champion's label or number for the features `x`; binary models answer True for the positive class.

        Features that the learner has never seen, and missing ones (None), are left out: several River models change
        when they meet an unknown one.

        Args:
            key: whom or what it is about, a customer say: see `champion_for`.

        Raises:
            NoChampionYet: no model has come so far.
            ModelTooOld: it is older than `max_age` or `min_version` allow.
            ModelRetired: it was taken out of service.
        """
        return self._asked(key, lambda champion: champion.predict_one(x, key=key))

    def predict_proba_one(self, x: dict[str, Any], *, key: str | bytes | None = None) -> dict[Any, float]:
        """The champion's probability of each label.

        Args:
            key: whom or what it is about, a customer say: see `champion_for`.

        Raises:
            NoChampionYet: no model has come so far.
            ModelTooOld: it is older than `max_age` or `min_version` allow.
            ModelRetired: it was taken out of service.
            NotImplementedError: the model has no probabilities.
        """
        return self._asked(key, lambda champion: champion.predict_proba_one(x, key=key))

    def rank(
        self,
        x: dict[str, Any],
        *,
        candidates: Iterable[Any] | None = None,
        exclude: Iterable[Any] = (),
        n: int = 10,
        key: str | bytes | None = None,
    ) -> list[Ranked]:
        """The `n` best items for a user or a context, best first, by a champion of task "rank".

        Each comes with its score, and why the model itself did not rank it: "user" (unknown: a fallback did), "item"
        (unknown, so it comes last), "model" (nothing was taken yet), or "".

        Args:
            x: features as of an event: the user if known, and the context.
            candidates: the items to choose from; None: all that are known.
            exclude: items that are not wanted, beside those that the user has taken or refused.
            key: whom it is about: see `champion_for`.

        Raises:
            NoChampionYet: no model has come so far.
            ModelTooOld: it is older than `max_age` or `min_version` allow.
            ModelRetired: it was taken out of service.
            NotImplementedError: the model does not rank.
        """
        return self._asked(key, lambda champion: champion.rank(x, candidates=candidates, exclude=exclude, n=n))

    def _asked(self, key: str | bytes | None, ask: Callable[[Champion], T]) -> T:
        champion = self.champion_for(key)
        if self._canary is None:
            return ask(champion)
        with self.tally.timed(is_new=champion.is_new):
            return ask(champion)

    def champion_for(self, key: str | bytes | None) -> Champion:
        """The model in use for a key: while a new champion is being rolled out (`canary`), it is that for some of them.

        The same keys have it in every process, and keep it as their share grows. Without a key it is the champion. A
        follower that learns along goes on with the champion until the new one answers for all keys.

        Raises:
            NoChampionYet: no model has come so far.
            ModelTooOld: it is older than `max_age` or `min_version` allow.
            ModelRetired: it was taken out of service.
        """
        champion, canary = self.champion, self._canary
        return self._fit(canary) if canary is not None and answers_for(canary.update, key) else champion

    @property
    def canary(self) -> Champion | None:
        """The new champion that is being rolled out, if one is."""
        return self._canary

    def with_computed(self, x: dict[str, Any], *, ts: float | None = None, key: str | None = None) -> dict[str, Any]:
        """The features `x` with those that the learner computes of events before ([features] and [memory]).

        They are as of the announcement; with `learn_along`, as of what the learner has told since. What `x` brings
        itself stays as it is, but for None. Where what they are computed of did not come with the model, `x` is what
        comes back.

        Args:
            ts: when the event happens, epoch seconds; None: now.
            key: the Kafka key of the event, where features go by it.

        Raises:
            NoChampionYet, ModelTooOld, ModelRetired: as `champion`.
        """
        return self.champion.with_computed(x, ts=ts, key=key)

    @property
    def champion(self) -> Champion:
        """The champion in use. Take it once to make several predictions with the same version.

        Raises:
            NoChampionYet: no model has come so far.
            ModelTooOld: it is older than `max_age` or `min_version` allow.
            ModelRetired: it was taken out of service.
        """
        champion = self._champion  # one read: another thread may exchange it at any time
        if champion is None:
            retired = self._retired
            if retired is not None:
                raise ModelRetired(said_of(retired))
            reason = f"; the last one was refused: {self.last_refusal}" if self.last_refusal else ""
            raise NoChampionYet(
                f"no champion of {self.model!r} has been announced on {self.topic!r} yet{reason}; "
                "wait(timeout_s=…) waits for the first"
            )
        return self._fit(champion)

    def _fit(self, champion: Champion) -> Champion:
        """It may answer.

        Raises:
            ModelTooOld: it is older than `max_age` or `min_version` allow.
        """
        if champion.update.version < self.min_version:
            raise ModelTooOld(
                f"version {champion.update.version} of {self.model!r} is in use, and min_version is {self.min_version}"
            )
        if self.max_age is not None and champion.age_s > self.max_age:
            raise ModelTooOld(
                f"version {champion.update.version} of {self.model!r} is {champion.age_s:.1f} s old, and max_age is "
                f"{self.max_age:g} s: is its learner running, and does it announce as often (publish.refresh_interval)?"
            )
        return champion

    @property
    def in_use(self) -> Champion | None:
        """The champion, however old it is; None before the first, and while the model is retired."""
        return self._champion

    @property
    def retired(self) -> ModelUpdate | None:
        """The update by which the model was taken out of service, if it is."""
        return self._retired

    @property
    def version(self) -> int | None:
        """The version in use, None before the first and while the model is retired."""
        champion = self._champion
        return None if champion is None else champion.update.version

    @property
    def behind(self) -> int | None:
        """How many labelled events the learner is ahead, as far as it has told; None: this one does not learn along."""
        champion = self._champion
        return None if self._live is None or champion is None else max(0, self._live.along.told - champion.event_number)

    @property
    def refusals(self) -> dict[str, int]:
        """How many updates were refused so far, by the check that they did not pass.

        In the order of the checks: "size", "signature", "message" (it is no update), "versions", "missing" (its bytes;
        "kafka", while no broker answers), "digest", "decode", "canary", "warm" (its first prediction); and "other".
        """
        return dict(self._refusals.counts)

    @property
    def last_refusal(self) -> str | None:
        """Why an update was not taken, or why the following was interrupted, the last time; None if that never was."""
        return self._refusals.last

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
            champion = self._champion
        assert champion is not None  # waited for, and nobody exchanges it without the lock
        return champion.update

    # ── following ───────────────────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if self._acks is not None:
            self._acks.leave()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with ExitStack() as stack:
                    updates = stack.enter_context(self._updates())
                    stack.callback(self._artifacts.close)
                    if self._live is not None:
                        stack.enter_context(self._live)
                    self._follow(updates, None if self.segments is None else stack.enter_context(self._of_segments()))
            except Exception as error:
                # Brokers that are away, a topic that is not there yet, or what nobody has thought of: the model in use
                # stays in use, and the following goes on.
                if self.last_refusal != said(error):  # once, however often it is tried
                    log.warning("following %s is interrupted: %s", self.model, said(error))
                self._refusals.last = said(error)
                self._stopping.wait(RETRY_S)

    def _updates(self) -> Updates:
        return Updates(
            self.kafka,
            topic=self.topic,
            model=self.model,
            scope=self.scope,
            keys=self.keys,
            refusals=self._refusals,
        )

    def _of_segments(self) -> SegmentUpdates:
        topic = f"{self.topic.removesuffix('model-updates')}model-segments"
        return SegmentUpdates(
            self.kafka, topic=topic, model=self.model, scope=self.scope, keys=self.keys, refusals=self._refusals
        )

    def _follow(self, updates: Updates, of_segments: SegmentUpdates | None) -> None:
        """Take the newest that can be used of what is there, then every newer one that comes."""
        update: ModelUpdate | None = None
        while not self._stopping.is_set():
            # Without a wait after a candidate was tried: if it was refused, the next one is there already.
            waits = update is None and (self._live is None or self._champion is None)
            for each in updates.poll(0.1 if waits else 0.0):
                self._line_of(each).add(each)
            if of_segments is not None and self.segments is not None:
                of_segments.poll_into(self.segments)
            # Not before the topic was read to its end, or a start would load every version that there ever was.
            update = self._newest() if updates.caught_up else None
            if update is not None:
                self._consider(update)
            # The next reader begins at the topic's first record, and so finds what was dropped for want of room.
            elif updates.caught_up and self._candidates.is_to_be_read_again():
                return
            if self._live is not None and self._champion is not None:
                self._go_on(self._live)
            if self._acks is not None:
                champion = self._champion
                heeded = self._retired if champion is None else champion.update
                self._acks.tell(heeded, taken_s=self._taken_s, refusals=self._refusals, served=self.tally.served)

    def _line_of(self, update: ModelUpdate) -> Candidates:
        """A canary displaces no champion, and is displaced by each that comes after it."""
        return self._canaries if update.kind == "canary" else self._candidates

    def _newest(self) -> ModelUpdate | None:
        """What is to be tried next: a champion, and only then what is beside it."""
        update = self._candidates.newest()
        if update is not None or self._champion is None or self._live is not None:
            return update
        return self._canaries.newest()

    def _go_on(self, live: LiveModel) -> None:
        """Learn what the learner has learned, and predict with that from now on."""
        champion, learned = self._champion, live.learned(timeout_s=LIVE_S)
        if champion is not None and learned is not None:
            along = live.along
            artifact = champion.artifact.gone_on(learned, computing=along.computing, features=along.features)
            self._champion = Champion(champion.update, artifact, along.event_number, along.as_of_ts, self.segments)

    def _consider(self, update: ModelUpdate) -> None:
        """Use the update's model if everything about it is right; else keep the one in use, and try the one before."""
        if update.kind == "retired":
            self._retire(update)
            return
        try:
            artifact = self._load(update)
            champion = Champion(update, artifact, update.event_number, update.announced_ts, self.segments)
            if self._live is not None and update.kind != "canary":
                self._live.exchange(update, artifact)
        except (ArtifactMissing, KafkaUnavailable) as error:
            self._refuse(update, error, for_good=False)
        except BaseException as error:  # whatever bytes from elsewhere bring about, a panic in River's Rust included
            self._refuse(update, error, for_good=True)
        else:
            if update.kind == "canary":
                self._canaries.use(update)
                self._canary = champion
                self.tally.begin(beside=update.beside or 0)
                self._tell(update)
                return
            with self._changed:
                self._supersede(update)
                # One assignment, which is atomic: whoever predicts takes no lock.
                self._champion = champion
                self._retired = None
                self._changed.notify_all()
            self._taken_s = self._since_announced(update)
            self._tell(update)

    def _supersede(self, update: ModelUpdate) -> None:
        """All that was announced before it is over, a canary too."""
        self._candidates.use(update)
        if order(update) > self._canaries.in_use:
            self._canaries.use(update)
            self._canary = None
            self.tally.end()

    def _retire(self, update: ModelUpdate) -> None:
        """Answer nothing from now on. A request that has its champion keeps it to its end."""
        with self._changed:
            self._supersede(update)
            # In this order, so that nobody finds neither and believes that no model has come yet.
            self._retired = update
            self._champion = None
            self._changed.notify_all()
        self._taken_s = self._since_announced(update)
        log.warning("%s", said_of(update))
        self._tell(update)

    def _since_announced(self, update: ModelUpdate) -> float | None:
        # What was announced before it began says nothing of how long an update takes.
        is_news = update.announced_ts >= self._began_ts
        return max(0.0, time.time() - update.announced_ts) if is_news else None

    def _refuse(self, update: ModelUpdate, error: BaseException, *, for_good: bool) -> None:
        if for_good and update.kind == "canary" and self._canary is None:
            self.tally.begin(beside=update.beside or 0, refuses=True)
        # What is tried again and again is one refusal.
        count = self._refusals.add if self._line_of(update).refuse(update, for_good=for_good) else self._refusals.tell
        if count(error, what=f"version {update.version}"):  # of a hundred of another River, the first
            kept = "the one before it is tried" if self._champion is None else "the model in use stays"
            log.warning("%s: the update is not taken, %s: %s", self.model, kept, self.last_refusal)

    def _tell(self, update: ModelUpdate) -> None:
        if self.on_update is None:
            return
        try:
            self.on_update(update)
        except Exception:  # the caller's own: it must not end the following
            log.exception("%s: on_update raised at version %d", self.model, update.version)

    def _load(self, update: ModelUpdate) -> Artifact:
        """From cheap to dear: size, versions, place, bytes, digest, decoding, canary, a first prediction.

        Before it come the record's size and signature (`Updates`), and whether it is newer (`Candidates`).
        """
        pointer = update.pointer
        if pointer.size_bytes > self.artifact_max_bytes:
            raise ArtifactError(
                f"{pointer.size_bytes} bytes are more than artifact_max_bytes {self.artifact_max_bytes}", check="size"
            )
        if update.river != river.__version__:
            raise ArtifactError(
                f"it is of River {update.river[:40]}, here is {river.__version__}: install the same", check="versions"
            )
        artifact = unpack(self._fetch(update), sha256=pointer.sha256, trusted=self.trusted)
        warm_up(artifact)
        return artifact

    def _fetch(self, update: ModelUpdate) -> bytes:
        return self._artifacts.fetch(update)


def said_of(retired: ModelUpdate) -> str:
    """Since when, by whom and why a model is out of service."""
    since = datetime.fromtimestamp(retired.announced_ts, UTC).isoformat(timespec="seconds")
    return (
        f"{retired.model!r} is out of service since {since}: version {retired.version} was retired by "
        f"{retired.by or 'somebody'}: {retired.reason}"
    )


def follow(model: str, *, kafka: Kafka, **options: Any) -> Follower:
    """Follow a model; see `Follower` for the options and for what is raised."""
    return Follower(model, kafka=kafka, **options)
