"""Rounds: shadows that predict and learn so many events at a time, here or in processes beside; decisions come later.

At the end of a round it begins to be played: each shadow predicts and learns its events, one by one, as it would have
at once. At the end of the next round what came of it counts: evidence, alarms, who raised. Which events make a round
follows from their numbers alone, so a lane decides the same wherever its rounds are played, and however long they take.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from anabranch.events import AcceptedEvent, Prediction
from learners.arena.members import Member
from learners.models.fence import is_fault


class Turn(NamedTuple):
    """A labelled event of a round, its number, and the champion's loss; None: it is learned only.

    Args:
        learns: otherwise members only predict.
    """

    event: AcceptedEvent
    number: int
    loss: float | None
    learns: bool = True


class Played(NamedTuple):
    """What a member made of its turns: an answer or None for each, and why it has ended before the last, if it has."""

    answers: list[Prediction | None]
    fault: str = ""


class Crew(Protocol):
    """Plays rounds."""

    elsewhere: bool
    """Whether members' models learn in another place, from which they are to be brought home."""

    def start(self, plays: Sequence[tuple[Member, Sequence[Turn]]], *, present: Collection[str]) -> None:
        """Begin to play a round, after the one before was finished; it may go on while the caller does other things.

        Args:
            present: names of all who are in the arena, also of those that sit this round out.
        """

    def finish(self) -> dict[str, Played]:
        """What came of the round that was begun last, by member's name; it waits for that."""

    def home(self, member: Member) -> None:
        """Bring a member's model home, after a round is finished.

        Raises:
            StateTreeError: the model holds something that cannot be kept; it stays where it is.
        """


def played(
    predict: Callable[[Any], Prediction],
    learn: Callable[[Any, Any], None],
    turns: Iterable[tuple[Any, Any, bool, bool]],
) -> Played:
    """Predict and learn each turn's event in their order; what raises ends it.

    Args:
        turns: features and label of each, whether it is predicted, and whether it is learned.
    """
    answers: list[Prediction | None] = []
    try:
        for x, y, predicts, learns in turns:
            answers.append(predict(x) if predicts else None)
            if learns:
                learn(x, y)
    except BaseException as error:
        if not is_fault(error):
            raise
        return Played(answers, f"{type(error).__name__}: {error}")
    return Played(answers)


def asked(turns: Iterable[Turn]) -> list[tuple[Any, Any, bool, bool]]:
    """Of turns what a member needs."""
    return [(turn.event.x, turn.event.y, turn.loss is not None, turn.learns) for turn in turns]


class Here:
    """Plays rounds at once, in the lane's own process."""

    elsewhere = False

    def __init__(self) -> None:
        self.done: dict[str, Played] = {}

    def start(self, plays: Sequence[tuple[Member, Sequence[Turn]]], *, present: Collection[str]) -> None:
        """Play it."""
        self.done = {member.name: played(member.predict, member.learn, asked(turns)) for member, turns in plays}

    def finish(self) -> dict[str, Played]:
        """What came of it."""
        done, self.done = self.done, {}
        return done

    def home(self, member: Member) -> None:
        """It is here."""


class Rounds:
    """The turns of the round under way, and those that are being played.

    Args:
        every: accepted events of a round.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.crew: Crew = Here()
        self.prompt: AcceptedEvent | None = None
        """The event that is asked now: if it brings its label, members are judged on it."""
        self.turns: list[Turn] = []
        self.playing: dict[str, list[Turn]] = {}
        """By member's name the turns of the round before."""
        self.played: dict[str, Played] | None = None
        """What came of them, if that is known."""

    def add(self, event: AcceptedEvent, number: int, loss: float | None, *, learns: bool) -> None:
        """One more turn; what was not asked when it came is learned, and nobody is judged on it."""
        self.turns.append(Turn(event, number, loss if self.prompt is event else None, learns))

    def finished(self) -> dict[str, Played]:
        """What came of the round before; it waits for that."""
        if self.played is None:
            done = self.crew.finish() if self.playing else {}
            # In the order of the arena, as a checkpoint keeps it: a crew has its own, who came to it when.
            self.played = {name: done[name] for name in self.playing}
        return self.played

    def take(self) -> list[tuple[str, list[Turn], Played]]:
        """What came of the round before, once, by member's name."""
        done = self.finished()
        found = [(name, turns, done[name]) for name, turns in self.playing.items()]
        self.playing, self.played = {}, None
        return found

    def start(self, members: Iterable[Member]) -> None:
        """Have members play the round that has ended: what came since they entered, and their share of it."""
        turns, self.turns = self.turns, []
        members = list(members)
        plays = [(member, mine) for member in members if (mine := _share(member, turns))]
        self.playing = {member.name: mine for member, mine in plays}
        self.crew.start(plays, present={member.name for member in members})
        if self.crew.elsewhere:
            for member, _ in plays:
                member.away = self._home

    def _home(self, member: Member) -> None:
        self.finished()
        self.crew.home(member)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        done = self.finished()
        return {
            "turns": [_kept(turn) for turn in self.turns],
            "playing": [(name, [_kept(turn) for turn in turns]) for name, turns in self.playing.items()],
            "played": [
                (name, [None if a is None else tuple(a) for a in each[0]], each[1]) for name, each in done.items()
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.turns = [_turn(*each) for each in state["turns"]]
        self.playing = {name: [_turn(*each) for each in turns] for name, turns in state["playing"]}
        self.played = {
            name: Played([None if each is None else Prediction(*each) for each in answers], fault)
            for name, answers, fault in state["played"]
        }


def _share(member: Member, turns: Iterable[Turn]) -> list[Turn]:
    stride = member.stride
    return [turn for turn in turns if turn.number > member.entered and stride and turn.number % stride == 0]


def _kept(turn: Turn) -> tuple[Any, ...]:
    return turn.event.kept(), turn.number, turn.loss, turn.learns


def _turn(event: Any, number: int, loss: float | None, learns: bool) -> Turn:
    return Turn(AcceptedEvent(*event), number, loss, learns)
