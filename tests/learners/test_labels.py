"""Labels that come by themselves: what each is, how events end, and what is kept of those that wait."""

import random
from typing import Any

import numpy as np
import pytest

from anabranch.errors import CheckpointCorrupt, ConfigError, LearnError
from anabranch.events import AcceptedEvent, Prediction
from config.loading import build
from learners.labels import LabelJoin
from learners.labels.pending import Pending, Waiting
from learners.labels.segments import BytesBlob, Entry, Segment, built, hash_of
from learners.lane import Lane
from support.lanes import QUICK, digest, event, label, lane_of, shown, twin_of

HOUR_S = 3600.0


def late(**labels: Any) -> Lane:
    """A lane whose labels come late."""
    return lane_of(detectors={}, labels={"late": True, **labels})


def asked(lane: Lane, *numbers: int) -> None:
    """Events that come without their labels, an hour apart."""
    for n in numbers:
        lane.on_event(event(n, y=None)._replace(ts=n * HOUR_S))
        ends(lane)


def ends(lane: Lane) -> None:
    """All that is due ends."""
    while lane.end_due() is not None:
        pass


def told(lane: Lane, event_id: str, y: Any, **more: Any) -> str:
    """A label comes, and is learned if it is wanted; what it is."""
    came = label(event_id, y, **more)
    verdict = lane.join.look(came)
    if verdict in ("wanted", "early"):
        lane.on_label(came)
        ends(lane)
    return verdict


def test_of_several_labels_the_first_is_learned() -> None:
    """What comes then is the same once more, another one, or a correction that nobody asked for."""
    lane = late()
    asked(lane, 0, 1)
    verdicts = [
        told(lane, "e0", True),
        told(lane, "e0", True),
        told(lane, "e0", False),
        told(lane, "e0", False, revision=1),
    ]
    assert verdicts == ["wanted", "duplicate", "again", "corrects"]
    assert (lane.events, len(lane.join), lane.champion.model.learned) == (1, 1, 1)


@pytest.mark.parametrize("several", ["last", "max"])
def test_several_labels_are_put_together_at_the_horizon(several: str) -> None:
    """Each revision once; nothing is learned before."""
    lane = late(several=several, horizon="10h")
    asked(lane, 0)
    verdicts = [told(lane, "e0", y, revision=n) for n, y in ((0, False), (2, True), (1, False), (2, True))]
    assert verdicts == ["wanted", "wanted", "wanted", "duplicate"]
    assert lane.events == 0
    asked(lane, 20)
    assert (lane.events, lane.join.endings) == (1, {"labelled": 1})
    assert lane.newest is not None
    assert lane.newest.y is True


@pytest.mark.parametrize("several", ["sum", "mean"])
def test_truths_have_no_sum(several: str) -> None:
    """Said at once."""
    with pytest.raises(ConfigError, match="is for numbers"):
        late(several=several, horizon="10h")


@pytest.mark.parametrize(("several", "expected"), [("last", 5.0), ("sum", 12.0), ("max", 6.0), ("mean", 4.0)])
def test_numbers_are_put_together(several: str, expected: float) -> None:
    """As they say."""
    settings = build({**QUICK, "task": "regression", "labels": {"late": True, "several": several, "horizon": "10h"}})
    join = LabelJoin(settings)
    join.saw(0.0)
    answer = Prediction(0.0)
    join.ask(Waiting(AcceptedEvent("e0", {}, None, 0.0, 0, 0), answer, {"first": answer}, 0.0))
    for revision, y in ((0, 1.0), (2, 5.0), (1, 6.0)):
        assert join.take(label("e0", y, revision=revision)) is None
    join.saw(11 * HOUR_S)
    ended = join.end_oldest()
    assert ended is not None
    assert (ended.y, ended.ending) == (expected, "labelled")


