"""What a learner needs around it, looked at without connecting to anything or making anything."""

import os
import re
from pathlib import Path

from anabranch.errors import ConfigError
from anabranch.kafka import examine
from config.settings import Settings
from consumers.jobs.executors import function_of
from consumers.keys import key_of

_ADDRESS = re.compile(r"[A-Za-z0-9+.-]+://")


def look(settings: Settings) -> None:
    """See that librdkafka takes its settings, and that checkpoints could be written.

    Raises:
        ConfigError: naming the setting, or the folder.
    """
    examine(settings.kafka)
    _store(settings.checkpoint.store)


def named(settings: Settings) -> None:
    """See that the key and the executor that the settings name are there; no executor is made.

    Raises:
        ConfigError: as a learner says it when it starts.
    """
    key_of(settings)
    if ":" in settings.retrain.executor:
        function_of(settings.retrain.executor)


def _store(address: str) -> None:
    """Of a folder, the nearest that is there must be one in which others can be made."""
    path = address.removeprefix("file://")
    if _ADDRESS.match(path):
        return  # a bucket is asked when a learner starts
    folder = Path(path).absolute()
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    if not nearest.is_dir():
        raise ConfigError(f"checkpoint.store = {address!r}: {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(f"checkpoint.store = {address!r}: nothing can be written in {nearest}")
