"""Learns a log again, in the order that a learner has told: into the learner's own state, to the last bit."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from anabranch import statetree
from anabranch.errors import AnabranchError
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import DeadLetter, Decision, JobReturned, LearnedOrder, Message
from consumers.guard import Guard, Repeated
from consumers.jobs import outcome
from consumers.ports import LogReader
from consumers.taking import brought_by
from learners.emitted import Emitted, Kept, Learned, Promotion
from learners.lane import Lane
from learners.retraining import Job, JobResult


class ReplayError(AnabranchError):
    """What was told cannot be learned again: the log, the settings or the program are others."""


class JobLost(ReplayError):
    """A retraining that brought recruits cannot be carried out any more: nothing can be said of what they became."""


@dataclass
class Replay:
    """A lane without a loop, a checkpoint or a crash.

    Args:
        lane: as the learner's was when it began, with the same settings and first champion.
        guard: likewise.
        log: where the records are.
        later: the logs that the learner has gone on with after it, in turn.
        went_live: is shown every promotion at once, when the lane is as it was then.
    """

    lane: Lane
    guard: Guard
    log: LogReader
    later: list[LogReader] = field(default_factory=list)
    jobs: dict[str, Job] = field(default_factory=dict)
    promotions: list[Promotion] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    asked: int = 0
    """Events that came without their label."""
    unlearnable: frozenset[str] = frozenset()
    """Ids of events that were to be learned with a default label, and on which the champion raised."""
    told: list[Learned] = field(default_factory=list)
    """The examples, where they are told."""
    went_live: Callable[[Promotion], None] = lambda promotion: None

    @property
    def labels_topic(self) -> str:
        """Of the labels; none, where they are not late."""
        settings = self.lane.settings
        return settings.topics.name("labels") if settings.labels.late else ""

    def run(self, orders: Sequence[LearnedOrder]) -> None:
        """Learn all that was told, from the very first message on.

        Raises:
            ReplayError: says at which record or input it went apart.
            LogTruncated: the log no longer holds what was learned.
        """
        self.begin(orders)
        for order in orders:
            self.follow(order)
        self._end_due()

    def begin(self, orders: Sequence[LearnedOrder]) -> None:
        """See that they are told from the very first one on.

        Raises:
            ReplayError: they are not.
        """
        if orders and orders[0].follows:
            raise ReplayError(f"what was learned before {orders[0].id} is not told here: the topic no longer holds it")
        if orders:
            self.lane.version = orders[0].version  # others were announced before, by a learner that was given up

    def follow(self, order: LearnedOrder) -> None:
        """Learn what one message tells, and no more than that; errors as in `run`."""
        for record in self._records(order):
            self._end_due()  # all that is due after the record before
            self.learn(record)
        # It may have been told in the middle of them: a model that goes live is told at once.
        self._end_due(until=order.event_number)
        self.enter(order)
        if self.lane.events != order.event_number:
            raise ReplayError(
                f"{self.lane.events} events are learned by the end of {order.id}, and the learner had "
                f"{order.event_number}"
            )

    def _records(self, order: LearnedOrder) -> Iterator[Record]:
        """The records of the runs, each topic of which is read at one go."""
        runs: dict[str, list[tuple[int, int, int]]] = {}
        for run in order.runs:
            runs.setdefault(run.topic, []).append((run.partition, run.start, run.end))
        records = {topic: iter(self.log.read(of_topic, topic=topic)) for topic, of_topic in runs.items()}
        for run in order.runs:
            yield from itertools.islice(records[run.topic], run.end - run.start)

    def _end_due(self, *, until: int | None = None) -> None:
        lane = self.lane
        while until is None or lane.events < until:
            emitted = lane.end_due(unlearnable=self.unlearnable)
            if emitted is None:
                return
            self._hear(emitted)
            self._take_told()

    def learn(self, record: Record) -> None:
        """One record that reached the learner's model."""
        if record.topic == self.labels_topic:
            self._learn_label(record)
        else:
            self._learn_event(record)
        if self.lane.join.early:
            self.lane.join.orphans()
        self._take_told()

    def _take_told(self) -> None:
        if self.lane.to_tell:
            self.told += self.lane.to_tell
            self.lane.to_tell.clear()

    def _learn_label(self, record: Record) -> None:
        told = self.guard.check_label(record)
        if isinstance(told, DeadLetter):
            raise _refused(record, told.reason)
        verdict = self.lane.join.look(told.label)
        if verdict not in ("wanted", "early"):
            raise _refused(record, f"the label is {verdict!r}")
        self.guard.told_taken(told)
        self._hear(self.lane.on_label(told.label))

    def _learn_event(self, record: Record) -> None:
        checked, lane = self.guard.check(record), self.lane
        if isinstance(checked, AcceptedEvent):
            if checked.y is None or not lane.join.waits(checked.id):
                self.asked += checked.y is None
                self._hear(lane.on_event(checked))
                return
            self.guard.was_waiting()
            self._hear(lane.on_label(brought_by(checked, record), by=checked))
        elif isinstance(checked, Repeated):
            self.guard.label_taken(checked)
            self._hear(lane.on_label(brought_by(checked.event, record), by=checked.event))
        else:
            raise _refused(record, "a duplicate" if checked is None else checked.reason)

    def enter(self, order: LearnedOrder) -> None:
        """What entered the learner's lane after the runs, in its order."""
        if order.other_log:
            self.go_on_elsewhere(order)
        if order.envelope is not None:
            self._hear(self.lane.enveloped(order.envelope.digest, approved=order.envelope.approved))
        for back in order.returned:
            self.admit(back)
        for request in order.requests:
            self._hear(self.lane.retrain_asked(request))
        if order.measured is not None:
            self._hear(self.lane.measured(stride=order.measured.stride, too_slow=order.measured.too_slow))
        if order.unkeepable:
            self.lane.drop_unkeepable()
        self.rebuild(order.rebuilt)
        if order.reinstated:
            self._promoted(self.lane.rebuilt(reason=order.reinstated, kind="reinstated"))
        if order.decided is not None:
            self._hear(self.lane.decided(order.decided, kept=self._kept(order.decided)))
        if order.served is not None:
            self._hear(self.lane.served(order.served))

    def _kept(self, asked: Decision) -> Kept | None:
        """The version to which was rolled back: it was promoted here, too, unless that was before all that is told."""
        if asked.step != "rollback" or asked.version is None or asked.version in self.lane.succession.in_probation():
            return None
        for promotion in reversed(self.promotions):
            if promotion.version == asked.version:
                model = statetree.decode(promotion.data, trusted=self.lane.settings.model.trusted)
                return Kept(promotion.version, model, promotion.trained_on)
        raise ReplayError(f"version {asked.version}, to which was rolled back, is not among those that are told here")

    def go_on_elsewhere(self, order: LearnedOrder) -> None:
        """What comes next lies in another log, and nothing of this one is learned once more."""
        if not self.later:
            raise ReplayError(f"what was learned after {order.id} lies in another log: {order.other_log}")
        self.log, self.later = self.later[0], self.later[1:]
        self.lane.lineage.forget()

    def rebuild(self, reason: str) -> None:
        """A rebuilt champion goes live, if there is a reason; what was promoted on the way was announced to nobody."""
        if reason:
            self.promotions = []
            self._promoted(self.lane.rebuilt(reason=reason))

    def admit(self, back: JobReturned) -> None:
        """A job is carried out once more, and what came of it enters."""
        if back.job not in self.jobs:
            raise ReplayError(f"job {back.job} came back to the learner, and was never begun here")
        self._hear(self.lane.admit(self._result(self.jobs[back.job], back)))

    def _result(self, job: Job, back: JobReturned) -> JobResult:
        if back.failure:
            return JobResult(job.id, failure=back.failure)
        result = outcome(job, self.log, self.lane.settings)
        lost = result.failure or "; ".join(why for plan, why in result.failures.items() if plan not in back.failures)
        if lost:
            raise JobLost(f"job {job.id} has brought recruits, and cannot be carried out now: {lost}")
        return _without(result, job, back.failures)

    def _hear(self, emitted: Emitted) -> None:
        self.messages += emitted.messages
        self.jobs |= {job.id: job for job in emitted.jobs}
        self._promoted(emitted.promotion)

    def _promoted(self, promotion: Promotion | None) -> None:
        if promotion is not None:
            self.promotions.append(promotion)
            self.went_live(promotion)


def _refused(record: Record, said: str) -> ReplayError:
    place = f"{record.topic} partition {record.partition} offset {record.offset}"
    return ReplayError(f"{place} was learned, and is refused now: {said}")


def _without(result: JobResult, job: Job, failures: Mapping[str, str]) -> JobResult:
    """Less the recruits that the learner did not get, such as those of a range that its log no longer held."""
    pairs = zip(job.plans, result.models, strict=True)
    models = tuple(None if plan.name in failures else model for plan, model in pairs)
    return replace(result, models=models, failures=failures)
