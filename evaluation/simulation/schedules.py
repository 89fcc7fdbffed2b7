"""A simulated run: learning loops over faulty ports, as one seed has it, until everything is learned; then the oracle.

Processes crash at any step, are stopped, taken over, and go on as zombies; the broker refuses, forgets, and drops old
records; the disk fills up and rots; jobs die. The same seed gives the same run, step by step.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from anabranch import statetree
from anabranch.errors import (
    CheckpointError,
    KafkaUnavailable,
    LogTruncated,
    OwnershipLost,
    SessionExpired,
    StoreUnavailable,
)
from anabranch.events import Partition
from anabranch.messages import TrainedOn
from anabranch.scope import GLOBAL, Scope, of_partition
from config.settings import Settings
from consumers.jobs import JobRunner
from consumers.loop import LearningLoop
from consumers.owner import StartOptions
from consumers.telling import Ports
from evaluation.simulation.oracle import Oracle
from evaluation.simulation.runner import InputLog, ObservedLog, Past, SimulatedRunner
from evaluation.simulation.stream import PARTITIONS_MAX, Recipe
from evaluation.simulation.trainers import JobTopic, RemoteRunner
from evaluation.simulation.volumes import VOLUMES, Volume
from evaluation.simulation.world import (
    Crash,
    FaultySink,
    FaultySource,
    FrozenClock,
    Process,
    Schedule,
)
from learners.models import catalogue

FAULTS_MAX = 8
SLICES_MAX = 10_000
SLICE_STEPS_MAX = 30
ZOMBIES_MAX = 2

Loop = Callable[..., LearningLoop]
"""Makes a loop, from the arguments of `LearningLoop`."""


@dataclass(frozen=True)
class Scenario:
    """What is simulated.

    Args:
        volumes: where checkpoints lie; a schedule draws one.
        rebuilds: how often the model is rebuilt from the log when all is learned.
        disasters: what befalls a schedule, out of everybody's hands: blobs that rot, commits that the broker forgets.
        workers: several processes are started that share the partitions (`simulation/workers.py`), and not one.
    """

    name: str
    settings: Settings
    recipe: Recipe
    loop: Loop = LearningLoop
    faults_max: int = FAULTS_MAX
    volumes: Sequence[Callable[..., Volume]] = VOLUMES
    disasters: Sequence[str] = ("", "", "", "rot", "amnesia")
    rebuilds: float = 0.15
    workers: bool = False


class Finding(Exception):
    """A run has ended as none may."""


class Simulation:
    """One run of a scenario.

    Args:
        seed: of everything that is left to chance.
    """

    def __init__(self, scenario: Scenario, *, seed: int) -> None:
        self.scenario = scenario
        self.schedule = Schedule(seed, faults_max=scenario.faults_max)
        self.rng = self.schedule.rng
        self.clock = FrozenClock()
        # The order of the draws is what a seed means: in another one, a seed replays another run.
        fewest = 2 if scenario.workers else 1
        partitions, shared = self.rng.randint(fewest, PARTITIONS_MAX), scenario.settings.scope == "partition"
        self.log = ObservedLog(partitions=partitions, shared=shared, holds=self._holds)
        make = self.rng.choice(scenario.volumes)
        self.volumes: dict[str, Volume] = {
            scope: make(keep=scenario.settings.checkpoint.keep, clock=self.clock) for scope in self._scopes()
        }
        self.shared_fate = next(iter(self.volumes.values())).shared_fate
        self.stream = scenario.recipe.fill(self.log, scenario.settings, self.rng)
        self.disaster = self.rng.choice(scenario.disasters)
        self.known: dict[str, Past] = {}
        self.processes: list[Process] = []
        self.loops: dict[str, LearningLoop] = {}
        self.sources: dict[str, FaultySource] = {}
        self.pasts: dict[tuple[str, str], Past] = {}
        """By process and scope."""
        self.disasters_at: dict[str, int] = {}
        self.disasters = 0
        self._fresh = b""
        self.jobs = JobTopic(self.schedule)
        self.rebuilding = False
        self.done = ""
        """The name of the process that has learned everything."""

    def _scopes(self) -> dict[Scope, list[int]]:
        """The partitions of each model."""
        every = list(range(self.log.partitions))
        return {of_partition(each): [each] for each in every} if self.log.shared else {GLOBAL: every}

    def _holds(self, sha256: str) -> bool:
        return any(volume.holds(sha256) for volume in self.volumes.values())

    def run(self) -> None:
        """Run to the end.

        Raises:
            Finding: something is wrong; it says what.
        """
        try:
            self._run()
            self._judge()
            if self.rng.random() < self.scenario.rebuilds:
                self._begin_rebuild()
                self._run()
                self._judge()
        finally:
            # Their threads wait for a turn that never comes, and would go on doing so for the whole campaign.
            for process in self.processes:
                process.kill()

    def _run(self) -> None:
        for _ in range(SLICES_MAX):
            alive = [process for process in self.processes if not process.ended]
            if not alive and self.done and self._committed_last(self.done):
                return
            if not alive:
                self._start()
            else:
                self._slice(alive)
            if self.log.findings:
                raise Finding(self.log.findings[0])
        raise Finding(f"it does not end: {SLICES_MAX} slices")

    def _judge(self) -> None:
        for scope, partitions in self._scopes().items():
            oracle = Oracle(
                self.scenario.settings,
                self._first,
                self.stream.of(partitions),
                self.log,
                scope=scope,
                calm=not self.disasters,
            )
            name = self._finisher(scope)
            for finding in oracle.findings(self.loops[name].owners[scope], self.pasts[name, scope]):
                raise Finding(f"{scope}: {finding}" if self.log.shared else finding)

    def _finisher(self, scope: Scope) -> str:
        """The name of the process whose state of a model is judged: the one that has learned everything."""
        del scope
        return self.done

    def _begin_rebuild(self) -> None:
        """Somebody wants the model learned again, from what retention has left; with faults of its own."""
        self._retain()
        self.schedule.note("world", "the model is to be rebuilt")
        self.schedule.faults_left = self.rng.randint(0, self.scenario.faults_max)
        self.rebuilding, self.disaster, self.done = True, "", ""

    # ── processes ───────────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        name = f"p{len(self.processes) + 1}"
        self.clock.advance(0.001)  # two that go on from one checkpoint have not begun at the same moment
        self.disasters_at[name] = self.disasters
        self.processes.append(Process(name, self.schedule, self._work))

    def _rebuilds(self) -> bool:
        """Whether a process begins with a rebuild: until one has committed, and at times once more."""
        if not self.rebuilding:
            return False
        entry = self._committed_entry(range(self.log.partitions))
        begun = entry is not None and self.known[entry["sha"]].rebuilt_from is not None
        return not begun or self.rng.random() < 0.2

    def _work(self, process: Process) -> None:
        rebuild = self._rebuilds()
        settings = self.scenario.settings
        source = FaultySource(
            self.log,
            settings.topics.name("events"),
            process=process,
            clock=self.clock,
            labels=settings.topics.name("labels") if settings.labels.late else "",
            examples=settings.topics.name("examples"),
        )
        self.sources[process.name] = source
        loop = self.scenario.loop(
            settings,
            first=self._first,
            ports=Ports(
                source=source,
                sink=FaultySink(self.log, process=process),
                stores=lambda scope: self._store(process, scope, rebuild=rebuild),
                runners=lambda scope: self._runner(process, scope, reader=source),
                clock=self.clock,
                process=process.name,
            ),
            how=StartOptions(rebuild=rebuild),
        )
        self.loops[process.name] = loop
        loop.run(until_end=True)

    def _runner(self, process: Process, scope: Scope, *, reader: FaultySource) -> JobRunner:
        settings, inputs = self.scenario.settings, self.pasts[process.name, scope].inputs
        if settings.retrain.executor == "topic":
            return RemoteRunner(settings, reader=reader, process=process, inputs=inputs, topic=self.jobs)
        return SimulatedRunner(settings, reader=reader, process=process, inputs=inputs)

    def _store(self, process: Process, scope: Scope, *, rebuild: bool) -> InputLog:
        """The store of an owner, who begins without a past."""
        past = self.pasts[process.name, scope] = Past()
        volume = self.volumes.get(scope) or next(iter(self.volumes.values()))  # a loop tries its settings on a spare
        version = (lambda: self.loops[process.name].owners[scope].lane.version) if rebuild else None
        return InputLog(volume.store_of(process), known=self.known, past=past, rebuilding=version)

    def _first(self) -> tuple[Any, TrainedOn]:
        """A fresh model, built once: taking it out of bytes is quicker."""
        settings = self.scenario.settings
        if not self._fresh:
            model = catalogue.build(settings.model, seed=settings.seed)
            self._fresh = statetree.encode(model, trusted=settings.model.trusted)
        return statetree.decode(self._fresh, trusted=settings.model.trusted), TrainedOn()

    def _slice(self, alive: list[Process]) -> None:
        """One process goes on for a while, mostly the newest; then the world may interfere."""
        process = self._next(alive)
        process.resume(self.rng.randint(1, SLICE_STEPS_MAX))
        if process.ended:
            self._ended(process)
        else:
            self._interfere(process, zombies=len(alive) - 1)

    def _next(self, alive: list[Process]) -> Process:
        return alive[-1] if self.rng.random() < 0.6 else self.rng.choice(alive)

    def _ended(self, process: Process) -> None:
        error = process.error
        self.schedule.note(process.name, "ends", f"{type(error).__name__}: {error}" if error else "")
        if process.crashed or not self.shared_fate:
            self._power_fails(process)
        if error is None:
            self._finished(process.name)
            return
        self._missed(process)
        if not self._expected(process, error):
            raise Finding(f"a process ended with {_told(error)}")

    def _missed(self, process: Process) -> None:
        """The group notices in the end that a process is there no longer."""
        if self.log.shared and process.name in self.sources:
            self.log.leave(self.sources[process.name])

    def _finished(self, name: str) -> None:
        """A process has ended in order; that is the end of all, if it owned everything and was not stopped."""
        loop = self.loops[name]
        if loop.owners.keys() == self.volumes.keys() and self._committed_last(name):
            self.done = "" if loop.stopping.is_set() else name

    def _committed_last(self, name: str) -> bool:
        """Whether its states are what the next one would go on from: it may have been taken over since."""
        owners = self.loops[name].owners
        entries = {scope: self._committed_entry(self._scopes()[scope]) for scope in owners}
        return all(entry is None or entry["sha"] == owners[scope].sha for scope, entry in entries.items())

    def _power_fails(self, process: Process) -> None:
        """A process that crashes may take its machine with it, and whoever else runs there."""
        if self.shared_fate:
            if self.rng.random() < 0.5:
                return
            self.schedule.note("world", "the power fails")
            for each in (each for each in self.processes if not each.ended):
                each.kill()
                self._missed(each)
        for volume in self.volumes.values():
            volume.power_fails(by=process.name, rng=self.rng)

    def _expected(self, process: Process, error: BaseException) -> bool:
        """Whether a process may end so: it crashed, something went wrong around it, or it was taken over."""
        hit = process.faults > 0 or self.disasters > self.disasters_at[process.name]
        taken_over = self.sources[process.name].is_displaced
        match error:
            case Crash():
                return True
            case OwnershipLost() | SessionExpired() | KafkaUnavailable() | CheckpointError() | StoreUnavailable():
                return hit or taken_over
            # Retention leaves what the last two checkpoints need, so
            # only who was taken over may find that records are gone.
            case LogTruncated():
                return taken_over
        return False

    # ── the world ───────────────────────────────────────────────────────────────────────────────────────────────

    def _interfere(self, process: Process, *, zombies: int) -> None:
        chance = self.rng.random()
        if chance < 0.20 and zombies < ZOMBIES_MAX and self.schedule.take_fault():
            self._start()
            self.schedule.note("world", f"{self.processes[-1].name} is started beside {process.name}")
        elif chance < 0.22 and process.name in self.loops and self.schedule.take_fault():
            self.schedule.note("world", f"{process.name} is asked to stop")
            self.loops[process.name].stop()
        elif chance < 0.27 and self.log.shared and process.name in self.sources and self.schedule.take_fault():
            self.schedule.note("world", f"the group takes {process.name} for dead")
            self.log.leave(self.sources[process.name])
        elif chance < 0.40:
            self._strike_if_due()
        elif chance < 0.45 and not self.rebuilding:  # a rebuild needs all that is there
            self._retain()

    def _strike_if_due(self) -> None:
        """A disaster, if it would not be the end: two checkpoints are there, of which one may go."""
        scope, partitions = self.rng.choice(list(self._scopes().items()))
        entry, volume = self._committed_entry(partitions), self.volumes[scope]
        whole = entry is not None and all(volume.holds(entry[which]) for which in ("sha", "parent"))
        if entry is None or not whole or not self.disaster or not volume.entries() or not self.schedule.take_fault():
            return
        self.disasters += 1
        if self.disaster == "rot":
            self.schedule.note("world", f"the blob of checkpoint {entry['number']} of {scope} is torn")
            volume.tear(entry["sha"], rng=self.rng)
        else:
            forgets_all = self.rng.random() < 0.5
            self.schedule.note("world", f"the broker forgets the {'commits' if forgets_all else 'metadata'} of {scope}")
            self.log.forget(partitions, offsets=forgets_all)
            self.disaster = ""

    def _committed_entry(self, partitions: Sequence[int]) -> dict[str, Any] | None:
        committed = self.log.committed_of(partitions)
        return orjson.loads(committed.metadata) if committed is not None and committed.metadata else None

    def _retain(self) -> None:
        """Retention takes records that nobody needs to learn any more, going by the last two checkpoints."""
        topic = self.scenario.settings.topics.name("events")
        for scope, partitions in self._scopes().items():
            entries = [self._committed_entry(partitions), *self.volumes[scope].entries()[-1:]]
            names = [str(entry[which]) for entry in entries if entry for which in ("sha", "parent")]
            kept = [self.log.positions_of.get(name) for name in names]
            for partition in partitions:
                at = Partition(topic, partition)
                safe = min((each.get(at, 0) if each else 0 for each in kept), default=0)
                before = self.rng.randint(0, safe)
                self.schedule.note("world", f"retention takes partition {partition} before offset {before}")
                self.log.trim(topic, before=before, partition=partition)


def _told(error: BaseException) -> str:
    """The error and where it came from."""
    return "".join(traceback.format_exception(error)).strip()
