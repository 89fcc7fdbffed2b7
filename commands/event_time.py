"""Which parts of a configuration go by event time, and what a table without times makes of them."""

import sys
from collections.abc import Iterator
from pathlib import Path

from anabranch.settings import Settings

_PARAMETERS = {"schedule": ("every", "cron"), "threshold": ("over",)}


def warn(settings: Settings, data: Path, *, ts: str | None) -> None:
    """Say on standard error what goes by times that the file does not tell."""
    keys = [] if ts is not None or ".csv" not in data.suffixes else list(keys_of(settings))
    if keys:
        print(
            f"{settings.name}: {', '.join(keys)}: by event time, and without --ts COLUMN each row of {data.name} "
            "counts as one second",
            file=sys.stderr,
        )


def keys_of(settings: Settings) -> Iterator[str]:
    """The keys that are set and go by event time."""
    for name, detector in settings.detectors.items():
        for key in _PARAMETERS.get(detector.use, ()):
            if detector.parameters.get(key):
                yield f"detectors.{name}.{key}"
    for key in ("cooldown", "per_day_max"):
        if getattr(settings.trigger, key):
            yield f"trigger.{key}"
