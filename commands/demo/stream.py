"""The demo's stream: card payments as events, fraud whose tactic changes at known offsets, and a few bad records.

>>> stream = Stream(seed=1, events=3600)
>>> [change.offset for change in stream.changes]
[601, 1603, 2604]
"""

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import orjson

from commands.demo import payments
from commands.demo.payments import Features
from evaluation.backtest import LabelValue
from evaluation.late import Delay, delayed

FRAUD_SHARE = 0.12
NEW_HABIT_SHARE = 0.12
BEGIN_S = 1_750_000_000.0
"""Event time of the first payment."""

SECONDS_BETWEEN = 200.0
"""Mean time from one payment to the next: some 430 a day."""

NIGHT_ENDS_HOUR = 6.0


LATE_EVENTS = 500
"""So many payments later it is known whether one was a fraud: at the demo's usual rate in a second or two."""

EXAMPLE = {"amount": 9.5, "hour": 3}
"""Features of a payment that people may ask after, short enough for a line."""


class Phase(NamedTuple):
    """What fraudsters do from a part of the stream on, and what everybody else begins to do as well."""

    begins: float
    words: str
    fraud: payments.Habit
    new_habit: payments.Habit | None = None


class Change(NamedTuple):
    """A planted change: from this offset on the fraudsters do something else."""

    offset: int
    words: str


PHASES = (
    Phase(0.0, "large amounts at compromised terminals", payments.emptied_where_copied),
    Phase(1 / 6, "small amounts at night", payments.tried_out_at_night, payments.clearance_sale),
    Phase(4 / 9, "cloned cards, far from home", payments.cloned, payments.night_buses),
    Phase(13 / 18, "charged twice near home", payments.charged_again, payments.holidays),
)
BY_NIGHT = (payments.tried_out_at_night, payments.night_buses)

SPOILT: tuple[Callable[[dict[str, Any]], bytes], ...] = (
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

    def with_late_labels(self) -> Iterator[bytes | LabelValue]:
        """The same, and each label by itself."""
        return delayed(self.values(), Delay(events=LATE_EVENTS))

    def phase(self, offset: int) -> Phase:
        """What the fraudsters do at an offset."""
        return PHASES[sum(change.offset <= offset for change in self.changes)]

    def _payment(self, world: payments.World, offset: int, at_s: float) -> payments.Payment:
        phase, luck = self.phase(offset), world.rng.random()
        fraud = _share(phase.fraud, FRAUD_SHARE, at_s)
        if luck < fraud:
            return phase.fraud(world, at_s)
        if phase.new_habit is not None and luck < fraud + _share(phase.new_habit, NEW_HABIT_SHARE, at_s):
            return phase.new_habit(world, at_s)
        return world.ordinary(at_s)


def _share(habit: payments.Habit, share: float, at_s: float) -> float:
    """What is done by night only is done the more then: as often a day as otherwise."""
    if habit not in BY_NIGHT:
        return share
    return share * 24 / NIGHT_ENDS_HOUR if payments.hour_of(at_s) < NIGHT_ENDS_HOUR else 0.0