def test_corrections_are_learned_and_not_scored() -> None:
    """Until the horizon; a revision that is older than one that was learned corrects nothing."""
    lane = late(corrections="learned", horizon="10h")
    asked(lane, 0, 1)
    assert [told(lane, "e0", True), told(lane, "e0", False, revision=2), told(lane, "e0", True, revision=1)] == [
        "wanted",
        "wanted",
        "duplicate",
    ]
    assert (lane.events, lane.champion.model.learned, len(lane.join)) == (1, 2, 1)
    asked(lane, 15)
    assert lane.join.endings == {"labelled": 1, "corrected": 1, "unavailable": 1}
    assert told(lane, "e0", True, revision=3) == "corrects"


@pytest.mark.parametrize(("default", "expected"), [("fraud", True), ("legitimate", False)])
def test_a_default_is_read_as_any_label(default: str, expected: bool) -> None:
    """With a positive class of string labels it is one of two truths inside."""
    lane = lane_of(detectors={}, positive="fraud", labels={"late": True, "horizon": "1h", "default": default})
    asked(lane, 0, 5)
    assert lane.join.endings == {"default": 1}
    assert lane.newest is not None
    assert lane.newest.y is expected


def test_blocked_events_are_neither_scored_nor_learned() -> None:
    """And stay so."""
    lane = late()
    asked(lane, 0)
    assert told(lane, "e0", None, blocked="declined") == "wanted"
    assert told(lane, "e0", None, blocked="declined") == "duplicate"
    assert told(lane, "e0", True) == "ended"
    assert (lane.events, lane.join.endings) == (0, {"blocked": 1})


def test_a_label_waits_for_its_event() -> None:
    """So long as `early` says; then it is given up."""
    lane = late(early="5h")
    asked(lane, 0)
    assert told(lane, "e3", True, ts=HOUR_S) == "early"
    assert told(lane, "e3", True, ts=HOUR_S) == "duplicate"
    assert told(lane, "nobody", True, ts=HOUR_S) == "early"
    asked(lane, 3)
    assert (lane.events, len(lane.join)) == (1, 1)
    asked(lane, 7)
    assert [each.id for each in lane.join.orphans()] == ["nobody"]
    assert not lane.join.early


def test_a_label_that_comes_beside_its_event_is_a_second_one() -> None:
    """The event has brought its own."""
    lane = late()
    lane.on_event(event(0))
    assert [told(lane, "e0", True), told(lane, "e0", False)] == ["duplicate", "again"]


def test_after_a_gap_in_time_an_event_waits_as_long_as_any() -> None:
    """From when it was asked."""
    lane = late(horizon="10h", default=False)
    asked(lane, 0, 1)
    asked(lane, 100)
    assert lane.join.endings == {"default": 2}
    asked(lane, 109)
    assert lane.join.endings == {"default": 2}
    asked(lane, 110)
    assert lane.join.endings == {"default": 3}


def test_a_promoted_model_takes_no_credit_for_what_it_was_not_asked() -> None:
    """The champion of then was asked, and is scored; the one of now only learns."""
    lane = late()
    asked(lane, 0)
    young = lane.join.pending.young
    young["e0"] = young["e0"][0], unasked(lane, "e0")
    before = lane.champion.losses
    told(lane, "e0", True)
    assert (lane.events, lane.champion.losses) == (1, before)


def unasked(lane: Lane, event_id: str) -> bytes:
    """The entry of an event for which the champion had no answer."""
    waiting = lane.join.pending.look(event_id)
    assert waiting is not None
    other = Pending(memory_max=9)
    other.put(waiting._replace(answers={}))
    return other.young[event_id][1]


def test_a_default_on_which_the_champion_raises_names_its_event() -> None:
    """No record is to blame."""
    lane = late(horizon="1h", default=True)
    lane.on_event(event(0, y=None, **{"c learns": "raise"})._replace(ts=0.0))
    for n in (5, 6):
        lane.on_event(event(n, y=None)._replace(ts=n * HOUR_S))
    twin = twin_of(lane)
    with pytest.raises(LearnError) as raised:
        ends(lane)
    assert raised.value.waiting == "e0"
    while twin.end_due(unlearnable={"e0"}) is not None:
        pass
    assert twin.join.endings["unavailable"] == 1


