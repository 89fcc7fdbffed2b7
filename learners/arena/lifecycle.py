"""The lifecycle of a model: its states and the steps between them. Every step is emitted, as a `Transition`.

>>> lifecycle = Lifecycle()
>>> lifecycle.move("first", "serving", reason="the first champion")
>>> lifecycle.move("r56-last-1000", "recruiting", reason="drift: adwin")
>>> lifecycle.move("r56-last-1000", "arena", reason="trained on 1000 events")
>>> lifecycle.move("r56-last-1000", "probation", reason="wins after 312 events")
>>> lifecycle.move("first", "displaced", reason="r56-last-1000 wins")
>>> [f"{step.member}: {step.before} to {step.after}" for step in lifecycle.emit()][-2:]
['r56-last-1000: arena to probation', 'first: serving to displaced']
>>> lifecycle.states
{'first': 'displaced', 'r56-last-1000': 'probation'}
"""

from typing import Any, NamedTuple

from anabranch.messages import Level, LifeState

MOVES: dict[LifeState, frozenset[LifeState]] = {
    "new": frozenset({"recruiting", "arena", "serving"}),
    "recruiting": frozenset({"arena", "gone"}),
    "arena": frozenset({"paused", "probation", "serving", "gone"}),
    "paused": frozenset({"arena", "gone"}),
    "probation": frozenset({"serving", "displaced"}),
    "serving": frozenset({"displaced"}),
    "displaced": frozenset({"serving", "arena", "library", "gone"}),
    "library": frozenset({"gone"}),
    "gone": frozenset(),
}
"""Where each state leads."""


class Step(NamedTuple):
    """One step of one model."""

    member: str
    before: LifeState
    after: LifeState
    reason: str
    level: Level
    noted: bool
    """Whether the next report says it too."""


class Lifecycle:
    """Where each model of a lane is, and the steps that have not been told yet."""

    def __init__(self) -> None:
        self.states: dict[str, LifeState] = {}
        self.pending: list[Step] = []

    def move(
        self, member: str, after: LifeState, *, reason: str, level: Level = "info", noted: bool | None = None
    ) -> None:
        """Take a step. One that `MOVES` does not know is a bug.

        Args:
            noted: in the next report, too; None: if it left, or is an alert.
        """
        before = self.states.get(member, "new")
        assert after in MOVES[before], f"{member}: from {before} to {after}"
        if after == "gone":
            # Recruits come and go for as long as the service runs: those that are gone must not fill every checkpoint.
            del self.states[member]
        else:
            self.states[member] = after
        noted = noted if noted is not None else after == "gone" or level == "alert"
        self.pending.append(Step(member, before, after, reason, level, noted))

    def stay(self, member: str, *, reason: str, level: Level = "info", noted: bool = False) -> None:
        """Stay where it is, which is worth telling: a win was held back, or its model was restarted."""
        state = self.states[member]
        self.pending.append(Step(member, state, state, reason, level, noted or level == "alert"))

    def emit(self) -> list[Step]:
        """The steps since the last call."""
        told, self.pending = self.pending, []
        return told

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"states": dict(self.states), "pending": [tuple(step) for step in self.pending]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.states = dict(state["states"])
        self.pending = [Step(*step) for step in state["pending"]]
