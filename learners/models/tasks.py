"""Tasks: what predictions a model gives, what one costs, and how a label looks inside.

An *answer* is what a member predicted: a label with its probabilities, or a number.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

from river import active, base, naive_bayes

from anabranch.artifact import derives_label, gives_probabilities, last_step
from anabranch.blends import bayes_shares
from anabranch.errors import ModelSpecError
from anabranch.events import Prediction
from anabranch.memory import View
from anabranch.ranking import PROPENSITY, SHOWN, Popularity
from config.ranking import gain
from config.settings import Settings
from learners.derived import views_of
from learners.models import fused, speedups
from learners.models.fence import Fence, Predictor

LOG_LOSS_CAP = math.log(100)

AMONG_ALL = "all"
"""Under which a ranker's answer holds the item's position among all items, beside that among those shown."""

_ANSWERS_OTHERWISE = (active.base.ActiveLearningClassifier, base.MultiTargetRegressor)
"""Classifiers and regressors whose answer is not one label or number."""


def zero_one(y: Any, answer: Prediction) -> float:
    """1 for a wrong label, 0 for the right one; no answer is wrong."""
    return 0.0 if answer.value == y else 1.0


def brier(y: Any, answer: Prediction) -> float:
    """Half the squared distance of the probabilities from the truth, in [0, 1] (Brier, 1950)."""
    proba = answer.proba
    if not proba:
        return 1.0
    squares = sum(p * p for p in proba.values())
    right = proba.get(y, 0.0)
    return min(1.0, 0.5 * (squares - right * right + (1 - right) ** 2))


def log(y: Any, answer: Prediction) -> float:
    """The negative logarithm of the true label's probability, capped at 1 % and scaled to [0, 1]."""
    right = (answer.proba or {}).get(y, 0.0)
    return min(-math.log(right), LOG_LOSS_CAP) / LOG_LOSS_CAP if right > 0 else 1.0


def ndcg(y: Any, answer: Prediction) -> float:
    """1 less NDCG@10 of the item that was taken, at the position that it was given; no answer is the last place.

    What was not taken costs nothing: see `Task.judges`.
    """
    if y <= 0:
        return 0.0
    return 1.0 if answer.value is None else 1.0 - gain(answer.value)


_USUAL = {"regression": "absolute", "rank": "ndcg"}
"""The loss that members are compared by, where the configuration names none and labels are no classes."""
_FITS = {"absolute": ("regression",), "squared": ("regression",), "ndcg": ("rank",)}
"""Tasks by loss; the others are for classes."""


class RunningScale:
    """Bounds a regressor's error to [0, 1]: by four times the champion's mean absolute error, taken in steps.

    The scale stays as it is until the mean is twice or half of it. A scale that followed the mean would turn an error
    that fell, and stays low, into a loss that rises: a false drift. A detector has to restart when the scale falls.
    The mean forgets over some 1,000 events, the first ones sooner, since a model that has learned little is no measure;
    and no error counts for more than four times the mean, so that one absurd label does not hide all that follow.

    It is only moved after the event has been judged, so that both sides of a contest share a scale that neither could
    foresee.

    >>> scale = RunningScale()
    >>> [n for n in range(1, 3001) if scale.update(100.0 / n + 1.0)]
    [3, 7, 16, 37, 99, 583]
    >>> scale.update(1e9), scale.update(1.0), round(scale.bounded(2.0), 2)
    (False, False, 0.4)
    """

    FORGETTING = 1 / 1000
    FIRST_ONES = 3
    CAP = 4

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.scale = 0.0

    def bounded(self, error: float) -> float:
        """The absolute error as a loss in [0, 1]."""
        if self.scale == 0.0:
            return 0.0 if error == 0.0 else 1.0
        return min(1.0, abs(error) / (self.CAP * self.scale))

    def update(self, error: float) -> bool:
        """Take in the champion's error; whether the scale has fallen."""
        size, first_ones = abs(error), self.FIRST_ONES
        if self.mean:
            size = min(size, self.CAP * self.mean)
        self.mean += (size - self.mean) * max(first_ones / (self.count + first_ones), self.FORGETTING)
        self.count += 1
        if self.scale / 2 < self.mean < self.scale * 2:
            return False
        before, self.scale = self.scale, self.mean
        return self.scale < before

    def state(self) -> tuple[int, float, float]:
        """What a checkpoint keeps."""
        return self.count, self.mean, self.scale

    def restore(self, state: tuple[int, float, float]) -> None:
        """Go on from a checkpoint."""
        self.count, self.mean, self.scale = state


