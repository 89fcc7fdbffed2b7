"""Several models in one process: what ends one ends that one alone, and it is run again."""

import signal
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import pytest
import structlog

from anabranch.errors import CheckpointError, KafkaUnavailable, LearningFrozen, OwnershipLost
from anabranch.events import Record
from consumers import several, supervisor
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemorySource
from support.command_line import as_before
from support.loops import first_of, log_of, ports_on, settings_of
from support.streams import simple

EVENTS = 600


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`supervise_all` is for a process of its own."""
    for name in ("RESTART_S", "LOOK_S"):
        monkeypatch.setattr(several, name, 0.02)
    monkeypatch.setattr(supervisor, "AGAIN_S", 0.02)
    with as_before():
        yield


class Models:
    """Models that learn their logs; the process is stopped when those of them that can have come to their ends.

    Args:
        errors: what the polls of a model raise, one after the other, after 300 records; by the model's name.
        gone: those that do not come to their ends.
    """

    def __init__(self, *names: str, errors: dict[str, list[Exception]], gone: Sequence[str] = ()) -> None:
        self.errors, self.running = errors, set(names) - set(gone)
        self.stores = {name: MemoryStore() for name in names}
        self.logs = {name: log_of(simple(0, EVENTS)) for name in names}
        self.made = Counter[str]()

    def make(self, name: str, stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
        self.made[name] += 1
        models, errors = self, self.errors.get(name, [])

        class Source(MemorySource):
            def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
                here = sum(self.positions.values())
                if errors and here >= 300:
                    raise errors.pop(0)
                if here >= EVENTS and name in models.running:
                    models.running.discard(name)
                    if not models.running:
                        signal.raise_signal(signal.SIGTERM)
                return super().poll(min(max_records, 150), timeout_s=timeout_s)

        log, settings = self.logs[name], settings_of(name=name)
        source, started = Source(log, "events"), before.started if before else ()
        ports = ports_on(log, settings, source=source, stores=lambda scope: self.stores[name])
        return LearningLoop(settings, first=first_of(settings), ports=ports, started=started, stopping=stopping)

    def run(self, *, until_end: bool = False) -> dict[str, LearningLoop]:
        makes = {name: partial(self.make, name) for name in self.stores}
        return several.supervise_all(makes, until_end=until_end)


def learned(loops: dict[str, LearningLoop]) -> dict[str, int]:
    return {name: loop.owner.lane.events for name, loop in loops.items()}


@pytest.mark.parametrize("error", [CheckpointError("torn"), LearningFrozen("poison"), RuntimeError("a bug")])
def test_what_ends_one_ends_that_one_alone(error: Exception) -> None:
    """It is run again from its last checkpoint; the other one has not noticed."""
    models = Models("ill", "well", errors={"ill": [error, error]})
    with structlog.testing.capture_logs() as logs:
        loops = models.run()
    assert learned(loops) == {"ill": EVENTS, "well": EVENTS}
    assert models.made == {"ill": 3, "well": 1}
    assert loops["ill"].owner.learning_state_hash() == loops["well"].owner.learning_state_hash()
    told = [each for each in logs if each["event"] == "model ended"]
    assert [(each["model"], each["reason"]) for each in told] == [("ill", str(error))] * 2
    assert all(bool(each["exc_info"]) == isinstance(error, RuntimeError) for each in told)


def test_all_are_checkpointed_when_the_process_is_stopped() -> None:
    """Each says in its last checkpoint that it has not died."""
    models = Models("a", "b", errors={})
    for name, loop in models.run().items():
        assert loop.owner.audit.ended
        assert models.stores[name].manifest()[-1]["sha"] == loop.owner.sha


def test_where_nobody_reads_what_is_printed_all_end_and_nothing_is_wrong() -> None:
    """`anabranch learn … --json | head`, as with one model."""
    models = Models("a", "b", errors={"a": [BrokenPipeError()]}, gone=["b"])
    models.run()
    assert models.made == {"a": 1, "b": 1}


def test_who_has_lost_its_model_leaves_it_to_the_other() -> None:
    """It is not run again, and what is left goes on and ends well."""
    models = Models("lost", "well", errors={"lost": [OwnershipLost("another process")]}, gone=["lost"])
    assert learned(models.run()) == {"well": EVENTS}
    assert models.made == {"lost": 1, "well": 1}


def test_a_process_that_has_lost_all_its_models_says_so() -> None:
    """By the error whose exit code tells supervisors not to run it again."""
    lost = {name: [OwnershipLost("another process")] for name in "ab"}
    with pytest.raises(OwnershipLost):
        Models("a", "b", errors=lost, gone="ab").run()


def test_a_process_of_which_no_model_can_be_run_ends() -> None:
    """As it does with one model: somebody has to look at what is wrong."""

    def never(stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
        raise KafkaUnavailable("no broker answers")

    with pytest.raises(KafkaUnavailable):
        several.supervise_all({"a": never, "b": never}, until_end=False)


def test_until_the_end_what_ends_one_is_its_end() -> None:
    """The others are learned to theirs, and the exit code is that of the one."""
    models = Models("ill", "well", errors={"ill": [CheckpointError("torn")]})
    with pytest.raises(CheckpointError):
        models.run(until_end=True)
    assert models.stores["well"].manifest()[-1]["number"] > models.stores["ill"].manifest()[-1]["number"]
    assert models.made == {"ill": 1, "well": 1}
