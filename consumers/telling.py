"""What an owner says: messages on their topics, the learned order, examples, dead letters, alerts."""

import base64
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from mypy_extensions import mypyc_attr

from anabranch.errors import ArtifactMissing
from anabranch.events import AcceptedEvent, Headers, Prediction
from anabranch.messages import (
    Alert,
    AlertKind,
    DeadLetter,
    ExamplesTold,
    LearnedOrder,
    Level,
    Message,
    ModelPrediction,
    ModelReport,
    ModelUpdate,
    SegmentModel,
    encode,
)
from anabranch.scope import Scope
from anabranch.segments import key_of as segment_key
from anabranch.signatures import Signer
from config.settings import Settings
from consumers.examples import ExampleWriter
from consumers.guard.reading import Reading
from consumers.intake import Intake, Outcome
from consumers.jobs import JobRunner
from consumers.order import OrderWriter
from consumers.ports import Clock, Control, Positions, Sink, Source, Store, offsets_in
from consumers.predictions import prediction
from consumers.timing import CheckpointTiming, Pace
from learners.emitted import Kept
from learners.lane import Lane
from learners.segmented import Segmented

log = structlog.get_logger()

FIRST_EPOCH = 1
SIGNED = (ModelUpdate, LearnedOrder, SegmentModel)
"""What followers make their models of."""
OF_A_RECORD = (DeadLetter, ModelPrediction)
"""What comes of one record alone."""


def _none_kept(scope: Scope, version: int) -> Kept:
    raise ArtifactMissing(f"nothing that was announced can be read here: version {version}, {scope}")


