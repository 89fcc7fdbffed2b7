"""The bytes of a published model: the model, what it was fed, and canary rows with the predictions they must give."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from river import base, compose

from anabranch import statetree
from anabranch.errors import ArtifactError

CHUNK_BYTES = 512 * 1024


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


def pack(
    model: Any,
    *,
    state: bytes = b"",
    task: str,
    positive: str | None,
    features: Iterable[str] | Mapping[str, str],
    canary: Iterable[Mapping[str, object]],
    trusted: tuple[str, ...] = (),
) -> bytes:
    """The model as bytes.

    Args:
        state: the model's own bytes (`statetree.encode`), if they are known already.
        features: their names, or their kinds by name.

    Raises:
        StateTreeError: the model holds something that cannot be restored faithfully.
    """
    kept = [dict(x) for x in canary]
    rows = list(zip(kept, predictions(model, kept), strict=True))
    state = state or statetree.encode(model, trusted=trusted)
    # Followers take the keys of a table for names, those of earlier releases too.
    named = dict(sorted(features.items())) if isinstance(features, Mapping) else sorted(features)
    table = {"model": state, "task": task, "positive": positive, "features": named, "canary": rows}
    return statetree.encode(table, trusted=trusted)


def unpack(data: bytes, *, sha256: str, trusted: tuple[str, ...] = ()) -> Artifact:
    """The model in `data`, if its digest is right and its canary predictions are bit-equal.

    Raises:
        ArtifactError: saying which of the checks failed.
        StateTreeError: the bytes are corrupt, of another River, or hold a class that is not trusted.
    """
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ArtifactError(f"its sha256 is {found[:12]}…, announced was {sha256[:12]}…")
    table = statetree.decode(data, trusted=trusted)
    if isinstance(table["model"], bytes):  # before, the model lay in the table as it is
        table["model"] = statetree.decode(table["model"], trusted=trusted)
    for n, (x, expected) in enumerate(table["canary"]):
        got = predict(table["model"], x)
        if any(each != each for each in (*_numbers(got), *_numbers(expected))):  # noqa: PLR0124  # NaN is not itself
            raise ArtifactError(f"it answers NaN to canary row {n}: a model without a usable answer is of no use here")
        if got != expected:
            raise ArtifactError(f"canary row {n} gives {got!r} here, and gave {expected!r} at the learner")
    features = table["features"]
    kinds = features if isinstance(features, dict) else {}
    canary = tuple(table["canary"])
    return Artifact(table["model"], table["task"], table["positive"], frozenset(features), canary, kinds)


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
