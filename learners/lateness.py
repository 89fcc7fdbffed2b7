"""Lateness: how many events are asked between an event's question and its label, and whether those are many."""

from typing import Any

from anabranch.events import Prediction

LATE, PROMPT = 50.0, 25.0
"""Questions on average: labels are late above the first, and no longer below the second; between, nothing changes."""

MEAN_EVENTS = 1000
"""The mean is over some so many labels, older ones fading."""

LEAD_EVENTS, LEAD_TIMES = 1000, 3.0
"""Who is to win while labels are late has to lead over so many labels, and over so many times the lag."""

RIPE_FROM = 1000
"""Labels that are learned before an answer says something of the model that gave it."""

ASKED = "#asked"
"""Beside the members' answers to an event that waits: how many questions had been asked then. No member's name."""


class Lateness:
    """The running mean of the lag, counted in events.

    Attributes:
        asked: questions so far.
        lag: of the labels lately, on average; 0 where labels come with their events.
        is_late: whether that is long.
        ripe_from: how many questions had been asked when a late label found that enough was learned; None before.

    >>> lateness = Lateness()
    >>> for n in range(600):
    ...     lateness.asked += 1
    ...     answers = {}
    ...     lateness.mark(answers)
    ...     if n == 0:
    ...         first = answers
    >>> lateness.note({}, labels=1)
    False
    >>> lateness.lag, lateness.is_late
    (0.0, False)
    >>> lateness.note(first, labels=2)
    False
    >>> lateness.lag, lateness.is_late
    (299.5, True)
    """

    __slots__ = ("asked", "is_late", "lag", "ripe_from")

    def __init__(self) -> None:
        self.asked = 0
        self.lag = 0.0
        self.is_late = False
        self.ripe_from: int | None = None

    def mark(self, answers: dict[str, Prediction]) -> None:
        """An event goes waiting with these answers."""
        answers[ASKED] = Prediction(self.asked)

    def note(self, answers: dict[str, Prediction], *, labels: int) -> bool:
        """A label has come, for an event with these answers; its mark is taken out of them. `labels` counts them.

        Returns:
            Whether these answers were given when enough had been learned.
        """
        marked = answers.pop(ASKED, None)
        asked = self.asked if marked is None else marked.value
        lag = self.asked - asked
        if self.ripe_from is None and lag and labels >= RIPE_FROM:
            self.ripe_from = self.asked
        self.lag += (lag - self.lag) / min(labels, MEAN_EVENTS)
        if self.lag > LATE or self.lag < PROMPT:
            self.is_late = self.lag > LATE
        return labels > RIPE_FROM and (not lag if self.ripe_from is None else asked > self.ripe_from)

    def lead_events(self, window: float) -> float:
        """Over how many labels a member's mean loss is taken: `window`, and more while labels are late."""
        return max(LEAD_EVENTS, LEAD_TIMES * self.lag) if self.is_late else window

    def state(self) -> tuple[Any, ...]:
        """What a checkpoint keeps."""
        return self.asked, self.lag, self.is_late, self.ripe_from

    def restore(self, state: tuple[Any, ...]) -> None:
        """Go on from a checkpoint."""
        self.asked, self.lag, self.is_late, self.ripe_from = state
