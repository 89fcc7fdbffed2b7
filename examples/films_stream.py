"""8,000 ratings of 40 films by 60 customers, as JSON lines; after 5,000 of them the tastes turn round.

python examples/films_stream.py > films.jsonl
"""

import json
import random

EVENTS, CHANGE = 8_000, 5_000


def main() -> None:
    """Print the events."""
    rng = random.Random(1)
    customers = {f"c{n}": rng.choice([-1.0, 1.0]) for n in range(60)}
    films = {f"f{n}": (rng.choice([-1.0, 1.0]), rng.gauss(0, 0.5)) for n in range(40)}
    for number in range(EVENTS):
        customer, film = rng.choice(list(customers)), rng.choice(list(films))
        genre, quality = films[film]
        taste = customers[customer] if number < CHANGE else -customers[customer]
        stars = 3.0 + quality + 1.2 * taste * genre + rng.gauss(0, 0.3)
        event = {"id": f"r{number}", "ts": 1.7e9 + number, "features": {"customer": customer, "film": film}}
        print(json.dumps({**event, "label": round(min(5.0, max(1.0, stars)), 2)}))


if __name__ == "__main__":
    main()
