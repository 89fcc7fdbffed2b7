"""A shop whose shoppers click: learner, scorer and dashboard, on a broker of its own. Until Ctrl-C.

    python examples/recommender/run.py                      # the broker is librdkafka's, in this process
    python examples/recommender/run.py --kafka localhost:9092

Each shopper asks `/api/rank` for a page of 20 items. Every item on it is an impression on the topic of events; a click
is a label on the topic of labels. Before the first version is announced, pages are drawn at random.
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from confluent_kafka import Producer

from commands.brokers import EmbeddedKafka
from config.loading import load
from evaluation.simulation.audience import Audience

HERE = Path(__file__).parent
CONFIG = HERE / "shop.toml"
API = "127.0.0.1:8080"
PAGE, PAGES_A_SECOND = 20, 10
TOLD_EVERY_S = 10.0


class Shop:
    """Shoppers, the pages that they are shown, and what is told of both."""

    def __init__(self, producer):
        self.producer = producer
        self.audience = Audience(seed=11, users=200, items=300, genres=8, curious=0.1, bored=4.0)
        self.random = random.Random(3)
        self.items = [f"i{number}" for number in range(len(self.audience.genre))]
        self.pages = self.impressions = self.clicks = 0
        self.version = None

    def visit(self):
        """Somebody looks at a page, and may click."""
        shopper = self.random.randrange(len(self.audience.likes))
        listed = self.page(shopper)
        clicked = self.audience.choice(shopper, [int(each["item"][1:]) for each in listed])
        shown = " ".join(each["item"] for each in listed)
        self.pages += 1
        now = time.time()  # the same for the whole page: so the learner knows what was one list
        for place, each in enumerate(listed):
            number = int(each["item"][1:])
            genre = f"g{self.audience.genre[number]}"
            features = {"user": f"u{shopper}", "item": each["item"], "item_genre": genre, "shown": shown}
            if "propensity" in each:
                features["propensity"] = each["propensity"]
            impression = {"id": f"{os.getpid()}-{self.pages}-{place}", "ts": now, "features": features}
            self.tell("events", impression)
            self.impressions += 1
            if number == clicked:
                self.tell("labels", {"id": impression["id"], "ts": time.time(), "label": 1})
                self.clicks += 1

    def page(self, shopper):
        """What the newest version would show, or anything before there is one."""
        asked = {"id": f"{os.getpid()}-{self.pages}", "user": f"u{shopper}", "candidates": self.items, "n": PAGE}
        connection = http.client.HTTPConnection(API, timeout=5)
        try:
            connection.request("POST", "/api/rank", json.dumps(asked))
            response = connection.getresponse()
            answer = json.load(response)
        except OSError:
            response = None  # the scorer is not there yet
        finally:
            connection.close()
        if response is None or response.status == 503:  # no version yet
            return [{"item": each} for each in self.random.sample(self.items, PAGE)]
        if response.status != 200:
            raise SystemExit(f"the scorer refuses: {answer['error']}")
        self.version = answer["version"]
        return answer["items"]

    def tell(self, topic, message):
        """On one partition, so that a click follows its impression."""
        self.producer.produce(topic, json.dumps(message), key=message["id"], partition=0)

    def told(self):
        """What has happened so far."""
        rate = self.clicks / self.pages if self.pages else 0.0
        version = "no version yet" if self.version is None else f"version {self.version}"
        counts = f"{self.pages:,} pages, {self.impressions:,} impressions, {self.clicks:,} clicks"
        return f"{counts} ({rate:.2f} a page); {version}"


def main():
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", help="a broker that is there; without it, one in this process")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end by itself")
    options = parser.parse_args()
    with ExitStack() as stack:
        variables = {}
        if options.kafka is None:
            # The broker's records end with it, so the checkpoints that count in them may not be there next time.
            variables["ANABRANCH__CHECKPOINT__STORE"] = stack.enter_context(tempfile.TemporaryDirectory())
        bootstrap = options.kafka or with_topics(stack.enter_context(EmbeddedKafka()))
        variables["ANABRANCH__KAFKA"] = json.dumps({"bootstrap.servers": bootstrap, "session.timeout.ms": 6000})
        for verb in ("learn", "score", "dashboard"):
            stack.enter_context(running(verb, variables))
        print(f"dashboard: http://127.0.0.1:8090   scorer: http://{API}/docs   Ctrl-C ends it", flush=True)
        shop = Shop(Producer({"bootstrap.servers": bootstrap, "linger.ms": 5}))
        try:
            shopping(shop, seconds=options.seconds)
        except KeyboardInterrupt:
            print()


def with_topics(kafka):
    """The address of a broker in this process, once it has all topics."""
    topics = load(CONFIG).topics
    for which in set(type(topics).model_fields) - {"prefix"}:
        kafka.create_topic(topics.name(which))
    return kafka.bootstrap


def running(verb, variables):
    """A process of `anabranch VERB`, which ends with this one."""
    command = [sys.executable, "-m", "commands.main", verb, str(CONFIG)]
    return Ended(subprocess.Popen(command, env={**os.environ, **variables}))


class Ended:
    """A process that is ended when the block ends."""

    def __init__(self, process):
        self.process = process

    def __enter__(self):
        return self.process

    def __exit__(self, *about):
        self.process.terminate()
        self.process.wait(timeout=30)


def shopping(shop, *, seconds):
    """So many pages a second, and a line every ten."""
    began_s = told_s = time.monotonic()
    while (now_s := time.monotonic()) - began_s < seconds:
        shop.visit()
        shop.producer.poll(0)
        if now_s - told_s >= TOLD_EVERY_S:
            told_s = now_s
            print(shop.told(), flush=True)
        time.sleep(max(0.0, began_s + shop.pages / PAGES_A_SECOND - time.monotonic()))
    shop.producer.flush(5)
    print(shop.told(), flush=True)


if __name__ == "__main__":
    main()
