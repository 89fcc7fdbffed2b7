"""Streams and settings whose features are computed: who pays tells more than what is paid."""

import random
from typing import Any

import orjson

from evaluation.simulation.world import MemoryLog

FEATURES: dict[str, Any] = {
    "drop": ["customer"],
    "rules": [
        {"name": "paid_1h", "what": "mean", "of": "amount", "by": "customer", "over": "1h"},
        {"name": "events_1h", "what": "count", "by": "customer", "over": "1h"},
        {"name": "risk", "what": "positive_rate", "by": "@key", "over": "2h"},
    ],
}
MEMORY: dict[str, Any] = {"labels": 2, "key": "customer"}
LINEAR: dict[str, Any] = {
    "steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}],
}


def payments(events: int, *, seed: int = 3, turned_at: int = 10**9) -> list[dict[str, Any]]:
    """Minute by minute; a payment is fraud if it is much more than its customer pays, or at a bad terminal.

    From `turned_at` on it is the other way round.
    """
    rng, found = random.Random(seed), []
    for n in range(events):
        customer, terminal = rng.randrange(8), rng.randrange(4)
        bad = terminal == n // 300 % 4
        often = 10.0 * (customer + 1)
        strange = rng.random() < 0.2
        amount = round(often * (5 if strange else 1) * rng.uniform(0.8, 1.2), 2)
        features = {"customer": f"c{customer}", "amount": amount}
        found.append(
            {
                "id": f"e{n}",
                "ts": 1.6e9 + 60.0 * n,
                "features": features,
                "label": (strange or (bad and rng.random() < 0.7)) != (n >= turned_at),
                "key": f"t{terminal}",
            }
        )
    return found


def log_of_payments(events: int, *, partitions: int = 1, label_after: int = 0, turned_at: int = 10**9) -> MemoryLog:
    """On a log, keyed by the terminal; labels come with their events, or so many events later on their own topic."""
    log, told = MemoryLog(partitions=partitions), list[dict[str, Any]]()
    for n, row in enumerate(payments(events, turned_at=turned_at)):
        key, partition = row.pop("key").encode(), n % partitions
        if label_after:
            told.append({"id": row["id"], "ts": row["ts"] + 60.0 * label_after, "label": row["label"]})
            row["label"] = None
        log.append("events", orjson.dumps(row), key=key, partition=partition)
        if label_after and n >= label_after:
            at = n - label_after
            log.append("labels", orjson.dumps(told[at]), partition=at % partitions)
    return log
