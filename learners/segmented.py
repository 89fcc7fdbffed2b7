"""Per-segment models: small champions beside the global one, each for the events with one value of a feature.

A segment's model learns each labelled event of its segment, and is compared there with the global champion, both as
they were asked: by the arena's own e-detector, and with its threshold. On evidence it answers for its segment; when
there is evidence that the global champion is better again, that one does. Each swap begins a new contest, and so does
another global champion. All contests together move by one step a labelled event, so the bound of the arena holds for
all segments together: of models that are no better, one in `arena.false_swap_every` events is swapped in, on average.

Models that were used lately are ready in memory. All others are packed, and what is packed lies on a shelf: in memory,
or on disk in the store of the checkpoints. Which ones are where changes nothing that is learned or answered, and is no
part of the learning state.
"""

from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import msgpack

from anabranch import statetree
from anabranch.errors import LearningFrozen, ModelSpecError
from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import SegmentsReport, SegmentSwap, SwapReason
from anabranch.rolling import KEY
from anabranch.segments import segment_of
from config.settings import Settings
from learners.arena.evidence import INTERVAL_STATE, Contest
from learners.labels.segments import Blob
from learners.labels.shelf import Shelf
from learners.labels.shelf import refers_to as blobs_of
from learners.models import catalogue
from learners.models.fence import answered, is_fault
from learners.models.tasks import Task

OWN = "#"
"""Under this the answer of the segment's own model lies among the members': no member's name begins so."""

COPY = "#~"
"""Under this the answer of the copy that followers have of it, where somebody is to hear of that."""

SWAPS_MAX = 100
"""So many swaps are told in one report; those beyond are counted."""

CHANGED_MAX = 1000
"""So many models that have changed are packed in the pause of a checkpoint, at most; the others before, one by one."""

BYTES_MAX = 500_000
"""A larger model is not let in: it goes out within one message, which brokers take up to 1 MB of."""

_MODULUS = 1 << 128


class Ready:
    """A segment's model in memory, and how it stands.

    Attributes:
        learned: the labelled events of the segment that it has learned.
        serves: whether it answers for its segment, and not the global champion.
        against: the global champion that the contest is against.
        announced: `learned`, when it was announced last.
        digest: of what lies on the shelf of it; 0: nothing.
    """

    __slots__ = (
        "against",
        "announced",
        "contest",
        "digest",
        "learn",
        "learned",
        "model",
        "predict",
        "serves",
    )

    def __init__(self, model: Any, *, task: Task, contest: Contest) -> None:
        self.contest = contest
        self.learned, self.serves, self.against, self.announced = 0, False, "", 0
        self.digest = 0
        self.exchange(model, task)

    def exchange(self, model: Any, task: Task) -> None:
        """Another model takes its place."""
        self.model = model
        self.predict: Callable[[Any], Prediction] = task.predictor(model)
        self.learn: Callable[[Any, Any], None] = task.learner(model)


class ToAnnounce(NamedTuple):
    """What followers are to have of a segment: its model's bytes; None: the global champion answers."""

    segment: str
    data: bytes | None
    learned: int


class Totals:
    """What is counted of all segments.

    Attributes:
        models: segments that have a model.
        serving: those whose own model answers.
        swapped_in, swapped_out, faults: how often a model was let in, displaced by the champion, or raised.
        too_large: how often one was not let in, since no announcement would take it.
        answered: labelled events that an own model answered, since the beginning.
        won: what they have cost less than the champion's answers, added up, in loss.
    """

    __slots__ = ("answered", "faults", "models", "serving", "swapped_in", "swapped_out", "too_large", "won")

    def __init__(self) -> None:
        self.models = self.serving = self.swapped_in = self.swapped_out = 0
        self.faults = self.too_large = self.answered = 0
        self.won = 0.0

    def state(self) -> list[Any]:
        """What a checkpoint keeps."""
        return [getattr(self, name) for name in self.__slots__]

    def restore(self, state: list[Any]) -> None:
        """Go on from a checkpoint."""
        for name, value in zip(self.__slots__, state, strict=True):
            setattr(self, name, value)


