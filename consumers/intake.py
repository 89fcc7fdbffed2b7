"""What becomes of the records, so that nothing is lost in silence: first refusals, shares of the last thousand, alerts.

It looks at the records alone, and at a hundred of them at a time; so it says the same at the same records.

>>> intake = Intake()
>>> [each.kind for n in range(1000) for each in intake.took("refused")]
['nothing-accepted', '', 'refused']
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from anabranch.messages import AlertKind, DeadLetter

Outcome = Literal["learned", "waiting", "label", "duplicate", "refused"]
"""Learned at once; waits for its label; brought the label of one that waited; brought nothing new; a dead letter."""

BLOCK, BLOCKS = 100, 10
BANDS = (0.01, 0.1, 0.5)
MOST = len(BANDS)
ENDED_BADLY = 0.1
"""Of what was read, the share that may be of no use before a run does not count as a good one."""

_WATCHED: Mapping[Outcome, tuple[AlertKind, str, str]] = {
    "refused": (
        "refused",
        "refused",
        "look at the reasons on dead-letters (`anabranch watch`; a backtest ends with them)",
    ),
    "duplicate": ("duplicates", "duplicates", "ids must be unique: see what sends them again"),
}


class Remark(NamedTuple):
    """Something to be said; an alert if it has a kind."""

    kind: AlertKind | Literal[""]
    reason: str


class Intake:
    """The outcomes of the last thousand records, in blocks of a hundred.

    Args:
        labels_come_late: so that a thousand events without one are nothing to be told of.
    """

    def __init__(self, *, labels_come_late: bool = False) -> None:
        self.labels_come_late = labels_come_late
        self.block: Counter[str] = Counter()
        self.blocks: deque[dict[str, int]] = deque(maxlen=BLOCKS)
        self.stages: dict[str, None] = {}
        """Of dead letters so far: the first of each is told."""
        self.bands: dict[str, int] = {}
        self.alerted: dict[str, None] = {}
        self.left = BLOCK

    def took(self, outcome: Outcome) -> Sequence[Remark]:
        """One more record; what there is to say, mostly nothing."""
        self.block[outcome] += 1
        self.left -= 1
        return () if self.left else self._look()

    def is_first(self, letter: DeadLetter) -> bool:
        """Whether it is the first of its stage."""
        if letter.stage in self.stages:
            return False
        self.stages[letter.stage] = None
        return True

    def _look(self) -> list[Remark]:
        """At the end of a block."""
        self.blocks.append(dict(self.block))
        said = [*self._nothing_accepted(self.block)]
        self.block, self.left = Counter(), BLOCK
        if len(self.blocks) == BLOCKS:
            total: Counter[str] = Counter()
            for each in self.blocks:
                total.update(each)
            said += [remark for outcome in _WATCHED for remark in self._share(outcome, total[outcome])]
            said += self._unlabelled(total)
        return said

    def _nothing_accepted(self, block: Mapping[str, int]) -> Iterable[Remark]:
        """A whole block of refusals, and duplicates at most."""
        refused, duplicates = block.get("refused", 0), block.get("duplicate", 0)
        none = refused > 0 and refused + duplicates == BLOCK
        reason = f"none of the last {BLOCK} records was accepted: {refused} refused, {duplicates} duplicates"
        return self._alert("nothing-accepted", f"{reason}; {_WATCHED['refused'][2]}", on=none, off=not none)

    def _share(self, outcome: Outcome, count: int) -> Iterable[Remark]:
        """The share of the last thousand: said when it enters another band, an alert when it is most."""
        kind, what, to_do = _WATCHED[outcome]
        share = count / (BLOCK * BLOCKS)
        band = sum(share > bound for bound in BANDS)
        if band == self.bands.get(outcome, 0):
            return
        self.bands[outcome] = band
        reason = f"{share:.1%} of the last {BLOCK * BLOCKS:,} records were {what}"
        yield Remark("", reason)
        # It is over only two bands below, at 10 %: a share that swings about one half would alert again and again.
        yield from self._alert(kind, f"{reason}; {to_do}", on=band == MOST, off=band < MOST - 1)

    def _unlabelled(self, total: Mapping[str, int]) -> Iterable[Remark]:
        """A thousand records without a single label, and at least some that wait for one."""
        if self.labels_come_late:
            return []
        labels = total.get("learned", 0) + total.get("label", 0)
        reason = (
            f"none of the last {BLOCK * BLOCKS:,} records brought a label, so nothing is learned; a label comes in the "
            "event, in the same event once more, or on a topic of its own (labels.late)"
        )
        return self._alert("unlabelled", reason, on=not labels and total.get("waiting", 0) > 0, off=labels > 0)

    def _alert(self, kind: AlertKind, reason: str, *, on: bool, off: bool) -> Iterable[Remark]:
        """Once, until it mends."""
        if on and kind not in self.alerted:
            self.alerted[kind] = None
            return [Remark(kind, reason)]
        if off:
            self.alerted.pop(kind, None)
        return []

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "block": dict(self.block),
            "blocks": list(self.blocks),
            "stages": list(self.stages),
            "bands": dict(self.bands),
            "alerted": list(self.alerted),
        }

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a checkpoint; older ones have nothing of it."""
        if state is None:
            return
        self.block, self.blocks = Counter(state["block"]), deque(state["blocks"], maxlen=BLOCKS)
        # A block goes on where the checkpoint was, so that the same is said at the same records.
        self.left = BLOCK - sum(self.block.values())
        self.stages, self.bands = dict.fromkeys(state["stages"]), dict(state["bands"])
        self.alerted = dict.fromkeys(state["alerted"])


@dataclass(frozen=True)
class Read:
    """What a run has read, and how much of it was of no use.

    Args:
        unlabelled: events whose label had not come by the end.
        unusable: answers that could not be used (learners/models/fence.py); their events were learned.
    """

    records: int
    refused: int
    duplicates: int
    unlabelled: int
    unusable: int = 0

    @property
    def unused(self) -> int:
        """Records of which nothing was learned."""
        return self.refused + self.duplicates + self.unlabelled

    @property
    def ended_badly(self) -> bool:
        """Whether too much was of no use."""
        return max(self.unused, self.unusable) > ENDED_BADLY * self.records

    def __add__(self, other: "Read") -> "Read":
        return Read(
            self.records + other.records,
            self.refused + other.refused,
            self.duplicates + other.duplicates,
            self.unlabelled + other.unlabelled,
            self.unusable + other.unusable,
        )

    def in_words(self) -> str:
        """The shares; nothing where all was used.

        >>> Read(2000, 30, 0, 1000).in_words()
        'of 2,000 records 1.5% were refused, 50.0% without a label at the end'
        """
        shares = [
            (self.refused, "refused"),
            (self.duplicates, "duplicates"),
            (self.unlabelled, "without a label at the end"),
            (self.unusable, "answered with what could not be used"),
        ]
        told = [f"{_share(count, self.records)} were {what}" for count, what in shares if count]
        words = ", ".join([*told[:1], *(each.replace(" were", "") for each in told[1:])])
        return f"of {self.records:,} records {words}" if told else ""


def _share(count: int, records: int) -> str:
    """In percent; as a count where that would be nothing."""
    return f"{count / records:.1%}" if count >= 0.001 * records else f"{count:,}"
