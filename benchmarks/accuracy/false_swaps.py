"""Two trials of what must not happen: swaps after alarms that mean nothing, and swaps between equals."""

import random
from pathlib import Path
from typing import Any

from anabranch.events import Findings, Fired, Shift
from benchmarks.accuracy import one_pass, our_pass
from benchmarks.accuracy.streams import STREAMS
from detectors.trigger import Withheld, never_withheld
from detectors.watch import Watch
from learners.arena.evidence import Contest

ALARMS = 20
ALARM_EVERY = 1500
TIES = 100_000
DISCORDANT = 0.1
FALSE_SWAP_EVERY = 1e4


class FalseAlarms(Watch):
    """A watch that is wrong every so many events, whatever the loss."""

    def update(
        self, loss: float | None, *, event_number: int, withheld: Withheld = never_withheld, **seen: Any
    ) -> Findings | None:
        """An alarm, if it is time."""
        del loss, seen
        if event_number % ALARM_EVERY or event_number > ALARMS * ALARM_EVERY:
            return None
        reason = withheld(event_number)
        return Findings((Fired("false", Shift(1.0, 1.0, 300)),), triggered=not reason, withheld=reason)


def forced_alarms(seed: int) -> dict[str, Any]:
    """GaussianNB on a stream that does not drift, with 20 false alarms: how many swaps."""
    stream = next(each for each in STREAMS if each.name == "stationary_sea")
    longer = type(stream)(**{**vars(stream), "each": (ALARMS + 2) * ALARM_EVERY})
    events = longer.events(seed=seed, data=Path())
    table = {"model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}
    settings = one_pass.settings_of(table, task="binary", seed=seed, rare=False)
    passed = our_pass.anabranch(settings, events, watch=FalseAlarms(settings))
    return {"alarms": passed.signals, "swaps": passed.swaps, "judged": passed.judged, "wrong": passed.wrong}


def tied_models(seed: int) -> dict[str, Any]:
    """Two equally good models that differ on a tenth of the events, at A = 10,000: how many swaps."""
    rng, contest, swaps = random.Random(seed), Contest(), 0
    for _ in range(TIES):
        contest.update(rng.choice((1.0, -1.0)) if rng.random() < DISCORDANT else 0.0)
        if contest.won(FALSE_SWAP_EVERY):
            swaps, contest = swaps + 1, Contest()
    return {"events": TIES, "swaps": swaps}
