"""The announced updates that a follower may yet use, newest first, and those that it could not."""

import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from anabranch.errors import AnabranchError, ArtifactError, KafkaUnavailable
from anabranch.events import Partition
from anabranch.messages import ArtifactPointer, ModelUpdate, UnreadableMessage
from anabranch.statetree import StateTreeError

CANDIDATES_MAX = 128
"""More than the versions whose bytes a learner keeps on the topic, 100 by default: those before can be had no more."""

REFUSALS_MAX = 10_000
RETRY_S = 1.0
RETRY_MAX_S = 60.0


class Key(NamedTuple):
    """What an update is known by: a restart may announce the same numbers with other bytes, or at another place."""

    epoch: int
    seq: int
    river: str
    artifact: ArtifactPointer | None


class Refusal(NamedTuple):
    """When an update may be tried again, and how long the pause before was."""

    due_s: float
    pause_s: float


def order(update: ModelUpdate) -> tuple[int, int]:
    """What updates are ordered by."""
    return update.epoch, update.seq


def key_of(update: ModelUpdate) -> Key:
    """What tells an update from all others."""
    return Key(update.epoch, update.seq, update.river, update.artifact)


def answers_for(update: ModelUpdate, key: str | bytes | None) -> bool:
    """Whether a canary answers for a key: the same keys in every process, and more of the same with each step.

    Without a key nobody can tell, and it does not.

    >>> update = ModelUpdate.model_construct(model="m", kind="canary", share=25.0, beside=3)
    >>> sum(answers_for(update, f"customer-{n}") for n in range(10_000)), answers_for(update, None)
    (2501, False)
    """
    if update.share is None or key is None:
        return False
    # Salted with what it is beside, which stays through all steps: the next canary is tried on other people.
    data = key.encode() if isinstance(key, str) else key
    salt = zlib.crc32(f"{update.model}/{update.beside}/".encode())
    return zlib.crc32(data, salt) * 100 < update.share * 2**32


class Candidates:
    """Updates that are newer than the one in use. Each is refused by itself and hides no other.

    Args:
        monotonic_s: a clock.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.monotonic_s = monotonic_s
        self.waiting: dict[Key, ModelUpdate] = {}
        self.refused: dict[Key, Refusal] = {}
        self.in_use: tuple[int, int] = (-1, -1)
        self.has_dropped = False
        """Whether there were too many: what was dropped lies on the topic still."""

    def add(self, update: ModelUpdate) -> None:
        """An update was read; of two with the same numbers, the later one is tried first."""
        key = key_of(update)
        refusal = self.refused.get(key)
        # Equal numbers as well: a restart right after a commit announces once more what is in use already.
        if order(update) <= self.in_use or (refusal is not None and refusal.due_s == float("inf")):
            return
        self.waiting.pop(key, None)
        # Put at the end, since newest() looks from there: of two with the same numbers it finds the later one first.
        self.waiting[key] = update
        # Not before it is twice too many, or reading a long topic would sort at every update.
        if len(self.waiting) >= 2 * CANDIDATES_MAX:
            self._trim()

    def _trim(self) -> None:
        """Those stay that were not tried yet, the newest of them first."""
        ranked = sorted(self.waiting, key=lambda key: (key not in self.refused, key.epoch, key.seq))
        for key in ranked[:-CANDIDATES_MAX]:
            del self.waiting[key]
            self.has_dropped |= key not in self.refused

    def newest(self) -> ModelUpdate | None:
        """The newest that may be tried now."""
        now_s = self.monotonic_s()
        ready = [
            update
            for key, update in reversed(self.waiting.items())
            if (refusal := self.refused.get(key)) is None or refusal.due_s <= now_s
        ]
        return max(ready, key=order, default=None)

    def use(self, update: ModelUpdate) -> None:
        """It is in use: what is not newer counts no more."""
        self.in_use = order(update)
        self.waiting = {key: each for key, each in self.waiting.items() if order(each) > self.in_use}
        # The first two parts of a key are epoch and seq, so they compare with what is in use.
        self.refused = {key: each for key, each in self.refused.items() if key[:2] > self.in_use}
        self.has_dropped = False

    def refuse(self, update: ModelUpdate, *, for_good: bool) -> bool:
        """It cannot be used: never, or not now. The pauses between two tries double. Whether that is news."""
        key = key_of(update)
        is_news = for_good or key not in self.refused
        pause_s = min(RETRY_MAX_S, 2 * self.refused[key].pause_s if key in self.refused else RETRY_S)
        self.refused[key] = Refusal(float("inf") if for_good else self.monotonic_s() + pause_s, pause_s)
        if for_good:
            self.waiting.pop(key, None)
        if len(self.refused) > REFUSALS_MAX:
            # At worst the oldest of them is tried once more, and refused again.
            self.refused.pop(next(iter(self.refused)))
        return is_news

    def is_to_be_read_again(self) -> bool:
        """Whether nothing is left of what was kept, and something was dropped. Asked once, it is a new beginning."""
        again = self.has_dropped and all(key in self.refused for key in self.waiting)
        self.has_dropped &= not again
        return again


# ── What was refused ────────────────────────────────────────────────────────────────────────────────────────────────

TOLD_MAX = 100

SAID_MAX = 600
"""Characters of a reason."""


class Refusals:
    """How many updates were refused, by the check that they did not pass, and the last reason."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last: str | None = None
        self._told: dict[str, None] = {}
        self._counted: dict[Partition, int] = {}
        """The offset before which every record was counted."""

    def add(self, error: BaseException, *, what: str) -> bool:
        """One more, and whether it is news: of many with the same fault, a log tells the first.

        Args:
            what: was refused, for the reason to begin with.
        """
        self.counts[check_of(error)] += 1
        return self.tell(error, what=what)

    def add_record(self, error: BaseException, place: Partition, *, offset: int) -> bool:
        """The same of a record; one that is read once more, by a reader that began anew, is no other one."""
        if offset < self._counted.get(place, 0):
            return False
        self._counted[place] = offset + 1
        return self.add(error, what=f"{place.topic} partition {place.number} offset {offset}")

    def tell(self, error: BaseException, *, what: str) -> bool:
        """Note the reason without counting; whether it is news."""
        self.last = f"{what}: {said(error)}"
        fault = getattr(error, "fault", said(error))
        is_news = fault not in self._told
        self._told[fault] = None
        if len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
        return is_news


def check_of(error: BaseException) -> str:
    """Which check an update did not pass."""
    if isinstance(error, ArtifactError):
        return error.check
    kinds = {UnreadableMessage: "message", StateTreeError: "decode", KafkaUnavailable: "kafka"}
    return next((check for kind, check in kinds.items() if isinstance(error, kind)), ArtifactError.check)


def said(error: BaseException) -> str:
    """What an error says, shortened, since a stranger may have a part in it; of one not ours, what it is as well."""
    text = str(error) if isinstance(error, AnabranchError | ValueError) else f"{type(error).__name__}: {error}"
    return text if len(text) <= SAID_MAX else f"{text[:SAID_MAX]}…"
