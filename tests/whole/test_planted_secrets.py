"""Planted secrets are found nowhere: what is hidden, who is behind a pseudonym, and the secrets of the configuration.

Everything that comes of a run is looked at byte for byte: topics with their keys and headers, checkpoints, models, what
commands, scorers and pages say, logs, and the folders of retraining jobs.
"""

import base64
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from anabranch.kafka.tail import Tail
from config.loading import load
from config.records import TOPICS, Topics
from consumers.keys import make
from support.command_line import anabranch, ended, start
from support.dashboards import dashboard
from support.projects import SCALED_LINEAR, Project, announced
from support.scorers import Scorer, free_port
from support.streams import rows
from support.waiting import until

pytestmark = pytest.mark.slow

HERS, CUSTOMER, PAYMENT = "078-05-1120", "customer-of-", "payment-no-"
PASSWORD, TOKEN, KEY = "planted-password-1", "planted-token-22", "planted key of the pseudonyms"
PEM = re.compile(r"-----\n(.+?)\n-----", re.DOTALL)

SECTIONS = (
    SCALED_LINEAR
    + """
[features]
drop = ["customer"]
[[features.rules]]
name = "often"
what = "count"
by = "@key"
over = "1h"
[labels]
late = true
horizon = "2h"
default = false
memory_max = 50
[privacy]
hidden = ["ssn"]
pseudonyms = "${file:FOLDER/pseudonyms}"
users = ["customer"]
[publish]
key = "FOLDER/key.pem"
predictions = true
warm_up_events = 200
report_events = 200
[retrain]
history_max = 500
[arena]
false_swap_every = 500
[shadows]
portfolio = "cheap"
[score]
tokens = ["${env:PLANTED_TOKEN}"]
"""
)


class Planted(Project):
    """A model whose configuration and events hold secrets, on any broker."""

    def __init__(self, folder: Path, kafka: Any, *, prefix: str) -> None:
        (folder / "pseudonyms").write_text(KEY + "\n")
        make(folder / "key.pem")
        self.folder, self.broker = folder, kafka
        self.said: list[str] = []
        super().__init__(
            folder, bootstrap=kafka.bootstrap, prefix=prefix, sections=SECTIONS.replace("FOLDER", str(folder))
        )
        with self.config.open("a") as file:
            file.write('"sasl.password" = "${env:PLANTED_PASSWORD}"\n')

    @property
    def topics(self) -> list[str]:
        """All but those that only producers write."""
        which = set(TOPICS) - {"events", "labels"}
        return [f"{self.prefix}{Topics.model_fields[each].default}" for each in sorted(which)]

    def run(self, *words: object) -> str:
        if words[0] == "topics":  # the embedded broker makes none by request
            for topic in [*self.topics, f"{self.prefix}events", f"{self.prefix}labels"]:
                self.broker.create_topic(topic)
            return ""
        done = anabranch(*words)
        self.said += [done.stdout, done.stderr]
        assert done.returncode in (0, 3), f"{words}: {done.stderr[-2000:]}"
        return done.stdout

    def send(self, events: int) -> None:
        """Events with secrets in them, every third label 20 events late, and bad records of several kinds."""
        producer, late = Producer({**self.kafka, "linger.ms": 5}), list[dict[str, Any]]()
        for n, row in enumerate(rows(events)):
            customer = f"{CUSTOMER}{n % 40}"
            features = {**row["features"], "ssn": f"{HERS}/{n % 7}", "customer": customer}
            event = {**row, "id": f"{PAYMENT}{n}", "ts": 1.6e9 + n, "features": features}
            if n % 3 == 0:
                late.append({"id": event["id"], "ts": event["ts"] + 20, "label": event.pop("label")})
            for value in [event, *(bad(event) if n % 150 == 70 else [])]:
                data = value if isinstance(value, bytes) else orjson.dumps(value)
                producer.produce(f"{self.prefix}events", data, key=customer, partition=0)
            if len(late) > 7:
                label = late.pop(0)
                for value in [label, *([{**label, "label": not label["label"]}] if n % 60 == 0 else [])]:
                    producer.produce(f"{self.prefix}labels", orjson.dumps(value), key=customer, partition=0)
            producer.poll(0)
        assert not producer.flush(30)

    # ── all that came of it ─────────────────────────────────────────────────────────────────────────────────────

    def everything(self) -> dict[str, bytes]:
        """By where it was found."""
        found = {f"checkpoints/{each.name}": each.read_bytes() for each in self._files()}
        records = list(self.records(*self.topics))
        for topic in self.topics:
            several = [each for each in records if each.topic() == topic]
            parts = [(each.key() or b"", each.value() or b"", repr(each.headers()).encode()) for each in several]
            found[topic] = b"\n".join(map(bytes, itertools.chain.from_iterable(parts)))
        letters = [orjson.loads(each.value())["value_base64"] for each in records if is_letter(each)]
        return {**found, "letters": b"\n".join(map(base64.b64decode, letters)), "said": "\n".join(self.said).encode()}

    def _files(self) -> Iterator[Path]:
        # Retraining jobs work in folders of the machine's, and leave nothing there.
        folders = [self.folder / "checkpoints", self.folder / "temporary"]
        return (each for folder in folders for each in folder.rglob("*") if each.is_file())

    def records(self, *topics: str) -> list[Any]:
        with Tail(self.kafka, list(topics)) as tail:
            return list(tail.until_caught_up())

    def scored(self) -> bool:
        """Whether a scorer has answered on the topic."""
        return any(b'"by":"scorer"' in each.value() for each in self.records(f"{self.prefix}model-predictions"))


