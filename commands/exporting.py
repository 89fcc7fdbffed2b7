"""A learner's metrics over HTTP: `[metrics]`, beside the learning loop."""

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from anabranch.errors import ConfigError
from config.settings import Settings
from consumers.loop import LearningLoop
from operations.metrics import Key, Listener, Live, PictureCollector, exported
from operations.picture import Picture


class Exporter:
    """Hears what the loops of this process tell and answers Prometheus, if a port is set; a context manager.

    Args:
        several: a configuration for each model; the first that sets `metrics.port` says on which host.
        loops: those that run now.
        port: instead of `metrics.port`.

    Raises:
        ConfigError: they are to answer on several ports.
    """

    def __init__(
        self, several: Sequence[Settings], loops: Callable[[], Iterable[LearningLoop]], *, port: int | None = None
    ) -> None:
        self.loops = loops
        self.host = next((each for each in several if each.metrics.port is not None), several[0]).metrics.host
        self.port = _port(several) if port is None else port
        self.listener = Listener(Picture.of(several), topic=several[0].topics.name)
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
        return {
            (loop.settings.name, str(owner.scope)): Live(owner.lane.events, owner.guard.taken)
            for loop in self.loops()
            for owner in list(loop.owners.values())
            if hasattr(owner, "lane")  # not before it has restored or begun
        }

    def __enter__(self) -> Self:
        if self.port is not None:
            collector = PictureCollector(lambda: self.listener.picture, lock=self.listener.lock, live=self.live)
            self._listens_on = self._open.enter_context(exported(collector, host=self.host, port=self.port))
            print(f"metrics on http://{self.host}:{self._listens_on}/metrics", file=sys.stderr, flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()


def _port(several: Sequence[Settings]) -> int | None:
    ports = {each.metrics.port: each.name for each in several if each.metrics.port is not None}
    if len(ports) > 1:
        told = ", ".join(f"{port} ({name})" for port, name in sorted(ports.items()))
        raise ConfigError(
            f"metrics.port: the models of one process answer on one port, and these are several: {told}; write the "
            "same in all files, or give --metrics-port"
        )
    return next(iter(ports), None)
