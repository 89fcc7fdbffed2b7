"""20,000 card payments of four weeks, as CSV; after half of them the fraudsters change their tactics.

python examples/payments_stream.py > payments.csv
"""

import csv
import random
import sys
from datetime import UTC, datetime, timedelta

ROWS, CHANGE = 20_000, 10_000
BEGIN, APART = datetime(2025, 11, 3, tzinfo=UTC), timedelta(minutes=2)
COUNTRIES = ("FR", "DE", "ES", "IT", "PL")


def main() -> None:
    """Print them."""
    rng = random.Random(1)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["when", "amount", "hour", "country", "fraud"])
    for number in range(ROWS):
        when = BEGIN + number * APART
        fraud = rng.random() < 0.2
        amount, country = payment(rng, fraud=fraud, changed=number >= CHANGE)
        table.writerow([when.isoformat(), f"{amount:.2f}", when.hour, country, str(fraud).lower()])


def payment(rng: random.Random, *, fraud: bool, changed: bool) -> tuple[float, str]:
    """Its amount and country: fraud is dear and from PL or IT at first, then cheap and from ES."""
    if not fraud or rng.random() < 0.1:
        return rng.lognormvariate(3.5, 0.8), rng.choice(COUNTRIES)
    if changed:
        return rng.lognormvariate(1.5, 0.4), "ES"
    return rng.lognormvariate(5.0, 0.5), rng.choice(("PL", "IT"))


if __name__ == "__main__":
    main()
