"""The order in which a model learns its records, and what entered from outside between them: told as it goes.

From these messages and the log anybody comes to the learner's own state, to the last bit: see `evaluation.replay`.
"""

from collections.abc import Mapping
from typing import Any

from anabranch.events import Record
from anabranch.messages import ExamplesTold, JobReturned, LearnedOrder, TopicRange
from anabranch.order import identified
from anabranch.scope import Scope
from learners.retraining import JobResult


def returned(result: JobResult) -> JobReturned:
    """A job that came back, as it is told."""
    return JobReturned(job=result.job_id, failure=result.failure, failures=dict(result.failures))


class OrderWriter:
    """What was learned since the last message, which becomes the next one.

    Attributes:
        last: the id of the last message.
        version: of the last announcement before what is to be told.
        frozen: whether learning has been since the last message.
    """

    def __init__(self, model: str, scope: Scope) -> None:
        self.model = model
        self.scope = scope
        self.last, self.version, self.frozen = "", 0, False
        self.examples = 0
        """How many were learned up to the last message, where they are told."""
        self.runs: list[TopicRange] = []
        self._topic, self._partition = "", -1
        self._start = self._end = 0
        self._inputs: dict[str, Any] = {}

    def restore(self, last: str, lane: Mapping[str, Any]) -> None:
        """Go on after the message `last`, with a lane's state of then."""
        self.last, self.version, self.examples = last, lane["version"], lane["examples"]
        self.frozen = bool(lane["succession"].get("frozen"))

    def append(self, record: Record) -> None:
        """A record reaches the model."""
        if record.offset == self._end and record.partition == self._partition and record.topic == self._topic:
            self._end += 1
            return
        self._close()
        self._topic, self._partition = record.topic, record.partition
        self._start, self._end = record.offset, record.offset + 1

    def _close(self) -> None:
        if self._end > self._start:
            self.runs.append(TopicRange(topic=self._topic, partition=self._partition, start=self._start, end=self._end))
        self._start = self._end = -1

    def enter(self, **inputs: Any) -> None:
        """Something enters after the records so far and before those to come; by its key in `LearnedOrder`."""
        self._inputs |= {name: value for name, value in inputs.items() if value}

    # ── messages ────────────────────────────────────────────────────────────────────────────────────────────────

    def message(
        self,
        *,
        epoch: int,
        checkpoint: int,
        began: float,
        event_number: int,
        version: int,
        frozen: bool = False,
        examples: ExamplesTold | None = None,
    ) -> LearnedOrder | None:
        """All since the last message, if it is anything; as in `LearnedOrder`, `version` and `frozen` as of now."""
        self._close()
        before, self.version = self.version, version
        was_frozen, self.frozen = self.frozen, frozen
        if not self.runs and not self._inputs and (examples is None or examples.start == examples.end):
            return None
        message = identified(
            LearnedOrder(
                id="",
                follows=self.last,
                model=self.model,
                scope=str(self.scope),
                epoch=epoch,
                checkpoint=checkpoint,
                began=began,
                event_number=event_number,
                version=before,
                runs=tuple(self.runs),
                frozen=was_frozen,
                examples=examples,
                **self._inputs,
            )
        )
        self.last, self.runs, self._inputs = message.id, [], {}
        self.examples = self.examples if examples is None else examples.end
        return message
