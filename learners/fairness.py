"""How each group of people or things is served, and how far groups lie apart: for people, and no signal.

Counted are the labels of the last one to two windows, since the champion began: a block of `fairness.window` labels
that is full, and the one that is under way. Counts of both add up, and intervals are functions of counts: they hold at
every event from where the older block began until it is left out.

What each gap is: Hardt, Price and Srebro, "Equality of opportunity in supervised learning" (2016) of equalized odds and
equal opportunity; Chouldechova, "Fair prediction with disparate impact" (2017) of predictive parity.
"""

from collections.abc import Callable, Mapping
from typing import Any

from anabranch.events import Prediction
from anabranch.groups import Grouping
from anabranch.messages import Criterion, FairnessReport, GapReport, ServedGroup
from config.learning import FairnessSettings
from config.settings import Settings
from learners.arena.evidence import CONFIDENCE_ALPHA
from learners.models.tasks import Task
from learners.rates import Gap, Measured, Rate, gap, worst

OTHERS = "other"
"""The groups beyond `fairness.groups_max`, taken together."""


class Tally:
    """What is counted of one group; sums of everything that is told of it, so that two tallies add up."""

    __slots__ = (
        "came",
        "error",
        "events",
        "hits",
        "loss",
        "positives",
        "right",
        "said",
        "said_of",
        "selected",
        "usable",
    )

    def __init__(self) -> None:
        self.events = 0
        self.positives = self.selected = self.hits = self.right = 0
        # Of the answers with probabilities: how many, what they said, and what came true.
        self.said_of = self.came = 0
        self.said = 0.0
        # Of numbers: the bounded loss of all, and the error of those that could be used.
        self.loss = self.error = 0.0
        self.usable = 0

    def add(self, other: "Tally") -> None:
        """Count what the other has counted, too."""
        for name in Tally.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def state(self) -> tuple[float, ...]:
        """What a checkpoint keeps."""
        return tuple(getattr(self, name) for name in Tally.__slots__)

    def restore(self, state: tuple[float, ...]) -> "Tally":
        """Go on from a checkpoint."""
        for name, value in zip(Tally.__slots__, state, strict=True):
            setattr(self, name, value)
        return self

    # ── an event ────────────────────────────────────────────────────────────────────────────────────────────────

    def count_binary(self, y: bool, answer: Prediction) -> None:
        """An answer that cannot be used selects nobody, and is wrong."""
        selected = answer.value is True
        self.positives += y
        self.selected += selected
        self.hits += selected and y
        self.right += answer.value == y
        if answer.proba:
            self.said_of += 1
            self.said += answer.proba.get(True, 0.0)
            self.came += y

    def count_class(self, y: Any, answer: Prediction) -> None:
        """Of several classes: what is said is the probability of the class that was answered."""
        self.right += answer.value == y
        if answer.proba:
            self.said_of += 1
            self.said += answer.proba.get(answer.value, 0.0)
            self.came += answer.value == y

    def count_number(self, y: float, answer: Prediction, *, loss: float) -> None:
        """A number; the loss is bounded to [0, 1], the error is in the label's own unit."""
        self.loss += loss
        if answer.value is not None:
            self.usable += 1
            self.error += abs(answer.value - y)

    # ── rates ───────────────────────────────────────────────────────────────────────────────────────────────────

    def rates(self, kind: str) -> dict[str, Rate]:
        """What groups are compared by, for a task of this kind."""
        if kind == "regression":
            return {"error": Rate(self.loss, self.events)}
        found = {"accuracy": Rate(self.right, self.events), "came": Rate(self.came, self.said_of)}
        if kind != "binary":
            return found
        false_alarms, negatives = self.selected - self.hits, self.events - self.positives
        return {
            "selection_rate": Rate(self.selected, self.events),
            "tpr": Rate(self.hits, self.positives),
            "fpr": Rate(false_alarms, negatives),
            "precision": Rate(self.hits, self.selected),
            **found,
        }

    def measured(self, name: str, *, kind: str, alpha: float) -> Measured | None:
        """A rate, or `calibration`, with its interval; None of too few events.

        What was said of these events is known; unknown is how often such events come true.
        """
        if name != "calibration":
            return self.rates(kind)[name].measured(alpha=alpha)
        came = self.rates(kind)["came"].measured(alpha=alpha)
        if came is None:
            return None
        said = self.said / self.said_of
        return Measured(said - came.value, said - came.high, said - came.low)

    def report(self, group: str, *, kind: str) -> ServedGroup:
        """What is told of it."""
        rates = {name: rate.value for name, rate in self.rates(kind).items() if name != "error"}
        return ServedGroup(
            group=group,
            events=self.events,
            said=self.said / self.said_of if self.said_of else None,
            error=self.error / self.usable if self.usable else None,
            **rates,
        )


