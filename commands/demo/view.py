"""What is seen of the demo while it runs: a live view in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from commands.demo.screen import Screen
from commands.demo.story import Story

REFRESH_S = 0.25
PROGRESS_S = 5.0

Show = Callable[[Story], None]


@contextmanager
def view(console: Console, *, rate: float, live: bool) -> Iterator[Show]:
    """What to call with the story, as often as one likes."""
    if not live:
        yield Lines(rate=rate).show
        return
    console.print("starting the broker, the learner and the follower …")
    screen = Screen(rate=rate)
    shown_s = 0.0
    with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as display:

        def show(story: Story) -> None:
            nonlocal shown_s
            now_s = time.monotonic()
            if now_s - shown_s >= REFRESH_S:
                shown_s = now_s
                display.update(screen.render(story, console.size, now_s=now_s), refresh=True)

        yield show


class Lines:
    """Plain lines on standard error: what happens, and now and then how far it is."""

    def __init__(self, *, rate: float) -> None:
        self.rate = rate
        self.told = 0
        self.progress_s = 0.0

    def show(self, story: Story) -> None:
        """Print what is new."""
        for happening in story.happenings[self.told :]:
            print(f"{happening.offset:>7,}  {happening.kind}: {happening.words}", file=sys.stderr, flush=True)
        self.told = len(story.happenings)
        now_s = time.monotonic()
        if now_s - self.progress_s >= PROGRESS_S:
            self.progress_s = now_s
            print(f"{story.at:>7,}  {progress(story)}", file=sys.stderr, flush=True)


def progress(story: Story) -> str:
    """How far it is, in a few words."""
    loss = f", error {story.champion[-1].loss:.3f}" if story.champion else ""
    return f"{story.learned:,} of {story.stream.events:,} events learned, version {story.version}{loss}"
