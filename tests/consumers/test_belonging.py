"""What a checkpoint belongs to, over a log in memory: another log, fewer records, other settings, the other scope."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from anabranch import statetree
from anabranch.errors import CheckpointError, ConfigError, LogTruncated
from anabranch.events import Partition
from config.loading import build
from config.settings import Settings
from consumers.checkpoint import inspect
from consumers.layouts import LAYOUT
from consumers.owner import PLAIN, Owner, StartOptions
from consumers.ports import Committed
from consumers.stores import MemoryStore
from consumers.stores.manifest import NAME, digest, packed
from evaluation.simulation.world import MemoryLog, MemorySource
from learners.retraining.lineage import count
from support.loops import loop_on
from support.streams import simple

ACCEPT = StartOptions(accept_loss=True)


def settings_of(**changes: Any) -> Settings:
    model = {"steps": [{"use": "naive_bayes.GaussianNB"}]}
    return build({"name": "m", "task": "binary", "model": model, "checkpoint": {"every_events": 100}, **changes})


class Here:
    """A model, its log and its store."""

    def __init__(self) -> None:
        self.log, self.store = MemoryLog(topic_id="one"), MemoryStore(keep=5)

    def append(self, first: int, end: int) -> "Here":
        for value in simple(first, end):
            self.log.append("events", value)
        return self

    def learn(self, *, how: StartOptions = PLAIN, topic: str = "events", **changes: Any) -> Owner:
        source, settings = MemorySource(self.log, topic), settings_of(**changes, topics={"events": topic})
        loop = loop_on(self.log, self.store, settings, how=how, source=source)
        loop.run(until_end=True)
        return loop.owner

    def made_anew(self, topic_id: str) -> "Here":
        commits = self.log.commits
        self.log = MemoryLog(topic_id=topic_id, commits=commits)
        return self


@pytest.fixture
def here() -> Here:
    """With 300 events, all of them learned."""
    found = Here().append(0, 300)
    found.learn()
    return found


def test_another_topic_of_the_same_name_is_refused_even_when_it_is_longer(here: Here) -> None:
    """Its positions would be taken for the old one's; nothing is committed."""
    before = here.log.committed
    here.made_anew("two").append(300, 1000)
    with pytest.raises(CheckpointError, match=r"was recreated.*id one \(partition 0 at 300\).*id two.*--accept-loss"):
        here.learn()
    assert here.log.committed == before


def test_another_log_can_be_gone_on_with(here: Here) -> None:
    """From its first record, with all that was learned; offsets of the old one are forgotten; said once is enough."""
    here.made_anew("two").append(300, 400)
    owner = here.learn(how=ACCEPT)
    assert (owner.lane.events, owner.positions, count(owner.lane.lineage.last(999))) == (
        400,
        {Partition("events", 0): 100},
        100,
    )
    assert "accepted loss: topic 'events' was recreated" in owner.lane.notes[0]
    assert here.log.values("model-alerts")
    assert here.learn().losses == owner.losses


def test_a_log_that_ends_before_the_position_is_refused(here: Here) -> None:
    """Also where no broker tells ids; where it is the same topic, it has lost records, and its end counts."""
    here.made_anew("").append(300, 350)
    with pytest.raises(CheckpointError, match="partition 0 ends at 50"):
        here.learn()
    here.made_anew("one").append(300, 350)
    with pytest.raises(CheckpointError, match="partition 0 ends at 50"):
        here.learn()
    owner = here.learn(how=ACCEPT)
    assert (owner.lane.events, owner.positions) == (300, {Partition("events", 0): 50})


def test_records_that_are_gone_are_named_and_can_be_passed_by(here: Here) -> None:
    """Partition and offsets, from and to; and learning goes on from where the log begins."""
    here.append(300, 500).log.trim("events", before=400)
    with pytest.raises(LogTruncated, match="partition 0 offsets 300 to 399 are gone"):
        here.learn()
    assert here.learn(how=ACCEPT).lane.events == 400
    assert "offsets 300 to 399" in inspect(settings_of(), here.store)["losses"][0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "multiclass"}, "`task` was 'binary' and is 'multiclass'"),
        ({"positive": "yes"}, "`positive` was not given and is 'yes'"),
    ],
)
def test_settings_under_which_the_state_is_of_no_use_are_refused(
    changes: dict[str, Any], said: str, here: Here
) -> None:
    """Both sides, how much would be lost, and what to do; a rebuild takes them."""
    before = here.append(300, 400).log.committed
    with pytest.raises(ConfigError, match=rf"300 events.*{said}.*another `name`.*rebuild"):
        here.learn(**changes)
    assert here.log.committed == before
    here.learn(how=StartOptions(rebuild=True), **changes)


def test_the_other_scope_is_named(here: Here) -> None:
    """Not a file that is not there."""
    here.log.shared, here.log.members, here.log.owners = True, [], {}
    with pytest.raises(ConfigError, match=r'other scope: scope = "global".*now says scope = "partition"'):
        here.learn(scope="partition")


def test_a_topic_of_another_name_is_refused(here: Here) -> None:
    """The commit of one topic is none of the other's, but the store knows."""
    here.log.commits.clear()
    with pytest.raises(ConfigError, match=r"of the topic 'events' \(partition 0 at 300\).*names 'others'"):
        here.learn(topic="others")


def test_options_for_the_very_first_start_are_refused_later(here: Here) -> None:
    """They would be ignored."""
    with pytest.raises(ConfigError, match=r"--from models:/a/1 is for the very first start.*a checkpoint of m already"):
        here.learn(how=StartOptions(first_only="--from models:/a/1"))


def rewritten(change: Callable[[dict[str, Any]], None], store: MemoryStore) -> dict[str, Any]:
    """The newest checkpoint, changed, as one more entry of the manifest."""
    newest = store.manifest()[-1]
    state = statetree.decode(store.get(str(newest["sha"])))
    change(state)
    blob = statetree.encode(state)
    store.put(digest(blob), blob)
    return {**newest, "sha": digest(blob)}


def test_a_checkpoint_of_a_newer_release_is_refused_by_name(here: Here) -> None:
    """What it means is not guessed at."""

    def raise_layout(state: dict[str, Any]) -> None:
        state["layout"] = LAYOUT + 1

    entry = rewritten(raise_layout, here.store)
    here.log.commit(Committed({Partition("events", 0): 300}, orjson.dumps(entry).decode()))
    with pytest.raises(CheckpointError, match=rf"layout {LAYOUT + 1}, written by a newer.*`anabranch rebuild CONFIG`"):
        here.learn()


def test_state_shows_what_a_start_would_take(here: Here) -> None:
    """The group's commit; else the newest of the manifest, which need not be its last."""
    older, *_, last = here.store.manifest()
    here.store.blobs.write(NAME, packed([last, older]))  # a process that was taken over noted its last one late
    assert inspect(settings_of(), here.store)["checkpoint"] == last["sha"]
    committed = Committed({Partition("events", 0): 300}, orjson.dumps(older).decode())
    found = inspect(settings_of(), here.store, committed=committed)
    assert (found["checkpoint"], found["named_by"]) == (older["sha"], "the group's commit")
