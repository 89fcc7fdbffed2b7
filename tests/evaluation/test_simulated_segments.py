"""The simulator on per-segment models: bugs that are planted there are found, and swaps happen at all."""

from dataclasses import replace

import pytest

from anabranch.messages import ModelReport, SegmentsReport, SegmentSwap
from consumers.loop import LearningLoop
from consumers.owner import Owner
from evaluation.simulation.campaign import MODELS, Campaign, shipped
from evaluation.simulation.oracle import swapped_on_evidence
from evaluation.simulation.schedules import Simulation
from learners.segmented import Segmented

SEGMENTED = [name for name in MODELS if "segmented" in name]
SWAP = SegmentSwap(
    segment="a",
    serves=True,
    event_number=40,
    reason="evidence",
    evidence=20.0,
    events=10,
    gain=0.5,
    low=0.1,
    high=0.9,
    learned=15,
)


def report_of(*swaps: SegmentSwap, serving: int) -> ModelReport:
    told = SegmentsReport(by="tenant", models=1, ready=1, serving=serving, swaps=swaps)
    return ModelReport.model_construct(id="r", segments=told)


@pytest.mark.parametrize(
    ("swaps", "finding"),
    [
        ([SWAP], ""),
        ([SWAP, SWAP.model_copy(update={"serves": False})], "1 are said to answer"),
        ([SWAP.model_copy(update={"evidence": 9.0})], "on evidence of 9"),
        ([SWAP.model_copy(update={"events": 21})], "on evidence of 20"),
        ([SWAP, SWAP], "twice in a row"),
    ],
)
def test_a_swap_without_its_evidence_is_found(swaps: list[SegmentSwap], finding: str) -> None:
    """Or one in which nobody takes another's place."""
    found = "; ".join(swapped_on_evidence([report_of(*swaps, serving=1)], wins_at=15.0))
    assert finding in found
    assert bool(found) == bool(finding)


class Mute(Owner):
    """Tells followers nothing of segments."""

    def _tell_segments(self, segmented: Segmented) -> None:
        segmented.due = {}


class Forgetful(Owner):
    """Takes models that have changed for models that lie on the shelf."""

    def checkpoint(self) -> None:
        assert self.lane.segmented is not None
        self.lane.segmented.changed.clear()
        super().checkpoint()


@pytest.mark.parametrize(
    ("kind", "finding"), [(Mute, "followers were told"), (Forgetful, "segmented")], ids=["mute", "forgetful"]
)
def test_planted_bugs_are_found(kind: type[Owner], finding: str) -> None:
    """Within a few schedules."""
    loop = type(f"LoopOf{kind.__name__}", (LearningLoop,), {"owner_type": kind})
    scenario = replace(shipped(SEGMENTED[0]), loop=loop, disasters=("",), rebuilds=0.0)
    found = (result.finding for seed in range(40) for result in Campaign([scenario]).some([seed]))
    assert any(finding in each for each in found)


def test_models_are_let_in_and_displaced_and_put_away() -> None:
    """Or the scenario would try nothing."""
    simulation = Simulation(replace(shipped(SEGMENTED[0]), rebuilds=0.0), seed=3)
    simulation.run()
    (owner,) = simulation.loops[simulation.done].owners.values()
    segmented = owner.lane.segmented
    assert segmented is not None
    assert segmented.totals.swapped_in > 1
    assert segmented.shelf.segments
