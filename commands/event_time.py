"""Which parts of a configuration go by event time, and what a table without times makes of them."""

import sys
from collections.abc import Iterator

from config.settings import Settings
from evaluation.files import Files

_PARAMETERS = {"schedule": ("every", "cron"), "threshold": ("window_time",)}


def warn(settings: Settings, files: Files) -> None:
    """Say on standard error what goes by times that the file does not tell."""
    timeless = files.is_table and files.reading.ts is None
    keys = list(keys_of(settings)) if timeless else []
    if keys:
        print(
            f"{settings.name}: {', '.join(keys)}: by event time, and without --ts COLUMN each row of {files.name} "
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
