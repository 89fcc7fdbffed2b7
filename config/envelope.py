"""The change envelope: what of a model may change by itself, and within which bounds, as one text with a digest.

It holds the sections of the configuration that decide what is learned, what may take the champion's place, and what
stands between a winner and its announcement; defaults included, so that a release with another default has another
envelope. It holds nothing about brokers, places, keys, processes or how often something is told.
"""

import hashlib
from typing import Any

import orjson

from config.learning import WHERE
from config.settings import Settings

FORMAT = "anabranch-envelope/1"
SECTIONS = (
    "name",
    "task",
    "positive",
    "seed",
    "scope",
    "model",
    "serve",
    "features",
    "memory",
    "detectors",
    "trigger",
    "retrain",
    "shadows",
    "arena",
    "constraints",
    "rollout",
    "freeze",
)
"""The keys of the configuration that belong to it; and `segments`, where there are some."""


def document(settings: Settings) -> dict[str, Any]:
    """The envelope as plain values, for people and for JSON."""
    segmented = {"segments"} if settings.segments.by is not None else set()  # or all envelopes had changed with it
    where = {"retrain": set(WHERE), "shadows": {"processes"}}
    table = settings.model_dump(mode="json", include={*SECTIONS, *segmented}, exclude=where)
    return {"format": FORMAT, **table}


def canonical(settings: Settings) -> bytes:
    """The envelope as JSON, of which there is one text only: keys are sorted, and nothing stands between them."""
    return orjson.dumps(document(settings), option=orjson.OPT_SORT_KEYS)


def digest(settings: Settings) -> str:
    """What names the envelope: `sha256:` and the SHA-256 of its canonical text, in hexadecimal."""
    return f"sha256:{hashlib.sha256(canonical(settings)).hexdigest()}"
