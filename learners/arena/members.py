"""Members of the arena: the champion and its shadows, each with its model, its contest and where it comes from."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple, Protocol

from anabranch.events import Prediction
from anabranch.groups import Grouping
from anabranch.messages import GroupReport, LifeState, ListsReport, MemberReport, OffPolicyReport, TrainedOn, Verdict
from learners.arena.evidence import Contest
from learners.arena.lifecycle import Lifecycle
from learners.arena.off_policy import RankerContest
from learners.models.tasks import Task
from learners.rates import EVENTS_MIN
from learners.scores import Scores

MemberKind = Literal["champion", "recruit", "displaced", "standing"]


# ── How a model does on each group of people or things: the gap between the best and the worst served ───────────────

REPORTED_MAX = 30

RESTING_STRIDE = 8
"""A member that rests takes part in one of so many events."""

RESTING_WINDOW = 4
"""Its mean loss is over so many times fewer answers, so that it is seen in time when it is no longer behind."""


class Spread(NamedTuple):
    """How far the groups by one feature lie apart, and which are its ends; 0 with fewer than two groups."""

    gap: float = 0.0
    least: str = ""
    lowest: float = 0.0
    most: str = ""
    highest: float = 0.0


class Groups:
    """A rate (of right answers, or of positive ones) by the value of one feature or several, over a window of events.

    >>> groups = Groups([Grouping("country")], window=1000)
    >>> for n in range(100):
    ...     groups.update({"country": "FR"}, 1.0)
    ...     groups.update({"country": "PT"}, n % 2)
    >>> groups.spread(0, last=200)
    Spread(gap=0.5, least='PT', lowest=0.5, most='FR', highest=1.0)
    """

    __slots__ = ("groupings", "recent")

    def __init__(self, groupings: Sequence[Grouping], *, window: int) -> None:
        self.groupings = groupings
        self.recent: deque[tuple[tuple[str | None, ...], float, bool]] = deque(maxlen=window)

    def __len__(self) -> int:
        return len(self.recent)

    def update(self, x: Mapping[str, object], value: float, *, stratum: bool = True) -> None:
        """Take in one event; one without the features is in no group.

        Args:
            stratum: groups are compared within each of both: false positive rates with such rates, say.
        """
        groups = tuple(each.of(x) for each in self.groupings)
        if any(group is not None for group in groups):
            self.recent.append((groups, value, stratum))

    def spread(self, number: int, *, last: int) -> Spread:
        """The widest of the gaps by the feature of this number, over the last so many events."""
        return max((self._spread(number, last, stratum) for stratum in (True, False)), key=lambda each: each.gap)

    def _spread(self, number: int, last: int, stratum: bool) -> Spread:
        values = self._by_group(number, last, stratum)
        rates = {group: sum(each) / len(each) for group, each in values.items() if len(each) >= EVENTS_MIN}
        if len(rates) < 2:
            return Spread()
        most, least = max(rates, key=rates.__getitem__), min(rates, key=rates.__getitem__)
        return Spread(rates[most] - rates[least], least, rates[least], most, rates[most])

    def _by_group(self, number: int, last: int, stratum: bool) -> dict[str, list[float]]:
        values = defaultdict(list)
        for groups, value, in_stratum in islice(self.recent, max(0, len(self.recent) - last), None):
            group = groups[number]
            if group is not None and in_stratum is stratum:
                values[group].append(value)
        return values

    def reports(self) -> tuple[GroupReport, ...]:
        """Each group's rate; the largest groups by each feature, if there are many."""
        several = len(self.groupings) > 1
        return tuple(
            each
            for number, grouping in enumerate(self.groupings)
            for each in self._reports(number, grouping.feature if several else "")
        )

    def _reports(self, number: int, feature: str) -> list[GroupReport]:
        found = [
            GroupReport(group=group, events=len(each), rate=sum(each) / len(each), feature=feature)
            for group, each in self._by_group(number, len(self.recent), stratum=True).items()
        ]
        found.sort(key=lambda each: (-each.events, each.group))
        return found[:REPORTED_MAX]

    def state(self) -> list[tuple[Any, ...]]:
        """What a checkpoint keeps."""
        return list(self.recent)

    def restore(self, state: list[tuple[Any, ...]]) -> None:
        """Go on from a checkpoint; before there could be several features, an event was its group and its value."""
        self.recent.clear()
        kept = [each if len(each) > 2 else ((str(each[0]),), each[1], True) for each in state]
        # What was kept by other features says nothing of these.
        self.recent.extend(each for each in kept if len(each[0]) == len(self.groupings))


