"""The blend of regressors: the weighted mean of their answers, by how they have answered lately.

A member counts for less the more its mean loss, bounded as the arena's, is above the least. One answer of 10²³ must not
carry the mean along, whoever gives it: each answer is brought within the span in which labels have lain lately.
"""

import math
from collections.abc import Mapping
from typing import Any

from anabranch import blends
from anabranch.events import AcceptedEvent, Prediction
from learners.blend import SHARP, Blend, Mean, Way
from learners.models.fence import NOTHING

BY_LOSS = Way(SHARP.key, 100.0, rate_max=0.3, least=0.02)

REACH = 20.0
"""Mean distances from the mean label within which answers count as they are."""


class NumberBlend(Blend):
    """As the blend of classifiers, with one way to weigh."""

    def _forget(self) -> None:
        self.level, self.distance = Mean(), Mean()
        super()._forget()

    @property
    def way(self) -> Way:
        """There is one."""
        return BY_LOSS

    @property
    def told_apart(self) -> tuple[Way, ...]:
        """There is one."""
        return (BY_LOSS,)

    def _mixture(self, models: list[Any], weights: list[float], way: Way) -> Any:
        low, high = self._span()
        return blends.NumberBlend(models, weights, low=low, high=high)

    def _span(self) -> tuple[float, float]:
        """Where labels have lain lately, and some way beyond."""
        reach = REACH * self.distance.value
        return (self.level.value - reach, self.level.value + reach) if self.distance.labels else (-math.inf, math.inf)

    def answer(self, answers: dict[str, Prediction]) -> Prediction | None:
        """What the blend answers, of the members' answers, to which it is added; None: it has none yet."""
        members = self.members()
        if len(members) < 1 + (not self.serves):
            return None
        numbers = [answers.get(member.name, NOTHING).value for member in members]
        low, high = self._span()
        weighted = zip(self.weights(members, BY_LOSS), numbers, strict=True)
        answers[BY_LOSS.key] = served = Prediction(blends.mean_within(weighted, low=low, high=high))
        return served

    def judge(
        self, event: AcceptedEvent, answers: Mapping[str, Prediction], *, ripe: bool
    ) -> tuple[Prediction | None, float | None]:
        """Judge members on what they answered when asked; the blend's own answer then, and its loss."""
        window, everybody = self.window, self.everybody()
        y: Any = event.y
        self.labels += 1
        self._note_label(y)
        for member in everybody:
            answer = answers.get(member.name)
            if answer is not None:
                self._record(member).wrong.update(self.task.loss(y, answer), window=window)
        self._forget_who_left(everybody)
        given = answers.get(BY_LOSS.key)
        return (None, None) if given is None else self._measured(event, given)

    def _note_label(self, y: float) -> None:
        if self.level.labels:
            self.distance.update(abs(y - self.level.value), window=self.window)
        self.level.update(y, window=self.window)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = super().state()
        if self.level.labels:  # only where it counts: other states have the hash that they had
            kept |= {"level": self.level.state(), "distance": self.distance.state()}
        return kept

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; to be called before the members are restored, as it says what they are asked."""
        super().restore(state)
        if "level" in state:
            self.level, self.distance = Mean(*state["level"]), Mean(*state["distance"])


def blend_of(settings: Any, **parts: Any) -> Blend:
    """The blend for the task."""
    return (NumberBlend if settings.numeric else Blend)(settings, **parts)
