"""The bytes of a published model: the model, what it was fed, and canary rows with the predictions they must give."""

import hashlib
import reprlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, Self

from river import base, compose

from anabranch import statetree
from anabranch.computing import SharedComputing
from anabranch.errors import ArtifactError

CHUNK_BYTES = 512 * 1024

CANARY_MAX = 100
"""More rows than `publish.canary_rows` allows no learner has sent, and each costs its reader a prediction."""

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
"""What stands in an artifact may be of any length and depth, and is not to fill a log."""


class Artifact(NamedTuple):
    """A published model, decoded and proven on its canary rows."""

    model: Any
    task: str
    positive: str | None
    features: frozenset[str]
    canary: tuple[tuple[dict[str, object], Any], ...]
    """Rows, and what the model at the learner predicted for them."""
    kinds: dict[str, str] = {}  # noqa: RUF012  # a NamedTuple's default, never changed
    """Of the features, by name: number, string, boolean; empty in artifacts of before."""
    hidden: frozenset[str] = frozenset()
    """Features of what is learned that this model does not see."""
    derived: dict[str, str] = {}  # noqa: RUF012  # likewise
    """Of the features, those that the learner computes, with what they are in words: whoever asks brings them."""
    computing: SharedComputing | None = None
    """What they are computed of, if that is not too much."""

    def gone_on(self, model: Any, *, computing: SharedComputing | None, features: Mapping[str, str]) -> Self:
        """With the model as it is after it has learned on, and features that it has met since, kinds by name."""
        later = {name: kind for name, kind in features.items() if name not in self.features}
        if not later:
            return self._replace(model=model, computing=computing)
        kinds = {**self.kinds, **later} if self.kinds else self.kinds  # artifacts of before have none
        return self._replace(model=model, computing=computing, features=self.features | later.keys(), kinds=kinds)


def pack(
    model: Any,
    *,
    state: bytes = b"",
    task: str,
    positive: str | None,
    features: Iterable[str] | Mapping[str, str],
    canary: Iterable[Mapping[str, object]],
    trusted: tuple[str, ...] = (),
    hidden: Iterable[str] = (),
    derived: Mapping[str, str] | None = None,
    computing: bytes = b"",
) -> bytes:
    """The model as bytes.

    Args:
        state: the model's own bytes (`statetree.encode`), if they are known already.
        features: their names, or their kinds by name.
        hidden: features of what is learned that the model does not see.
        derived: those that the learner computes itself, in words.
        computing: what they are computed of (`Computing.packed`).

    Raises:
        StateTreeError: the model holds something that cannot be restored faithfully.
    """
    kept = [dict(x) for x in canary]
    rows = list(zip(kept, predictions(model, kept), strict=True))
    state = state or statetree.encode(model, trusted=trusted)
    # Followers take the keys of a table for names, those of earlier releases too.
    named = dict(sorted(features.items())) if isinstance(features, Mapping) else sorted(features)
    table = {"model": state, "task": task, "positive": positive, "features": named, "canary": rows}
    # Only where there is something of it: other artifacts have the bytes that they had before.
    if hidden := sorted(hidden):
        table["hidden"] = hidden
    if derived:
        table["derived"] = dict(derived)
    if computing:
        table["computing"] = computing
    return statetree.encode(table, trusted=trusted)


