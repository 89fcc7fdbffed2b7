"""Succession: who serves. The swap, the rollback, what holds a winner back, and the versions."""

from collections.abc import Callable
from typing import Any, NamedTuple

from anabranch.events import AcceptedEvent
from anabranch.messages import UpdateKind
from config.settings import Settings
from learners.arena.constraints import Examined
from learners.arena.lifecycle import Lifecycle
from learners.arena.members import Cause, Member, revived
from learners.arena.rollout import Rollout
from learners.arena.shadows import NEVER, Library, Shadows
from learners.emitted import Promotion
from learners.publication import Published


class DecisionContext(NamedTuple):
    """When something is decided: the event, its number, the scores and the newest rows."""

    event: AcceptedEvent
    event_number: int
    scores: dict[str, float]
    canary: tuple[dict[str, object], ...]
    late: bool = False
    """Whether labels come late: see `Lateness`."""


TURNS, TURNS_EVENTS = 3, 10_000
"""So many swaps by evidence within so many accepted events: champions take turns, and nobody is the best for long."""

StandIn = Callable[[DecisionContext], Member]
"""Makes what is served in place of a champion, as it is now."""


class Succession:
    """The champion, and the rules by which another one takes its place.

    A rolled-back model's kind (its trigger, or its standing place) cannot win again within `probation_events`: two that
    take turns would flap. A win of one in that time is held back, and the step that says so is an alert.

    Attributes:
        champion: the member that serves.
        version: of the last announcement.
        stand_in: makes what is served in the champion's place: see `Blend`; None: the champion serves.
        due: accepted events at which the champion's probation is over.
        pinned: by whom and why nothing is swapped; empty: it may be.
        frozen: by whom and why nothing is learned, and so nothing swapped either.
        swapped_at: of the last swaps by evidence, accepted events; as many as tell whether champions take turns.
        unapproved: the change envelope that nobody has approved yet; empty: the one in use is approved.
    """

    def __init__(
        self,
        settings: Settings,
        champion: Member,
        *,
        shadows: Shadows,
        library: Library,
        lifecycle: Lifecycle,
        published: Published,
    ) -> None:
        self.champion = champion
        self.version = 0
        self.stand_in: StandIn | None = None
        self.shadows = shadows
        self.library = library
        self.lifecycle = lifecycle
        self.published = published
        self.due = NEVER
        self.pinned = self.frozen = self.unapproved = ""
        self.held_until = 0
        """Accepted events at which a champion that was broken is looked at again; 0: none was."""
        self.rolled_back: dict[Cause, int] = {}
        self.swapped_at: tuple[int, ...] = ()
        self.rollout = Rollout(settings.rollout, wins_at=settings.arena.false_swap_every)
        self._probation_events = settings.arena.probation_events
        self._warm_up_events = settings.publish.warm_up_events
        shadows.constraints.start_groups(champion)

    # ── when ────────────────────────────────────────────────────────────────────────────────────────────────────

    def publication_due(self, event: AcceptedEvent, event_number: int) -> bool:
        """Whether the champion is to be announced for the first time, or as it has become."""
        announced = self.champion.version if self.stand_in is None else self.published.version
        if self.frozen and announced is not None:
            return False
        if announced is None or self.held_until:
            return event_number >= max(self._warm_up_events, self.held_until)
        published = self.published
        if event.ts < published.at_ts or published.earlier:
            published.see_time(event.ts)
        return published.is_due(event, event_number)

    def publish_as_it_is(self, context: DecisionContext) -> Promotion | None:
        """The champion once more, with what it has learned since; or for the first time. None if it is broken."""
        data = self._announceable(context)
        if not data:
            return None
        if self._serving(context).version is not None:
            reason = self.published.why(context.event, context.event_number)
            kind: UpdateKind = "canary" if self.rollout.under_way else "refresh"
            return self.publish(kind, context, data=data, reason=reason)
        return self.publish("first", context, data=data, reason=f"{context.event_number} events learned")

    def rebuilt(self, context: DecisionContext, *, reason: str, kind: UpdateKind = "rebuild") -> Promotion | None:
        """The champion as it is, between two events; None before the warm-up is over, or if it is broken."""
        if context.event_number < max(self._warm_up_events, self.held_until):
            return None
        data = self._announceable(context)
        if not data:
            return None
        self._settle(context.event_number)
        return self.publish(kind, context, data=data, reason=reason)

    @property
    def held(self) -> str:
        """Why another may not answer, by a person's word; empty: it may."""
        if self.frozen:
            return f"learning is frozen {self.frozen}"
        return f"it is pinned {self.pinned}" if self.pinned else ""

    @property
    def waits(self) -> str:
        """Why another may not answer by evidence, though it may by a person's word; empty: it may."""
        return self.held or (f"its change envelope is not approved: {self.unapproved}" if self.unapproved else "")

    @property
    def holds(self) -> tuple[str, ...]:
        """What is held by a person's word, for people."""
        found = {"pinned": self.pinned, "frozen": self.frozen, "unapproved": self.unapproved}
        return tuple(f"{what} {why}" for what, why in found.items() if why)

    def _announceable(self, context: DecisionContext) -> bytes:
        """The champion's bytes; none if it cannot be announced as it is: an alert, and another look after a warm-up."""
        constraints, measured = self.shadows.constraints, dict[str, float]()
        examined = constraints.announceable(
            self._serving(context), context.canary, event_number=context.event_number, measured=measured
        )
        why = examined.fault
        if why and not self.held_until:
            self.lifecycle.stay(self.champion.name, reason=f"held back: not announced: {why}", level="alert")
        self.held_until = context.event_number + self._warm_up_events if why else 0
        return b"" if why else examined.data

    def _serving(self, context: DecisionContext) -> Member:
        return self.champion if self.stand_in is None else self.stand_in(context)

    def times_up(self, event_number: int) -> None:
        """End what has lasted its time: the champion's probation, displaced champions, recruits that do not win."""
        if event_number >= self.due:
            self.due = NEVER
            if self.champion.life == "probation":
                self.lifecycle.move(self.champion.name, "serving", reason="probation over")
        for member in self.shadows.over(event_number=event_number):
            if member.kind == "recruit":
                self.shadows.leave(member, reason="left: no win in its time")
            else:
                self._retire(member)
        self.shadows.count()

    def _retire(self, member: Member) -> None:
        """A displaced champion whose probation is over: back to its place, into the library, or gone."""
        if member.place:
            self.lifecycle.move(member.name, "arena", reason="probation over; it stays, as its place is a standing one")
        elif self.library.holds(member.name):
            self.shadows.members.remove(member)
            self.lifecycle.move(member.name, "library", reason="probation over; kept as it was when it was displaced")
        else:
            self.shadows.leave(member, reason="left: probation over")

    # ── who ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def contest(self, context: DecisionContext) -> Promotion | None:
        """The swap to the strongest winner that nothing holds back."""
        for member in self.shadows.ahead():
            if self.waits:
                self._hold(member, self.waits, level="info")
                continue
            # What was ahead when its answers were given may be behind by now: it has to lead on average, too.
            # (Lists are compared in the order in which they were shown, and losses say nothing of them.)
            by_losses = member.contest.deciding is member.contest
            if context.late and by_losses and member.loss_mean >= self.champion.loss_mean:
                continue
            if self.rollout.under_way and member.name != self.rollout.displaced:
                self._hold(member, f"version {self.champion.version} is being rolled out", level="info")
                continue
            recent = self._rolled_back_lately(member, context.event_number)
            if recent:
                self._hold(member, recent, level="alert")
                continue
            examined = self.shadows.constraints.examine(
                member, champion=self.champion, canary=context.canary, event_number=context.event_number
            )
            if not examined.fault:
                self.swapped_at = (*self.swapped_at, context.event_number)[-TURNS:]
                return self._swap(member, context, examined, reason="")
            self._hold(member, examined.fault, level="info")
        return None

    def _rolled_back_lately(self, member: Member, event_number: int) -> str:
        at = self.rolled_back.get(member.cause)
        if at is None or event_number - at >= self._probation_events:
            return ""
        return f"{member.cause} was rolled back {event_number - at} events ago"

    def _hold(self, member: Member, why: str, *, level: Any) -> None:
        """It stays and begins its contest again: it may be worse before nothing holds it back any more."""
        member.contest = self.shadows.contest()
        self.lifecycle.stay(member.name, reason=f"held back: {why}", level=level, noted=True)

    def _swap(
        self, winner: Member, context: DecisionContext, examined: Examined, *, reason: str, restores: int | None = None
    ) -> Promotion:
        """Exchange champion and winner; the displaced champion stays for its probation.

        Args:
            restores: the version that the winner is a copy of, if a person wants that back.
        """
        displaced, number = self.champion, context.event_number
        tradeoff = self.shadows.constraints.tradeoff(winner, champion=displaced)
        verdict = winner.verdict(wins_at=self.shadows.wins_at, tradeoff=tradeoff)
        restores = winner.version if winner.life == "displaced" else restores
        reason = reason or (
            f"{winner.name} wins after {verdict.events} events"
            if restores is None
            else f"version {restores} is better after all"
        )
        if restores is not None:
            self.rolled_back = {
                cause: at for cause, at in self.rolled_back.items() if number - at < self._probation_events
            }
            self.rolled_back[displaced.cause] = number
            self.library.drop(restores)
        self._settle(number)
        self._exchange(winner, displaced, event_number=number, rollback=restores is not None, reason=reason)
        self.held_until = 0
        kind: UpdateKind = "swap" if restores is None else "rollback"
        if restores is None and displaced.version is not None and not self.rollout.is_immediate:
            self._roll_out(displaced, beside=displaced.version)
            kind = "canary"
        promotion = self.publish(kind, context, data=examined.data, reason=reason)
        return promotion._replace(
            verdict=verdict, constraints=examined.measured, displaced_version=displaced.version, restores=restores
        )

    # ── a champion's way to all keys ────────────────────────────────────────────────────────────────────────────

    def _roll_out(self, displaced: Member, *, beside: int) -> None:
        """The displaced champion stays until it is decided."""
        self.rollout.begin(beside=beside, displaced=displaced.name)
        self.shadows.keeps, self.due = displaced.name, NEVER
        self.shadows.count()

    def _settle(self, event_number: int) -> None:
        """Nothing is rolled out any more; the displaced champion's probation begins now."""
        if not self.rollout.under_way:
            return
        if (displaced := self.displaced) is not None:
            displaced.since = event_number
        self.rollout.end()
        self.shadows.keeps, self.due = "", event_number + self._probation_events
        self.shadows.count()

    @property
    def displaced(self) -> Member | None:
        """The one that is rolled out beside the champion; None: nothing is, or it has had to leave."""
        name = self.rollout.displaced
        return next((member for member in self.shadows.members if member.name == name), None) if name else None

    def go_on(self, context: DecisionContext) -> Promotion | None:
        """The next step of the rollout, which is justified; None if the champion cannot be announced."""
        before, labels = self.rollout.share, self.rollout.labels
        reason = f"not worse than version {self.rollout.beside} over {labels} labels at {before:g} % of the keys"
        return self._step(context, reason, completes=False)

    def complete(self, context: DecisionContext, *, reason: str) -> Promotion | None:
        """The champion answers for all keys; None if it cannot be announced."""
        return self._step(context, reason, completes=True)

    def _step(self, context: DecisionContext, reason: str, *, completes: bool) -> Promotion | None:
        data = self._announceable(context)
        if not data:
            return None
        rollout, beside = self.rollout, self.rollout.beside
        if not (completes or rollout.is_at_last_step):
            rollout.go_on()
            reason = f"{reason}: {rollout.share:g} % from now on"
            kind: UpdateKind = "canary"
        else:
            self._settle(context.event_number)
            kind = "swap"
        self.lifecycle.stay(self.champion.name, reason=reason, noted=True)
        promotion = self.publish(kind, context, data=data, reason=reason)
        return promotion._replace(displaced_version=beside)

    def withdraw(self, context: DecisionContext, *, reason: str) -> tuple[Promotion | None, str]:
        """The displaced champion comes back; or why it cannot."""
        displaced = self.displaced
        if displaced is None:
            return None, "the displaced champion has left"
        return self._put_in(displaced, context, reason=reason)

    # ── by a person's word, without evidence ────────────────────────────────────────────────────────────────────

    def promote(self, name: str, context: DecisionContext, *, reason: str) -> tuple[Promotion | None, str]:
        """A shadow takes the champion's place; or why it cannot."""
        there = {member.name: member for member in self.shadows.members if member.life == "arena"}
        if name not in there:
            return None, f"no shadow {name!r} is in the arena; there: {', '.join(there) or 'none'}"
        return self._put_in(there[name], context, reason=reason)

    def in_probation(self) -> dict[int, Member]:
        """The displaced champions that can come back as they have become, by version."""
        return {each.version: each for each in self.shadows.members if each.life == "displaced" and each.version}

    def roll_back(self, version: int | None, context: DecisionContext, *, reason: str) -> tuple[Promotion | None, str]:
        """A displaced champion in its probation comes back, the last one if no version is named; or why it cannot."""
        there = self.in_probation()
        wanted = max(there, default=None) if version is None else version
        if wanted not in there:
            kept = ", ".join(map(str, sorted(there))) or "none"
            named = "no version" if version is None else f"version {version} is not"
            return None, f"{named} in its probation as a displaced champion; there: {kept}"
        return self._put_in(there[wanted], context, reason=reason)

    def bring_back(self, member: Member, context: DecisionContext, *, reason: str) -> tuple[Promotion | None, str]:
        """A version whose probation is over answers again, as it was announced; or why it cannot.

        Args:
            member: a copy of it, which is in no arena yet.
        """
        self.shadows.enter(member, reason=f"version {member.former} once more")
        promotion, withheld = self._put_in(member, context, reason=reason, restores=member.former)
        if promotion is None:
            self.shadows.leave(member, reason=f"left: {withheld}")
        return promotion, withheld

    def _put_in(
        self, member: Member, context: DecisionContext, *, reason: str, restores: int | None = None
    ) -> tuple[Promotion | None, str]:
        examined = self.shadows.constraints.announceable(
            member, context.canary, event_number=context.event_number, measured={}
        )
        if examined.fault:
            return None, f"{member.name} cannot be announced: {examined.fault}"
        return self._swap(member, context, examined, reason=reason, restores=restores), ""

    def change_sides(
        self, stand_in: StandIn | None, context: DecisionContext, examined: Examined, *, reason: str
    ) -> Promotion:
        """From now on this is served in the champion's place, or, with None, the champion again."""
        before = self.published.version
        self.stand_in, self.held_until = stand_in, 0
        self.lifecycle.stay(self.champion.name, reason=reason, noted=True)
        kind: UpdateKind = "first" if before is None else "swap"
        promotion = self.publish(kind, context, data=examined.data, reason=reason)
        return promotion._replace(constraints=examined.measured, displaced_version=before)

    def _exchange(self, winner: Member, displaced: Member, *, event_number: int, rollback: bool, reason: str) -> None:
        self.shadows.members.remove(winner)
        on_probation = bool(self._probation_events) and displaced.version is not None
        settled = rollback or not on_probation
        self.lifecycle.move(winner.name, "serving" if settled else "probation", reason=reason)
        self.lifecycle.move(displaced.name, "displaced", reason=f"rolled back: {reason}" if rollback else reason)
        task = self.shadows.constraints.task
        self.due = NEVER if settled else event_number + self._probation_events
        winner.change_sides(task=task, since=event_number)
        displaced.change_sides(task=task, since=event_number)
        self.champion = winner
        self.shadows.constraints.start_groups(winner)
        self._shelve(displaced)
        self.shadows.start_over()
        if on_probation or displaced.place:
            self.shadows.enter(displaced, reason="")
            if not on_probation:
                self._retire(displaced)
        else:
            self._away(displaced)
        self.shadows.count()

    def _shelve(self, displaced: Member) -> None:
        for name in self.library.keep(displaced):
            if self.lifecycle.states.get(name) == "library":
                self.lifecycle.move(name, "gone", reason="left: the library is full")

    def _away(self, displaced: Member) -> None:
        kept = self.library.holds(displaced.name)
        self.lifecycle.move(displaced.name, "library" if kept else "gone", reason="no probation is configured")

    @property
    def may_change(self) -> bool:
        """Whether somebody else may answer from now on: nobody has pinned or frozen it, its envelope is approved."""
        return not (self.pinned or self.frozen or self.unapproved)

    @property
    def take_turns(self) -> bool:
        """Whether the last champions have taken turns; it stays so while nobody is swapped."""
        at = self.swapped_at
        return len(at) == TURNS and at[-1] - at[0] < TURNS_EVENTS

    # ── versions ────────────────────────────────────────────────────────────────────────────────────────────────

    def publish(self, kind: UpdateKind, context: DecisionContext, *, data: bytes, reason: str) -> Promotion:
        """The next version, which is what followers have from now on."""
        self.version += 1
        champion, published = self._serving(context), self.published
        # A rebuilt model has learned the log from nothing; what it was on the way was announced to nobody.
        before = champion.parent if champion.version is None else champion.version
        parent = None if kind == "rebuild" else before
        champion.version = self.version
        lost = published.lost if published.judged else None
        published.exchange(data, version=self.version, event=context.event, event_number=context.event_number)
        return Promotion(
            kind=kind,
            version=self.version,
            event_number=context.event_number,
            partition=context.event.partition,
            offset=context.event.offset,
            event_ts=context.event.ts,
            member=champion.name,
            model=champion.model,
            data=data,
            lost=lost,
            trained_on=champion.trained_on,
            reason=reason,
            scores=context.scores,
            canary=tuple(self.shadows.constraints.task.rows(champion.model, context.canary)),
            parent=parent,
            trigger=champion.trigger,
            share=self.rollout.share if kind == "canary" else None,
            beside=self.rollout.beside if kind == "canary" else None,
            learns=self.stand_in is None and not self.frozen,
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, besides champion and version."""
        return {
            "due": self.due,
            "held_until": self.held_until,
            "rolled_back": [(*cause, at) for cause, at in self.rolled_back.items()],
            "library": self.library.state(),
            **({"swapped_at": self.swapped_at} if self.swapped_at else {}),
            # Only where there is one: the hash of a state without is what it was before there were rollouts.
            **({"rollout": self.rollout.state()} if self.rollout.under_way else {}),
            **({"pinned": self.pinned} if self.pinned else {}),
            **({"frozen": self.frozen} if self.frozen else {}),
            **({"unapproved": self.unapproved} if self.unapproved else {}),
        }

    def restore(self, state: dict[str, Any], *, champion: dict[str, Any], version: int) -> None:
        """Go on from a checkpoint."""
        constraints = self.shadows.constraints
        self.champion = revived(champion, lifecycle=self.lifecycle, task=constraints.task)
        constraints.start_groups(self.champion)
        if self.champion.groups is not None and champion["groups"] is not None:
            self.champion.groups.restore(champion["groups"])
        self.version = version
        self.held_until = state["held_until"]
        self.due = state["due"]
        self.rolled_back = {Cause(what, which): at for what, which, at in state["rolled_back"]}
        self.library.restore(state["library"])
        self.swapped_at = tuple(state.get("swapped_at", ()))
        self.pinned, self.frozen = state.get("pinned", ""), state.get("frozen", "")
        self.unapproved = state.get("unapproved", "")
        if "rollout" in state:
            self.rollout.restore(state["rollout"])
            self.shadows.keeps = self.rollout.displaced