def test_what_waits_goes_on_from_a_checkpoint() -> None:
    """With segments, labels that are early, and corrections: the same as without one."""
    lane = late(corrections="learned", horizon="50h", memory_max=3)
    shown(lane, 30)
    asked(lane, *range(40, 60))
    told(lane, "e45", True, ts=59 * HOUR_S)
    told(lane, "e99", True, ts=59 * HOUR_S)
    lane.join.pending.put_away()
    twin = twin_of(lane)
    for each in (lane, twin):
        told(each, "e45", False, ts=60 * HOUR_S, revision=1)
        told(each, "e50", True, ts=60 * HOUR_S)
        asked(each, 95, 96, 99)
    assert digest(twin) == digest(lane)
    assert twin.join.endings == lane.join.endings
    assert list(twin.join.pending.waiting()) == list(lane.join.pending.waiting())


# ── segments ────────────────────────────────────────────────────────────────────────────────────────────────────────


def entries(first: int, end: int) -> list[Entry]:
    """Some."""
    return [Entry(f"e{n}", float(n), bytes([n % 251]) * (n % 7)) for n in range(first, end)]


@pytest.mark.parametrize("seed", range(5))
def test_segments_hold_what_a_table_would(seed: int) -> None:
    """Anything is put, taken, looked for, put away and merged, in any order."""
    rng, pending, table = random.Random(seed), Pending(memory_max=20), dict[str, float]()
    answer = Prediction(True)
    for n in range(3000):
        chance = rng.random()
        if chance < 0.6:
            pending.put(Waiting(AcceptedEvent(f"e{n}", {}, None, 0.0, 0, n), answer, {}, float(n)))
            table[f"e{n}"] = float(n)
        elif chance < 0.85 and table:
            event_id = rng.choice(list(table)) if rng.random() < 0.8 else "nobody"
            taken = pending.take(event_id)
            assert (None if taken is None else taken.asked_ts) == table.pop(event_id, None)
        elif chance < 0.95 and table:
            assert pending.take_oldest().asked_ts == table.pop(next(iter(table)))
        else:
            pending.put_away()
            due = pending.merge_due()
            if due is not None:
                made = Segment.of(due.carried_out())
                if table and rng.random() < 0.5:
                    event_id = rng.choice(list(table))
                    pending.take(event_id)
                    del table[event_id]
                pending.adopt(due, made)
        assert len(pending) == len(table)
        assert pending.oldest_ts == next(iter(table.values()), float("inf"))
    assert [each.event_id for each in pending.waiting()] == list(table)


def test_two_ids_of_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the id itself."""
    monkeypatch.setattr("learners.labels.segments.hash_of", lambda event_id: 7)
    segment = Segment.of(built(entries(0, 9)))
    assert [segment.find(f"e{n}", np.uint64(7)) for n in (4, 8, 10)] == [4, 8, -1]


@pytest.mark.parametrize("cut", [3, 40, 300, -1])
def test_a_segment_that_is_cut_off_is_refused(cut: int) -> None:
    """By name."""
    with pytest.raises(Exception, match=r"pending events|unpack"):
        Segment("abc", BytesBlob(built(entries(0, 50))[:cut]))


def test_a_damaged_entry_is_refused() -> None:
    """And says what to do."""
    data = bytearray(built(entries(0, 50)))
    data[-1] ^= 1
    segment = Segment("abc", BytesBlob(bytes(data)))
    with pytest.raises(CheckpointCorrupt, match=r"damaged at entry 49: bring it back, or .* rebuild"):
        segment.find("e49", np.uint64(hash_of("e49")))
