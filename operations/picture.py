"""What the topics say of models, folded into one picture: the dashboard shows it, alerts judge it, metrics export it.

Nothing here asks a learner, and nothing reads a clock: `at_s` is the brokers' time of each record. The picture is
bounded, whatever comes: single points for a while, then some of them, then none.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from sys import intern
from typing import NamedTuple, Self

from anabranch.messages import (
    Alert,
    CalibrationBin,
    DeadLetter,
    DecisionAnswer,
    DetectorReport,
    DriftSignal,
    Message,
    ModelAck,
    ModelReport,
    ModelUpdate,
    RetireAnswer,
    RetrainAnswer,
    TimeWindow,
    Transition,
    UnreadableMessage,
    decode,
)
from config.settings import Settings
from operations.counts import Counts

KINDS: dict[str, tuple[type[Message], ...]] = {
    "updates": (ModelUpdate,),
    "reports": (ModelReport,),
    "signals": (DriftSignal,),
    "lifecycle": (Transition,),
    "alerts": (Alert,),
    "answers": (RetireAnswer, DecisionAnswer, RetrainAnswer),
    "dead_letters": (DeadLetter,),
    "acks": (ModelAck,),
}
"""What is on the topics, by their keys in `[topics]`; where two are on one, each has keys that the other lacks."""

FINE_S, FINE_MAX = 900.0, 1_000
"""How long each point is kept, and how many at most."""
COARSE_S, COARSE_MAX = 120.0, 720
"""Then one in so long, and so many: a day."""
PSI_S = 600.0
"""Of these, the features' distributions are kept so often, and of the members these many: the best."""
MEMBERS_KEPT = 6
NOTHING: dict[str, float] = {}
NO_GAPS: dict[str, tuple[float, float, float]] = {}
"""One for all: thousands of empty ones weigh something."""
LISTED_MAX = 500
"""Signals, updates, steps … that are kept of a model, each."""
WINDOWS_MAX = {"minute": 120, "hour": 24 * 14, "day": 366}
LETTERS_MAX = 200
IDS_MAX = 2_400
"""Of messages that are known again; then the oldest quarter is forgotten at once."""


class Record(NamedTuple):
    """A message, and where it was found."""

    at_s: float
    topic: str
    partition: int
    offset: int
    message: Message


class Point(NamedTuple):
    """A report, as a chart needs it."""

    at_s: float
    event_number: int
    version: int
    loss: float
    """Of the champion, windowed."""
    lost: float | None
    """What followers lose by their copy."""
    pending: int
    unread: int | None
    records_per_s: float | None
    windowed: dict[str, float]
    members: tuple[tuple[str, str, float, float | None, float | None], ...]
    """Name, kind, loss, evidence, and the gain over the champion, of all members."""
    psi: dict[str, float]
    """By feature."""
    levels: dict[str, float]
    """Each detector's statistic as a share of its threshold; for one that fires below it, the inverse."""
    gaps: dict[str, tuple[float, float, float]]
    """Between groups, by `feature: criterion`: the difference, and the ends of its interval."""


def point_of(report: ModelReport, at_s: float) -> Point:
    """What charts show of a report. Thousands are kept, so that each name is kept once."""
    champion = next((each for each in report.members if each.kind == "champion"), None)
    return Point(
        at_s,
        report.event_number,
        report.version,
        champion.loss if champion else 0.0,
        report.published.lost if report.published else None,
        report.pending,
        report.unread,
        report.records_per_s,
        {intern(name): value for name, value in report.windowed.items()},
        tuple(
            (
                intern(each.name),
                intern(each.kind),
                each.loss,
                each.verdict.evidence if each.verdict else None,
                each.verdict.gain if each.verdict else None,
            )
            for each in report.members
        ),
        {intern(each.feature): each.psi for each in report.features},
        {intern(each.name): level for each in report.detectors if (level := _level(each)) is not None},
        _gaps(report) if report.fairness else NO_GAPS,
    )


def _gaps(report: ModelReport) -> dict[str, tuple[float, float, float]]:
    return {
        intern(f"{each.feature}: {gap.criterion}"): (gap.difference, gap.low, gap.high)
        for each in report.fairness
        for gap in each.gaps
    }


class Window(NamedTuple):
    """A minute, an hour or a day that has ended: what is kept of a `TimeWindow`, of which there are hundreds."""

    start: float
    events: int
    scores: tuple[tuple[str, float], ...]
    calibration: tuple[CalibrationBin, ...]


def window_of(told: TimeWindow) -> Window:
    """The same, a tenth as large."""
    scores = tuple((intern(name), value) for name, value in told.scores.items())
    return Window(told.start, told.events, scores, told.calibration)