class Tradeoff(NamedTuple):
    """How much narrower than the champion's a shadow's gap between groups is, and its mean loss less the champion's."""

    gap_won: float
    lost: float


class Unusable:
    """How often a member's answers could not be used: the last reason, and the share lately.

    The share is taken over some `window` events, older ones fading; it costs nothing while answers are good.

    >>> unusable = Unusable(since=0)
    >>> for number in range(1, 1001):
    ...     if number % 4 == 0:
    ...         unusable.note("NaN", event_number=number, window=1000)
    >>> [round(unusable.share(event_number=number, window=1000), 2) for number in (1000, 3000)]
    [0.25, 0.02]
    """

    __slots__ = ("at", "count", "reason", "since", "weight")

    def __init__(self, *, since: int) -> None:
        self.since = self.at = since
        self.count = 0
        self.weight = 0.0
        self.reason = ""

    def note(self, reason: str, *, event_number: int, window: int) -> None:
        """One more, at the event with this number."""
        self.weight = 1.0 + self._faded(event_number, window)
        self.at, self.reason = event_number, reason
        self.count += 1

    def share(self, *, event_number: int, window: int) -> float:
        """Of the answers up to the event with this number."""
        if not self.count:
            return 0.0
        whole = window * (1.0 - (1.0 - 1.0 / window) ** max(1, event_number - self.since))
        return min(1.0, self._faded(event_number, window) / whole)

    def _faded(self, event_number: int, window: int) -> float:
        return self.weight * float((1.0 - 1.0 / window) ** (event_number - self.at))

    def state(self) -> tuple[Any, ...]:
        """What a checkpoint keeps."""
        return self.since, self.at, self.count, self.weight, self.reason

    def restore(self, state: tuple[Any, ...]) -> None:
        """Go on from a checkpoint."""
        self.since, self.at, self.count, self.weight, self.reason = state


class Cause(NamedTuple):
    """Why a member is there. Those of one cause share their rollbacks.

    >>> str(Cause("trigger", "812")), str(Cause("place", "tree-reset")), str(Cause("first"))
    ('trigger at 812', 'tree-reset', 'first')
    """

    what: Literal["first", "trigger", "place"]
    which: str = ""
    """The event of the trigger, or the name of the standing place."""

    def __str__(self) -> str:
        return f"trigger at {self.which}" if self.what == "trigger" else self.which or self.what


class Timed(Protocol):
    """Does for a member what the member would, and takes the time."""

    def predict(self, member: "Member", x: Any) -> Prediction:
        """As `member.ask`."""

    def learn(self, member: "Member", x: Any, y: Any) -> None:
        """As `member.learn`."""