@dataclass
class Ports:
    """What a loop and its owners reach the world through.

    Args:
        stores: the store of an owner's checkpoints, by its scope.
        runners: what carries out an owner's retraining jobs, by its scope.
        controls: what people ask of an owner.
        acks: what followers tell an owner.
        announced: the newest announcement of a scope, asked for where there is no checkpoint.
        signer: signs what followers make their models of, and the audit; None: it is not signed.
        process: who learns here, for the audit.
        kept: a version as it was announced; raises ArtifactError where its bytes are no longer there.
        reading: decodes records for several models of this process; None: each owner decodes by itself.
    """

    source: Source
    sink: Sink
    stores: Callable[[Scope], Store]
    runners: Callable[[Scope], JobRunner]
    clock: Clock
    controls: Callable[[], Control | None] = lambda: None
    acks: Callable[[], Control | None] = lambda: None
    announced: Callable[[Scope], ModelUpdate | None] = lambda scope: None
    signer: Signer | None = None
    process: str = ""
    kept: Callable[[Scope, int], Kept] = _none_kept
    reading: Reading | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Telling:
    """Whoever has one model and says what becomes of it.

    Args:
        scope: "global", or "p3" for the model of partition 3.
        listener: is shown every message right after it was sent.
    """

    def __init__(self, settings: Settings, *, scope: Scope, ports: Ports, listener: Callable[[Any], None]) -> None:
        self.settings = settings
        self.scope = scope
        self.ports = ports
        self.listener = listener
        self.topic = settings.topics.name("events")
        self.labels_topic = settings.topics.name("labels") if settings.labels.late else ""
        self.examples_topic = settings.topics.name("examples")
        self.timing = CheckpointTiming(ports.clock)
        self.pace = Pace(ports.clock)
        self.refused: Counter[str] = Counter()
        """Dead letters by stage, since the model was gained."""
        self.lane: Lane
        """Like all that it learns from, of a first champion or of a checkpoint."""
        labels = settings.labels
        self.intake = Intake(labels_come_late=labels.late or labels.horizon is not None)
        self.positions: Positions = {}
        self.order = OrderWriter(settings.name, scope)
        self.examples = ExampleWriter(settings.name, scope)
        self.began_ts = 0.0
        """When the model was gained."""
        self.epoch, self.seq, self.number = FIRST_EPOCH, 0, 0
        """Of the learner, of the last update, and of the last checkpoint."""
        self.rebuilding = ""
        """Why, until the rebuilt model has caught up: so long nothing is announced."""
        self.trace: Headers = ()
        """Of the record at hand: what is answered to it, or says why it was refused, belongs to its trace."""
        self.retired: ModelUpdate | None = None
        """The update that took the model out of service, until it is reinstated: so long nothing else is announced."""

    def _tell_answer(self, event: AcceptedEvent, answered: Prediction) -> None:
        """What the champion answered, while it is in service: a rebuilt one is not yet."""
        if self.rebuilding or self.retired is not None:
            return
        self._send(
            prediction(
                event,
                answered,
                self.lane,
                model=self.settings.name,
                scope=self.scope,
                epoch=self.epoch,
                seq=self.seq,
                ts=self.ports.clock.time_s(),
            )
        )

    def _tell_segments(self, segmented: Segmented) -> None:
        """The models that answer for their segments, as they were committed just now; or that they do no more."""
        topic = self.settings.topics.name("segments")
        for segment, data, learned in segmented.to_announce():
            message = SegmentModel(
                model=self.settings.name,
                scope=self.scope,
                epoch=self.epoch,
                by=segmented.by,
                segment=segment,
                event_number=self.lane.events,
                learned=learned,
                announced_ts=self.ports.clock.time_s(),
                artifact_base64=base64.b64encode(data or b"").decode(),
            )
            self._put(topic, key=segment_key(self.settings.name, self.scope, segment), message=message)
            self.listener(message)
        if segmented.due:
            self.ports.sink.flush()
        segmented.due = {}

    def _took(self, outcome: Outcome) -> None:
        """Say what there is to say of the records so far."""
        for kind, reason in self.intake.took(outcome):
            if kind:
                self.alert(kind, reason)
            else:
                log.warning("intake", model=self.settings.name, scope=self.scope, what=reason)

    def _offsets(self) -> dict[int, int]:
        """The positions in the topic of events."""
        return offsets_in(self.topic, self.positions)

    def _by_name(self) -> dict[str, int]:
        """The positions as messages have them, by topic and partition."""
        return {f"{topic}/{each}": at for (topic, each), at in sorted(self.positions.items())}

    def _examples_told(self) -> ExamplesTold | None:
        if self.lane.to_tell is None:
            return None
        return ExamplesTold(
            topic=self.examples_topic,
            partition=self.examples.partition,
            start=self.order.examples,
            end=self.lane.examples,
        )

    def _tell_examples(self) -> None:
        """What was learned since the last time."""
        told = self.lane.to_tell or []
        for learned in told:
            value = self.examples.encoded(learned, epoch=self.epoch, checkpoint=self.number, began=self.began_ts)
            self.ports.sink.send(
                self.examples_topic, key=self.examples.key, value=value, partition=self.examples.partition
            )
        told.clear()

    def alert(self, kind: AlertKind, reason: str, *, level: Level = "alert") -> None:
        """Have somebody look: a line in the log, and a message on its topic."""
        place = "-".join(f"{partition.number}.{offset}" for partition, offset in sorted(self.positions.items()))
        self._send(
            Alert(
                id=f"{self.settings.name}/{self.scope}/{kind}/{place}",
                model=self.settings.name,
                kind=kind,
                level=level,
                reason=reason,
                event_number=self.lane.events,
                positions=self._by_name(),
            )
        )

    def _send(self, message: Any) -> None:
        """On the topic that it goes to."""
        if isinstance(message, ModelReport):
            message = self._completed(message)
        elif isinstance(message, Alert):
            tell = log.error if message.level == "alert" else log.warning
            tell(message.kind, model=message.model, scope=self.scope, reason=message.reason)
        topic = self.settings.topics.name(message.goes_to)
        # One key for all of a model's order: it stays in order, however many partitions somebody gave the topic.
        key = f"{message.model}/{message.scope}" if isinstance(message, LearnedOrder) else message.id
        self._put(topic, key=key, message=message)
        self.listener(message)

    def _completed(self, report: ModelReport) -> ModelReport:
        """With what the lane does not know."""
        live: dict[str, Any] = {"checkpoint_pause_s": self.timing.take(), "refused": dict(self.refused)}
        unread = self.ports.source.unread(self.positions)
        if unread is not None:  # in a backtest nothing waits, and time is nobody's
            live |= {"unread": unread, "records_per_s": self.pace.take(sum(self.positions.values()))}
        return report.model_copy(update=live)

    def report_if_due(self) -> None:
        """By the clock, so that who watches sees at most so late how it stands, and that the learner is there."""
        interval_s = self.settings.publish.report_interval
        if not interval_s or self.pace.since_s < interval_s or self.ports.source.unread(()) is None:
            return
        report = self.lane.report_between(mark=f"{self.ports.clock.time_s():.3f}")
        if report is not None:
            self._send(report)

    def _put(self, topic: str, *, key: str, message: Message) -> None:
        value = encode(message)
        signer = self.ports.signer if isinstance(message, SIGNED) else None
        headers: Headers = () if signer is None else signer.headers(value)
        if self.trace and isinstance(message, OF_A_RECORD):
            headers = self.trace
        self.ports.sink.send(topic, key=key, value=value, headers=headers)

    def tell_order(self) -> None:
        """Publish what was learned since the last time, and what has entered."""
        if self.lane.to_tell:
            self._tell_examples()  # before the message that counts them
        message = self.order.message(
            epoch=self.epoch,
            checkpoint=self.number,
            began=self.began_ts,
            event_number=self.lane.events,
            version=self.lane.version,
            frozen=bool(self.lane.succession.frozen),
            examples=self._examples_told(),
        )
        if message is not None:
            self._send(message)

    def _refuse(self, letter: DeadLetter) -> None:
        self.refused[letter.stage] += 1
        if self.intake.is_first(letter):
            log.warning(
                "refused",
                model=self.settings.name,
                stage=letter.stage,
                topic=letter.topic,
                partition=letter.partition,
                offset=letter.offset,
                reason=letter.reason,
                note="the first of its stage; all go to dead-letters",
            )
        self._send(letter)

    def _tell(self, update: ModelUpdate) -> None:
        """What is announced, in the log and to the listener."""
        log.info(
            update.kind,
            model=update.model,
            scope=update.scope,
            version=update.version,
            events=update.event_number,
            reason=update.reason,
            arena_events=update.verdict.events if update.verdict else None,
        )
        self.listener(update)