def unpack(data: bytes, *, sha256: str, trusted: tuple[str, ...] = ()) -> Artifact:
    """The model in `data`, if its digest is right and its canary predictions are bit-equal.

    Raises:
        ArtifactError: saying which of the checks failed.
        StateTreeError: the bytes are corrupt, of another River, or hold a class that is not trusted.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ArtifactError(f"its sha256 is {found[:12]}…, announced was {sha256[:12]}…", check="digest")
    artifact = _of(statetree.decode(data, trusted=trusted), trusted)
    for number, (x, expected) in enumerate(artifact.canary):
        _see_that_it_answers(artifact.model, x, expected, number)
    return artifact


def _of(table: Any, trusted: tuple[str, ...]) -> Artifact:
    """The table, which a stranger may have written, if it is one of ours."""
    match table:
        case {
            "model": model,
            "task": str(task),
            "positive": (str() | None) as positive,
            "features": (list() | dict()) as features,
            "canary": list(canary),
        } if (
            len(canary) <= CANARY_MAX
            and all(type(name) is str for name in (*features, *_kinds(features).values()))
            and all(type(row) is tuple and len(row) == 2 and type(row[0]) is dict for row in canary)
        ):
            # Before, the model lay in the table as it is.
            model = statetree.decode(model, trusted=trusted) if isinstance(model, bytes) else model
            if not callable(getattr(type(model), "predict_one", None)):
                raise ArtifactError(f"it holds a {type(model).__name__}, which cannot predict", check="decode")
            hidden, derived = _texts(table.get("hidden", [])), _words(table.get("derived", {}))
            computing = table.get("computing")
            return Artifact(
                model,
                task,
                positive,
                frozenset(features),
                tuple(canary),
                _kinds(features),
                hidden,
                derived,
                None if computing is None else SharedComputing.unpacked(computing),
            )
        case _:
            raise ArtifactError(
                f"its bytes hold no model with its features and at most {CANARY_MAX} canary rows", check="decode"
            )


def _kinds(features: list[str] | dict[str, str]) -> dict[str, str]:
    """By name; artifacts of before have the names alone."""
    return features if isinstance(features, dict) else {}


def _texts(found: Any) -> frozenset[str]:
    """Names that a stranger may have written."""
    if type(found) is not list or not all(type(each) is str for each in found):
        raise ArtifactError("what its model does not see is no list of names", check="decode")
    return frozenset(found)


def _words(found: Any) -> dict[str, str]:
    """Words by name that a stranger may have written."""
    if type(found) is not dict or not all(type(each) is str for each in (*found, *found.values())):
        raise ArtifactError("what is computed of its features is no table of words by name", check="decode")
    return found


def _see_that_it_answers(model: Any, x: dict[str, object], expected: Any, number: int) -> None:
    """As at the learner, to the last bit."""
    try:
        got = predict(model, x)
        is_nan = any(each != each for each in (*_numbers(got), *_numbers(expected)))  # noqa: PLR0124  # NaN is not itself
        is_equal = bool(got == expected)
    except Exception as error:
        raise ArtifactError(f"canary row {number}: {type(error).__name__}: {error}", check="canary") from error
    if is_nan:
        raise ArtifactError(
            f"it answers NaN to canary row {number}: a model without a usable answer is of no use here", check="canary"
        )
    if not is_equal:
        here, there = _SHORT.repr(got), _SHORT.repr(expected)
        raise ArtifactError(f"canary row {number} gives {here} here, and gave {there} at the learner", check="canary")


def warm_up(artifact: Artifact) -> None:
    """One prediction, so that the first request does not pay for what a model makes at its first.

    Raises:
        ArtifactError: it raised on a row that its learner has predicted. (On no features at all any model may raise.)
    """
    if not artifact.canary:
        with suppress(Exception):
            artifact.model.predict_one({})
        return
    try:
        artifact.model.predict_one(dict(artifact.canary[0][0]))
    except Exception as error:
        raise ArtifactError(f"its first prediction: {type(error).__name__}: {error}", check="warm") from error


def predict(model: Any, x: dict[str, object]) -> Any:
    """Probabilities where the model has them, else its label or number."""
    try:
        return model.predict_proba_one(x)
    except (AttributeError, NotImplementedError):
        return model.predict_one(x)


def predictions(model: Any, rows: Iterable[Mapping[str, object]]) -> list[Any]:
    """The same for several rows; the model gets copies of them."""
    return [predict(model, dict(x)) for x in rows]


# ── What a model can be asked ───────────────────────────────────────────────────────────────────────────────────────


def last_step(model: Any) -> Any:
    """The estimator that answers: the end of a pipeline, or the model itself."""
    while isinstance(model, compose.Pipeline):
        model = model._last_step
    return model


def gives_probabilities(model: Any) -> bool:
    """Whether it is a classifier with probabilities."""
    # The base class's method is there on every classifier and only raises, so hasattr() would tell nothing.
    found = getattr(type(last_step(model)), "predict_proba_one", base.Classifier.predict_proba_one)
    return found is not base.Classifier.predict_proba_one


def derives_label(model: Any) -> bool:
    """Whether `predict_one` is the likeliest label of `predict_proba_one`, so that one call serves both."""
    return type(last_step(model)).predict_one is base.Classifier.predict_one


def _numbers(answered: Any) -> list[Any]:
    return list(answered.values()) if isinstance(answered, dict) else [answered]


def chunks(data: bytes) -> list[bytes]:
    """The bytes in parts of at most 512 KiB: below every broker's default limit."""
    return [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]


def chunk_key(model: str, scope: str, version: int, *, sha256: str) -> str:
    """The key of an artifact's chunks, less the number that each ends in."""
    return f"{model}/{scope}/{version}/{sha256[:12]}/"
