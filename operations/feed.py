"""The picture, kept as new as the topics are: one thread reads those of all configurations, whoever looks on."""

import ctypes
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from confluent_kafka import Message as KafkaMessage

from anabranch.errors import AnabranchError, KafkaUnavailable
from operations.picture import FINE_S, Picture, Point, Record, point_of
from operations.reading import Reading, share_of, topics_of
from operations.source import Source, Thinning, readable

log = logging.getLogger("anabranch.operations")

POLL_S = 0.2
PROBE_S = 3.0
"""How often brokers are asked whether they are there, and for topics that were not."""
AGAIN_S = 2.0
"""How soon it is tried again where something is wrong that does not mend by itself."""
AGAIN_FROM_S = 60.0
"""Then it is read from so long before the newest record on, since across topics they come in no order."""
CHANGES_MAX = 2_000
PAST_S = 60.0
"""So long reading the past may take."""

Key = tuple[str, str]
"""A model's name and its scope."""


class State(NamedTuple):
    """How the feed is."""

    is_live: bool
    """Brokers answer."""
    reason: str
    """Why they do not; or what is missing."""
    share: float
    """Of what was on the topics at the start, what has been read."""
    missing: tuple[str, ...] = ()
    """Topics that are not there."""
    knows_now: bool = False
    """What is newest has been read; the past may be still to come."""


class Change:
    """What was heard of a model since somebody asked last."""

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.points: list[Point] = []


class Feed:
    """Keeps a picture up to date in a thread of its own; a context manager.

    Whoever reads `picture` holds `lock`.

    Args:
        history_s: how far back it begins.
        records_max: that are read of a partition's backlog, at most.
        clock: epoch seconds.
    """

    def __init__(
        self, source: Source, *, history_s: float, records_max: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.source, self.history_s, self.records_max, self.clock = source, history_s, records_max, clock
        self.picture = source.picture()
        self.lock = threading.Lock()
        self.state = State(is_live=False, reason="connecting", share=0.0)
        self.heard = 0
        """Records that were read since it began."""
        self.knows_the_past = False
        """Whether what was on the topics at the start has been read once: what comes from then on is news."""
        self._heard_s = 0.0
        self._changes: dict[Key, Change] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def changes(self) -> dict[Key, Change]:
        """What was heard since this was called last."""
        with self.lock:
            found, self._changes = self._changes, {}
        return found

    def hear(self, record: Record) -> None:
        """Take in a record; whoever calls it holds the lock."""
        self.heard += 1
        self._heard_s = max(self._heard_s, record.at_s)
        model = self.picture.hear(record)
        if model is None:
            return
        change = self._changes.setdefault((model.model, model.scope), Change())
        change.kinds.add(self.source.keys.get(record.topic, ""))
        if model.report is record.message and len(change.points) < CHANGES_MAX:
            change.points.append(point_of(model.report, record.at_s))

    # ── the thread ──────────────────────────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except AnabranchError as error:
                self._say(is_live=False, reason=str(error))
                self._stopping.wait(AGAIN_S)
            except Exception:
                # A page that silently shows yesterday is worse than one that says that it does.
                log.exception("the feed has failed and begins again")
                self._say(is_live=False, reason="the feed has failed: see the log")
                self._stopping.wait(AGAIN_S)

    def _follow(self) -> None:
        now_s, probed_s = self.clock(), 0.0
        thinning = Thinning(now_s)
        with self._reading(now_s, until_s=None) as reading, self._reading(now_s, until_s=now_s) as past:
            while not self._stopping.is_set():
                if time.monotonic() - probed_s > PROBE_S:
                    self._probe(reading)
                    probed_s = time.monotonic()
                self._take(reading.poll(0.0 if past.unread else POLL_S), thinning)
                if self.state.is_live:
                    if not reading.unread:
                        self._fill_in(past, reading, thinning)
                    knows_now = self.state.knows_now or not reading.unread
                    self.state = self.state._replace(share=self._share(reading, past), knows_now=knows_now)
                    self._begin_counting()

    def _reading(self, now_s: float, *, until_s: float | None) -> Reading:
        since_s, is_past = now_s - self.history_s, until_s is not None
        if self.knows_the_past:
            since_s = max(since_s, self._heard_s - AGAIN_FROM_S)
        is_again = is_past or self.knows_the_past
        most = self.records_max
        return Reading(self.source.kafka, since_s=since_s, until_s=until_s, records_max=most, is_again=is_again)

    def _fill_in(self, past: Reading, reading: Reading, thinning: Thinning) -> None:
        """Read of the past's reports, which are nearly all that there is: who looks sees the present first."""
        if past.is_closed:
            return
        starts = {place: start for place, (start, _) in reading.spans.items() if place[0] in self.source.reports}
        if new := starts.keys() - past.spans.keys():
            past.add(sorted(new), ends=starts)
        if past.unread:
            self._take(past.poll(POLL_S), thinning)
        else:
            past.close()
            _give_back()

    def _share(self, reading: Reading, past: Reading) -> float:
        """Not all, as long as nobody knows how much there is."""
        is_begun = past.is_closed or bool(past.unread)
        return share_of(reading, past) if is_begun or not reading.whole else min(0.99, share_of(reading))

    def _begin_counting(self) -> None:
        """Prometheus would take all that happened before for what happens now."""
        if not self.knows_the_past and self.state.share == 1:
            with self.lock:
                self.picture.count_from_now()
            self.knows_the_past = True

    def _probe(self, reading: Reading) -> None:
        """See that brokers answer, and read topics that were not there before."""
        try:
            present = reading.present(timeout_s=1.0 if reading.spans else 5.0)
            recent_s = dict.fromkeys(self.source.reports, max(reading.since_s, self.clock() - FINE_S))
            reading.add(topics_of(present, self.source.keys), whole=self.source.whole, since_s=recent_s)
        except KafkaUnavailable as error:
            self._say(is_live=False, reason=str(error))
            return
        missing = tuple(topic for topic in self.source.keys if topic not in present)
        self.state = self.state._replace(is_live=True, reason="", missing=missing)

    def _say(self, *, is_live: bool, reason: str) -> None:
        if self.state.is_live != is_live:
            log.warning("the topics cannot be read: %s", reason)
        self.state = self.state._replace(is_live=is_live, reason=reason)

    def _take(self, several: Iterable[KafkaMessage], thinning: Thinning) -> None:
        with self.lock:
            for message in several:
                if (record := readable(self.source, self.picture, message, thinning)) is not None:
                    self.hear(record)

    # ── the past ────────────────────────────────────────────────────────────────────────────────────────────────

    def past(self, at_s: float) -> Picture:
        """What the topics said until a moment, read anew.

        Raises:
            KafkaUnavailable: no broker answers.
        """
        picture, thinning = self.source.picture(), Thinning(at_s)
        began_s = time.monotonic()
        since_s, most = at_s - self.history_s, self.records_max
        with Reading(self.source.kafka, since_s=since_s, until_s=at_s, records_max=most) as reading:
            reading.add(topics_of(reading.present(), self.source.keys), whole=self.source.whole)
            while reading.unread and not self._stopping.is_set():
                if time.monotonic() - began_s > PAST_S:
                    raise KafkaUnavailable(f"the topics until then could not be read within {PAST_S:.0f} s")
                for message in reading.poll(POLL_S):
                    if (record := readable(self.source, picture, message, thinning)) is not None:
                        picture.hear(record)
        return picture


def _give_back() -> None:
    """What reading the past took is free again: glibc keeps it for the process otherwise, a fifth of the whole."""
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