def is_letter(record: Any) -> bool:
    return bool(record.topic().endswith("dead-letters"))


def bad(event: dict[str, Any]) -> list[bytes]:
    whole = orjson.dumps(event)
    moved = {**event, "features": None, "data": event["features"]}
    return [orjson.dumps({**event, "ts": "yesterday"}), orjson.dumps(moved), whole[:-9], orjson.dumps(whole.decode())]


def places(found: dict[str, bytes], word: str) -> list[str]:
    """Where a word stands, as it is or in base64 at any of the three places where it may begin."""
    raw = word.encode()
    forms = [raw, *(base64.b64encode(b"\0" * n + raw)[4 if n else 0 : -4] for n in range(3))]
    return sorted(name for name, data in found.items() if any(form in data for form in forms))


@pytest.fixture
def planted(tmp_path: Path, any_kafka: Any, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Planted:
    monkeypatch.setenv("PLANTED_PASSWORD", PASSWORD)
    monkeypatch.setenv("PLANTED_TOKEN", TOKEN)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return Planted(tmp_path, any_kafka, prefix=topic_prefix)


@contextmanager
def scoring(here: Planted) -> Iterator[Scorer]:
    """A scorer that answers requests, and the topic."""
    scorer = Scorer(free_port(), [])
    process = start("score", here.config, "--port", scorer.port, "--predictions")
    try:
        until(lambda: scorer.answers() and scorer.ask("/readyz").status == 200, within_s=40)
        yield scorer
    finally:
        process.terminate()
        done = ended(process)
        here.said += [done.stdout, done.stderr]


def asked(here: Planted, scorer: Scorer) -> None:
    """An answer and its explanation, of one who is known; and what is refused."""
    row = {"ssn": f"{HERS}/3", "customer": f"{CUSTOMER}3", "0": 3.0, "1": 4.0, "2": 5.0}
    with_token = {"Authorization": f"Bearer {TOKEN}", "Anabranch_Key": f"{CUSTOMER}3"}
    for path, features in [("predict", row), ("explain", row), ("predict", {**row, "0": "much"})]:
        reply = scorer.ask(f"/api/{path}", {"features": features}, **with_token)
        here.said.append(str(reply.body))
        assert reply.status == (422 if features is not row else 200), reply
    here.said.append(str(scorer.ask("/api/predict", {"features": row}, Authorization="Bearer wrong")))
    here.said.append(str(scorer.ask("/metrics", **with_token).body))


def looked_at(here: Planted) -> None:
    """What commands and the page show."""
    letters = here.run("dlq", "list", here.config).splitlines()
    here.run("dlq", "show", here.config, letters[0].split("  ")[1])
    champion = f"models:/{here.name}@champion"
    here.run("explain", champion, "--config", here.config, "--id", f"{PAYMENT}77", "--json")
    for words in (["models", "show", champion, "--config", here.config], ["state", here.config, "--json"]):
        here.run(*words)
    settings = load(here.config)
    with dashboard(settings) as page:
        pages = ["/", "/api/models", f"/api/models/{here.name}/global", "/metrics"]
        here.said += [str(page.ask(each).body) for each in pages]
        for topic in (f"{here.prefix}events", f"{here.prefix}labels", f"{here.prefix}dead-letters"):
            until(lambda topic=topic: page.ask(f"/api/tail/{topic}").body["records"])  # type: ignore[misc]
            here.said.append(str(page.ask(f"/api/tail/{topic}").body))


def test_planted_secrets_are_found_nowhere(planted: Planted) -> None:
    """After a run with swaps, dead letters, late labels, a scorer's answers, explanations, and people who look."""
    planted.send(1600)
    planted.run("learn", planted.config, "--until-end")
    with scoring(planted) as scorer:
        asked(planted, scorer)
        planted.send(40)
        until(planted.scored, within_s=30)
    looked_at(planted)
    assert {"first", "swap"} <= {each.kind for each in announced(planted)}
    found = planted.everything()
    edge = load(planted.config).edge
    for word in (edge.pseudonym(f"{PAYMENT}77"), edge.pseudonym(f"{CUSTOMER}3")):
        assert len(places(found, word)) > 3, "nothing would be proved by its absence"
    assert found["letters"].count(b"[hidden]") > 5
    pem = PEM.search((planted.folder / "key.pem").read_text())
    assert pem is not None
    for word in (HERS, CUSTOMER, PAYMENT, PASSWORD, TOKEN, KEY, pem[1][-40:]):
        assert places(found, word) == [], word
    assert list((planted.folder / "temporary").iterdir()) == []