class Member:
    """One model in the arena.

    Where it is in its life stands in one place, the lifecycle; its kind follows from that, and from its place.

    Args:
        name: unique within the lane, for people.
        lifecycle: of the lane.
        since: accepted events when it took its present role.
        version: under which it was last published, if ever.
        cause: why it is there.
        place: the name of its standing place, or "".
        former: the version of the former champion that it is a copy of, if it is one.

    Attributes:
        entered: accepted events when its model came: it has learned none of them from the lane.
        parent: the version that its model began as a copy of, if it did.
        trigger: id of the signal or the request that brought it, or "".
        share: it may take part in one of so many events, by the budget; 0 is a pause.
        rests: whether it takes part in fewer by itself: see `learners.arena.resting`.
        stride: what follows from both: it takes part in one of so many events.
        dominated: looks in a row at which another was better, from when it was `distance` behind.
        away: brings its model home, while that learns in another process.
    """

    __slots__ = (
        "_model",
        "away",
        "cause",
        "contest",
        "distance",
        "dominated",
        "entered",
        "former",
        "groups",
        "learn",
        "lifecycle",
        "loss_mean",
        "losses",
        "measured",
        "name",
        "parent",
        "place",
        "predict",
        "rests",
        "share",
        "since",
        "stride",
        "trained_on",
        "trigger",
        "unusable",
        "version",
    )

    def __init__(
        self,
        name: str,
        model: Any,
        *,
        lifecycle: Lifecycle,
        task: Task,
        trained_on: TrainedOn,
        since: int,
        cause: Cause,
        version: int | None = None,
        place: str = "",
        former: int | None = None,
    ) -> None:
        self.name = name
        self.lifecycle = lifecycle
        self.place = place
        self.away: Callable[[Member], None] | None = None
        self.exchange_model(model, task=task, trained_on=trained_on)
        self.since = self.entered = since
        self.version = version
        self.cause = cause
        self.former = self.parent = former
        self.trigger = ""
        self._take_part_fully()
        self.contest = Contest()
        self.measured: Scores | None = None
        self.groups: Groups | None = None
        self.unusable = Unusable(since=since)
        self.losses = 0
        self.loss_mean = 0.0

    @property
    def model(self) -> Any:
        """Its model; one that is elsewhere is brought home first."""
        if self.away is not None:
            self.away(self)
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        self._model = model
        self.away = None

    @property
    def kept(self) -> Any:
        """Its model as it was when it was last here."""
        return self._model

    @property
    def life(self) -> LifeState:
        """Where it is in its life."""
        return self.lifecycle.states[self.name]

    @property
    def kind(self) -> MemberKind:
        """What it is in the arena now."""
        state = self.lifecycle.states.get(self.name)
        if state in ("serving", "probation"):
            return "champion"
        if state == "displaced":
            return "displaced"
        return "standing" if self.place else "recruit"

    def exchange_model(self, model: Any, *, task: Task, trained_on: TrainedOn) -> None:
        """Go on with another model. Its contest goes on too: it judges a member that restarts at times as a whole."""
        self.model = model
        serves = self.kind == "champion" and not task.blends
        self.predict = task.predictor(model) if serves else task.shadow_predictor(model)
        self.learn = task.learner(model)
        self.trained_on = trained_on

    def change_sides(self, *, task: Task, since: int) -> None:
        """It serves now, or has been displaced: what it contested before is over."""
        self.exchange_model(self.model, task=task, trained_on=self.trained_on)
        self.since = since
        self.contest = Contest()
        self.measured = None
        self._take_part_fully()

    def _take_part_fully(self) -> None:
        self.share = self.stride = 1
        self.rests, self.dominated, self.distance = False, 0, 0.0

    def allow(self, share: int) -> None:
        """Take part in one of so many events at most, by the budget."""
        self.share = share
        self.stride = max(share, RESTING_STRIDE) if share and self.rests else share

    def rest(self) -> None:
        """Take part in few events, since another has long been better."""
        self.rests = True
        self.allow(self.share)

    def wake(self) -> None:
        """Take part in as many events as the budget allows."""
        self.rests, self.dominated, self.distance = False, 0, 0.0
        self.allow(self.share)

    def note_loss(self, loss: float, *, window: float) -> None:
        """Keep an exponentially weighted mean of the loss over some `window` events."""
        self.losses += 1
        self.loss_mean += (loss - self.loss_mean) / min(self.losses, window)

    def verdict(self, *, wins_at: float, tradeoff: Tradeoff | None = None) -> Verdict:
        """What the contest says so far, and what it would do for groups."""
        contest = self.contest.deciding
        low, high = contest.interval.ends()
        share = min(contest.evidence / wins_at, 1e9)
        return Verdict(
            events=contest.events,
            gain_events=contest.interval.count,
            gain=contest.gain,
            low=low,
            high=high,
            evidence=share,
            gap_won=None if tradeoff is None else tradeoff.gap_won,
            lost=None if tradeoff is None else tradeoff.lost,
        )

    def report(
        self,
        *,
        wins_at: float,
        event_number: int,
        window: int,
        weight: float | None = None,
        tradeoff: Tradeoff | None = None,
        off_policy: OffPolicyReport | None = None,
    ) -> MemberReport:
        """How it does, for people, at the event with this number.

        Args:
            weight: what it counts for in a blend.
            tradeoff: what it would do for groups.
            off_policy: what it would earn if it were shown.
        """
        return MemberReport(
            name=self.name,
            kind=self.kind,
            loss=self.loss_mean,
            stride=self.stride,
            unusable=self.unusable.share(event_number=event_number, window=window),
            verdict=None if self.kind == "champion" else self.verdict(wins_at=wins_at, tradeoff=tradeoff),
            weight=weight,
            off_policy=off_policy,
            lists=self._lists(wins_at),
        )

    def _lists(self, wins_at: float) -> ListsReport | None:
        """How its lists do beside the champion's; None where nothing tells."""
        if not isinstance(self.contest, RankerContest) or not self.contest.lists.events:
            return None
        lists = self.contest.lists
        low, high = lists.interval.ends()
        share = min(lists.evidence / wins_at, 1e9)
        return ListsReport(lists=lists.events, gain=lists.gain, low=low, high=high, evidence=share)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "name": self.name,
            "model": self.model,
            "trained_on": self.trained_on.model_dump(mode="json"),
            "since": self.since,
            "entered": self.entered,
            "version": self.version,
            "cause": tuple(self.cause),
            "place": self.place,
            "former": self.former,
            "parent": self.parent,
            "trigger": self.trigger,
            "stride": self.share,
            # Only where it counts: the hash of a state without is what it was before members could rest.
            **({"rests": self.rests} if self.rests else {}),
            **({"dominated": (self.dominated, self.distance)} if self.dominated else {}),
            "contest": self.contest.state(),
            "measured": None if self.measured is None else self.measured.state(),
            "groups": None if self.groups is None else self.groups.state(),
            "losses": (self.losses, self.loss_mean),
            "unusable": self.unusable.state(),
        }