class Blocks:
    """The groups by one feature: of the block of labels that is under way, and of the one before it."""

    def __init__(self, grouping: Grouping, settings: FairnessSettings) -> None:
        self.grouping = grouping
        self.window, self.groups_max = settings.window, settings.groups_max
        self.start_over()

    def start_over(self) -> None:
        """Forget what was counted: it was of another champion."""
        self.before: dict[str, Tally] = {}
        self.now: dict[str, Tally] = {}
        self.labels = self.missing = self.missing_before = 0

    def of(self, x: Mapping[str, Any]) -> Tally | None:
        """Of an event's group, with the event counted; None if it is in none."""
        if self.labels == self.window:
            self.before, self.now, self.labels = self.now, {}, 0
            self.missing_before, self.missing = self.missing, 0
        self.labels += 1
        group = self.grouping.of(x)
        if group is None:
            self.missing += 1
            return None
        tally = self.now.get(group) or self._enter(group)
        tally.events += 1
        return tally

    def _enter(self, group: str) -> Tally:
        """Who was there in the block before keeps its place, so that there are never more groups in both together."""
        named = self.before.keys() | self.now.keys()
        if group not in named and len(named - {OTHERS}) >= self.groups_max:
            group = OTHERS
        return self.now.setdefault(group, Tally())

    def both(self) -> dict[str, Tally]:
        """The counts of both blocks, the largest group first."""
        found: dict[str, Tally] = {}
        for block in (self.before, self.now):
            for group, tally in block.items():
                found.setdefault(group, Tally()).add(tally)
        return dict(sorted(found.items(), key=lambda each: (-each[1].events, each[0])))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        blocks = [[(group, tally.state()) for group, tally in block.items()] for block in (self.before, self.now)]
        return {"blocks": blocks, "labels": self.labels, "missing": (self.missing_before, self.missing)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.before, self.now = ({group: Tally().restore(tally) for group, tally in block} for block in state["blocks"])
        self.labels = state["labels"]
        self.missing_before, self.missing = state["missing"]


CRITERIA: dict[str, tuple[Criterion, ...]] = {
    "binary": (
        "demographic-parity",
        "equal-opportunity",
        "equalized-odds",
        "predictive-parity",
        "accuracy",
        "calibration",
    ),
    "multiclass": ("accuracy", "calibration"),
    "regression": ("error",),
}
"""By what groups are compared, by the kind of task."""

_RATES: dict[Criterion, tuple[str, ...]] = {
    "demographic-parity": ("selection_rate",),
    "equal-opportunity": ("tpr",),
    "equalized-odds": ("tpr", "fpr"),
    "predictive-parity": ("precision",),
}
"""Of which rates the larger gap counts; the others are named as their criterion."""


class Fairness:
    """Counts what was served to the groups by each sensitive feature."""

    def __init__(self, settings: Settings, *, task: Task) -> None:
        self.task = task
        self.features = [Blocks(each, settings.fairness) for each in settings.groupings(settings.fairness.sensitive)]
        # Each gap holds where the intervals of all groups do, those of two rates for equalized odds.
        self.alpha = CONFIDENCE_ALPHA / (2 * (settings.fairness.groups_max + 1))
        self._count: Callable[[Tally, Any, Prediction], None] = {
            "binary": Tally.count_binary,
            "multiclass": Tally.count_class,
        }.get(task.kind, self._count_number)

    def _count_number(self, tally: Tally, y: float, answer: Prediction) -> None:
        tally.count_number(y, answer, loss=self.task.error(y, answer))

    def update(self, x: Mapping[str, Any], y: Any, served: Prediction) -> None:
        """An answer that was served, and its label."""
        for each in self.features:
            tally = each.of(x)
            if tally is not None:
                self._count(tally, y, served)

    def start_over(self) -> None:
        """Another champion begins."""
        for each in self.features:
            each.start_over()

    def reports(self) -> tuple[FairnessReport, ...]:
        """The groups by each feature, and their gaps."""
        return tuple(self._report(each) for each in self.features)

    def _report(self, blocks: Blocks) -> FairnessReport:
        groups = blocks.both()
        gaps = ((criterion, self._gap(criterion, groups)) for criterion in CRITERIA[self.task.kind])
        return FairnessReport(
            feature=blocks.grouping.feature,
            missing=blocks.missing_before + blocks.missing,
            groups=tuple(tally.report(group, kind=self.task.kind) for group, tally in groups.items()),
            gaps=tuple(_told(criterion, found) for criterion, found in gaps if found is not None),
        )

    def _gap(self, criterion: Criterion, groups: Mapping[str, Tally]) -> Gap | None:
        """The larger one, where a criterion is about several rates."""
        return worst(self._gap_of(rate, groups) for rate in _RATES.get(criterion, (criterion,)))

    def _gap_of(self, rate: str, groups: Mapping[str, Tally]) -> Gap | None:
        kind, alpha = self.task.kind, self.alpha
        measured = {group: tally.measured(rate, kind=kind, alpha=alpha) for group, tally in groups.items()}
        return gap({group: each for group, each in measured.items() if each is not None})

    def state(self) -> list[dict[str, Any]]:
        """What a checkpoint keeps."""
        return [each.state() for each in self.features]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Go on from a checkpoint."""
        for each, kept in zip(self.features, state, strict=True):
            each.restore(kept)


def _told(criterion: Criterion, found: Gap) -> GapReport:
    told = found._asdict()
    # What was said less what came is no rate: a share of it says nothing.
    if found.ratio is None or criterion == "calibration":
        told |= {"ratio": None, "ratio_low": None, "ratio_high": None}
    return GapReport(criterion=criterion, **told)


def fairness_of(settings: Settings, *, task: Task) -> Fairness | None:
    """None where no feature is sensitive."""
    return Fairness(settings, task=task) if settings.fairness.sensitive else None
