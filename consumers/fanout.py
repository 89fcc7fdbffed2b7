"""Fan-out: several models of one process read one topic together, each at its own place and under its own group.

Each record is fetched once and decoded once. What a model owns, commits and announces is its own as before: its member
of its own consumer group stays, and rests while the model is handed what is read for all. A model that is behind, has
to go back, or cannot keep pace reads by itself, until it has caught up.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import structlog

from anabranch.errors import AnabranchError
from anabranch.events import Partition, Record
from consumers.guard.reading import shared
from consumers.ports import Origin, Owners, Positions, RestingSource

log = structlog.get_logger()

RECORDS_MAX = 20_000
BYTES_MAX = 64 * 1024 * 1024
KEPT = 1000
"""So many records stay when all have taken them: whoever is a little behind finds them."""
AGAIN_S = 30.0
"""After what reads for all has failed, everybody reads alone for so long."""
TOGETHER_S = 10.0
"""How long the first wait for the others when a process begins: joining a group takes seconds."""


class Fetch(Protocol):
    """What reads for all, outside any group. One thread at a time calls it."""

    @property
    def read(self) -> Positions:
        """What comes next after what was handed on, in each partition."""

    @property
    def told(self) -> Positions:
        """Where the broker last said that a partition ends."""

    def start(self, positions: Positions) -> None:
        """Read from there on."""

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records, in order within a partition."""

    def ends(self) -> Positions | None:
        """Where partitions end, as far as is known without asking; None: nobody waits for it."""

    def close(self) -> None:
        """Leave."""


@dataclass(eq=False)
class Seat:
    """A reader's place in what is read for all.

    Args:
        place: what came next for it in each partition when it took the seat.
        at: how many records it has been handed or passed over; None before the reading has begun.
    """

    place: Positions
    at: int | None = None


class Taken(NamedTuple):
    """The next records for a seat."""

    records: Sequence[Record]
    read: Positions | None = None
    """Where the reading stands, if the seat has come to it: behind the last record there may be control records."""
    told: Positions | None = None


