"""Learns a log again, in the order that a learner has told: into the learner's own state, to the last bit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from anabranch.errors import AnabranchError
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import JobReturned, LearnedOrder, Message
from consumers.guard import Guard, Repeated
from consumers.jobs import outcome
from consumers.ports import LogReader
from learners.emitted import Emitted, Promotion
from learners.lane import Lane
from learners.retraining import Job, JobResult


class ReplayError(AnabranchError):
    """What was told cannot be learned again: the log, the settings or the program are others."""


@dataclass
class Replay:
    """A lane without a loop, a checkpoint or a crash.

    Args:
        lane: as the learner's was when it began, with the same settings and first champion.
        guard: likewise.
        log: where the records are.
    """

    lane: Lane
    guard: Guard
    log: LogReader
    jobs: dict[str, Job] = field(default_factory=dict)
    promotions: list[Promotion] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    def run(self, orders: Sequence[LearnedOrder]) -> None:
        """Learn all that was told, from the very first message on.

        Raises:
            ReplayError: says at which record or input it went apart.
            LogTruncated: the log no longer holds what was learned.
        """
        if orders and orders[0].follows:
            raise ReplayError(f"what was learned before {orders[0].id} is not told here: the topic no longer holds it")
        if orders:
            self.lane.version = orders[0].version  # others were announced before, by a learner that was given up
        for order in orders:
            for record in self.log.read([(run.partition, run.start, run.end) for run in order.runs]):
                self.learn(record)
            self.enter(order)
            if self.lane.events != order.event_number:
                raise ReplayError(
                    f"{self.lane.events} events are learned by the end of {order.id}, and the learner had "
                    f"{order.event_number}"
                )

    def learn(self, record: Record) -> None:
        """One record that reached the learner's model."""
        checked, lane = self.guard.check(record), self.lane
        if isinstance(checked, AcceptedEvent):
            if checked.y is None or checked.id not in lane.pending:
                self._hear(lane.on_event(checked))
                return
            self.guard.was_waiting()
            self._hear(lane.on_label(checked.id, checked.y, by=checked))
        elif isinstance(checked, Repeated):
            self.guard.label_taken(checked)
            self._hear(lane.on_label(checked.event.id, checked.event.y, by=checked.event))
        else:
            said = "a duplicate" if checked is None else checked.reason
            place = f"{record.topic} partition {record.partition} offset {record.offset}"
            raise ReplayError(f"{place} was learned, and is refused now: {said}")

    def enter(self, order: LearnedOrder) -> None:
        """What entered the learner's lane after the runs, in its order."""
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
            self.lane.rebuilt(reason=order.reinstated, kind="reinstated")

    def rebuild(self, reason: str) -> None:
        """A rebuilt champion goes live, if there is a reason; what was promoted on the way was announced to nobody."""
        if reason:
            promotion = self.lane.rebuilt(reason=reason)
            self.promotions = [] if promotion is None else [promotion]

    def admit(self, back: JobReturned) -> None:
        """A job is carried out once more, and what came of it enters."""
        if back.job not in self.jobs:
            raise ReplayError(f"job {back.job} came back to the learner, and was never begun here")
        self._hear(self.lane.admit(self._result(self.jobs[back.job], back)))

    def _result(self, job: Job, back: JobReturned) -> JobResult:
        if back.failure:
            return JobResult(job.id, failure=back.failure)
        result = outcome(job, self.log, self.lane.settings)
        if result.failure:
            raise ReplayError(f"job {job.id} has brought recruits, and cannot be carried out now: {result.failure}")
        return _without(result, job, back.failures)

    def _hear(self, emitted: Emitted) -> None:
        self.messages += emitted.messages
        self.jobs |= {job.id: job for job in emitted.jobs}
        self.promotions += [] if emitted.promotion is None else [emitted.promotion]


def _without(result: JobResult, job: Job, failures: Mapping[str, str]) -> JobResult:
    """Less the recruits that the learner did not get, such as those of a range that its log no longer held."""
    pairs = zip(job.plans, result.models, strict=True)
    models = tuple(None if plan.name in failures else model for plan, model in pairs)
    return replace(result, models=models, failures=failures)
