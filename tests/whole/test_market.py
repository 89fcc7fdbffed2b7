"""A model from its events to the answers of others: a real Kafka, processes, a client of the protocol, a wheel."""

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from support.projects import SCALED_LINEAR, Project, announced, ended
from support.scorers import Scorer, free_port
from support.streams import market
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.peers]
http = pytest.importorskip(
    "tritonclient.http", reason="tritonclient is not installed: make peers", exc_type=ImportError
)

MAX_AGE_S = 20
RATE = 500
EVENTS, BEFORE = 9_000, 1_000
ASKED = next(market(1))["features"]

FOLLOWER = """
import json, pathlib, sys, time
from anabranch import follow
model, bootstrap, topic, max_age, until, asked = sys.argv[1:]
x = json.loads(asked)
kafka = {"bootstrap.servers": bootstrap}
with follow(model, kafka=kafka, topic=topic, max_age=float(max_age), ack_as="wheel") as follower:
    follower.wait(timeout_s=60)
    while not pathlib.Path(until).exists():
        champion = follower.champion
        print(json.dumps([champion.update.version, champion.age_s, champion.predict_one(x)]), flush=True)
        time.sleep(0.005)
"""


def values(rows: Iterator[Any]) -> Iterator[bytes]:
    """As they are published: they happen now."""
    for row in rows:
        yield orjson.dumps({**row, "ts": time.time()})


def answered(scorer: Scorer, model: str) -> float:
    """How many events of the topic the scorer says it has answered."""
    _, _, told = scorer.ask("/metrics").body.partition(f'anabranch_events_total{{model="{model}",outcome="answered"}} ')
    return float(told.split()[0]) if told else 0.0


class Asked:
    """What was answered, by whom and when: versions and ages."""

    def __init__(self, here: Project, port: int) -> None:
        self.client = http.InferenceServerClient(f"127.0.0.1:{port}")
        self.name = here.name
        self.inputs = [http.InferInput(name, [1], "FP64") for name in ASKED]
        for each, value in zip(self.inputs, ASKED.values(), strict=True):
            each.set_data_from_numpy(np.array([value], dtype=np.float64))

    def once(self) -> tuple[int, float]:
        """The version that answers, and its age; raises where none does."""
        reply = self.client.infer(self.name, self.inputs)
        assert reply.as_numpy("prediction").shape == (1,)
        told = reply.get_response()
        return int(told["model_version"]), told["parameters"]["age_s"]


def test_a_market_is_learned_and_answered_while_its_model_changes(
    project: Callable[..., Project], client_python: Path, tmp_path: Path
) -> None:
    """No request fails, what answers was announced, and nothing is older than allowed: over HTTP, and in a program."""
    publish = "[publish]\nwarm_up_events = 300\nrefresh_interval = 4\n"
    here = project(sections=f"{SCALED_LINEAR}{publish}[score]\nmax_age = '{MAX_AGE_S}s'\n")
    rows, port, end, said = values(market(EVENTS)), free_port(), tmp_path / "end", tmp_path / "answers"
    scorer = Scorer(port, [])
    learner = here.start("learn", here.config)
    server = here.start("score", here.config, "--port", port, "--predictions")
    words = [here.name, here.bootstrap, here.updates, MAX_AGE_S, end, json.dumps(ASKED)]
    with said.open("w") as file:
        wheel = subprocess.Popen([client_python, "-I", "-c", FOLLOWER, *map(str, words)], stdout=file)
    try:
        here.produce(itertools.islice(rows, BEFORE))
        until(scorer.answers, within_s=60)
        until(lambda: scorer.ask("/readyz").status == 200, within_s=60)  # its learner begins as well
        until(lambda: said.stat().st_size > 0, within_s=60)
        asked, replies = Asked(here, port), []
        sent = threading.Thread(target=here.produce, args=(rows,), kwargs={"rate": RATE})
        sent.start()
        while sent.is_alive():
            replies.append(asked.once())
        # Not by the lag: what is newer than the scorer's last fetch is not in it.
        until(lambda: answered(scorer, here.name) >= EVENTS - BEFORE)
        end.touch()
        assert wheel.wait(20) == 0
    finally:
        wheel.kill()
        learner.terminate()
        server.terminate()
        assert ended(learner)[0] == 0
        code, logged = ended(server, within_s=10)
    assert code == 0, logged
    versions = {each.version for each in announced(here)}
    followed = [tuple(json.loads(line)[:2]) for line in said.read_text().splitlines()]
    for answers in (replies, followed):
        assert len({version for version, _ in answers}) >= 3
        assert {version for version, _ in answers} <= versions
        assert max(age_s for _, age_s in answers) <= MAX_AGE_S
