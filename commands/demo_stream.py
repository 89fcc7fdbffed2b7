"""The demo's stream: card payments as events, fraud whose tactic changes at known offsets, and a few bad records.

>>> stream = Stream(seed=1, events=3600)
>>> [change.offset for change in stream.changes]
[601, 1603, 2605]
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import orjson

from commands import demo_payments as payments
from commands.demo_features import Features

FRAUD_SHARE = 0.12
BEGIN_S = 1_750_000_000.0
"""Event time of the first payment."""

SECONDS_BETWEEN = 200.0
"""Mean time from one payment to the next: some 430 a day."""

NIGHT_ENDS_HOUR = 6.0
NIGHT_SHARE = 0.40
"""Of the night's payments that are fraud while it is done by night: as many a day as otherwise."""


class Phase(NamedTuple):
    """A tactic, in words too, and where it begins, as a part of the stream."""

    begins: float
    tactic: payments.Tactic
    words: str
    at_night: bool = False


class Change(NamedTuple):
    """A planted change: from this offset on the fraudsters do something else."""

    offset: int
    words: str


PHASES = (
    Phase(0.0, payments.large_at_compromised_terminals, "large amounts at compromised terminals"),
    Phase(1 / 6, payments.small_at_night, "small amounts at night", at_night=True),
    Phase(4 / 9, payments.cloned_far_away, "cloned cards, far from home"),
    Phase(13 / 18, payments.doubled_near_home, "charged twice near home"),
)

SPOILT = (
    lambda event: orjson.dumps(event)[:-1],
    lambda event: orjson.dumps(event).replace(b'"amount":', b'"amount":NaN,"was":', 1),
    lambda event: orjson.dumps({key: event[key] for key in event if key != "ts"}),
    lambda event: orjson.dumps({**event, "features": {**event["features"], "amount": "12,50"}}),
    lambda event: orjson.dumps({**event, "label": "perhaps"}),
    lambda event: orjson.dumps({**event, "ts": BEGIN_S * 100}),
)
"""Ways in which a record can be bad; one of each is in the stream."""


class Stream:
    """The whole stream, the same for the same seed; the offset of a record is its place in it.

    Args:
        seed: of everything that is left to chance.
        events: good ones; the bad records come on top.
    """

    def __init__(self, *, seed: int, events: int) -> None:
        self.seed = seed
        self.events = events
        self.records = events + len(SPOILT)
        self.changes = tuple(Change(round(phase.begins * self.records), phase.words) for phase in PHASES[1:])
        self.bad = {round((n + 0.5) / len(SPOILT) * self.records): spoil for n, spoil in enumerate(SPOILT)}

    def values(self) -> Iterator[bytes]:
        """The encoded records, from the first."""
        rng = random.Random(self.seed)
        world, features = payments.World(rng), Features()
        at_s = BEGIN_S
        for offset in range(self.records):
            at_s += rng.expovariate(1 / SECONDS_BETWEEN)
            payment = self._payment(world, offset, at_s)
            event = {
                "id": f"payment-{offset}",
                "ts": round(at_s, 3),
                "features": features(payment),
                "label": payment.fraud,
            }
            spoil = self.bad.get(offset)
            yield orjson.dumps(event) if spoil is None else spoil(event)

    def phase(self, offset: int) -> Phase:
        """What the fraudsters do at an offset."""
        return PHASES[sum(change.offset <= offset for change in self.changes)]

    def _payment(self, world: payments.World, offset: int, at_s: float) -> payments.Payment:
        phase = self.phase(offset)
        if world.rng.random() < _fraud_share(phase, at_s):
            return phase.tactic(world, at_s)
        return world.ordinary(at_s)


def _fraud_share(phase: Phase, at_s: float) -> float:
    if not phase.at_night:
        return FRAUD_SHARE
    return NIGHT_SHARE if payments.hour_of(at_s) < NIGHT_ENDS_HOUR else 0.0
