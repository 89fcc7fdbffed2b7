"""The arena: on each event every shadow predicts, is judged beside the champion, and learns; one that raises leaves."""

from collections.abc import Collection, Iterable

from anabranch.events import AcceptedEvent, Prediction
from config.settings import Settings
from learners.arena.members import Cause, Member, Timed, paired
from learners.arena.off_policy import Compared, RankerContest
from learners.arena.resting import Resting, Voices
from learners.arena.rounds import Rounds, Turn
from learners.arena.shadows import Shadows
from learners.arena.standing import Refill, StandingPlaces
from learners.models.fence import is_fault
from learners.models.tasks import Task


class Arena:
    """What happens to the shadows on an event.

    Attributes:
        ahead: whether one may have evidence enough for a win.
        resting: who takes part in few events since another is better; None: all take part, as far as there is budget.
        rounds: where shadows play so many events at a time; None: they predict and learn on each at once.
    """

    def __init__(
        self, shadows: Shadows, standing: StandingPlaces, settings: Settings, *, task: Task, voices: Voices
    ) -> None:
        self.rounds: Rounds | None = None
        self.shadows = shadows
        self.standing = standing
        self.task = task
        self.window = settings.scores.window
        self.ahead = False
        self.resting = Resting(voices=voices) if settings.shadows.rest else None

    def predict(
        self, event: AcceptedEvent, answers: dict[str, Prediction], *, event_number: int, timed: Timed | None
    ) -> None:
        """Let every shadow predict that takes part in this event."""
        if self.rounds is not None:
            self.rounds.prompt = event
            return
        # A copy, since whoever raises is taken out of the list meanwhile.
        for member in list(self.shadows.members):
            # A stride of 0 is a pause. By the event's number and not
            # by a counter, so that a restart skips the same events.
            if member.stride != 1 and (not member.stride or event_number % member.stride):
                continue
            try:
                answer = member.predict(event.x) if timed is None else timed.predict(member, event.x)
                answers[member.name] = answer
                if answer.unusable:
                    member.unusable.note(answer.unusable, event_number=event_number, window=self.window)
            except BaseException as error:
                if not is_fault(error):
                    raise
                self.disqualify(member, error)

    def judge(
        self,
        event: AcceptedEvent,
        loss: float | None,
        answers: dict[str, Prediction],
        *,
        timed: Timed | None,
        window: float,
        learns: bool = True,
        event_number: int = 0,
    ) -> None:
        """Score every shadow on its answer, beside the champion's loss, and teach it if it `learns` at once.

        Args:
            window: labels of a member's mean loss.
        """
        if self.rounds is not None:
            self.rounds.add(event, event_number, loss, learns=learns)
            return
        task, wins_at = self.task, self.shadows.wins_at
        for member in list(self.shadows.members):
            answer = answers.get(member.name)
            if answer is None:
                # It sat this event out and does not learn it either. A full member without an answer entered while the
                # event waited for its label: it cannot be judged, but it can learn.
                if member.stride != 1:
                    continue
            elif loss is not None:
                if paired(loss, event.y, member, answer, task=task, window=window) >= wins_at:
                    self.ahead = True
                if member.groups is not None:
                    self.shadows.constraints.note(member, event.grouped_by, event.y, answer)
            if learns:
                self._teach(member, event, timed=timed)

    def end_round(
        self, event: AcceptedEvent, *, champion: Member, event_number: int, window: float, tends: bool
    ) -> None:
        """If the round ends with this event: what came of the round before counts, and this one begins to be played.

        Args:
            window: labels of a member's mean loss.
            tends: whether standing places are filled, and restart.
        """
        rounds = self.rounds
        if rounds is None or event_number % rounds.every:
            return
        answers = self._count(rounds, window)
        if tends:
            self._tend_round(answers, champion=champion)
            self._tend(event, {}, champion=champion, event_number=event_number)
        rounds.start(self.shadows.members)

    def end_rounds(self, waiting: Rounds, *, champion: Member, window: float, tends: bool) -> None:
        """Play and count at once what rounds left waiting, in a lane that has none any more.

        Args:
            waiting: as a checkpoint kept it.
            window: labels of a member's mean loss.
            tends: whether standing places are filled, and restart.
        """
        for _ in ("the round before", "the one under way"):
            answers = self._count(waiting, window)
            if tends:
                self._tend_round(answers, champion=champion)
            waiting.start(self.shadows.members)

    def _count(self, rounds: Rounds, window: float) -> dict[int, tuple[Turn, dict[str, Prediction]]]:
        """Judge shadows by what they answered in the round before; the answers, by the number of the event."""
        here = {member.name: member for member in self.shadows.members}
        found: dict[int, tuple[Turn, dict[str, Prediction]]] = {}
        for name, turns, done in rounds.take():
            member = here.get(name)
            if member is None:
                continue  # it has left meanwhile, or serves
            for turn, answer in zip(turns, done.answers, strict=False):
                if answer is not None and turn.loss is not None:
                    self._judge(member, turn, answer, window)
                    found.setdefault(turn.number, (turn, {}))[1][name] = answer
            if done.fault:
                self._disqualify(member, done.fault)
        return dict(sorted(found.items()))

    def _tend_round(self, answers: dict[int, tuple[Turn, dict[str, Prediction]]], *, champion: Member) -> None:
        """Look after standing places as each turn of a round would have made it necessary."""
        here = {member.name: (member, member.entered) for member in self.shadows.members}
        for turn, given in answers.values():
            # Where a place restarts within the round, the old model's answers go on to its end: they tell the fresh
            # one's alarm nothing.
            own = {name: answer for name, answer in given.items() if name not in here or _is_same(*here[name])}
            self._tend(turn.event, own, champion=champion, event_number=turn.number)

    def _judge(self, member: Member, turn: Turn, answer: Prediction, window: float) -> None:
        event, loss = turn.event, turn.loss
        assert loss is not None  # who calls has looked
        if answer.unusable:
            member.unusable.note(answer.unusable, event_number=turn.number, window=self.window)
        if paired(loss, event.y, member, answer, task=self.task, window=window) >= self.shadows.wins_at:
            self.ahead = True
        if member.groups is not None:
            self.shadows.constraints.note(member, event.grouped_by, event.y, answer)

    def compare(self, lists: Iterable[Compared]) -> None:
        """Judge rankers by lists that were shown, whoever made them."""
        for compared in lists:
            for member in self.shadows.members:
                found = compared.get(member.name)
                if found is None or not isinstance(member.contest, RankerContest):
                    continue
                if member.contest.lists.compare(*found) >= self.shadows.wins_at and member.contest.by_lists:
                    self.ahead = True

    def catch_up(self, event: AcceptedEvent, event_number: int, *, asked: Collection[str]) -> None:
        """Teach an event of before to every shadow that was there and took part in it."""
        if self.rounds is not None:
            self.rounds.add(event, event_number, None, learns=True)
            return
        for member in list(self.shadows.members):
            if event_number > member.entered and (member.stride == 1 or member.name in asked):
                self._teach(member, event, timed=None)

    def _teach(self, member: Member, event: AcceptedEvent, *, timed: Timed | None) -> None:
        try:
            member.learn(event.x, event.y) if timed is None else timed.learn(member, event.x, event.y)
        except BaseException as error:
            if not is_fault(error):
                raise
            self.disqualify(member, error)

    def disqualify(self, member: Member, error: BaseException) -> None:
        """A shadow that raises never costs an event: it leaves."""
        self._disqualify(member, f"{type(error).__name__}: {error}")

    def _disqualify(self, member: Member, why: str) -> None:
        if member.place:
            self.standing.fault(member.place)
        self.shadows.leave(member, reason=f"disqualified: {why}")

    def tend(
        self, event: AcceptedEvent, answers: dict[str, Prediction], *, champion: Member, event_number: int
    ) -> None:
        """Fill the standing places whose model is old, alarmed or gone; with rounds that is done where one ends."""
        if self.rounds is None:
            self._tend(event, answers, champion=champion, event_number=event_number)

    def _tend(
        self, event: AcceptedEvent, answers: dict[str, Prediction], *, champion: Member, event_number: int
    ) -> None:
        if self.resting is not None and event_number % self.resting.look_events == 0:
            for member, why in self.resting.look(champion, self.shadows.members):
                self.shadows.lifecycle.stay(member.name, reason=why)
        for refill in list(self.standing.tend(event, answers, event_number=event_number)):
            holder = self.standing.holders.get(refill.place)
            if holder is None or holder is champion:
                self._stand(refill, instead_of=holder, event_number=event_number)
            else:
                holder.exchange_model(refill.model, task=self.task, trained_on=refill.trained_on)
                holder.version = None  # what was published was another model
                holder.entered = event_number
                self.shadows.lifecycle.stay(holder.name, reason=refill.reason)

    def wake(self) -> None:
        """A signal: what was learned may hold no longer, and so all take part again."""
        for member in self.shadows.members:
            if member.rests:
                member.wake()
                self.shadows.lifecycle.stay(member.name, reason="takes part in every event again: a signal")

    def _stand(self, refill: Refill, *, instead_of: Member | None, event_number: int) -> None:
        """A new member for a place; a champion that held it serves on without one."""
        if instead_of is not None:
            instead_of.place = ""
        # The member that held the place before may still be there, in probation say, and the lifecycle goes by names.
        name = refill.place if refill.place not in self.shadows.lifecycle.states else f"{refill.place}-{event_number}"
        member = Member(
            name,
            refill.model,
            lifecycle=self.shadows.lifecycle,
            task=self.task,
            trained_on=refill.trained_on,
            since=event_number,
            cause=Cause("place", refill.place),
            place=refill.place,
        )
        self.standing.hold(member)
        self.shadows.enter(member, reason=refill.reason)


def _is_same(member: Member, entered: int) -> bool:
    """Whether a member's model still is the one that came then."""
    return member.entered == entered
