"""The models that are served: each by its follower; and what one of them answers to one event."""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from anabranch.artifact import derives_label, gives_probabilities
from anabranch.candidates import answers_for
from anabranch.champion import Champion
from anabranch.errors import AnabranchError, ExplanationError, NoChampionYet
from anabranch.follower import Follower
from anabranch.privacy import OPEN, Edge
from anabranch.scope import GLOBAL
from anabranch.tally import Tally
from anabranch.values import KINDS
from serving.explanation import Explainer, Explanation
from serving.refusal import Refusal
from serving.rows import STRING_MAX, Row
from serving.warm_up import WarmUp


class Answer(NamedTuple):
    """What a model answers: its label or number, and its probabilities if it has any."""

    value: Any
    proba: dict[Any, float] | None


class Answerer:
    """One champion as it is asked; a request has one from its first event to its last.

    Args:
        tally: counts what is asked, while a new champion is rolled out.
    """

    def __init__(self, champion: Champion, *, tally: Tally | None = None) -> None:
        self.champion = champion
        self.tally = tally
        self.version: int | str = champion.update.version
        model = champion.artifact.model
        self.features = champion.artifact.features
        self.hidden = champion.artifact.hidden
        self.kinds = champion.artifact.kinds
        self.labels_of = champion.predict_one
        self.proba_of = champion.predict_proba_one if gives_probabilities(model) else None
        # One call serves both where River itself derives the label from the probabilities.
        self.derives = self.proba_of is not None and derives_label(model)

    @property
    def about(self) -> dict[str, Any]:
        """Which model answers, as it is told with each answer."""
        champion, update = self.champion, self.champion.update
        return {
            **({} if update.scope == GLOBAL else {"scope": str(update.scope)}),
            "version": update.version,
            "epoch": update.epoch,
            "seq": update.seq,
            "events": champion.event_number,
            "age_s": round(champion.age_s, 3),
        }

    def answer(self, x: dict[str, Any]) -> Answer:
        """The answer to an event's features.

        Raises:
            Refusal: 422 if the model raises on them, 500 if its answer is no number.
        """
        self.see_kinds(x)
        with self.counted():
            return self._answer(x)

    def counted(self) -> AbstractContextManager[None]:
        """Within it an answer is made, which counts if a new champion is being rolled out."""
        return nullcontext() if self.tally is None else self.tally.timed(is_new=self.champion.is_new)

    def _answer(self, x: dict[str, Any]) -> Answer:
        try:
            proba = None if self.proba_of is None else self.proba_of(x)
            value = likeliest(proba) if self.derives and proba is not None else self.labels_of(x)
        except Exception as error:  # a model may raise anything on features of another kind than it has learned
            raise Refusal(
                422, f"the model cannot answer these features: {type(error).__name__}: {error}", field="features"
            ) from error
        if not all(map(_is_finite, (value, *(proba or {}).values()))):
            raise Refusal(500, f"version {self.version} answers {value!r}, which is no usable number")
        return Answer(value, proba)

    @cached_property
    def explainer(self) -> Explainer:
        """Made when the first answer is to be explained: what it knows of the background serves all of them."""
        return Explainer(self.champion)

    def explained(self, x: dict[str, Any]) -> Explanation:
        """Why it answers an event's features as it does.

        Raises:
            Refusal: 422 if the model raises on them, or on mixtures of them and its background.
        """
        self.see_kinds(x)
        try:
            return self.explainer.explain(x)
        except ExplanationError as error:
            raise Refusal(422, str(error), field="features") from error

    def see_kinds(self, x: dict[str, Any]) -> None:
        """As at the learner: a text in a number's place is somebody's mistake, whatever the model would make of it."""
        for name, kind in self.kinds.items():
            value = x.get(name)
            if value is not None and KINDS[type(value)] != kind:
                given = f"a {KINDS[type(value)]}; the model has learned it as a {kind}"
                raise Refusal(422, given, field=f"features.{name}"[:200])

    def computed(self, x: dict[str, Any], *, ts: float | None, key: str | None) -> dict[str, Any]:
        """What the event lacks of the features that the learner computes itself: those that the model sees.

        Args:
            ts: when the event happens, epoch seconds; None: now.
            key: its Kafka key, where features go by that.
        """
        if self.champion.artifact.computing is None:
            return {}
        found = self.champion.with_computed(x, ts=ts, key=key)
        lacked = {name for name in self.features if x.get(name) is None}
        return {name: value for name, value in found.items() if name in lacked and value is not None}

    def missing(self, x: Mapping[str, Any]) -> list[str]:
        """The features that the model has learned with and the event lacks."""
        return sorted(each for each in self.features if x.get(each) is None)

    def unknown(self, x: Mapping[str, Any]) -> list[str]:
        """The event's features that nothing was learned of: they are left out."""
        return sorted(each for each in x if each not in self.features and each not in self.hidden)


class Choice(NamedTuple):
    """The models in use at one moment: the champion's, and a new one's beside it for some of the keys."""

    champion: Answerer
    canary: Answerer | None = None

    def of(self, key: str | bytes | None) -> Answerer:
        """Which of them answers for a key."""
        canary = self.canary
        return canary if canary is not None and answers_for(canary.champion.update, key) else self.champion


