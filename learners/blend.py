"""The blend: where labels come late, the members answer together, weighted by how they have answered lately.

With labels h events late, whoever is ahead now was ahead h events ago: swaps follow what is over. A blend has nothing
to swap. Two ways to weigh are kept: a sharp one by wrong answers, over probabilities that are nearly votes, and a soft
one by Brier's loss; of both, the one that was wrong less often answers. All is judged on what was answered when asked.

Where one of two labels is rare, whoever always says the other is seldom wrong, and Brier's loss hardly tells members
apart. There a third way answers, by the logarithmic loss measured against that of the label's own rate. To it is added
what needs no label: how far what a member says lately, on average, lies from that rate.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from anabranch import blends
from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import TrainedOn
from config.settings import Settings
from learners.arena.members import Cause, Member
from learners.arena.succession import TURNS, DecisionContext, Succession
from learners.emitted import Promotion
from learners.lateness import Lateness
from learners.models.fence import NOTHING
from learners.models.tasks import Task, brier, zero_one

NAME = "blend"
"""In updates and constraints; no member has it."""

TAKES_PART_FROM = 200
"""Judged labels of a member."""

WINDOW_EVENTS = 1000
"""Losses are means over so many labels, or over as many as they are late."""


class Way(NamedTuple):
    """A way to weigh: its answers' key among the members', its rate, which falls with the lag, and the most of it; its
    clip; and the share of the largest weight below which a member has none."""

    key: str
    rate: float
    rate_max: float = 0.3
    clip: float = 0.0
    least: float = 0.0


SHARP, SOFT, RARE = Way("#sharp", 100.0, clip=0.3), Way("#soft", 30.0), Way("#rare", 30.0)
WAYS = (SHARP, SOFT)
"""Those that are told apart by wrong answers, where labels are late; the third answers where these say nothing."""

PROMPT_WAYS = (Way("#sharp", 100.0, least=0.02), Way("#soft", 30.0, rate_max=0.03, least=0.02))
"""The same where they are prompt. Nobody has to be kept from being certain: whoever is wrong loses its say at once."""

RARE_BELOW, COMMON = 0.05, 0.25
"""A label is rare below the first share. The second is the variance of one that is as common as the other."""

SURPRISE_MIN = 1e-3
"""The least probability of the label that came: one answer that was certain and wrong must not be all that counts."""


class Mean:
    """A mean over the last labels, older ones fading."""

    __slots__ = ("labels", "value")

    def __init__(self, labels: int = 0, value: float = 0.0) -> None:
        self.labels, self.value = labels, value

    def update(self, loss: float, *, window: float) -> None:
        """Take in one loss."""
        self.labels += 1
        self.value += (loss - self.value) / min(self.labels, window)

    def state(self) -> tuple[int, float]:
        """What a checkpoint keeps."""
        return self.labels, self.value


class Record(NamedTuple):
    """How a member has answered: by wrong answers, by Brier's loss, by the logarithmic one, and what it says.

    The third is of answers that were ripe alone: a model that was asked before it had learned anything is surprised by
    every label, and would be weighed by that for as long again as labels are late. The last is its probability of a
    positive over the latest answers, while one label is rare; those have no labels yet.
    """

    wrong: Mean
    brier: Mean
    surprise: Mean
    said: Mean


class Blend:
    """Weighs the members, answers for them, and decides whether it serves.

    While it serves nobody is swapped: the contests go on, and count again when a champion serves.

    Attributes:
        judges: whether members are judged for it.
        serves: whether its answer is the one that is served.
        labels: judged, since it judges.
        member: what the hard constraints measure of it, and what is announced.
    """

    def __init__(self, settings: Settings, *, task: Task, succession: Succession, lateness: Lateness) -> None:
        # In blocks the members are as they were announced, and weights that move with each label are not.
        can = bool(settings.shadows.portfolio or settings.shadows.standing) and not settings.publish.blocks
        can = can and settings.rollout.kind == "immediate"  # it is champions that are rolled out
        can = can and settings.task != "rank"
        can = can and settings.shadows.rhythm == 1  # what members answer is known a round later
        self.mode = settings.serve if can else "champion"
        self.is_numeric = settings.numeric
        # A published blend learns nothing, so where followers learn along a champion serves as long as it can.
        is_newest = settings.shadows.portfolio in ("cheap", "cheap+forest") and not settings.score.learn_along
        if self.mode == "auto" and is_newest and not self.is_numeric:
            self.mode = "blend"
        self.ends_turns = is_newest and settings.task == "regression"
        self.task = task
        self.succession = succession
        self.constraints = succession.shadows.constraints
        self.lateness = lateness
        self.warm_up_events = settings.publish.warm_up_events
        self.is_binary = task.kind == "binary"
        self.judges = task.blends
        self.serves = False
        self.retry = 0
        """Accepted events at which it is looked at again after it was held back; 0: it was not."""
        self._forget()

    def _forget(self) -> None:
        self.labels = 0
        self.records: dict[str, Record] = {}
        self.ways = {way.key: Mean() for way in WAYS}
        self.positives = Mean()
        self.left_out: dict[str, str] = {}
        """Members that could not be announced alone, by name, and why."""
        self.member = Member(
            NAME,
            self._mixture([], [], SHARP),
            lifecycle=self.succession.lifecycle,
            task=self.task,
            trained_on=TrainedOn(note="the members of the blend, each of its own"),
            since=0,
            cause=Cause("first"),
        )
        self.constraints.watch(self.member)

    @property
    def wanted(self) -> bool:
        """Whether it should serve. How long it takes is known only when it does, so too slow a one ends."""
        wanted = self.mode == "blend" or (self.mode == "auto" and bool(self._occasion))
        return wanted and NAME not in self.constraints.too_slow

    @property
    def _occasion(self) -> str:
        """Why no champion should answer, unless it is configured; empty: one may."""
        if self.lateness.is_late and not self.is_numeric:
            return f": labels come {self.lateness.lag:.0f} events late"
        if self.ends_turns and self.succession.take_turns:
            first, *_, last = self.succession.swapped_at
            return f": champions take turns, {TURNS} swaps in {last - first} events"
        return ""

    def turns(self, event_number: int) -> bool:
        """Whether something can be changed at the event with this number, by `turn`."""
        if self.wanted == self.judges == self.serves or event_number < self.retry:
            return False
        takes_over = self.wanted and self.judges
        return not takes_over or (event_number >= self.warm_up_events and len(self.members()) > 1)

    def everybody(self) -> list[Member]:
        """All members, the champion first."""
        return [self.succession.champion, *self.succession.shadows.members]

    def members(self) -> list[Member]:
        """Those that take part: no recruits, judged often enough, on every event, and fit to be announced.

        A recruit has learned one concept only, and weighs by the first labels it was right on: on SEA it cost .003.
        """
        records, left_out = self.records, self.left_out
        return [
            member
            for member in self.everybody()
            if member.stride == 1
            and member.kind != "recruit"
            and member.name in records
            and records[member.name].wrong.labels >= TAKES_PART_FROM
            and member.name not in left_out
        ]

    # ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def window(self) -> float:
        """Over how many labels losses are means."""
        return max(WINDOW_EVENTS, self.lateness.lag)

    @property
    def way(self) -> Way:
        """The one that answers."""
        sharp, soft = self.told_apart
        if self.has_rare:
            # Until answers are ripe, at least none is clipped: a rare label would be as likely as .3 at every event.
            ripe = any(record.surprise.labels >= TAKES_PART_FROM for record in self.records.values())
            return RARE if ripe else soft
        return soft if self.ways[soft.key].value < self.ways[sharp.key].value else sharp

    @property
    def told_apart(self) -> tuple[Way, ...]:
        """Those of which the one that was wrong less often answers."""
        return WAYS if self.lateness.is_late else PROMPT_WAYS

    @property
    def has_rare(self) -> bool:
        """Whether one of two labels is rare."""
        share = self.positives.value
        return self.positives.labels >= WINDOW_EVENTS and min(share, 1 - share) < RARE_BELOW

    def weights(self, members: list[Member], way: Way) -> list[float]:
        """What each counts for; they sum to 1."""
        losses = [self._loss_by(way, self.records[member.name]) for member in members]
        least = min(losses, default=0.0)
        if least == math.inf:  # of these no answer was ripe; of others some were
            losses, least = [0.0] * len(losses), 0.0
        scale = min(way.rate_max, way.rate / (1 + self.lateness.lag))
        if way is RARE:
            share, records = self.positives.value, self.records
            ripe = max(records[member.name].surprise.labels for member in members) if members else 0
            scale *= min(ripe, self.window) * COMMON / max(share * (1 - share), SURPRISE_MIN)
        else:
            scale *= min(self.labels, self.window)
        powers = [math.exp(-scale * (loss - least)) for loss in losses]
        if way.least:
            powers = [each if each >= way.least else 0.0 for each in powers]
        total = sum(powers)
        return [each / total for each in powers]

    def _loss_by(self, way: Way, record: Record) -> float:
        """The mean loss that this way weighs by; infinite, if there is none yet."""
        if way.key == SHARP.key:
            return record.wrong.value
        if way.key == SOFT.key:
            return record.brier.value
        if record.surprise.labels < TAKES_PART_FROM:
            return math.inf
        if record.said.labels < TAKES_PART_FROM:
            return record.surprise.value
        return record.surprise.value + _divergence(self.positives.value, record.said.value)

    def answer(self, answers: dict[str, Prediction]) -> Prediction | None:
        """What the blend answers, of the members' answers, to which both ways' are added; None: it has none yet."""
        members = self.members()
        if len(members) < 1 + (not self.serves):
            return None
        tables = [_table(answers.get(member.name, NOTHING)) for member in members]
        served, answering = NOTHING, self.way
        if self.has_rare:
            for member, table in zip(members, tables, strict=True):
                self.records[member.name].said.update(table.get(True, 0.0), window=WINDOW_EVENTS)
        ways = self.told_apart
        for way in (*ways, RARE) if answering is RARE else ways:
            weighted = [each for each in zip(self.weights(members, way), tables, strict=True) if each[0]]
            proba = blends.mixed(weighted, clip=way.clip)
            value = max(proba, key=proba.__getitem__) if proba else None
            # Of the one that does not answer, it only matters whether it is right.
            answers[way.key] = Prediction(value)
            if way is answering:
                served = answers[way.key] = Prediction(value, proba or None)
        return served

    def judge(
        self, event: AcceptedEvent, answers: Mapping[str, Prediction], *, ripe: bool
    ) -> tuple[Prediction | None, float | None]:
        """Judge members and both ways on what they answered when asked; the blend's own answer then, and its loss.

        Args:
            ripe: whether enough had been learned when the event was asked.
        """
        window, y, everybody = self.window, event.y, self.everybody()
        self.labels += 1
        if self.is_binary:
            self.positives.update(float(y is True), window=window)
        for member in everybody:
            answer = answers.get(member.name)
            if answer is not None:
                record, table = self._record(member), _table(answer)
                whole = answer if answer.proba else Prediction(answer.value, table)
                record.wrong.update(zero_one(y, answer), window=window)
                record.brier.update(brier(y, whole), window=window)
                if ripe and self.is_binary:
                    record.surprise.update(-math.log(max(table.get(y, 0.0), SURPRISE_MIN)), window=window)
        self._forget_who_left(everybody)
        return self._judge_ways(event, {way.key: answers[way.key] for way in (*WAYS, RARE) if way.key in answers})

    def _record(self, member: Member) -> Record:
        found = self.records.get(member.name)
        if found is None:
            found = self.records[member.name] = Record(*(Mean() for _ in Record._fields))
        return found

    def _forget_who_left(self, everybody: list[Member]) -> None:
        if len(self.records) > len(everybody):
            here = {member.name for member in everybody}
            self.records = {name: record for name, record in self.records.items() if name in here}

    def _judge_ways(self, event: AcceptedEvent, given: dict[str, Prediction]) -> tuple[Prediction | None, float | None]:
        if not given:
            return None, None
        for way in WAYS:
            self.ways[way.key].update(zero_one(event.y, given[way.key]), window=self.window)
        own = next((answer for answer in given.values() if answer.proba), NOTHING)
        return self._measured(event, own)

    def _measured(self, event: AcceptedEvent, own: Prediction) -> tuple[Prediction, float]:
        """What was answered counts for the constraints, too."""
        member = self.member
        if member.measured is not None:
            member.measured.update(event.y, own)
        self.constraints.note(member, event.grouped_by, event.y, own)
        return own, self.task.loss(event.y, own)

    # ── who serves ──────────────────────────────────────────────────────────────────────────────────────────────

    def turn(self, context: DecisionContext) -> Promotion | None:
        """Begin or end to judge or to serve, as it is wanted; what goes live by that."""
        if self.wanted and self.judges:
            return self._take_over(context)
        if self.serves:
            return self._hand_back(context)
        self._begin(self.wanted)
        return None

    def _begin(self, judges: bool) -> None:
        """Judge from now on, or no more."""
        self.judges = self.task.blends = judges
        self.retry = 0
        self._forget()
        for member in self.everybody():
            # It is asked for probabilities now, or need not be any longer.
            member.exchange_model(member.model, task=self.task, trained_on=member.trained_on)

    def _take_over(self, context: DecisionContext) -> Promotion | None:
        champion, number = self.succession.champion, context.event_number
        examined = self.constraints.examine(
            self.composed(context), champion=champion, canary=context.canary, event_number=number
        )
        alone = "" if len(self.members()) > 1 else "no two members can be announced"
        if examined.fault or alone:
            self._hold_back(f"the blend: {examined.fault or alone}", number)
            return None
        self.serves, self.retry = True, 0
        why = self._occasion if self.mode == "auto" else ""
        reason = f"the blend of {len(self.members())} members answers{why}"
        return self.succession.change_sides(self.composed, context, examined, reason=reason)

    def _hand_back(self, context: DecisionContext) -> Promotion | None:
        champion, number = self.succession.champion, context.event_number
        examined = self.constraints.announceable(champion, context.canary, event_number=number, measured={})
        if examined.fault:
            self._hold_back(f"the champion, so the blend answers on: {examined.fault}", number)
            return None
        self._begin(False)
        self.serves = False
        return self.succession.change_sides(None, context, examined, reason="the champion answers, and no blend")

    def _hold_back(self, why: str, event_number: int) -> None:
        if not self.retry:
            self.succession.lifecycle.stay(self.succession.champion.name, reason=f"held back: {why}", noted=True)
        self.retry = event_number + self.warm_up_events

    def composed(self, context: DecisionContext) -> Member:
        """The blend as it is now, as a member."""
        if self.left_out or self.retry or self.succession.held_until:
            self._leave_out(context)
        members, way = self.members(), self.way
        weighted = [(member.model, weight) for member, weight in zip(members, self.weights(members, way), strict=True)]
        # As it is asked then, too: by the champion where there are no members, and without those that have no say.
        models = [model for model, weight in weighted if weight] or [self.succession.champion.model]
        weights = [weight for _, weight in weighted if weight] or [1.0]
        self.member.model = self._mixture(models, weights, way)
        return self.member

    def _mixture(self, models: list[Any], weights: list[float], way: Way) -> Any:
        """What is published."""
        return blends.Blend(models, weights, clip=way.clip)

    def _leave_out(self, context: DecisionContext) -> None:
        """It could not be announced: without those that could not be announced alone it may be."""
        examined = {
            member.name: self.constraints.announceable(
                member, context.canary, event_number=context.event_number, measured={}
            )
            for member in self.everybody()
        }
        self.left_out = {name: each.fault for name, each in examined.items() if each.fault}

    def voices(self) -> frozenset[str]:
        """The members that have a say in one of both ways; none if no blend is judged."""
        if not self.judges:
            return frozenset()
        members = self.members()
        weighed = [zip(members, self.weights(members, way), strict=True) for way in self.told_apart]
        return frozenset(member.name for each in weighed for member, weight in each if weight)

    def shares(self) -> dict[str, float]:
        """What each member counts for in what is served, by name; none if a champion serves."""
        if not self.serves:
            return {}
        members = self.members()
        return dict(zip([member.name for member in members], self.weights(members, self.way), strict=True))

    # ── for checkpoints ─────────────────────────────────────────────────────────────────────────────────────────

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        member = self.member
        return {
            "judges": self.judges,
            "serves": self.serves,
            "retry": self.retry,
            "labels": self.labels,
            "records": [(name, *(mean.state() for mean in each)) for name, each in self.records.items()],
            "ways": [(name, mean.state()) for name, mean in self.ways.items()],
            "positives": self.positives.state(),
            "left_out": dict(self.left_out),
            "version": member.version,
            "measured": None if member.measured is None else member.measured.state(),
            "groups": None if member.groups is None else member.groups.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; to be called before the members are restored, as it says what they are asked."""
        self.judges = self.task.blends = state["judges"]
        self._forget()
        self.serves, self.retry, self.labels = state["serves"], state["retry"], state["labels"]
        self.records = {name: Record(*(Mean(*mean) for mean in means)) for name, *means in state["records"]}
        self.ways = {name: Mean(*mean) for name, mean in state["ways"]}
        self.positives = Mean(*state["positives"])
        self.left_out = dict(state["left_out"])
        member = self.member
        member.version = state["version"]
        if member.measured is not None and state["measured"] is not None:
            member.measured.restore(state["measured"])
        if member.groups is not None and state["groups"] is not None:
            member.groups.restore(state["groups"])
        self.succession.stand_in = self.composed if self.serves else None


def _divergence(rate: float, said: float) -> float:
    """What the logarithmic loss is larger by, if `said` is forecast for what comes at this rate (Kullback-Leibler)."""
    said = min(max(said, SURPRISE_MIN), 1 - SURPRISE_MIN)
    parts = [(rate, said), (1 - rate, 1 - said)]
    return sum(came * math.log(came / forecast) for came, forecast in parts if came > 0)


def _table(answer: Prediction) -> dict[Any, float]:
    """What an answer counts for: its probabilities, or its label; nothing if it cannot be used."""
    return answer.proba or blends.certain(answer.value)