def _level(detector: DetectorReport) -> float | None:
    if detector.statistic is None or not detector.threshold:
        return None
    share = detector.statistic / detector.threshold
    return 1 / max(share, 1e-9) if detector.fires_below else share


class Points:
    """Points by time: all of the newest, one in a while of those before."""

    def __init__(self) -> None:
        self.fine: deque[Point] = deque()
        self.coarse: deque[Point] = deque(maxlen=COARSE_MAX)
        self.psi_s = float("-inf")

    def add(self, point: Point) -> None:
        """One more: the newest, or nearly so where a topic has several partitions; or one of the past, read later."""
        fine = self.fine
        if fine and fine[-1].at_s - point.at_s > FINE_S:
            self._keep(point)
            return
        fine.insert(_place(fine, point.at_s), point)
        while len(fine) > FINE_MAX or fine[-1].at_s - fine[0].at_s > FINE_S:
            self._keep(fine.popleft())

    def _keep(self, point: Point) -> None:
        """For a day, unless one is kept that is nearly as old."""
        coarse = self.coarse
        place = _place(coarse, point.at_s)
        if any(abs(each.at_s - point.at_s) < COARSE_S for each in _beside(coarse, place)):
            return
        if len(coarse) == COARSE_MAX:
            if not place:
                return
            coarse.popleft()
            place -= 1
        coarse.insert(place, self._slim(point))

    def _slim(self, point: Point) -> Point:
        """What is kept of it for a day: thousands of these are what a picture weighs."""
        best = sorted(point.members, key=lambda each: (each[1] != "champion", each[2]))[:MEMBERS_KEPT]
        has_psi = abs(point.at_s - self.psi_s) >= PSI_S
        self.psi_s = point.at_s if has_psi else self.psi_s
        return point._replace(members=tuple(best), psi=point.psi if has_psi else NOTHING)

    def __iter__(self) -> Iterator[Point]:
        """Oldest first."""
        yield from self.coarse
        yield from self.fine

    def __len__(self) -> int:
        return len(self.coarse) + len(self.fine)


def _place(several: deque[Point], at_s: float) -> int:
    """Where it stands in order of time: nearly always at the end, and so it is looked for from there."""
    place = len(several)
    while place and several[place - 1].at_s > at_s:
        place -= 1
    return place


def _beside(several: deque[Point], place: int) -> list[Point]:
    return [several[at] for at in (place - 1, place) if 0 <= at < len(several)]


