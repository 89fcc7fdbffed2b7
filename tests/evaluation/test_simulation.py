"""The simulator: it finds nothing in the loop, it finds bugs that are planted there, and every run can be replayed."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from anabranch.errors import CheckpointError, CheckpointMissing, OwnershipLost, StoreUnavailable
from anabranch.messages import ModelUpdate
from commands.main import app
from config.settings import Settings
from consumers.loop import LearningLoop
from consumers.owner import PLAIN, Owner, StartOptions
from consumers.ports import Committed, Positions
from consumers.stores.files import FolderBlobs
from consumers.telling import Ports
from evaluation.simulation.campaign import MODELS, Campaign, Result, shipped
from evaluation.simulation.oracle import announced_once
from evaluation.simulation.schedules import Finding, Loop, Scenario, Simulation
from evaluation.simulation.stream import Recipe, Synthetic
from evaluation.simulation.volumes import VOLUMES, FolderVolume
from learners.emitted import Emitted
from support.command_line import in_a_process

SEEDS_TO_FIND = 120
"""Within so many schedules each planted bug is found."""


def simulate(*words: str) -> Any:
    """The verb's schedules, in this process and on one core."""
    return CliRunner().invoke(app, ["simulate", *words, "--processes", "1", "--records", "0", "--answers", "0"])


def first_failure(scenario: Scenario, *, said: str = "") -> Result:
    """The first seed of the bounded number that finds something, or that finds this."""
    campaign = Campaign([scenario])
    results = (result for seed in range(SEEDS_TO_FIND) for result in campaign.some([seed]))
    found = next((result for result in results if result.finding and said in result.finding), None)
    assert found is not None, f"{SEEDS_TO_FIND} schedules have found nothing"
    return found


def with_owner(kind: type[Owner]) -> type[LearningLoop]:
    """A loop whose owners are of a kind."""
    return type(f"LoopOf{kind.__name__}", (LearningLoop,), {"owner_type": kind})


def with_stores(change: Callable[[Any], Any]) -> Loop:
    """A loop with changed stores."""

    def make(settings: Settings, *, ports: Ports, **more: Any) -> LearningLoop:
        stores = ports.stores
        return LearningLoop(settings, ports=replace(ports, stores=lambda scope: change(stores(scope))), **more)

    return make


def planted(loop: Any, **more: Any) -> Scenario:
    sound = shipped("linear")
    return Scenario("planted", sound.settings, sound.recipe, loop=loop, **more)


def test_many_schedules_on_all_cores_find_nothing() -> None:
    """P1 to P5: through crashes, takeovers and faults each event is learned once, each update announced once."""
    # Each scenario once, so that the verb and its processes are tried: `make simulate` carries out thousands.
    done = in_a_process("simulate", "--seeds", len(MODELS), "--records", 4000, "--answers", 1000)
    assert "4,000 malformed records before the guard, all well" in done.stdout, done.stdout + done.stderr
    assert f"{len(MODELS)} schedules from seed 0 on, all well" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(set(MODELS)))
def test_a_seed_is_a_schedule(name: str) -> None:
    """The same seed gives the same steps, whatever ran before."""
    campaign = Campaign([shipped(name)])
    one, _, again = campaign.some([11, 12, 11])
    assert one == again
    assert one.steps.startswith("p1: join")


# ── planted bugs ────────────────────────────────────────────────────────────────────────────────────────────────────


class LateStore:
    """Acknowledges a blob at once, and writes it when the checkpoint is noted in the manifest: after the commit."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.waiting: list[tuple[str, bytes]] = []

    def put(self, sha256: str, data: bytes) -> None:
        self.waiting.append((sha256, data))

    def record(self, entry: Any) -> None:
        for sha256, data in self.waiting:
            self.store.put(sha256, data)
        self.waiting = []
        self.store.record(entry)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class StubbornSource:
    """Joins again when a commit is refused, and commits the same state under the new generation."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def commit(self, positions: Positions, metadata: str) -> None:
        try:
            self.source.commit(positions, metadata)
        except OwnershipLost as lost:
            if "another" not in str(lost):  # only where somebody has taken over
                raise
            self.source.log.join(self.source)
            self.source.commit(positions, metadata)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


