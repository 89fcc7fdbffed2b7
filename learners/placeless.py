"""The learning state without places in the log: the same events give the same one wherever their records lie.

Records that were refused, or that stand twice, move the offsets of all after them, and teach nothing.
"""

from collections.abc import Mapping
from typing import Any


def placeless(state: Mapping[str, Any]) -> dict[str, Any]:
    """A lane's learning state, of which the ranges of `trained_on` and the places of counted signals are left out."""
    succession, watch = dict(state["succession"]), dict(state["watch"])
    succession["library"] = [
        (name, version, _without(trained_on, "ranges"), data)
        for name, version, trained_on, data in succession["library"]
    ]
    if "trigger" in watch:
        counted = [_without(each, "partition", "offset") for each in watch["trigger"]["counted"]]
        watch["trigger"] = {**watch["trigger"], "counted": counted}
    shadows = [_member(each) for each in state["shadows"]]
    champion = _member(state["champion"])
    return {**state, "champion": champion, "shadows": shadows, "succession": succession, "watch": watch}


def _member(state: Mapping[str, Any]) -> dict[str, Any]:
    return {**state, "trained_on": _without(state["trained_on"], "ranges")}


def _without(table: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name not in names}