def likeliest(proba: dict[Any, float]) -> Any:
    """The label of the largest probability; None without any."""
    return max(proba, key=proba.__getitem__) if proba else None


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


class Served:
    """One model under its name.

    Args:
        follower: of its champions.
        warm_up: how far its learner is before the first; None where nobody can tell.
        string_max: characters of a string feature, as its learner takes them.
        computes: whether features are computed that an event lacks.
        edge: what becomes of an event as it enters.
    """

    def __init__(
        self,
        follower: Follower,
        *,
        warm_up: WarmUp | None = None,
        string_max: int = STRING_MAX,
        computes: bool = True,
        edge: Edge = OPEN,
    ) -> None:
        self.name = follower.model
        self.follower = follower
        self.warm_up = warm_up
        self.string_max = string_max
        self.computes = computes
        self.edge = edge
        self._choice: Choice | None = None

    @property
    def takes_ids(self) -> bool:
        """Whether an event's id stands for its key, where there is none."""
        return True

    @property
    def parts(self) -> dict[str, "Served"]:
        """What is followed under this name, each by its own for people."""
        return {self.name: self}

    def now(self, key: str | bytes | None = None) -> Answerer:
        """The model that is in use now, for a key or in general.

        Raises:
            Refusal: 503; there is none, or it is too old.
        """
        return self.choice().of(key)

    def choice(self, key: str | bytes | None = None) -> Choice:
        """The models in use now, for many keys. Where each partition has its own, those for the key's.

        Raises:
            Refusal: 503; there is none, or it is too old.
        """
        try:
            champion, canary = self.follower.champion, self.follower.canary
        except AnabranchError as error:
            raise Refusal(503, self._why(error), headers={"Retry-After": "1"}) from error
        choice = self._choice
        if choice is None or choice.champion.champion is not champion or _of(choice.canary) is not canary:
            choice = self._choice = self._made(champion, canary)
        return choice

    def _made(self, champion: Champion, canary: Champion | None) -> Choice:
        if canary is None:
            return Choice(Answerer(champion))
        tally = self.follower.tally
        return Choice(Answerer(champion, tally=tally), Answerer(canary, tally=tally))

    def computed(self, answerer: Answerer, row: Row, *, key: str | None) -> dict[str, Any]:
        """As `Answerer.computed`, if this is wanted; the key is as producers have it."""
        key = None if key is None else self.edge.pseudonym(key)
        return answerer.computed(row.x, ts=row.ts, key=key) if self.computes else {}

    def why_not_ready(self) -> str:
        """Why it cannot answer; empty if it can."""
        try:
            self.now()
        except Refusal as refusal:
            return refusal.text
        return ""

    def _why(self, error: AnabranchError) -> str:
        if not isinstance(error, NoChampionYet):
            return str(error)
        how_far = f": {self.warm_up}" if self.warm_up is not None and self.warm_up.told else ""
        refused = f"; what was announced is refused: {self.follower.last_refusal}" if self.follower.last_refusal else ""
        return f"no champion of {self.name!r} yet{how_far}{refused}"


def _of(answerer: Answerer | None) -> Champion | None:
    return None if answerer is None else answerer.champion


class Beside(Protocol):
    """Something that goes on beside a model while it is served."""

    def start(self) -> None:
        """Begin, in a thread of its own."""

    def stop(self) -> None:
        """End."""

    def why_not_ready(self) -> dict[str, str]:
        """What does not go on yet, by the model's name; empty if all does."""


class Models:
    """All models of a process, by name; a context manager that follows them.

    Args:
        served: in the order of the configurations; the first is the one that a request without a name means, where
            there is only one.
        beside: what else begins and ends with them.
    """

    def __init__(self, served: list[Served], *, beside: Sequence[Beside] = ()) -> None:
        self.by_name = {each.name: each for each in served}
        self.parts = {name: part for each in served for name, part in each.parts.items()}
        """What is followed, by its name for people."""
        self.beside = [*(each.warm_up for each in self.parts.values() if each.warm_up is not None), *beside]

    def __enter__(self) -> "Models":
        for each in self.parts.values():
            each.follower.__enter__()
        for other in self.beside:
            other.start()
        return self

    def __exit__(self, *about: object) -> None:
        for other in self.beside:
            other.stop()
        for each in self.parts.values():
            each.follower.__exit__(None, None, None)

    def named(self, name: str | None) -> Served:
        """The model of that name, or the only one.

        Raises:
            Refusal: 404.
        """
        if name is None and len(self.by_name) == 1:
            return next(iter(self.by_name.values()))
        if name not in self.by_name:
            asked = "several models are served" if name is None else f"no model {name!r} is served here"
            raise Refusal(
                404, f"{asked}; there are {', '.join(self.by_name)}: name one, as in /api/models/NAME/predict"
            )
        return self.by_name[name]

    def why_not_ready(self) -> dict[str, str]:
        """Of each model that cannot answer, or does not yet answer its topic, why."""
        found = {name: why for each in self.beside for name, why in each.why_not_ready().items()}
        return found | {name: why for name, each in self.by_name.items() if (why := each.why_not_ready())}
