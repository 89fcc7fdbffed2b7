"""States of older layouts, brought to this one: whoever changes what a checkpoint holds adds a step here.

Each step knows only the layout before it and the one after it, so that no room has to know what was kept once.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgpack

from anabranch.errors import CheckpointError
from learners.arena.evidence import Contest
from learners.labels.recent_ids import RecentIds

State = dict[str, Any]

LAYOUT = 10
"""Of the state in a checkpoint: 1 had no number; 2 names the topic of its positions; 3 has one state for each
member; 4 knows the copy that followers have; 5 the order that was told; 6 what announcements have cost, and what
brought each member; 7 joins labels of a topic of their own, knows how late they come, the blend, and whether
the model is retired; 8 what is observed for people; 9 what features are computed of; 10 how a blend's members fare
where positives are rare.

To be raised by whoever changes what is in it. Older ones are migrated by the steps below, newer ones refused.
"""


def migrated(state: State, *, topic: str) -> State:
    """A state of an older layout as one of this; one of this as it is.

    Args:
        topic: of the events; the first layout counts positions in it, and says no name.

    Raises:
        CheckpointError: it is of a newer layout than this program knows.
    """
    layout = state.get("layout", 1)
    if layout > LAYOUT:
        raise CheckpointError(
            f"it is of layout {layout}, written by a newer Anabranch; this one reads up to {LAYOUT}: start that "
            "release again, or learn the log again with this one: `anabranch rebuild CONFIG`"
        )
    steps: tuple[Callable[[State, str], State], ...] = (
        _second,
        _third,
        _fourth,
        _fifth,
        _sixth,
        _seventh,
        _eighth,
        _ninth,
        _tenth,
    )
    for step in steps[layout - 1 :]:
        state = step(state, topic)
    return {**state, "layout": LAYOUT}


def _second(state: State, topic: str) -> State:
    """Keys came one after the other, and were told apart by their absence; positions were by partition alone."""
    log_then = state.get("log")
    named = topic if log_then is None else log_then["topic"]
    lane = state["lane"]
    return {
        "losses": [],
        "intake": None,
        **state,
        "log": log_then,
        "positions": {named: {str(each): at for each, at in state["positions"].items()}},
        "guard": {"label_kind": "", **state["guard"], "counts": (*state["guard"]["counts"], 0)[:4]},
        "lane": {
            "labels": [],
            "unusable_band": 0,
            **lane,
            "champion": _with_unusable(lane["champion"]),
            "shadows": [_with_unusable(member) for member in lane["shadows"]],
            "scores": {"tally": None, "unusable": {}, "raised": {}, **lane["scores"]},
            "succession": {"held_until": 0, **lane["succession"]},
        },
    }


def _with_unusable(member: State) -> State:
    return {"unusable": (member["since"], member["since"], 0, 0.0, ""), **member}


def _third(state: State, _topic: str) -> State:
    """A member's kind follows from its life; why it is there is a value, and so is what it is a copy of."""
    lane = dict(state["lane"])
    life = lane.pop("life")
    steps = [(*step, _was_noted(step)) for step in life["untold"]]
    rolled_back = lane["succession"]["rolled_back"]
    return {
        **state,
        "lane": {
            **lane,
            "lifecycle": {"states": life["states"], "pending": steps},
            "champion": _with_cause(lane["champion"]),
            "shadows": [_with_cause(member) for member in lane["shadows"]],
            "succession": {
                **lane["succession"],
                "rolled_back": [(*_cause(cause), at) for cause, at in rolled_back.items()],
            },
        },
    }


def _with_cause(member: Mapping[str, Any]) -> State:
    kept = {name: value for name, value in member.items() if name not in ("kind", "every")}
    _, _, version = str(member["name"]).partition("-former-")
    former = int(version) if version.isdecimal() else None
    return {**kept, "stride": member["every"], "cause": _cause(member["cause"]), "former": former}


def _cause(text: str) -> tuple[str, str]:
    """Of the words that named it: "trigger at 812", "first", or the name of a standing place."""
    trigger, _, event = text.partition("trigger at ")
    if not trigger and event:
        return "trigger", event
    return ("first", "") if text == "first" else ("place", text)


