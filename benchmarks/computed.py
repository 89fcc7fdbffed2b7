"""What computed features are worth, and what they cost: card payments from raw columns, with rules and with aggregates.

    python -m benchmarks.computed --data fraud_payments_250k.csv.gz

A logistic regression (AdaGrad .1) on scaled features is asked when a payment comes and learns when its label does, at
once or some days later. Printed are the average precision from event 50,000 on, and from 100,000 on, by when labels
that come a week late have taught something; and the microseconds of processor time that an event takes.
"""

import argparse
import csv
import gzip
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from river import linear_model, optim, preprocessing
from sklearn.metrics import average_precision_score

from anabranch.events import AcceptedEvent
from config.loading import build
from learners.derived import Derived

DAY_S = 86_400.0
FIRST_JUDGED = (50_000, 100_000)
RULES: list[dict[str, Any]] = [
    {"name": f"{who}_{what}_{days}d", "what": what, "by": by, "over": f"{days}d", **of}
    for days in (1, 7, 30)
    for who, what, by, of in (
        ("customer", "count", "CUSTOMER_ID", {}),
        ("customer", "mean", "CUSTOMER_ID", {"of": "TX_AMOUNT"}),
        ("terminal", "count", "TERMINAL_ID", {}),
        ("terminal", "positive_rate", "TERMINAL_ID", {}),
    )
]
"""Those of the aggregates that come with the data, as rules."""

RAW = ("CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT")
APART = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "target")


def payments(path: Path, *, aggregates: bool, limit: int | None) -> Iterator[AcceptedEvent]:
    """The rows: raw columns, or all but ids and times."""
    with gzip.open(path, "rt", newline="") as file:
        for n, row in enumerate(islice(csv.DictReader(file), limit)):
            names = [name for name in row if name not in APART] if aggregates else RAW
            x: dict[str, object] = {name: row[name] if name.endswith("_ID") else float(row[name]) for name in names}
            ts = datetime.fromisoformat(row["TX_DATETIME"]).replace(tzinfo=UTC).timestamp()
            yield AcceptedEvent(str(n), x, row["target"] == "1", ts, 0, n)


class Run:
    """One model over the payments.

    Args:
        rules: the features that are computed.
        delay_s: how long after its event a label comes.
    """

    def __init__(self, rules: list[dict[str, Any]], *, delay_s: float) -> None:
        features = {"rules": rules, "drop": ["CUSTOMER_ID", "TERMINAL_ID"]}
        table = {"name": "m", "task": "binary", "model": {"factory": "a:b"}, "features": features}
        self.derived = Derived(build(table))
        self.model: Any = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.AdaGrad(0.1))
        self.see = self.derived.views.of(self.model)
        self.delay_s = delay_s
        self.waiting: deque[AcceptedEvent] = deque()
        self.truths: list[bool] = []
        self.shares: list[float] = []
        self.computing_s = self.model_s = 0.0

    def show(self, event: AcceptedEvent) -> None:
        """Ask the event, and learn what is due."""
        self._learn_until(event.ts - self.delay_s)
        began_s = time.process_time()
        asked = self.derived.on_event(event)
        now_s = time.process_time()
        self.computing_s += now_s - began_s
        self.shares.append(self.model.predict_proba_one(self._seen(asked)).get(True, 0.0))
        self.model_s += time.process_time() - now_s
        self.truths.append(event.y is True)
        self.waiting.append(asked)
        if not self.delay_s:
            self._learn_until(event.ts)

    def _seen(self, event: AcceptedEvent) -> dict[str, object]:
        return event.x if self.see is None else self.see(event.x)

    def _learn_until(self, ts: float) -> None:
        while self.waiting and self.waiting[0].ts <= ts:
            event = self.waiting.popleft()
            began_s = time.process_time()
            self.model.learn_one(self._seen(event), event.y)
            now_s = time.process_time()
            self.model_s += now_s - began_s
            self.derived.on_label(event, event.ts + self.delay_s)
            self.computing_s += time.process_time() - now_s

    def row(self) -> str:
        """What came of it, as a row of the table."""
        events = len(self.truths)
        judged = (average_precision_score(self.truths[first:], self.shares[first:]) for first in FIRST_JUDGED)
        precision = " | ".join(f"{each:.3f}" for each in judged)
        kept = len(self.derived.computing.rolling.state())
        us = [1e6 * seconds / events for seconds in (self.computing_s, self.model_s)]
        return f"{precision} | {us[0]:.1f} | {us[1]:.1f} | {kept / 1e6:.2f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--days", type=int, nargs="+", default=[0, 7], help="after which labels come")
    given = parser.parse_args()
    print("| features | labels after | from 50k | from 100k | µs computing | µs model | MB of state |")
    print("|---|---|---|---|---|---|---|")
    for days in given.days:
        for name, rules, aggregates in (
            ("amount alone", [], False),
            (f"amount and {len(RULES)} rules", RULES, False),
            ("the data's own aggregates", [], True),
        ):
            run = Run(rules, delay_s=days * DAY_S)
            for event in payments(given.data, aggregates=aggregates, limit=given.limit):
                run.show(event)
            print(f"| {name} | {days} d | {run.row()}", flush=True)


if __name__ == "__main__":
    main()