class HastyOwner(Owner):
    """Announces before it commits."""

    def checkpoint(self) -> None:
        outbox = list(self.outbox)
        self._publish_outbox()
        self.outbox = outbox
        super().checkpoint()


class PromotingOwner(Owner):
    """Makes a model live first, and says afterwards what else came of the event."""

    def _emit(self, emitted: Emitted) -> None:
        super()._emit(Emitted(promotion=emitted.promotion))
        super()._emit(Emitted(emitted.messages, emitted.jobs))


class FirstEpochOwner(Owner):
    """Goes back to a checkpoint's parent as if what the lost one announced had never been read."""

    def assign(self, partitions: Sequence[int], committed: Committed | None, *, how: StartOptions = PLAIN) -> Positions:
        positions = super().assign(partitions, committed, how=how)
        self.epoch = 1
        return positions


class LateTellingOwner(Owner):
    """Commits what it has learned, and tells its order afterwards."""

    def checkpoint(self) -> None:
        tell, self.tell_order = self.tell_order, lambda: None  # type: ignore[method-assign]
        try:
            super().checkpoint()
        finally:
            self.tell_order = tell  # type: ignore[method-assign]
        self.tell_order()


def test_an_order_that_is_told_after_the_commit_is_found() -> None:
    """A crash between the two would leave a gap in it."""
    assert "told in order" in first_failure(planted(with_owner(LateTellingOwner))).finding


def test_a_commit_before_its_blob_is_durable_is_found() -> None:
    """A crash between the two would leave a commit that names nothing."""

    assert "committed before its blob was durable" in first_failure(planted(with_stores(LateStore))).finding


def test_a_commit_that_is_retried_under_a_lost_generation_is_found() -> None:
    """Two histories would take the model from each other."""

    def stubborn(settings: Settings, *, ports: Ports, **more: Any) -> LearningLoop:
        return LearningLoop(settings, ports=replace(ports, source=StubbornSource(ports.source)), **more)

    assert first_failure(planted(stubborn)).finding


def test_an_outbox_that_is_published_before_the_commit_is_found() -> None:
    """A crash between the two would announce a second model under the same number."""
    found = first_failure(planted(with_owner(HastyOwner)))
    assert "two updates are called" in found.finding
    assert found == Campaign([planted(with_owner(HastyOwner))]).some([found.seed])[0]


def test_what_is_said_after_a_promotion_is_missed() -> None:
    """A crash behind its commit loses it: whoever goes on goes on behind the event."""
    found = first_failure(planted(with_owner(PromotingOwner)))
    assert "was never published" in found.finding


class HastyStore:
    """Takes a store that does not answer for one that has lost its blobs."""

    def __init__(self, store: Any) -> None:
        self.store = store

    def get(self, sha256: str) -> bytes:
        try:
            return self.store.get(sha256)
        except StoreUnavailable as error:
            raise CheckpointMissing(str(error)) from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


def test_a_store_that_is_away_for_a_moment_has_lost_nothing() -> None:
    """Whoever goes back to the parent then learns part of the stream once more, as another epoch."""
    scenario = planted(with_stores(HastyStore), rebuilds=0.0, disasters=[""])
    assert "does not go on from there" in first_failure(scenario).finding


def test_a_torn_checkpoint_that_is_not_a_new_epoch_is_found() -> None:
    """What comes after its parent differs from what it has announced, and needs another name."""
    assert (
        "two updates are called epoch 1"
        in first_failure(planted(with_owner(FirstEpochOwner), disasters=["rot"], rebuilds=0.0)).finding
    )


# ── the store of production ─────────────────────────────────────────────────────────────────────────────────────────


class Careless:
    """A file system whose calls of one kind do nothing."""

    def __init__(self, files: Any, *, without: str) -> None:
        self.files = files
        self.without = without

    def __getattr__(self, name: str) -> Any:
        return (lambda _: None) if name == self.without else getattr(self.files, name)


@pytest.mark.parametrize("without", ["sync", "sync_folder"])
def test_a_store_that_does_not_sync_is_found(without: str) -> None:
    """A blob's bytes and its name must both be durable before the commit."""

    def careless(journal: Any) -> Any:
        journal.store.blobs.files = Careless(journal.store.blobs.files, without=without)
        return journal

    found = first_failure(planted(with_stores(careless), volumes=[FolderVolume]))
    assert "committed before its blob was durable" in found.finding


