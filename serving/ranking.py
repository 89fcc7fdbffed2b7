"""Requests for a ranking: read, checked field by field, and answered."""

import random
from typing import Any, NamedTuple

from anabranch.champion import Champion
from anabranch.privacy import OPEN, Edge
from anabranch.ranking import Popularity, Ranked
from serving.models import Answerer
from serving.refusal import Refusal
from serving.rows import STRING_MAX, features_of, see_value

CANDIDATES_MAX = 10_000
"""Of one request, and as many that are excluded."""

N_MAX = 1_000

_KEYS = ("id", "user", "features", "candidates", "exclude", "n", "ts")


class Asked(NamedTuple):
    """What a request for a ranking asks."""

    id: str | None
    user: Any
    """In place of the feature that holds the user, whatever its name is."""
    x: dict[str, Any]
    candidates: list[Any] | None
    exclude: list[Any]
    n: int


def asked_of(table: Any, *, string_max: int = STRING_MAX) -> Asked:
    """The body of `/api/rank`.

    >>> asked_of({"user": "u5", "exclude": ["i2"], "n": 3})
    Asked(id=None, user='u5', x={}, candidates=None, exclude=['i2'], n=3)
    >>> asked_of({"user": "u5", "n": 0})
    Traceback (most recent call last):
    serving.refusal.Refusal: n: 0; a whole number from 1 to 1000

    Raises:
        Refusal: 422, naming the field.
    """
    if not isinstance(table, dict):
        raise Refusal(422, 'send one object, as in {"user": "u5", "n": 10}')
    for key in table:
        if key not in _KEYS:
            raise Refusal(422, f"no such key; a ranking is asked with {', '.join(_KEYS)}", field=key[:200])
    id_, user, n = table.get("id"), table.get("user"), table.get("n", 10)
    if id_ is not None and not isinstance(id_, str):
        raise Refusal(422, "an id is a string", field="id")
    see_value(user, field="user", string_max=string_max)
    if type(n) is not int or not 1 <= n <= N_MAX:
        raise Refusal(422, f"{str(n)[:20]}; a whole number from 1 to {N_MAX}", field="n")
    x = features_of(table.get("features") or {}, where="features", string_max=string_max)
    candidates = table.get("candidates")
    return Asked(
        id_,
        user,
        x,
        None if candidates is None else _items(candidates, field="candidates", string_max=string_max),
        _items(table.get("exclude") or [], field="exclude", string_max=string_max),
        n,
    )


def _items(several: Any, *, field: str, string_max: int) -> list[Any]:
    if not isinstance(several, list):
        raise Refusal(422, "a list of items is needed", field=field)
    if len(several) > CANDIDATES_MAX:
        raise Refusal(422, f"{len(several)} items; at most {CANDIDATES_MAX} are taken", field=field)
    for number, each in enumerate(several):
        if type(each) not in (str, int, float):
            raise Refusal(422, "an item is a string or a number", field=f"{field}[{number}]")
        see_value(each, field=f"{field}[{number}]", string_max=string_max)
    return several


def ranker_of(answerer: Answerer) -> Popularity:
    """The model that ranks.

    Raises:
        Refusal: 422; this one does not.
    """
    try:
        return answerer.champion.ranker
    except NotImplementedError as error:
        raise Refusal(422, f"{answerer.champion.update.model!r} does not rank; ask /api/predict") from error


def ranked(answerer: Answerer, asked: Asked, *, explore: float = 0.0, edge: Edge = OPEN) -> dict[str, Any]:
    """The items as the response tells them, and the list as its feedback names it (`shown`).

    Args:
        explore: the share of requests whose list is drawn from the candidates, each as probable as any other.
        edge: what becomes of the features as they enter.

    Raises:
        Refusal: 422 if the model does not rank, or raises on the features.
    """
    champion, x = answerer.champion, edge.features(_features(ranker_of(answerer), asked))
    answerer.see_kinds(x)
    try:
        with answerer.counted():
            best = champion.rank(x, candidates=asked.candidates, exclude=asked.exclude, n=asked.n)
        told = _explored(champion, asked, x, best, explore=explore) if explore else {"items": list(map(_told, best))}
    except Exception as error:  # a model of somebody's own may raise anything, as with predictions
        raise Refusal(
            422, f"the model cannot rank for these features: {type(error).__name__}: {error}", field="features"
        ) from error
    return {**told, "shown": " ".join(each["item"] for each in told["items"])}


def _features(ranker: Popularity, asked: Asked) -> dict[str, Any]:
    return asked.x if asked.user is None else {**asked.x, ranker.user: asked.user}


def _told(each: Ranked) -> dict[str, Any]:
    return {"item": each.item, "score": each.score, **({"cold": each.cold} if each.cold else {})}


def _explored(
    champion: Champion, asked: Asked, x: dict[str, Any], best: list[Ranked], *, explore: float
) -> dict[str, Any]:
    """The best, or for a share of the requests any of the candidates; each with the probability that it is listed."""
    choices = champion.ranker.choices(champion.known(x), candidates=asked.candidates, exclude=asked.exclude)
    # By the request's id, so that one that is sent twice is answered alike; no learner ever reads this draw.
    draw = random.Random(None if asked.id is None else f"{champion.update.model}/{asked.id}")
    is_explored = draw.random() < explore
    own, listed = {each.item for each in best}, best
    if is_explored:
        drawn = draw.sample(choices, min(asked.n, len(choices)))
        # In the model's order: what is explored is which items are listed, and not where.
        listed = champion.rank(x, candidates=drawn, n=asked.n)
    by_chance = explore * min(1.0, asked.n / max(1, len(choices)))
    items = [{**_told(each), "propensity": by_chance + (1 - explore) * (each.item in own)} for each in listed]
    return {"items": items, "explored": is_explored}
