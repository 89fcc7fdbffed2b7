"""One run of the demo: broker, learner and follower, the stream, and what is seen of them."""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from anabranch.messages import Message, TrainedOn
from commands.brokers import EmbeddedKafka
from commands.demo import processes as setup
from commands.demo.follower import PacedEvents, TopicsListener
from commands.demo.processes import Child, ProcessEnded
from commands.demo.story import Story
from commands.demo.stream import Stream
from commands.demo.summary import summary
from config.settings import Settings
from consumers.timing import SystemClock
from evaluation.backtest import Backtest, LabelValue
from learners.models import catalogue

TICK_S = 0.04
STALL_S = 45.0
"""Without a word from the learner for so long, something is wrong."""

LAST_WORDS_S = 3.0
"""How long the follower may take to use the last version."""


class Demo:
    """Everything that one run consists of.

    Args:
        show: called some 25 times a second with the story so far.
        dashboard: whether there is a page of it, too.
    """

    def __init__(
        self, *, seed: int, events: int, rate: float, show: Callable[[Story], None], dashboard: bool = False
    ) -> None:
        self.stream = Stream(seed=seed, events=events)
        self.story = Story(self.stream)
        self.seed = seed
        self.rate = rate
        self.show = show
        self.dashboard = dashboard
        self.heard_s = 0.0

    def run(self) -> dict[str, Any]:
        """Run it to the end; the summary.

        Raises:
            ProcessEnded: the learner or the follower ended by itself, or the learner fell silent.
        """
        began_s = time.monotonic()
        with ExitStack() as stack:
            config, settings = self._set_up(stack)
            hearing = stack.enter_context(TopicsListener(settings))
            self.learner = stack.enter_context(_learner(config))
            self.follower = stack.enter_context(_follower(config))
            if self.dashboard:
                port = setup.free_port()
                stack.enter_context(_dashboard(config, port))
                self.story.dashboard = f"http://127.0.0.1:{port}/"
            # Drawn once, since the same records are also learned without adaptation.
            values = list(self.stream.with_late_labels())
            without = self._unadapted(settings, values)
            self._stream(hearing, PacedEvents(settings, values, rate=self.rate))
        return summary(self.story, without_adaptation=without, seconds=time.monotonic() - began_s)

    def _set_up(self, stack: ExitStack) -> tuple[Path, Settings]:
        """The broker with its topics, and the configuration, in a folder that goes with the run."""
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="anabranch-demo-")))
        broker = stack.enter_context(EmbeddedKafka())
        config = folder / "fraud.toml"
        settings = setup.write_config(config, bootstrap=broker.bootstrap, seed=self.seed, events=self.stream.events)
        setup.make_topics(broker, settings)
        return config, settings

    def _unadapted(self, settings: Settings, values: list[bytes | LabelValue]) -> dict[str, float]:
        """The scores of the same model on the same events without detectors, while the others start up."""
        plain = settings.model_copy(update={"detectors": {}})
        test = Backtest(
            plain,
            first=lambda: (catalogue.build(plain.model, seed=plain.seed), TrainedOn()),
            values=lambda: iter(values),
            timestamp_of=lambda number: time.time(),
            clock=SystemClock(),
            listener=self._hear_unadapted,
        )
        scores: dict[str, float] = test.run()["scores"]
        return scores

    def _hear_unadapted(self, message: Message) -> None:
        self.story.hear_unadapted(message)
        self.show(self.story)
        # This runs while the others start: one that has ended must not be waited for.
        self.learner.check()

    def _stream(self, hearing: TopicsListener, events: PacedEvents) -> None:
        # Silence counts from here: before, there was nothing to learn.
        self.heard_s = time.monotonic()
        while not self._done():
            events.send_due(time.monotonic(), learned=self.story.learned)
            self.story.sent_to(events.sent)
            self._hear(hearing)
            self.show(self.story)

    def _hear(self, hearing: TopicsListener) -> None:
        """Take in what was said; notice who says nothing any more."""
        for message in hearing.messages(timeout_s=TICK_S):
            self.story.hear(message)
            self.heard_s = time.monotonic()
        for line in self.follower.lines():
            self.story.hear_follower(line)
        self.learner.check()
        self.follower.check()

    def _done(self) -> bool:
        """Whether everything is learned and the follower has had its time to use the last version."""
        quiet_s = time.monotonic() - self.heard_s
        if self.story.learned >= self.stream.events:
            return self.story.followed >= self.story.version or quiet_s > LAST_WORDS_S
        if quiet_s > STALL_S:
            raise ProcessEnded(
                f"the learner has said nothing for {STALL_S:.0f} s, after {self.story.learned} of"
                f" {self.stream.events} events; {self.learner.tail()}"
            )
        return False


def _learner(config: Path) -> Child:
    return Child("learner", "commands.main", "learn", str(config), log=config.with_name("learner.log"))


def _dashboard(config: Path, port: int) -> Child:
    log = config.with_name("dashboard.log")
    return Child("dashboard", "commands.main", "dashboard", str(config), "--port", str(port), log=log)


def _follower(config: Path) -> Child:
    log = config.with_name("follower.log")
    return Child("follower", "commands.demo.follower", str(config), log=log, listen=True)
