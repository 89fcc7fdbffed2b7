"""A model in use, and what it answers."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from anabranch.artifact import Artifact
from anabranch.messages import ModelUpdate
from anabranch.ranking import Popularity, Ranked
from anabranch.rolling import KEY
from anabranch.segments import SegmentModels
from anabranch.values import usable

T = TypeVar("T")


class Champion(NamedTuple):
    """A model in use: what was announced of it, the model itself, and how many labelled events it has learned."""

    update: ModelUpdate
    artifact: Artifact
    event_number: int
    as_of_ts: float
    """When it was what the learner had, epoch seconds: announced then, or told by then to have learned that much."""
    segments: SegmentModels | None = None
    """The models that answer for their segments in its place, where the follower was asked for them."""

    @property
    def age_s(self) -> float:
        """How long ago that was, by this machine's clock."""
        return max(0.0, time.time() - self.as_of_ts)

    @property
    def is_new(self) -> bool:
        """Whether it is being rolled out, beside another one that answers for the other keys."""
        return self.update.kind == "canary"

    def predict_one(self, x: dict[str, Any], *, key: str | bytes | None = None) -> Any:
        """As `Follower.predict_one`."""
        return self._ask(x, key, lambda model, known: model.predict_one(known))

    def predict_proba_one(self, x: dict[str, Any], *, key: str | bytes | None = None) -> dict[Any, float]:
        """As `Follower.predict_proba_one`."""
        return self._ask(x, key, lambda model, known: model.predict_proba_one(known))

    def _ask(self, x: dict[str, Any], key: str | bytes | None, ask: Callable[[Any, dict[str, Any]], T]) -> T:
        """Ask the model of the event's segment, if it has one that answers what can be used."""
        known = self.known(x)
        own = None if self.segments is None else self.segments.model_for(x, epoch=self.update.epoch, key=key)
        if own is not None:
            with suppress(Exception):
                answer = ask(own, known)
                if usable(answer):
                    return answer
        return ask(self.artifact.model, known)

    @property
    def ranker(self) -> Popularity:
        """The model, if it is one that ranks.

        Raises:
            NotImplementedError: it is not.
        """
        model = self.artifact.model
        if isinstance(model, Popularity):
            return model
        raise NotImplementedError(
            f"{self.update.model!r} predicts ({self.artifact.task}) and does not rank: ask it by predict_one, or give "
            'its learner task = "rank"'
        )

    def rank(
        self, x: dict[str, Any], *, candidates: Iterable[Any] | None = None, exclude: Iterable[Any] = (), n: int = 10
    ) -> list[Ranked]:
        """As `Follower.rank`."""
        return self.ranker.rank(self.known(x), candidates=candidates, exclude=exclude, n=n)

    def with_computed(self, x: dict[str, Any], *, ts: float | None = None, key: str | None = None) -> dict[str, Any]:
        """As `Follower.with_computed`."""
        computing, asked = self.artifact.computing, x if key is None else {**x, KEY: key}
        found = {} if computing is None else computing.look(asked, time.time() if ts is None else ts)
        return {**x, **{name: value for name, value in found.items() if x.get(name) is None}}

    def known(self, x: dict[str, Any]) -> dict[str, Any]:
        """The features of `x` that its learner knew of when the model was announced, and that are not missing."""
        features = self.artifact.features
        return {name: value for name, value in x.items() if name in features and value is not None}
