"""What changes, to all pages that show it: made once for all of them, and none is waited for."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from operations import snapshot
from operations.columns import columns
from operations.feed import Change, Feed, Key
from operations.picture import ModelPicture

TICK_S = 0.25
"""So often what is new is told."""
BEAT_S = 5.0
"""And so often that all is well, if nothing is new."""

OVERVIEW = ("", "")
"""The channel of all rows; a model's channel is its key."""


class Page:
    """An open page: the channel that it shows, and what waits to be sent to it.

    Args:
        queue_max: once so much waits, it is too slow.
    """

    def __init__(self, *, queue_max: int) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(queue_max)
        self.channel: Key | None = None
        self.is_slow = False
        self.ended = asyncio.Event()

    def put(self, data: bytes) -> None:
        """Let it be sent, unless too much waits: then the page has to begin anew."""
        try:
            self.queue.put_nowait(data)
        except asyncio.QueueFull:
            self.is_slow = True
            self.ended.set()


class Hub:
    """All open pages.

    Attributes:
        seq: of the last message; a snapshot bears it too, so that a page knows what it has already.
        encoded: messages that were made; sent: those times the pages that got them; dropped: pages that were too slow.
    """

    def __init__(self, feed: Feed, *, queue_max: int, clock: Callable[[], float] = time.time) -> None:
        self.feed, self.queue_max, self.clock = feed, queue_max, clock
        self.pages: set[Page] = set()
        self.seq = self.encoded = self.sent = self.dropped = 0
        self._beat_s = 0.0
        self._state: Any = None

    def enter(self) -> Page:
        """A page opens."""
        page = Page(queue_max=self.queue_max)
        self.pages.add(page)
        return page

    def leave(self, page: Page) -> None:
        """It closes."""
        self.pages.discard(page)
        self.dropped += page.is_slow

    async def run(self) -> None:
        """Tell what is new, until it is cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tell(self.feed.changes())

    def tell(self, changes: Mapping[Key, Change]) -> None:
        """Tell each page what has changed of what it shows."""
        watched = {page.channel for page in self.pages} - {None}
        state, now_s = self.feed.state, time.monotonic()
        is_due = state != self._state or now_s - self._beat_s > BEAT_S
        self._state = state
        self._beat_s = now_s if is_due else self._beat_s
        if changes:
            self.seq += 1
        for channel in watched:
            assert channel is not None
            told = self._told(channel, changes)
            if told or is_due:
                self._send(channel, {"seq": self.seq, "now_s": self.clock(), "feed": described(self.feed), **told})

    def _told(self, channel: Key, changes: Mapping[Key, Change]) -> dict[str, Any]:
        with self.feed.lock:
            models = self.feed.picture.models
            if channel == OVERVIEW:
                rows = [snapshot.row(models[key], self.clock()) for key in changes if key in models]
                return {"rows": rows} if rows else {}
            if channel not in changes or channel not in models:
                return {}
            return delta(models[channel], changes[channel], self.clock())

    def _send(self, channel: Key, message: dict[str, Any]) -> None:
        data = orjson.dumps(message)
        self.encoded += 1
        for page in self.pages:
            if page.channel == channel:
                page.put(data)
                self.sent += 1


def delta(model: ModelPicture, change: Change, now_s: float) -> dict[str, Any]:
    """What has changed of a model: new points, and the parts that messages have changed."""
    names = snapshot.changed(model, change.kinds)
    return {"columns": columns(change.points), "parts": snapshot.parts(model, now_s, names)}


def described(feed: Feed) -> dict[str, Any]:
    """How the feed is, for the page."""
    state = feed.state
    return {
        "is_live": state.is_live,
        "reason": state.reason,
        "share": round(state.share, 4),
        "knows_now": state.knows_now,
        "missing": list(state.missing),
        "heard": feed.heard,
        "unreadable": dict(feed.picture.unreadable),
    }
