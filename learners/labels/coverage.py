"""Coverage: which share of the events that were asked has its label, by age; and what that does to scores.

Labels do not come at random: a fraud is reported within days, that a payment was good is known when nobody has
complained. Of the last hour mostly bad cases are known, so its scores are not those that it will have. Reports give the
scores of events that are old enough beside those of younger ones, and say how old that is.
"""

from typing import Any

from anabranch.messages import Coverage, CoverageAt

AGES_S = (1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, *(86_400.0 * days for days in (1, 3, 7, 14, 30, 60, 90, 180)))
SLOTS_MAX = 64
"""So many spans of time events are told apart by; when there are more, neighbours become one, of twice the length."""
WIDTH_MAX_S = 2 * AGES_S[-1] / SLOTS_MAX
"""Longer spans need not be told apart by: so many of them cover twice the oldest age."""

MATURE = 0.95
"""Events are old enough when so large a share of the labels that come at all has come."""


class Slot:
    """The events that were asked within one span of event time, and what became of them."""

    __slots__ = ("asked", "by_age", "judged", "loss", "positives")

    def __init__(self) -> None:
        self.asked = 0
        self.by_age = [0] * (len(AGES_S) + 1)
        """Labels that came when the event was at most as old as each of the ages, and at last all later ones."""
        self.positives = 0
        self.judged, self.loss = 0, 0.0

    def absorb(self, other: "Slot") -> None:
        """Both spans as one."""
        self.asked += other.asked
        self.by_age = [one + two for one, two in zip(self.by_age, other.by_age, strict=True)]
        self.positives += other.positives
        self.judged, self.loss = self.judged + other.judged, self.loss + other.loss

    def state(self) -> tuple[Any, ...]:
        """What a checkpoint keeps."""
        return self.asked, list(self.by_age), self.positives, self.judged, self.loss

    def restore(self, state: tuple[Any, ...]) -> None:
        """Go on from a checkpoint."""
        self.asked, by_age, self.positives, self.judged, self.loss = state
        self.by_age = list(by_age)


class Counts:
    """Counts over the last time, in spans of event time: at first a second each, and as long as need be.

    >>> counts = Counts()
    >>> for n in range(200):
    ...     counts.asked(60.0 * n)
    ...     if n % 2:
    ...         counts.labelled(60.0 * n, 60.0 * n + 300.0, loss=0.0, positive=n % 4 == 1)
    >>> told = counts.told(now_ts=12_000.0)
    >>> [round(each.share, 2) for each in told.by_age if each.age_s in (60.0, 600.0)], told.mature_age_s
    ([0.0, 0.5], 600.0)
    """

    def __init__(self) -> None:
        self.width_s = 1.0
        self.slots: dict[int, Slot] = {}
        """By the number of the span; the oldest first."""

    def asked(self, ts: float) -> None:
        """An event was asked."""
        self._slot(ts).asked += 1

    def labelled(self, asked_ts: float, ts: float, *, loss: float | None, positive: bool) -> None:
        """Its label came."""
        slot = self._slot(asked_ts)
        age_s = max(0.0, ts - asked_ts)
        slot.by_age[next((n for n, each in enumerate(AGES_S) if age_s <= each), len(AGES_S))] += 1
        slot.positives += positive
        if loss is not None:
            slot.judged += 1
            slot.loss += loss

    def _slot(self, ts: float) -> Slot:
        number = int(ts // self.width_s)
        slot = self.slots.get(number)
        if slot is None:
            if self.slots and number < next(iter(self.slots)):
                return next(iter(self.slots.values()))  # older than all that is told apart
            slot = self.slots[number] = Slot()
            self._make_room()
            slot = self.slots[int(ts // self.width_s)]
        return slot

    def _make_room(self) -> None:
        """Twice as long spans while there are too many; those of long ago become the oldest one."""
        while len(self.slots) > SLOTS_MAX:
            # However far apart they lie: where events come every ten seconds, nine of ten spans of a second are empty.
            if self.width_s < WIDTH_MAX_S:
                self._widen()
            else:
                oldest, after = list(self.slots)[:2]
                self.slots[after].absorb(self.slots.pop(oldest))

    def _widen(self) -> None:
        self.width_s *= 2
        slots: dict[int, Slot] = {}
        for number, slot in self.slots.items():
            if number // 2 in slots:
                slots[number // 2].absorb(slot)
            else:
                slots[number // 2] = slot
        self.slots = slots

    # ── for people ──────────────────────────────────────────────────────────────────────────────────────────────

    def told(self, *, now_ts: float) -> Coverage:
        """What is known by now."""
        mature_s = self._mature_age()
        old = [slot for ends_ts, slot in self._ended() if ends_ts + mature_s <= now_ts]
        young = [slot for ends_ts, slot in self._ended() if ends_ts + mature_s > now_ts]
        return Coverage(
            by_age=tuple(self._by_age(now_ts)),
            mature_age_s=mature_s,
            mature_loss=_mean_loss(old),
            young_loss=_mean_loss(young),
            mature_positives=_positives(old),
            young_positives=_positives(young),
        )

    def _ended(self) -> list[tuple[float, Slot]]:
        return [((number + 1) * self.width_s, slot) for number, slot in self.slots.items()]

    def _by_age(self, now_ts: float) -> list[CoverageAt]:
        found = []
        for n, age_s in enumerate(AGES_S):
            slots = [slot for ends_ts, slot in self._ended() if ends_ts + age_s <= now_ts]
            asked = sum(slot.asked for slot in slots)
            if asked:
                came = sum(sum(slot.by_age[: n + 1]) for slot in slots)
                found.append(CoverageAt(age_s=age_s, asked=asked, share=came / asked))
        return found

    def _mature_age(self) -> float:
        """How old an event has to be; of the ages that are told apart."""
        by_age = [sum(each) for each in zip(*(slot.by_age for slot in self.slots.values()), strict=True)]
        came, so_far = sum(by_age), 0
        for age_s, count in zip(AGES_S, by_age, strict=False):
            so_far += count
            if so_far >= MATURE * came:
                return age_s
        return AGES_S[-1]

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"width_s": self.width_s, "slots": [(number, slot.state()) for number, slot in self.slots.items()]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.width_s, self.slots = state["width_s"], {}
        for number, kept in state["slots"]:
            self.slots[number] = Slot()
            self.slots[number].restore(kept)


def _mean_loss(slots: list[Slot]) -> float | None:
    judged = sum(slot.judged for slot in slots)
    return sum(slot.loss for slot in slots) / judged if judged else None


def _positives(slots: list[Slot]) -> float | None:
    came = sum(sum(slot.by_age) for slot in slots)
    return sum(slot.positives for slot in slots) / came if came else None