def _was_noted(step: tuple[Any, ...]) -> bool:
    """Whether the report said a step too, which hung on its words."""
    _, before, after, reason, level = step
    if before == "recruiting":
        return str(reason).startswith("disqualified")
    return after == "gone" or level == "alert" or str(reason).startswith("held back")


def _fourth(state: State, _topic: str) -> State:
    """What followers have is compared with the live champion; of a copy that is not known, nothing can be said."""
    lane = state["lane"]
    newest = lane["newest"]
    published = {
        "version": lane["champion"]["version"],
        "at_event": lane["events"],
        "lost": (0.0, 0),
        "contest": Contest().state(),
        "enough": False,
    }
    copy = {"sha256": "", "ts": 0.0 if newest is None else newest[3]}
    members = {
        "champion": {**lane["champion"], "entered": lane["champion"]["since"]},
        "shadows": [{**member, "entered": member["since"]} for member in lane["shadows"]],
    }
    return {**state, "lane": {**lane, **members, "published": published, "copy": copy, "block": []}}


def _fifth(state: State, _topic: str) -> State:
    """The learned order is told from here on, as from a first message."""
    return {**state, "order": ""}


def _sixth(state: State, _topic: str) -> State:
    """Nothing is owed for announcements of before; which signal brought a member, and of what it is a copy, was not
    kept, but for copies of former champions.
    """
    lane = state["lane"]
    return {
        **state,
        "lane": {
            **lane,
            "copy": {"owed": 0.0, "kept_since": None, **lane["copy"]},
            "champion": _with_descent(lane["champion"]),
            "shadows": [_with_descent(member) for member in lane["shadows"]],
            "jobs": [
                {**each, "job": {"trigger": "", "champion_version": None, **each["job"]}} for each in lane["jobs"]
            ],
        },
    }


def _with_descent(member: State) -> State:
    return {"parent": member["former"], "trigger": "", **member}


def _seventh(state: State, topic: str) -> State:
    """What waits for a label says since when; no label has come on a topic of its own."""
    lane = dict(state["lane"])
    waiting = [(event_id, _asked_ts(packed), packed) for event_id, packed in msgpack.unpackb(lane.pop("pending"))]
    join = {
        "pending": {"young": msgpack.packb(waiting), "segments": []},
        "heard": msgpack.packb([]),
        "early": msgpack.packb([]),
        "ended": RecentIds(0).state(),
        "clock": max((asked_ts for _, asked_ts, _ in waiting), default=float("-inf")),
        "endings": {},
        "ended_since": 0,
        "counts": {"width_s": 1.0, "slots": []},
    }
    poison = {**state["poison"], "waiting": []}
    poison["places"] = [((topic, *place), said) for place, said in poison["places"]]
    poison["row"] = [(topic, *place) for place in poison["row"]]
    return {
        **state,
        "labels_log": None,
        "retired": b"",
        "poison": poison,
        "lane": {**_with_blend(lane), "join": join, "examples": 0},
    }


def _asked_ts(packed: bytes) -> float:
    event, _, _ = msgpack.unpackb(packed, strict_map_key=False)
    return float(event[3])


def _with_blend(lane: State) -> State:
    """Labels count as prompt until they are not, and a champion serves."""
    blend = {
        "judges": False,
        "serves": False,
        "retry": 0,
        "labels": 0,
        "records": [],
        "ways": [("#sharp", (0, 0.0)), ("#soft", (0, 0.0))],
        "left_out": {},
        "version": None,
        "measured": None,
        "groups": None,
    }
    return {"lateness": (0, 0.0, False), "blend": blend, **lane}


def _eighth(state: State, _topic: str) -> State:
    """What reports tell of time, features and detectors begins here."""
    return {**state, "lane": {**state["lane"], "observed": {}}}


def _ninth(state: State, _topic: str) -> State:
    """No features were computed."""
    return {**state, "lane": {**state["lane"], "derived": None}}


def _tenth(state: State, _topic: str) -> State:
    """Where positives are rare members are weighed by what they answer from now on."""
    lane = state["lane"]
    records = [(*record, (0, 0.0), (0, 0.0)) for record in lane["blend"]["records"]]
    blend = {**lane["blend"], "records": records, "positives": (0, 0.0)}
    return {**state, "lane": {**lane, "lateness": (*lane["lateness"], None), "blend": blend}}
