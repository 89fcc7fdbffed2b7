"""The ids of the last events, each with a byte that tells whether it had a label, and roughly which."""

from typing import Any
from zlib import crc32

import msgpack

UNLABELLED = 0
UNKNOWN = 255
"""Of ids out of a checkpoint that did not keep it."""

BLOCKED = 255
"""Of events that have ended without a label, since there could be none."""

TRUTHS = {False: 1, True: 2}
"""The codes of truths, for who cannot afford a call."""

_OTHERS = 3


def code_of(y: Any) -> int:
    """A byte for a label: 0 without one, and of two labels mostly another one (of truths always).

    >>> code_of(None), code_of(False), code_of(True), code_of("red") == code_of("blue"), code_of(1.0) == code_of(2.0)
    (0, 1, 2, False, False)
    """
    if y is None:
        return UNLABELLED
    if type(y) is bool:
        return TRUTHS[y]
    # A number's hash is the same everywhere, a string's is not.
    return _OTHERS + (crc32(y.encode("utf-8", "replace")) if type(y) is str else hash(y)) % (UNKNOWN - _OTHERS)


class RecentIds:
    """The last `window` to 2·`window` ids, in two generations: bounded, and as cheap as two look-ups.

    >>> ids = RecentIds(2)
    >>> [ids.add(each) for each in "abacda"]
    [True, True, False, True, True, False]
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.young: dict[str, int] = {}
        self.old: dict[str, int] = {}

    def __contains__(self, event_id: str) -> bool:
        return event_id in self.young or event_id in self.old

    def add(self, event_id: str, code: int = UNLABELLED) -> bool:
        """Remember an id; False if it was there already."""
        if event_id in self.young or event_id in self.old:
            return False
        if len(self.young) >= self.window:
            self.old, self.young = self.young, {}
        # A window of 0 remembers nothing: that is for replays, which hold accepted events only.
        if self.window:
            self.young[event_id] = code
        return True

    def code(self, event_id: str) -> int:
        """What was noted of the label of an id that is there."""
        return self.young[event_id] if event_id in self.young else self.old[event_id]

    def on_label(self, event_id: str, code: int) -> None:
        """The label of an id came later."""
        generation = self.young if event_id in self.young else self.old
        if event_id in generation:
            generation[event_id] = code

    def state(self) -> bytes:
        """Packed, since there are many: the state tree would look at each."""
        several = (self.old, self.young)
        packed: bytes = msgpack.packb([*map(list, several), *(bytes(each.values()) for each in several)])
        return packed

    def restore(self, state: bytes) -> None:
        """Go on from a checkpoint."""
        old, young, *codes = msgpack.unpackb(state)
        of_old, of_young = codes or (bytes([UNKNOWN]) * len(old), bytes([UNKNOWN]) * len(young))
        self.old, self.young = dict(zip(old, of_old, strict=True)), dict(zip(young, of_young, strict=True))