def test_a_manifest_that_is_written_in_place_is_found() -> None:
    """A power failure leaves half of it, or nothing."""

    class InPlace(FolderBlobs):
        def write(self, name: str, data: bytes) -> None:
            if name != "manifest.json":
                super().write(name, data)
                return
            path = self.folder / name
            try:
                with self.files.create(path) as file:
                    file.write(data)
                    self.files.sync(file)
            except OSError as error:
                raise CheckpointError(f"{path}: {error.strerror}") from error

    def in_place(journal: Any) -> Any:
        journal.store.blobs.__class__ = InPlace
        return journal

    found = first_failure(planted(with_stores(in_place), volumes=[FolderVolume]))
    assert "manifest.json: not a manifest" in found.finding


@pytest.mark.parametrize("volume", sorted(set(VOLUMES), key=str))
def test_every_kind_of_store_is_sound(volume: Any) -> None:
    """In memory, in a folder through power failures, and in a bucket that does not always answer."""
    campaign = Campaign([planted(LearningLoop, volumes=[volume])])
    assert [each.finding for each in campaign.some(range(40)) if each.finding] == []


# ── rebuilds ────────────────────────────────────────────────────────────────────────────────────────────────────────


class SameEpochOwner(Owner):
    """Rebuilds under the epoch that was."""

    def _rebuild(self, partitions: Sequence[int], entry: Any) -> Positions:
        positions = super()._rebuild(partitions, entry)
        self.epoch -= 1
        return positions


class BackdatingOwner(Owner):
    """Announces what it has rebuilt under the epoch that was."""

    def end_rebuild(self) -> None:
        self.epoch -= bool(self.rebuilding)
        super().end_rebuild()
        self.epoch += bool(self.rebuilding)


class ForgetfulOwner(Owner):
    """Begins a rebuild behind the log's first record."""

    def _rebuild(self, partitions: Sequence[int], entry: Any) -> Positions:
        positions = super()._rebuild(partitions, entry)
        self.positions = {partition: position + 1 for partition, position in positions.items()}
        return self.positions


@pytest.mark.parametrize("name", sorted({name for name in MODELS if "partitions" not in name}))
def test_a_rebuild_through_crashes_is_the_straight_run_of_what_the_log_holds(name: str) -> None:
    """From retention's cut to the end, and announced once, after everything that was announced before."""
    campaign = Campaign([replace(shipped(name), rebuilds=1.0)])
    results = campaign.some(range(12))
    assert [each.finding for each in results if each.finding] == []
    assert all("the model is to be rebuilt" in each.steps for each in results)


@pytest.mark.parametrize(
    ("loop", "finding"),
    [
        (with_owner(SameEpochOwner), "does not go on from there"),
        (with_owner(BackdatingOwner), "the rebuild was announced as epoch 1, after epoch 1"),
        (with_owner(ForgetfulOwner), "was neither learned nor refused"),
    ],
)
def test_a_rebuild_that_goes_wrong_is_found(loop: Any, finding: str) -> None:
    """Two that followers take for the past, and one that leaves something out."""
    # One fault has several signs, and which shows first is the schedule's.
    assert first_failure(planted(loop, rebuilds=1.0, disasters=[""]), said=finding)


class RashOwner(Owner):
    """Publishes of the audit what no commit has made last."""

    def _publish_audit(self) -> None:
        self.audit.committed = len(self.audit.pending)
        super()._publish_audit()


class MuteOwner(Owner):
    """Announces, and records nothing of it."""

    def _record_promotion(self, update: ModelUpdate) -> None:
        del update


@pytest.mark.parametrize(
    ("kind", "finding"), [(RashOwner, "it was moved, or altered"), (MuteOwner, "is recorded 0 times in the audit")]
)
def test_an_audit_that_is_no_chain_or_lacks_something_is_found(kind: type[Owner], finding: str) -> None:
    """A number that is told in two ways, and an announcement that nobody can answer for."""
    assert first_failure(planted(with_owner(kind), disasters=[""]), said=finding)