class Task:
    """What the lane needs to know of the task, made from the settings."""

    def __init__(self, settings: Settings, *, wants_proba: bool) -> None:
        speedups.install()  # before any method of a model is bound
        self.name = settings.task
        self.kind = settings.measured_as
        self.loss_name = settings.arena.loss or _USUAL.get(self.kind, "zero-one")
        self.scale = RunningScale()
        self.views = views_of(settings)
        self.fence = Fence(
            "regression" if settings.numeric else self.kind,
            labels_max=settings.guard.classes_max,
            label_max=settings.guard.string_max,
        )
        self.wants_proba = wants_proba or self.loss_name in ("brier", "log")
        self.blends = settings.serve == "blend"
        """Whether members are asked for a blend: for probabilities, if they have some."""
        self.loss: Callable[[Any, Prediction], float] = {
            "zero-one": zero_one,
            "brier": brier,
            "log": log,
            "absolute": self._absolute,
            "squared": self._squared,
            "ndcg": ndcg,
        }[self.loss_name]
        if self.kind not in _FITS.get(self.loss_name, ("binary", "multiclass")):
            raise ModelSpecError(f"arena.loss = {self.loss_name!r} does not fit task = {self.kind!r}")

    def error(self, y: Any, answer: Prediction) -> float:
        """What a detector on a member's own error is fed: 0 or 1 for a label, the bounded loss for a number."""
        return self.loss(y, answer) if self.kind in _USUAL else zero_one(y, answer)

    def judges(self, y: Any) -> bool:
        """Whether answers are judged on a label: rankers only on what was taken."""
        return self.kind != "rank" or y > 0

    def _absolute(self, y: float, answer: Prediction) -> float:
        return 1.0 if answer.value is None else self.scale.bounded(answer.value - y)

    def _squared(self, y: float, answer: Prediction) -> float:
        # Bounded first and squared then: so a loss stays within [0, 1], as the evidence of the arena takes it.
        return self._absolute(y, answer) ** 2

    def judged(self, y: Any, champion: Prediction) -> bool:
        """To be called after all members were scored on an event; whether the same errors will now cost more."""
        return False if champion.value is None else self.scale.update(champion.value - y)

    def check(self, model: base.Estimator) -> None:
        """Refuse a model that is not of this task.

        Raises:
            ModelSpecError: saying what the model is.
        """
        last = last_step(model)
        if self.kind == "rank":
            if not isinstance(model, Popularity):
                raise ModelSpecError(
                    f'task = "rank" needs a ranker, which {type(last).__name__} is not: write {{use = '
                    '"ranking.CoOccurrence"}, or {use = "ranking.Pointwise", model = {use = …}} around a model of River'
                )
            return
        wanted = base.Regressor if self.kind == "regression" else base.Classifier
        if not isinstance(last, wanted) or isinstance(last, _ANSWERS_OTHERWISE):
            raise ModelSpecError(
                f"task = {self.name!r} needs a {wanted.__name__.lower()}; the model ends in {type(last).__name__}"
            )
        # River tells whether a classifier takes more than two classes by this private property only.
        if self.kind == "multiclass" and not getattr(model, "_multiclass", False):
            raise ModelSpecError(
                f"{type(last).__name__} knows two classes only; wrap it: "
                '{use = "multiclass.OneVsRestClassifier", classifier = {use = …}}'
            )

    def view_of(self, model: Any) -> View | None:
        """What leaves of an event's features what the model sees; None: it sees all of them."""
        return None if self.views is None else self.views.of(model)

    def rows(self, model: Any, rows: Iterable[dict[str, object]]) -> list[dict[str, object]]:
        """Of several events' features what the model sees."""
        view = self.view_of(model)
        return [*rows] if view is None else [view(x) for x in rows]

    def learner(self, model: Any) -> Callable[[Any, Any], None]:
        """A function that teaches `model` what it sees."""
        view, learn = self.view_of(model), fused.learner(model) if fused.is_fused(model) else model.learn_one
        return learn if view is None else lambda x, y: learn(view(x), y)

    def predictor(self, model: Any) -> Predictor:
        """A function that asks `model` through the fence, with no more predictions than the task needs.

        What a blend needs is not asked: whether there is one changes, and this function is kept.

        Raises:
            ModelSpecError: a loss, a metric or a signal needs probabilities, and the model gives none.
        """
        return self._seeing(model, self._predictor(model, with_proba=self.wants_proba))

    def _seeing(self, model: Any, predict: Predictor) -> Predictor:
        view = self.view_of(model)
        return predict if view is None else lambda x: predict(view(x))

    def _predictor(self, model: Any, *, with_proba: bool) -> Predictor:
        if self.kind == "rank":
            return self._positions(model)
        if fused.is_fused(model) and self.kind == "binary":
            return fused.predictor(model, self.fence.probabilities, with_proba=with_proba)
        if not with_proba:
            return self.fence.predictor(model.predict_one)
        if not gives_probabilities(model):
            raise ModelSpecError(
                f"{type(last_step(model)).__name__} gives no probabilities, which a metric, a signal or the arena's "
                "loss needs: "
                'set scores.metrics to some on labels, as in ["Accuracy", "F1"], and arena.loss to "zero-one"'
            )
        return self.fence.predictor(None if derives_label(model) else model.predict_one, model.predict_proba_one)

    def _positions(self, model: Any) -> Predictor:
        """Where an event brings its propensity, the position among all items comes beside that among those shown."""
        position = self.fence.predictor(model.predict_one)

        def positions(x: dict[str, object]) -> Prediction:
            answer = position(x)
            if PROPENSITY not in x or answer.value is None:
                return answer
            among_all = position({name: value for name, value in x.items() if name != SHOWN}) if SHOWN in x else answer
            return answer._replace(proba=None if among_all.value is None else {AMONG_ALL: among_all.value})

        return positions

    def shadow_predictor(self, model: Any) -> Predictor:
        """As `predictor`, for a model that is not served itself: naive Bayes without SciPy's general, slow sum.

        It is asked for what a blend needs, too, where there is one at this moment.

        It differs from River's own in the last digit, which a follower must never see and a loss may. (A published
        blend sums as it is done here.)
        """
        return self._seeing(model, self._shadow_predictor(model))

    def _shadow_predictor(self, model: Any) -> Predictor:
        predict = self._predictor(model, with_proba=self.wants_proba or (self.blends and gives_probabilities(model)))
        # By exact type: a subclass may compute its probabilities in another way.
        if type(model) is not naive_bayes.GaussianNB:
            return predict
        likelihoods: Callable[[dict[str, object]], dict[Any, float]] = model.joint_log_likelihood
        if not (self.wants_proba or self.blends):
            return self.fence.predictor(lambda x: _likeliest(likelihoods(x)))
        usable = self.fence.probabilities

        def quick(x: dict[str, object]) -> Prediction:
            shares = bayes_shares(model, x)
            return predict(x) if shares is None else usable(shares)

        return quick


def _likeliest(logs: dict[Any, float]) -> Any:
    return max(logs, key=logs.__getitem__) if logs else None
