"""A learner's metrics over HTTP: `[metrics]`, beside the learning loop."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from config.settings import Settings
from consumers.loop import LearningLoop
from operations.metrics import Key, Listener, Live, PictureCollector, exported
from operations.picture import Picture


class Exporter:
    """Hears what the loop tells and answers Prometheus, if a port is set; a context manager.

    Args:
        loop: the one that runs now, if there is one yet.
        port: instead of `metrics.port`.
    """

    def __init__(self, settings: Settings, loop: Callable[[], LearningLoop | None], *, port: int | None = None) -> None:
        self.settings = settings
        self.loop = loop
        self.port = settings.metrics.port if port is None else port
        self.listener = Listener(Picture.of([settings]), topic=settings.topics.name)
        self._open = ExitStack()
        self._listens_on: int | None = None

    @property
    def listens_on(self) -> int:
        """The port, while it listens."""
        assert self._listens_on is not None, "it listens only within the block, and if a port is set"
        return self._listens_on

    def beside(self, other: Callable[[Any], None] | None) -> Callable[[Any], None] | None:
        """What hears each message: the other, and the metrics if there are any."""
        if self.port is None:
            return other
        hear = self.listener.hear
        if other is None:
            return hear

        def both(message: Any) -> None:
            hear(message)
            other(message)

        return both

    def live(self) -> dict[Key, Live]:
        """How far the owners are; asked from another thread than the loop's."""
        loop = self.loop()
        owners = [] if loop is None else list(loop.owners.values())
        return {
            (self.settings.name, str(owner.scope)): Live(owner.lane.events, owner.guard.taken)
            for owner in owners
            if hasattr(owner, "lane")  # not before it has restored or begun
        }

    def __enter__(self) -> Self:
        if self.port is not None:
            collector = PictureCollector(lambda: self.listener.picture, lock=self.listener.lock, live=self.live)
            host = self.settings.metrics.host
            self._listens_on = self._open.enter_context(exported(collector, host=host, port=self.port))
            print(f"metrics on http://{host}:{self._listens_on}/metrics", file=sys.stderr, flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
