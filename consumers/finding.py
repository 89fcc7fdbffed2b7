"""What was found when a learner's surroundings were looked at: a state, a code, words, and what to do."""

from typing import Literal, NamedTuple

Level = Literal["ok", "warning", "failure"]


class Finding(NamedTuple):
    """One thing that was looked at."""

    code: str
    """Stable, for scripts: `room.thing`."""
    level: Level
    """A failure: it does not work; a warning: something will be lost, or somebody else can do harm."""
    what: str
    fix: str = ""


def good(code: str, what: str) -> Finding:
    """Nothing is wrong with it."""
    return Finding(code, "ok", what)


def warning(code: str, what: str, fix: str) -> Finding:
    """It works, and something will be lost, or somebody else can do harm."""
    return Finding(code, "warning", what, fix)


def failure(code: str, what: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(code, "failure", what, fix)
