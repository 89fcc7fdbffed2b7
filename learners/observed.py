"""What is observed of a lane for people: scores by time, features, labels, how near signals are. It decides nothing."""

from typing import Any

from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import FairnessReport, FeatureReport, TimeWindow
from config.settings import Settings
from learners.balance import LabelBalance
from learners.fairness import fairness_of
from learners.importance import EVERY_NTH as ROW_EVERY_NTH
from learners.importance import Importance
from learners.models.tasks import Task
from learners.publication import Published
from learners.scores import Scores
from learners.time_windows import TimeWindows
from learners.watcher import Watched

LOOK_EVERY_NTH = 4
"""Of the events, one in so many is counted in histograms."""


class Observed:
    """Observes one lane.

    Args:
        published: the copy that followers have: importance is measured on it, so that the champion is asked nothing
            that its learner is not asked.
    """

    def __init__(self, settings: Settings, *, task: Task, scores: Scores, watch: Watched, published: Published) -> None:
        self.task = task
        self.watch = watch
        self.published = published
        self.windows = TimeWindows(settings.measured_as, scores)
        self.importance = Importance()
        self.balance = LabelBalance(numeric=settings.numeric)
        self.fairness = fairness_of(settings, task=task)
        self._ranks = task.kind in ("reco", "rank")  # whose user and item are names, and no features

    def labelled(self, event: AcceptedEvent, served: Prediction, ts: float, *, event_number: int) -> None:
        """An event was scored, whose label became known then."""
        self.windows.note(ts)
        self.balance.update(event.y)
        if self.fairness is not None:
            self.fairness.update(event.grouped_by, event.y, served)
        if not event_number % ROW_EVERY_NTH:
            self.importance.note(event.x, event.y)

    def start_over(self) -> None:
        """Another champion begins: labels are compared with those from here on, and groups counted."""
        self.balance.start_over()
        if self.fairness is not None:
            self.fairness.start_over()

    def close(self) -> None:
        """A report is made of what was observed since the last one."""
        self.watch.mark()
        if self.published.is_asked and not self._ranks:
            self.importance.measure(self.published.predict, self.task.loss)

    def windows_ended(self) -> tuple[TimeWindow, ...]:
        """Those since the last time."""
        return self.windows.take()

    def features(self) -> tuple[FeatureReport, ...]:
        """How features are distributed, and what they count for."""
        values = self.importance.values
        return tuple(
            each.model_copy(update={"importance": values[each.feature]}) if each.feature in values else each
            for each in self.watch.features()
        )

    def fairness_reports(self) -> tuple[FairnessReport, ...]:
        """How groups are served, by each sensitive feature."""
        return () if self.fairness is None else self.fairness.reports()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            # Only where something is sensitive: other checkpoints are what they were.
            **({} if self.fairness is None else {"fairness": self.fairness.state()}),
            "windows": self.windows.state(),
            "importance": self.importance.state(),
            "watch": self.watch.observed(),
            "balance": self.balance.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        if not state:
            return  # of a layout before there was this
        self.windows.restore(state["windows"])
        self.importance.restore(state["importance"])
        self.watch.restore_observed(state["watch"])
        if "balance" in state:  # in a checkpoint of before it begins here
            self.balance.restore(state["balance"])
        if self.fairness is not None and "fairness" in state:
            self.fairness.restore(state["fairness"])