def revived(state: dict[str, Any], *, lifecycle: Lifecycle, task: Task) -> Member:
    """The member that `Member.state` described, but for its contest and what is measured for the constraints.

    Args:
        lifecycle: restored already.
    """
    member = Member(
        state["name"],
        state["model"],
        lifecycle=lifecycle,
        task=task,
        trained_on=TrainedOn.model_validate(state["trained_on"]),
        since=state["since"],
        version=state["version"],
        cause=Cause(*state["cause"]),
        place=state["place"],
        former=state["former"],
    )
    member.losses, member.loss_mean = state["losses"]
    member.entered, member.rests = state["entered"], state.get("rests", False)
    member.allow(state["stride"])
    member.dominated, member.distance = state.get("dominated", (0, 0.0))
    member.parent, member.trigger = state["parent"], state["trigger"]
    member.unusable.restore(state["unusable"])
    return member


def paired(champion_loss: float, y: Any, member: Member, answer: Prediction, *, task: Task, window: float) -> float:
    """Judge a shadow's answer beside the champion's; the evidence for the shadow after it."""
    loss = task.loss(y, answer)
    member.note_loss(loss, window=window / RESTING_WINDOW if member.rests else window)
    if member.measured is not None:
        member.measured.update(y, answer)
    return member.contest.update(champion_loss - loss)
