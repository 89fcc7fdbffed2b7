"""A simulated run of several workers: processes of one group that share a model's partitions, started again when dead.

As `consumers/workers.py` starts them: they know nothing of each other but what the group and the commits say. Whoever
is killed is missed only when its session is over; until then nobody learns its partitions.
"""

from dataclasses import dataclass

from anabranch.scope import Scope
from evaluation.simulation.schedules import SLICES_MAX, Finding, Scenario, Simulation
from evaluation.simulation.world import Process

WORKERS_MIN, WORKERS_MAX = 2, 3
MORE_WORKERS_MAX = 2
"""So many join while the others learn, as when somebody wants more of them."""

AGAIN_SLICES_MAX, SESSION_SLICES_MAX = 12, 12
"""So many slices of other processes pass at most until a dead worker is started again, and until it is missed."""


@dataclass
class Place:
    """A worker's place, which one process after the other takes."""

    process: Process | None = None
    again_in: int = 0
    """Slices until the next one is started."""
    is_done: bool = False
    """Whether it has ended well, with all that it owned learned; it is not started again."""


class SimulatedWorkers(Simulation):
    """One run of a scenario with `workers`. Each partition is judged by itself, whoever had it last."""

    def __init__(self, scenario: Scenario, *, seed: int) -> None:
        super().__init__(scenario, seed=seed)
        self.places = [Place() for _ in range(self.rng.randint(WORKERS_MIN, WORKERS_MAX))]
        self.more = 0
        self.sessions: dict[str, int] = {}
        """Of processes that were killed: slices until the group misses them."""

    def _run(self) -> None:
        for _ in range(SLICES_MAX):
            self._start_due()
            alive = [process for process in self.processes if not process.ended]
            if alive:
                self._slice(alive)
            elif self._all_learned():
                return
            self._time_passes(none_left=not alive)
            if self.log.findings:
                raise Finding(self.log.findings[0])
        raise Finding(f"it does not end: {SLICES_MAX} slices")

    # ── who runs ────────────────────────────────────────────────────────────────────────────────────────────────

    def _start_due(self) -> None:
        for place in self.places:
            if place.process is None and not place.is_done and place.again_in <= 0:
                self._start()
                place.process = self.processes[-1]

    def _time_passes(self, *, none_left: bool) -> None:
        """One slice more since the dead died; with nobody left the rest of their time passes at once.

        If all have ended well and yet something is not learned, the command is started once more.
        """
        begins_again = none_left and all(place.is_done for place in self.places)
        for place in self.places:
            place.again_in = 0 if none_left else place.again_in - 1
            place.is_done &= not begins_again
        for name in list(self.sessions):
            self.sessions[name] -= 1
            if none_left or self.sessions[name] <= 0:
                del self.sessions[name]
                self.schedule.note("world", f"the group misses {name}")
                self.log.leave(self.sources[name])

    def _next(self, alive: list[Process]) -> Process:
        return self.rng.choice(alive)

    def _ended(self, process: Process) -> None:
        super()._ended(process)
        for place in self.places:
            if place.process is not None and place.process.ended:
                place.is_done = self._ended_well(place.process)
                place.process, place.again_in = None, self.rng.randint(0, AGAIN_SLICES_MAX)

    def _ended_well(self, process: Process) -> bool:
        if process.is_doomed or process.error is not None:  # one that is killed before it begins has no error
            return False
        return not self.loops[process.name].stopping.is_set()

    def _missed(self, process: Process) -> None:
        """Only who was killed is waited for; any other says that it leaves."""
        if process.is_doomed and process.name in self.sources:
            self.sessions[process.name] = self.rng.randint(0, SESSION_SLICES_MAX)
        else:
            super()._missed(process)

    def _interfere(self, process: Process, *, zombies: int) -> None:
        if self.more < MORE_WORKERS_MAX and self.rng.random() < 0.1 and self.schedule.take_fault():
            self.more += 1
            self.places.append(Place())
            self.schedule.note("world", "there is to be one worker more")
        super()._interfere(process, zombies=max(0, zombies - len(self.places)))

    # ── what has become of each partition ───────────────────────────────────────────────────────────────────────

    def _finished(self, name: str) -> None:
        """Nobody need have everything: `_all_learned` looks at all of them."""

    def _all_learned(self) -> bool:
        return all(self._finisher(scope) for scope in self._scopes())

    def _finisher(self, scope: Scope) -> str:
        """Who has ended well with what is committed last of a partition; "" if nobody has."""
        entry = self._committed_entry(self._scopes()[scope])
        return next(
            (
                each.name
                for each in reversed(self.processes)
                if self._ended_well(each)
                and entry is not None
                and scope in (owners := self.loops[each.name].owners)
                and owners[scope].sha == entry["sha"]
            ),
            "",
        )