class Segmented:
    """The models of all segments of a lane.

    Args:
        task: of the lane: its loss and its fence.
        asks_copies: whether somebody looks on who is to hear what followers would have answered.
    """

    def __init__(self, settings: Settings, *, task: Task, asks_copies: bool = False) -> None:
        of = settings.segments
        assert of.by is not None  # who makes it has looked
        self.by = of.by
        self.task = task
        self.memory_max, self.min_events, self.refresh_events = of.memory_max, of.min_events, of.refresh_events
        self.wins_at, self._min_gain = settings.arena.false_swap_every, settings.arena.min_gain
        self._trusted = settings.model.trusted
        self._fresh = _fresh(settings, task)
        self.ready: dict[str, Ready] = {}
        """Least recently used first."""
        self.changed: dict[str, None] = {}
        """Those in memory that are others than on the shelf; changed longest ago first."""
        self.shelf = Shelf(memory_max=of.packed_max)
        self.totals = Totals()
        self.swaps: list[SegmentSwap] = []
        """Since the last report."""
        self.due: dict[str, None] = {}
        """Segments of which followers are to be told, when what was decided is committed."""
        self._sum = 0
        """Of the digests of all that lies on the shelf."""
        self.copies: dict[str, Callable[[Any], Prediction]] | None = {} if asks_copies else None

    # ── an event that is asked ──────────────────────────────────────────────────────────────────────────────────

    def segment(self, event: AcceptedEvent) -> str | None:
        """The segment that an event is in; None: in none."""
        value = event.x.get(self.by)
        if value is None and self.by == KEY:
            value = event.apart.get(KEY)
        return segment_of(value)

    def ask(self, event: AcceptedEvent, served: Prediction, answers: dict[str, Prediction]) -> Prediction:
        """What is served: the answer of the segment's own model if that was let in, else what it would be without.

        The own answer goes among the members', where its label finds it.
        """
        name = self.segment(event)
        mine = None if name is None else self._look(name)
        if name is None or mine is None:
            return served
        if self.copies is not None and name in self.copies:
            answers[COPY] = self.copies[name](event.x)
        if mine.learned < self.min_events:
            return served
        own = answers[OWN] = answered(mine.predict, event.x)
        # Being asked may change a model: River's tables take up features that they see for the first time.
        self._note_change(name)
        return own if mine.serves and not own.unusable else served

    def _look(self, name: str) -> Ready | None:
        """The segment's model, ready in memory; None if it has none yet."""
        ready = self.ready.pop(name, None)
        if ready is None:
            entry = self.shelf.find(name)
            if entry is None:
                return None
            ready = self._unpacked(name, entry.packed)
        self.ready[name] = ready
        if len(self.ready) > self.memory_max:
            self._make_room()
        return ready

    def _make_room(self) -> None:
        name = next(iter(self.ready))
        self._pack(name, self.ready.pop(name))

    # ── its label ───────────────────────────────────────────────────────────────────────────────────────────────

    def on_label(
        self,
        event: AcceptedEvent,
        answers: Mapping[str, Prediction],
        loss: float | None,
        *,
        champion: str,
        event_number: int,
        learns: bool,
        may_change: bool,
    ) -> None:
        """Judge the own model's answer beside the global champion's, both as they were asked; then learn the event.

        Args:
            loss: of the global champion, in [0, 1]; None: it was not asked.
            champion: its name.
            learns: whether anything is learned now.
            may_change: whether somebody else may answer from now on; otherwise evidence gathers.
        """
        name = self.segment(event)
        if name is None:
            return
        mine = self._look(name)
        if mine is None:
            if not learns:
                return
            mine = self._begun(name)
        own = answers.get(OWN)
        if own is not None and loss is not None:
            self._judge(mine, self.task.loss(event.y, own), loss, champion)
            if may_change and mine.contest.won(self.wins_at):
                self._swap(name, mine, event_number)
        if learns:
            self._teach(name, mine, event, event_number)
        self._note_change(name)

    def _note_change(self, name: str) -> None:
        """Not all that changes between two checkpoints is packed in the pause of the second one."""
        self.changed.pop(name, None)
        self.changed[name] = None
        if len(self.changed) > CHANGED_MAX:
            first = next(iter(self.changed))
            self._pack(first, self.ready[first])

    def again(self, event: AcceptedEvent, *, event_number: int) -> None:
        """A correction: the segment's model learns the event once more."""
        name = self.segment(event)
        mine = None if name is None else self._look(name)
        if name is not None and mine is not None:
            self._teach(name, mine, event, event_number)
            self._note_change(name)

    def _begun(self, name: str) -> Ready:
        ready = self.ready[name] = Ready(self.fresh(), task=self.task, contest=self._contest())
        self.totals.models += 1
        if len(self.ready) > self.memory_max:
            self._make_room()
        return ready

    def fresh(self) -> Any:
        """A model that has learned nothing, as each segment's begins."""
        return statetree.decode(self._fresh, trusted=self._trusted)

    def _contest(self) -> Contest:
        return Contest(min_gain=self._min_gain)

    def _judge(self, mine: Ready, own: float, loss: float, champion: str) -> None:
        """The contest is that of whoever does not answer against who does."""
        if mine.against != champion:
            mine.contest, mine.against = self._contest(), champion
        if mine.serves:
            self.totals.answered += 1
            self.totals.won += loss - own
        mine.contest.update(own - loss if mine.serves else loss - own)

    def _swap(self, name: str, mine: Ready, event_number: int) -> None:
        """The other one answers from now on."""
        if not mine.serves and len(self.encoded(name, mine.model)) > BYTES_MAX:
            self.totals.too_large += 1
            mine.contest = self._contest()
            return
        mine.serves = not mine.serves
        if mine.serves:
            self.totals.serving += 1
            self.totals.swapped_in += 1
        else:
            self.totals.serving -= 1
            self.totals.swapped_out += 1
        self._tell(name, mine, event_number, "evidence")
        mine.contest = self._contest()

    def _tell(self, name: str, mine: Ready, event_number: int, reason: SwapReason) -> None:
        contest = mine.contest
        low, high = contest.interval.ends()
        if len(self.swaps) < SWAPS_MAX:
            self.swaps.append(
                SegmentSwap(
                    segment=name,
                    serves=mine.serves,
                    event_number=event_number,
                    reason=reason,
                    evidence=min(contest.evidence, 1e9),
                    events=contest.events,
                    gain=contest.gain,
                    low=low,
                    high=high,
                    learned=mine.learned,
                )
            )
        self._announce(name, mine)

    def _teach(self, name: str, mine: Ready, event: AcceptedEvent, event_number: int) -> None:
        try:
            mine.learn(event.x, event.y)
        except BaseException as error:
            if not is_fault(error):
                raise
            self._restart(name, mine, event_number)
            return
        mine.learned += 1
        if mine.serves and mine.learned - mine.announced >= self.refresh_events:
            self._announce(name, mine)

    def _restart(self, name: str, mine: Ready, event_number: int) -> None:
        """A model that raises half way through an event is nothing to go on with: a fresh one takes its place."""
        self.totals.faults += 1
        if mine.serves:
            mine.serves = False
            self.totals.serving -= 1
            self._tell(name, mine, event_number, "fault")
        mine.exchange(self.fresh(), self.task)
        mine.learned = mine.announced = 0
        mine.contest = self._contest()

    # ── for followers ───────────────────────────────────────────────────────────────────────────────────────────

    def _announce(self, name: str, mine: Ready) -> None:
        mine.announced = mine.learned
        self.due[name] = None
        if self.copies is not None:
            self.copies.pop(name, None)
            if mine.serves:
                copy = statetree.decode(self.encoded(name, mine.model), trusted=self._trusted)
                predict = self.task.predictor(copy)
                self.copies[name] = lambda x: answered(predict, x)

    def announced_again(self) -> None:
        """All that answer are to be told once more: of what followers were told, something may not have lasted."""
        self.pack()
        for entry in self.shelf.entries():
            _, serves, *_ = msgpack.unpackb(entry.packed)
            if serves:
                self.due[entry.event_id] = None

    def to_announce(self) -> Iterator[ToAnnounce]:
        """What followers are to have, as it is now; right after a commit that is as it was committed."""
        for name in self.due:
            ready = self.ready.get(name)
            if ready is not None:
                data, learned, serves = self.encoded(name, ready.model), ready.learned, ready.serves
            else:
                entry = self.shelf.find(name)
                assert entry is not None  # a segment that has a model keeps it
                learned, serves, *_, data = msgpack.unpackb(entry.packed)
            if not serves or len(data) <= BYTES_MAX:  # of one that has outgrown it, followers keep the last copy
                yield ToAnnounce(name, data if serves else None, learned)

    # ── packed ──────────────────────────────────────────────────────────────────────────────────────────────────

    def encoded(self, name: str, model: Any) -> bytes:
        """The bytes of a segment's model.

        Raises:
            LearningFrozen: it can no longer be kept.
        """
        try:
            return statetree.encode(model, trusted=self._trusted)
        except statetree.StateTreeError as error:
            raise LearningFrozen(
                f"learning is frozen: the model of segment {name[:100]!r} ([segments] by {self.by!r}) can no longer be "
                f"kept: {error}. Mend the model, and let `anabranch rebuild CONFIG` learn the log again with it"
            ) from error

    def _packed(self, name: str, ready: Ready) -> bytes:
        contest = ready.contest
        powers = any(contest.powers) and contest.powers  # mostly none have been needed
        interval = [getattr(contest.interval, each) for each in INTERVAL_STATE]
        stands = (contest.events, powers, contest.ties, contest.total, interval)
        data = self.encoded(name, ready.model)
        packed: bytes = msgpack.packb((ready.learned, ready.serves, ready.announced, ready.against, stands, data))
        return packed

    def _unpacked(self, name: str, packed: bytes) -> Ready:
        learned, serves, announced, against, (events, powers, ties, total, interval), data = msgpack.unpackb(packed)
        contest = self._contest()
        contest.restore(
            {
                "events": events,
                "powers": powers or [0.0] * len(contest.powers),
                "ties": ties,
                "total": total,
                "interval": dict(zip(INTERVAL_STATE, interval, strict=True)),
            }
        )
        ready = Ready(statetree.decode(data, trusted=self._trusted), task=self.task, contest=contest)
        ready.learned, ready.serves, ready.announced, ready.against = learned, serves, announced, against
        ready.digest = _digest(name, packed)
        return ready

    def _pack(self, name: str, ready: Ready) -> None:
        """What has changed is put on the shelf, in place of what lay there."""
        if name not in self.changed:
            return
        del self.changed[name]
        packed = self._packed(name, ready)
        if ready.digest:
            self.shelf.drop(name)
        self.shelf.young[name] = 0.0, packed
        digest = _digest(name, packed)
        self._sum = (self._sum - ready.digest + digest) % _MODULUS
        ready.digest = digest

    def pack(self) -> None:
        """Put all that has changed on the shelf: what a checkpoint keeps is kept once."""
        for name in list(self.changed):
            self._pack(name, self.ready[name])

    def put_away(self) -> None:
        """Before a checkpoint: what lies on the shelf is put away by the thousand."""
        self.pack()
        self.shelf.put_away()

    def everyone(self) -> Iterator[tuple[str, Ready]]:
        """All segments that have a model, one after the other."""
        self.pack()
        return ((entry.event_id, self._unpacked(entry.event_id, entry.packed)) for entry in self.shelf.entries())

    # ── for people and checkpoints ──────────────────────────────────────────────────────────────────────────────

    def report(self, *, ends: bool) -> SegmentsReport:
        """How many segments there are, how many are answered by their own model, and what that gains.

        Args:
            ends: the swaps since the last report are told by this one.
        """
        totals, swaps = self.totals, tuple(self.swaps)
        if ends:
            self.swaps = []
        return SegmentsReport(
            by=self.by,
            models=totals.models,
            ready=min(totals.models, self.memory_max),
            serving=totals.serving,
            swapped_in=totals.swapped_in,
            swapped_out=totals.swapped_out,
            faults=totals.faults,
            too_large=totals.too_large,
            answered=totals.answered,
            gain=totals.won / totals.answered if totals.answered else None,
            swaps=swaps if ends else (),
        )

    def learned_state(self) -> dict[str, Any]:
        """What belongs to the learning state: a digest of all models and contests, wherever they lie."""
        total = self._sum
        for name in self.changed:
            total += _digest(name, self._packed(name, self.ready[name])) - self.ready[name].digest
        return {"by": self.by, "digest": f"{total % _MODULUS:032x}", "totals": self.totals.state()}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps besides; it names the blobs that most of it lies in."""
        self.pack()
        swaps = [each.model_dump(mode="json") for each in self.swaps]
        return {"shelf": self.shelf.state(), "due": list(self.due), "swaps": swaps}

    @property
    def blobs(self) -> dict[str, bytes | None]:
        """What the state refers to, by digest."""
        return self.shelf.blobs

    def restore(self, learned: Mapping[str, Any], state: Mapping[str, Any], blobs: Mapping[str, bytes | Blob]) -> None:
        """Go on from a checkpoint."""
        self.totals.restore(learned["totals"])
        self._sum = int(learned["digest"], 16)
        self.shelf.restore(state["shelf"], blobs)
        self.due = dict.fromkeys(state["due"])
        self.swaps = [SegmentSwap.model_validate(each) for each in state["swaps"]]


def _fresh(settings: Settings, task: Task) -> bytes:
    """A fresh model as bytes, which each segment's begins as."""
    spec = settings.segments.model
    try:
        fresh = catalogue.build(spec or settings.model, seed=settings.seed)
        task.check(fresh)
    except ModelSpecError as error:
        raise ModelSpecError(f"segments.model: {error}" if spec else str(error)) from error
    return statetree.encode(fresh, trusted=settings.model.trusted)


def segmented_of(settings: Settings, *, task: Task, asks_copies: bool) -> Segmented | None:
    """None where there are no segments."""
    if settings.segments.by is None:
        return None
    return Segmented(settings, task=task, asks_copies=asks_copies)


def opens(state: Mapping[str, Any] | None) -> list[str]:
    """The digests of the blobs that a state names."""
    return blobs_of(state["shelf"]) if state else []


def _digest(name: str, packed: bytes) -> int:
    of = blake2b(packed, digest_size=16, key=blake2b(name.encode("utf-8", "surrogatepass"), digest_size=32).digest())
    return int.from_bytes(of.digest(), "little") or 1