class ModelPicture:
    """One model, or that of one partition, as its messages tell.

    Attributes:
        report: the newest, with when it was told.
        acks: the newest of each follower.
        refused: dead letters by stage, since the picture was begun.
        counts: likewise of everything else that is told, for metrics.
    """

    def __init__(self, model: str, scope: str) -> None:
        self.model = model
        self.scope = scope
        self.report: ModelReport | None = None
        self.report_at_s = 0.0
        self.points = Points()
        self.windows: dict[str, deque[Window]] = {span: deque(maxlen=most) for span, most in WINDOWS_MAX.items()}
        self.updates: deque[Record] = deque(maxlen=LISTED_MAX)
        self.signals: deque[Record] = deque(maxlen=LISTED_MAX)
        self.steps: deque[Record] = deque(maxlen=LISTED_MAX)
        self.alerts: deque[Record] = deque(maxlen=LISTED_MAX)
        self.answers: deque[Record] = deque(maxlen=LISTED_MAX)
        self.letters: deque[Record] = deque(maxlen=LETTERS_MAX)
        self.refused: Counter[str] = Counter()
        self.counts = Counts()
        self.acks: dict[str, ModelAck] = {}
        self._ids: dict[int, None] = {}
        """Hashes of the newest: thousands of names would weigh more than what they name."""

    @property
    def newest(self) -> ModelUpdate | None:
        """The update that counts for all keys: the highest by (epoch, seq)."""
        return self._highest(is_canary=False)

    @property
    def canary(self) -> ModelUpdate | None:
        """A new champion that is being rolled out beside it."""
        found, newest = self._highest(is_canary=True), self.newest
        is_over = found is None or (newest is not None and (newest.epoch, newest.seq) > (found.epoch, found.seq))
        return None if is_over else found

    def _highest(self, *, is_canary: bool) -> ModelUpdate | None:
        several = (each.message for each in self.updates)
        return max(
            (each for each in several if isinstance(each, ModelUpdate) and (each.kind == "canary") is is_canary),
            key=lambda each: (each.epoch, each.seq),
            default=None,
        )

    def hear(self, record: Record) -> bool:
        """Take in a message about this model; False if it was there already: after a restart some are told twice."""
        message = record.message
        _share_names(message)
        if isinstance(message, ModelAck):
            self._hear_ack(message)
            return True
        if not self._is_first(_id_of(message)):
            return False
        # A report of the past, which is read after the present: nothing grows by it.
        if not isinstance(message, ModelReport) or record.at_s >= self.report_at_s:
            self.counts.hear(message, record.at_s)
        match message:
            case ModelReport():
                self._hear_report(message, record.at_s)
            case ModelUpdate():
                self.updates.append(record)
            case DriftSignal():
                self.signals.append(record)
            case Transition():
                self.steps.append(record)
            case Alert():
                self.alerts.append(record)
            case DeadLetter():
                self.letters.append(record)
                self.refused[message.stage] += 1
            case _:
                self.answers.append(record)
        return True

    def _hear_ack(self, ack: ModelAck) -> None:
        known = self.acks.get(ack.follower)
        if known is None or known.ts <= ack.ts:
            self.counts.hear_ack(ack, known)
            self.acks[ack.follower] = ack

    def _hear_report(self, report: ModelReport, at_s: float) -> None:
        if at_s >= self.report_at_s:
            self.report, self.report_at_s = report, at_s
        self.points.add(point_of(report, at_s))
        for window in report.windows:
            self._hear_window(window)

    def _hear_window(self, told: TimeWindow) -> None:
        several, window = self.windows[told.span], window_of(told)
        place = len(several)
        while place and several[place - 1].start > window.start:
            place -= 1
        if len(several) == several.maxlen:
            if not place:
                return
            several.popleft()
            place -= 1
        several.insert(place, window)
        # Calibration is shown of the newest.
        for at in {place, len(several) - 2} - {len(several) - 1, -1}:
            several[at] = several[at]._replace(calibration=())

    def _is_first(self, named: str) -> bool:
        mark = hash(named)
        if mark in self._ids:
            return False
        self._ids[mark] = None
        if len(self._ids) > IDS_MAX:
            for each in list(self._ids)[: IDS_MAX // 4]:
                del self._ids[each]
        return True


class Picture:
    """All models, by name and scope.

    Args:
        by_partition: names of models of which each partition has one of its own.
    """

    @classmethod
    def of(cls, several: Iterable[Settings]) -> Self:
        """An empty one of the models that are configured so."""
        return cls(frozenset(each.name for each in several if each.scope == "partition"))

    def __init__(self, by_partition: frozenset[str] = frozenset()) -> None:
        self.by_partition = by_partition
        self.models: dict[tuple[str, str], ModelPicture] = {}
        self.unreadable: Counter[str] = Counter()
        """Records that were passed over, by topic."""

    def hear(self, record: Record) -> ModelPicture | None:
        """Take in a message; the model that it is about, None if it was known or is about none."""
        name = model_of(record.message)
        if not name:
            return None
        key = (name, self._scope_of(record.message, name))
        known = self.models.get(key)
        if known is None:
            known = self.models[key] = ModelPicture(*key)
        return known if known.hear(record) else None

    def count_from_now(self) -> None:
        """Counters begin at 0: for who has read what was there, and exports metrics from here on."""
        for each in self.models.values():
            each.counts.restart()

    def _scope_of(self, message: Message, name: str) -> str:
        own = getattr(message, "scope", "")
        if own:
            return str(own)
        partition = getattr(message, "partition", None)
        # What has no scope has the place of an event, and each partition's events are those of its model.
        return f"p{partition}" if name in self.by_partition and partition is not None else "global"


def read(key: str, value: bytes) -> Message:
    """The message in a record of the topic that `key` names in `[topics]`.

    Raises:
        UnreadableMessage: it is none of those that are told there.
    """
    *others, last = KINDS[key]
    for kind in others:
        with suppress(UnreadableMessage):
            return decode(kind, value)
    return decode(last, value)


_SHARED: dict[frozenset[str], set[str]] = {}


def _share_names(message: Message) -> None:
    """The names of the fields that were given are the same in thousands of messages, and weigh more than the values."""
    names = message.__pydantic_fields_set__
    object.__setattr__(message, "__pydantic_fields_set__", _SHARED.setdefault(frozenset(names), names))


def _id_of(message: Message) -> str:
    """By what it is known again; an update that is announced twice has the same place in the order of updates."""
    return (
        f"update/{message.epoch}/{message.seq}" if isinstance(message, ModelUpdate) else str(getattr(message, "id", ""))
    )


def model_of(message: Message) -> str:
    """The model that a message is about; dead letters bear its name in their id only."""
    if isinstance(message, DeadLetter):
        return message.id.partition("/")[0]
    return str(getattr(message, "model", ""))
