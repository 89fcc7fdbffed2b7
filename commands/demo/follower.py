"""The demo's scoring service: `python -m commands.demo.follower CONFIG`. It follows the champion and scores events.

Its standard output: a line of JSON at the first prediction with each version, and one a second to say how far it is.
"""

import signal
import sys
import threading
import time
from pathlib import Path

import orjson

from anabranch import Follower, follow
from anabranch.events import Partition
from anabranch.kafka.clients import at, consumer, reader
from config import loading

BATCH_MAX = 100
SAY_EVERY_S = 1.0


class Scorer:
    """Scores each event with the newest champion, and says when a version was first used."""

    def __init__(self, model: Follower) -> None:
        self.model = model
        self.used: set[int] = set()
        self.scored = 0
        self.said_at_s = 0.0

    def score(self, value: bytes | None) -> None:
        """Score one record, if there is a model yet and the record is a good event."""
        version, features = self.model.version, features_of(value)
        if version is None or features is None:
            return
        self.model.predict_proba_one(features)
        self.scored += 1
        if version not in self.used:
            self.used.add(version)
            _say(version=version, first_prediction_ts=time.time())

    def say(self) -> None:
        """How far it is, now and then."""
        if time.monotonic() - self.said_at_s >= SAY_EVERY_S:
            self.said_at_s = time.monotonic()
            _say(scored=self.scored)


def features_of(value: bytes | None) -> dict[str, float] | None:
    """The features of an event, None for a bad record."""
    try:
        features: dict[str, float] = orjson.loads(value or b"")["features"]
    except (orjson.JSONDecodeError, KeyError):
        return None
    return features if all(type(each) is float for each in features.values()) else None


def _say(**what: float) -> None:
    print(orjson.dumps(what).decode(), flush=True)


def main(config: Path) -> None:
    """Score until SIGTERM or SIGINT."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings = loading.load(config)
    topics = settings.topics
    events = consumer(reader(settings.kafka))
    events.assign(at({Partition(topics.name("events"), 0): 0}))
    with follow(settings.name, kafka=settings.kafka, topic=topics.name("updates")) as model:
        scorer = Scorer(model)
        while not stopping.is_set():
            for message in events.consume(BATCH_MAX, timeout=0.05):
                if message.error() is None:
                    scorer.score(message.value())
            scorer.say()
    events.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