class Fanout:
    """The last records that were read for all, and who has been handed how many of them.

    Args:
        make: makes what reads.
        members: how many may come; the first wait for them a while.
        records_max: how far the first may be ahead of the last, who then has to read by itself.
        bytes_max: how many bytes the values have at most.
        together_s: how long the first wait for the others.
    """

    def __init__(
        self,
        make: Callable[[], Fetch],
        *,
        members: int,
        records_max: int = RECORDS_MAX,
        bytes_max: int = BYTES_MAX,
        together_s: float = TOGETHER_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.make = make
        self.awaited = members
        self.records_max, self.bytes_max, self.together_s = records_max, bytes_max, together_s
        self.monotonic_s = monotonic_s
        self.fetch: Fetch | None = None
        self.seats: dict[Seat, None] = {}
        self.records: list[Record] = []
        self.base = 0
        """How many records came before the first of these."""
        self.size = 0
        self.start: Positions = {}
        """What comes next in each partition, before the first of these."""
        self.read: Positions = {}
        self.told: Positions = {}
        self.waits_since_s = 0.0
        self.again_s = float("-inf")
        """Not before then."""
        self._fetching = threading.Lock()
        self._changed = threading.Condition()
        """Held for all but fetching."""

    @property
    def end(self) -> int:
        """How many records were read."""
        return self.base + len(self.records)

    # ── coming and going ────────────────────────────────────────────────────────────────────────────────────────

    def join(self, place: Positions) -> Seat | None:
        """A seat, if what comes next at this place is there, or if nobody reads yet; else None."""
        with self._changed:
            if self.fetch is None:
                now_s = self.monotonic_s()
                if now_s < self.again_s:
                    return None
                if not self.seats:
                    self.waits_since_s = now_s
                seat = Seat(dict(place))
            elif place.keys() == self.start.keys() and all(place[each] >= here for each, here in self.start.items()):
                seat = Seat(dict(place), at=self.base)
            else:
                return None
            self.seats[seat] = None
            return seat

    def leave(self, seat: Seat) -> None:
        """Give the seat back; the last one closes."""
        with self._changed:
            self.seats.pop(seat, None)
            closing, self.fetch = (None, self.fetch) if self.seats else (self.fetch, None)
        if closing is not None:
            with self._fetching:
                closing.close()

    def _break_up(self, reason: Exception) -> None:
        """Everybody reads alone: whatever is wrong shows itself there, to whom it concerns.

        Raises:
            Exception: the reason, if nobody has foreseen it.
        """
        log.warning("models read by themselves", reason=str(reason))
        with self._changed:
            closing, self.fetch, self.seats = self.fetch, None, {}
            self.again_s = self.monotonic_s() + AGAIN_S
        if closing is not None:
            with suppress(AnabranchError, RuntimeError):
                closing.close()
        if not isinstance(reason, AnabranchError):
            raise reason

    # ── records ─────────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, seat: Seat, max_records: int, *, timeout_s: float) -> Taken | None:
        """The next records, empty when none came in time; None: the seat is lost, and its reader has to go alone."""
        if seat.at is None and not self._begun(timeout_s):
            return Taken(())
        if seat in self.seats and seat.at == self.end:
            self._await_others(timeout_s)
            self._fetch(seat, max_records, timeout_s)
        with self._changed:
            if seat not in self.seats or seat.at is None or seat.at < self.base:
                return None
            records = self.records[seat.at - self.base :][:max_records]
            seat.at += len(records)
            self._changed.notify_all()
            return Taken(records, self.read, self.told) if seat.at == self.end else Taken(records)

    def _fetch(self, seat: Seat, max_records: int, timeout_s: float) -> None:
        """Read on, unless another one does: then what it brings is there when it is done."""
        if not self._fetching.acquire(timeout=timeout_s):
            return
        try:
            if self.fetch is None or seat.at != self.end:
                return
            records = [shared(each) for each in self.fetch.poll(max_records, timeout_s=timeout_s)]
            self._keep(records, self.fetch)
        except Exception as error:  # whatever it is: what was fetched and not kept is behind this fetch
            self._break_up(error)
        finally:
            self._fetching.release()

    def _keep(self, records: Sequence[Record], fetch: Fetch) -> None:
        with self._changed:
            self.records.extend(records)
            self.size += sum(len(each.value or b"") for each in records)
            # Others', so that nobody sees them half changed.
            self.read, self.told = dict(fetch.read), dict(fetch.told)
            self._drop(fresh=len(records))

    def _drop(self, *, fresh: int) -> None:
        """Forget what all have been handed, but for the last; and the oldest, where there are too many or too large.

        Args:
            fresh: how many have just come: those are handed on, however large they are.
        """
        last = min((seat.at for seat in self.seats if seat.at is not None), default=self.end)
        count = max(last - KEPT - self.base, len(self.records) - self.records_max)
        portion = min(KEPT, self.records_max // 4)  # not a few at a time: a list is moved as a whole
        if count >= portion:
            self._forget(count)
        excess, count = self.size - self.bytes_max, 0
        while excess > 0 and count < len(self.records) - fresh:
            excess -= len(self.records[count].value or b"")
            count += 1
        self._forget(count)

    def _forget(self, count: int) -> None:
        for record in self.records[:count]:
            self.start[Partition(record.topic, record.partition)] = record.offset + 1
            self.size -= len(record.value or b"")
        self.base += len(self.records[:count])
        del self.records[:count]

    def _await_others(self, timeout_s: float) -> None:
        """Whoever is far ahead lets the others come after: not for long, since one of them may be stuck."""
        with self._changed:
            self._changed.wait_for(self._are_near, timeout=timeout_s)

    def _are_near(self) -> bool:
        # Who has lost its seat and does not know it yet is waited for no longer.
        seated = (seat.at for seat in self.seats if seat.at is not None and seat.at >= self.base)
        return self.end - min(seated, default=self.end) <= self.records_max // 2

    # ── the beginning ───────────────────────────────────────────────────────────────────────────────────────────

    def _begun(self, timeout_s: float) -> bool:
        """Whether it has begun: when all are there, or have been waited for long enough."""
        with self._changed:
            waits_s = self.monotonic_s() - self.waits_since_s
            if self.fetch is not None or not self.seats:
                return True
            if len(self.seats) < self.awaited and waits_s < self.together_s:
                self._changed.wait(timeout_s)
                return self.fetch is not None
            self.awaited = 1  # whoever comes back later joins those who read
            try:
                self._begin()
            except Exception as error:
                self._break_up(error)
            self._changed.notify_all()
        return True

    def _begin(self) -> None:
        """From the place of the last; but not of one who is so far behind that the others would lose it anyway."""
        first = max(self.seats, key=lambda seat: sum(seat.place.values()))
        reach = sum(first.place.values()) - self.records_max
        self.seats = {
            seat: None
            for seat in self.seats
            if seat.place.keys() == first.place.keys() and sum(seat.place.values()) >= reach
        }
        self.start = {each: min(seat.place[each] for seat in self.seats) for each in first.place}
        self.records, self.base, self.size = [], 0, 0
        self.read, self.told = dict(self.start), {}
        self.fetch = self.make()
        self.fetch.start(dict(self.start))
        for seat in self.seats:
            seat.at = 0
        log.info("models read together", models=len(self.seats), topics=sorted({each.topic for each in self.start}))

    def unread(self, place: Positions) -> int | None:
        """Records that are still to be read from this place on."""
        with self._changed:
            ends = None if self.fetch is None else self.fetch.ends()
        return None if ends is None else sum(max(0, ends.get(each, here) - here) for each, here in place.items())


class FanoutSource:
    """The source of one model: a member of its group, which reads with others where it can. (`Source` of ports.py.)

    Args:
        own: the member, which reads by itself as long as nobody reads for it.
        fanout: shared by all models that read the same topics of the same brokers.
    """

    def __init__(self, own: RestingSource, fanout: Fanout) -> None:
        self.own = own
        self.fanout = fanout
        self.seat: Seat | None = None
        own.begins_resting = True

    def start(self, owners: Owners) -> None:
        """Ask for ownership of partitions."""
        self.own.start(owners)

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records, read for all or by itself."""
        if self.seat is None:
            self._join()
        if self.seat is None:
            return self.own.poll(max_records, timeout_s=timeout_s)
        # The group wants to be heard all the same: within poll() the client learns who owns what.
        before = self.own.place()
        self.own.poll(1, timeout_s=0)
        if not self.own.is_resting or self.own.place() != before:
            self._leave()
            return ()
        taken = self.fanout.take(self.seat, max_records, timeout_s=timeout_s)
        if taken is None:
            self.rewind(self.own.place())
            return ()
        return self._pass_on(taken)

    def _pass_on(self, taken: Taken) -> Sequence[Record]:
        """Without what was learned before; `own` goes along."""
        place, fresh = self.own.place(), []
        for record in taken.records:
            partition = Partition(record.topic, record.partition)
            if record.offset >= place[partition]:
                place[partition] = record.offset + 1
                fresh.append(record)
        for partition, here in (taken.read or {}).items():
            place[partition] = max(here, place[partition])
        self.own.passed(place, taken.told or {})
        return fresh

    def _join(self) -> None:
        place = self.own.place()
        self.seat = self.fanout.join(place) if place else None
        if self.seat is not None:
            self.own.rest()
        elif self.own.is_resting:
            self.own.rewind(place)

    def _leave(self) -> None:
        if self.seat is not None:
            self.fanout.leave(self.seat)
            self.seat = None

    def rewind(self, positions: Positions) -> None:
        """Read on from `positions`, alone until the others' reading has them."""
        self._leave()
        self.own.rewind(positions)

    def unread(self, partitions: Iterable[Partition]) -> int | None:
        """Records of these that are still to be read."""
        wanted = set(partitions)
        alone = self.own.unread(wanted)
        place = {each: here for each, here in self.own.place().items() if each in wanted}
        together = None if alone is None or self.seat is None else self.fanout.unread(place)
        return alone if together is None else together

    def at_end(self) -> bool:
        """Whether everything that was there at the start has been read."""
        return self.own.at_end()

    def commit(self, positions: Positions, metadata: str) -> None:
        """Durably commit, as this model's own member."""
        self.own.commit(positions, metadata)

    def first_positions(self, start: str, partitions: Sequence[Partition]) -> Positions:
        """The positions of a start from nothing."""
        return self.own.first_positions(start, partitions)

    def labels_of(self, partitions: Sequence[Partition]) -> list[Partition]:
        """The partitions of the labels that are read with these of the events."""
        return self.own.labels_of(partitions)

    def origin(self, topic: str) -> Origin:
        """Which log the topic is now."""
        return self.own.origin(topic)

    def close(self) -> None:
        """Leave."""
        self._leave()
        self.own.close()