# ── poison ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_poison_storm_costs_one_rewind_an_event() -> None:
    """An event on which the champion raises is read twice, not again for each one after it."""
    storm = Recipe(Synthetic(400, poison=0.02), duplicates=0.0, bad=0.0)
    for seed in range(5):
        calm = Scenario("storm", shipped("linear").settings, storm, faults_max=0, rebuilds=0.0)
        simulation = Simulation(calm, seed=seed)
        simulation.run()
        rewinds = sum(step.what == "rewind" for step in simulation.schedule.steps)
        poisonous = sum(b"666.0" in (record.value or b"") for record in simulation.stream.records.values())
        assert rewinds == poisonous


# ── for users ───────────────────────────────────────────────────────────────────────────────────────────────────────

FORGETFUL = """
from river import linear_model

class Forgetful(linear_model.Perceptron):
    lessons = 0

    def learn_one(self, x, y):
        Forgetful.lessons += 1
        super().learn_one(x, y, w=1.0 + Forgetful.lessons)
"""


@pytest.fixture
def forgetful(tmp_path: Path) -> Path:
    """A configuration whose model keeps something outside its state."""
    (tmp_path / "forgetful.py").write_text(FORGETFUL)
    config = tmp_path / "forgetful.toml"
    model = 'factory = "forgetful:Forgetful"\ntrusted = ["forgetful:Forgetful"]'
    config.write_text(f'name = "forgetful"\ntask = "binary"\n[model]\n{model}\n')
    return config


def test_a_seed_that_fails_prints_its_steps_and_how_to_replay_it(forgetful: Path) -> None:
    """A user's model that a checkpoint does not hold entirely is found, and the printed command finds it again."""
    done = simulate(str(forgetful), "--seeds", "20", "--events", "60")
    assert done.exit_code == 1, done.output
    finding, replay = done.stdout.splitlines()[-2:]
    assert "the learning state is not that of the straight run" in finding
    words = replay.removeprefix("replay it: anabranch simulate ").split()
    again = simulate(*words)
    assert again.exit_code == 1
    assert again.stdout.splitlines()[-1].startswith(finding[: finding.index(":")])


def test_a_configuration_meets_the_events_of_a_file(tmp_path: Path) -> None:
    """`--data` and a configuration of one's own."""
    data, config = tmp_path / "events.csv", tmp_path / "tree.toml"
    rows = [f"{n % 7},{n % 3},{(n % 7 > 3) != (n > 100)}" for n in range(200)]
    data.write_text("\n".join(["a,b,target", *rows]))
    config.write_text('name = "t"\ntask = "binary"\n[model]\nsteps = [{ use = "tree.HoeffdingTreeClassifier" }]\n')
    done = simulate(str(config), "--data", str(data), "--seeds", "5", "--events", "200")
    assert "5 schedules from seed 0 on, all well" in done.output, done.output


# ── the oracle ──────────────────────────────────────────────────────────────────────────────────────────────────────


def update(epoch: int, seq: int, *, reason: str = "") -> ModelUpdate:
    return ModelUpdate.model_construct(
        model="m", version=seq, kind="swap", epoch=epoch, seq=seq, event_number=seq, reason=reason, artifact=ARTIFACT
    )


ARTIFACT: Any = type("Pointer", (), {"sha256": "00000000"})()


@pytest.mark.parametrize(
    ("places", "finding"),
    [
        ([(1, 1), (1, 2), (1, 2), (1, 1), (1, 3)], ""),
        ([(1, 1), (1, 2), (2, 2), (2, 3)], ""),
        ([(1, 1), (1, 3)], "epoch 1 seq 3 follows epoch 1 seq 1"),
        ([(1, 2)], "epoch 1 seq 2 follows epoch 0 seq 0"),
        ([(1, 1), (2, 2), (1, 2)], "epoch 1 seq 2 was first announced after epoch 2 seq 2"),
    ],
)
def test_updates_rise_without_a_gap(places: Sequence[tuple[int, int]], finding: str) -> None:
    """A repeat is fine, a gap and a latecomer are not."""
    assert list(announced_once([update(*place) for place in places], calm=True)) == ([finding] if finding else [])


def test_a_run_that_is_wrong_raises() -> None:
    """`Simulation.run` says what it found."""
    found = first_failure(planted(with_owner(HastyOwner)), said="two updates are called")
    with pytest.raises(Finding, match="two updates are called"):
        Simulation(planted(with_owner(HastyOwner)), seed=found.seed).run()
