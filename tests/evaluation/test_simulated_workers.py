"""Several workers in the simulator: partitions move between them, and bugs that only a move shows are found."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from anabranch.events import Partition
from consumers.guard import Guard
from consumers.loop import LearningLoop
from consumers.owner import PLAIN, Owner, StartOptions
from consumers.ports import Committed, Positions
from evaluation.simulation.campaign import MODELS, Campaign, Result, shipped
from evaluation.simulation.stream import Recipe, Synthetic
from evaluation.simulation.workers import SimulatedWorkers

NAMES = sorted({name for name in MODELS if "several workers" in name})
SEEDS_TO_FIND = 60


def found_in(loop: Any) -> Result:
    """What is found first in a bug that is planted in a loop; many events come twice."""
    sound = shipped("linear of partitions, several workers")
    recipe = Recipe(Synthetic(150), duplicates=0.3)
    campaign = Campaign([replace(sound, loop=loop, recipe=recipe, disasters=[""])])
    results = (result for seed in range(SEEDS_TO_FIND) for result in campaign.some([seed]))
    found = next((result for result in results if result.finding), None)
    assert found is not None, f"{SEEDS_TO_FIND} schedules have found nothing"
    return found


@pytest.mark.parametrize("name", NAMES)
def test_workers_of_one_group_learn_each_event_once_through_moves_and_kills(name: str) -> None:
    """Each partition is in the state of a straight run, whoever had it last, and has told everything once."""
    results = Campaign([shipped(name)]).some(range(15))
    assert [each.finding for each in results if each.finding] == []
    steps = "\n".join(each.steps for each in results)
    assert "the group misses p" in steps
    assert "there is to be one worker more" in steps


def test_partitions_are_learned_by_several_workers_in_turn() -> None:
    """Otherwise nothing moves, and nothing is tried."""
    simulation = SimulatedWorkers(shipped(NAMES[-1]), seed=3)
    simulation.run()
    owners = {scope: {process for process, of in simulation.pasts if of == scope} for scope in simulation.volumes}
    assert len(owners) > 1
    assert max(len(each) for each in owners.values()) > 1


class Forgets(Owner):
    """Goes on from a checkpoint without the ids that it has seen."""

    def assign(self, partitions: Sequence[int], committed: Committed | None, *, how: StartOptions = PLAIN) -> Positions:
        positions = super().assign(partitions, committed, how=how)
        self.guard.ids = Guard(self.settings).ids
        return positions


class Reopens(LearningLoop):
    """Takes a partition that comes back for the one that it gave up, and goes on where it was then."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.before: dict[int, tuple[Owner, Positions]] = {}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for each in partitions:
            owner = self.owner_of[each]
            self.before[each.number] = (owner, dict(owner.positions))
        super().revoked(partitions)

    def assigned(self, partitions: Sequence[Partition], committed: Committed | None) -> Positions:
        positions = super().assigned(partitions, committed)
        if partitions[0].number not in self.before:
            return positions
        owner, positions = self.before[partitions[0].number]
        self.owners[owner.scope] = owner
        self.owner_of |= dict.fromkeys(positions, owner)
        return positions


def test_a_moved_lane_that_forgets_which_ids_it_has_seen_is_found() -> None:
    """Events that come twice, before a move and after it, are then learned twice."""
    loop = type("ForgetsLoop", (LearningLoop,), {"owner_type": Forgets})
    assert "was learned, and is refused now: a duplicate" in found_in(loop).finding


def test_a_partition_that_is_reopened_where_it_was_given_up_is_found() -> None:
    """Somebody else has learned on meanwhile."""
    assert found_in(Reopens).finding


def test_a_seed_of_several_workers_is_a_schedule() -> None:
    """The same seed gives the same steps, whatever ran before."""
    one, _, again = Campaign([shipped(NAMES[-1])]).some([7, 8, 7])
    assert one == again
