"""The dashboard over a real socket, on an embedded broker: snapshots, what comes live, who may look and act."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from confluent_kafka import Producer
from websockets.exceptions import ConnectionClosed, InvalidStatus

from anabranch.errors import ConfigError
from anabranch.kafka.tail import Tail
from anabranch.messages import CONTROL_PARTITION, Decision, Retire, RetireAnswer, Retrain, decode
from benchmarks.told_models import Told, ToldModel
from commands.brokers import EmbeddedKafka
from config.settings import Settings
from operations.access import ACTION_HEADER
from operations.live import Page
from operations.picture import KINDS
from operations.source import Source
from support.dashboards import Running, dashboard, next_of, publish, say, settings
from support.waiting import until

TOKEN = {ACTION_HEADER: "act"}
ASKED = {"why": "prices are wrong", "by": "ana"}


@pytest.fixture
def here(embedded: EmbeddedKafka) -> Settings:
    """A model of which the topics tell the last minutes."""
    found = settings(bootstrap=embedded.bootstrap)
    for key in (*KINDS, "control", "events"):
        embedded.create_topic(found.topics.name(key))
    now_s = time.time()
    publish(found, ToldModel("fraud", began_s=now_s - 3000).between(now_s - 600, now_s, interval_s=10.0))
    return found


@pytest.fixture
def running(here: Settings) -> Iterator[Running]:
    with dashboard(here, action_tokens=("act",)) as found:
        yield found


def report(after_s: float = 0.0) -> Told:
    now_s = time.time() + after_s
    return Told(now_s, "reports", ToldModel("fraud", began_s=now_s - 3000).report(now_s, 10.0))


# ── snapshots ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_and_its_parts_are_there(running: Running) -> None:
    """Nothing in it names another host."""
    page = running.ask("/")
    assert page.status == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    script = running.ask("/static/app.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "no-cache" in script.headers["cache-control"]
    assert "://" not in page.body


def test_a_snapshot_is_gzipped_and_whole(running: Running) -> None:
    rows = running.ask("/api/models").body["rows"]
    assert [(each["model"], each["scope"], each["health"]["word"]) for each in rows] == [("fraud", "global", "well")]
    found = running.ask("/api/models/fraud/global")
    assert found.headers["content-encoding"] == "gzip"
    assert found.headers["cache-control"] == "no-store"
    assert len(found.body["columns"]["t"]) == 60
    assert found.body["parts"]["versions"][0]["version"] == 1
    assert running.ask("/api/models/fraud/global/swaps/1").body["update"]["version"] == 1


def test_prometheus_is_told_what_is_and_counts_from_now_on(here: Settings, running: Running) -> None:
    """What happened before the dashboard began is no news; what comes then counts."""
    until(lambda: running.ask("/metrics").status == 200)

    def sample(name: str) -> float:
        lines = running.ask("/metrics").body.splitlines()
        return float(next(line for line in lines if line.startswith(f'anabranch_{name}{{model="fraud"')).split()[-1])

    assert sample("announced_version") == 1.0
    before = sample("event_number")
    assert (before > 1000, sample("learned_events_total")) == (True, 0.0)
    publish(here, [report(10.0)])
    until(lambda: sample("event_number") > before)
    assert sample("learned_events_total") == sample("event_number") - before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/models/other/global", 404),
        ("/api/models/fraud/global/swaps/9", 404),
        ("/api/tail/secrets", 404),
        ("/api/tail/events?after=x", 400),
        ("/api/models?at=yesterday", 400),
        ("/static/../dashboard.py", 404),
        ("/nothing", 404),
    ],
)
def test_what_is_not_there_is_said(running: Running, path: str, status: int) -> None:
    assert running.ask(path).status == status


def test_any_topic_can_be_looked_at(here: Settings, running: Running) -> None:
    """With a filter, and only what came after the last look."""
    topic = here.topics.name("reports")

    def read() -> Any:
        return running.ask(f"/api/tail/{topic}").body

    until(lambda: read()["read"] >= 60)
    assert len(read()["records"]) == 60
    assert running.ask(f"/api/tail/{topic}?filter=no+such+text").body["records"] == []
    after = read()["read"]
    publish(here, [report()])
    until(lambda: read()["read"] > after)
    (newest,) = running.ask(f"/api/tail/{topic}?after={after}").body["records"]
    assert '"windowed"' in newest["text"]


# ── live ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_comes_is_told_to_who_shows_it(here: Settings, running: Running) -> None:
    """A page of the model gets the point and the parts; one of the overview the row."""
    with running.watch() as model, running.watch() as rows:
        model.send(json.dumps({"show": ["fraud", "global"]}))
        rows.send(json.dumps({"show": []}))
        next_of(model, "feed")
        next_of(rows, "feed")
        told = report()
        publish(here, [told])
        delta, row = next_of(model, "columns"), next_of(rows, "rows")
    assert delta["columns"]["t"] == [pytest.approx(told.at_s, abs=0.01)]
    assert set(delta["parts"]) >= {"row", "report"}
    assert row["rows"][0]["told_s"] == pytest.approx(told.at_s, abs=0.01)


def test_a_message_is_made_once_for_all_pages(here: Settings, running: Running) -> None:
    with ExitStack() as stack:
        pages = [stack.enter_context(running.watch()) for _ in range(4)]
        for page in pages:
            page.send(json.dumps({"show": ["fraud", "global"]}))
        until(lambda: sum(each.channel is not None for each in running.hub.pages) == 4)
        for page in pages:
            next_of(page, "feed")
        encoded, sent = running.hub.encoded, running.hub.sent
        publish(here, [report()])
        for page in pages:
            next_of(page, "columns")
        made = running.hub.encoded - encoded
        assert (running.hub.sent - sent) == 4 * made
    until(lambda: not running.hub.pages)


def test_a_slow_page_is_let_go_and_the_others_go_on() -> None:
    page = Page(queue_max=2)
    for _ in range(2):
        page.put(b"{}")
    assert not page.ended.is_set()
    page.put(b"{}")
    assert page.is_slow
    assert page.ended.is_set()


def test_a_page_that_talks_nonsense_is_closed(running: Running) -> None:
    with running.watch() as page:
        page.send("[1, 2")
        with pytest.raises(ConnectionClosed):
            page.recv(timeout=10)


def test_more_pages_than_allowed_are_refused(here: Settings) -> None:
    with dashboard(here, clients_max=1) as running, running.watch() as first:
        first.send(json.dumps({"show": []}))
        next_of(first, "feed")
        with pytest.raises((ConnectionClosed, InvalidStatus)), running.watch() as second:
            second.recv(timeout=10)


# ── who may look ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_of_another_origin_gets_nothing(running: Running) -> None:
    with pytest.raises(InvalidStatus), running.watch(Origin="http://evil.example"):
        pass
    path = "/api/models/fraud/global/actions/retire"
    assert running.ask(path, ASKED, **TOKEN, Origin="http://evil.example").status == 403


def test_a_foreign_name_that_points_here_gets_nothing(running: Running) -> None:
    """So that no page can rebind its name to this machine and read along."""
    assert running.ask("/api/models", Host="evil.example").status == 421
    assert running.ask("/api/models", Host=f"localhost:{running.port}").status == 200


def test_a_reader_needs_a_token_where_there_is_one(here: Settings) -> None:
    with dashboard(here, tokens=("look",)) as running:
        assert running.ask("/").status == 200
        assert running.ask("/api/models").status == 401
        with pytest.raises(InvalidStatus), running.watch():
            pass
        assert running.ask("/api/session", {"token": "no"}).status == 401
        entered = running.ask("/api/session", {"token": "look"})
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "look" not in cookie
        assert running.ask("/api/models", Cookie=cookie.split(";")[0]).status == 200
        assert running.ask("/api/models", Authorization="Bearer look").status == 200
        assert running.ask("/api/models", Authorization="Bearer no").status == 401
        with running.watch(Cookie=cookie.split(";")[0]) as page:
            page.send(json.dumps({"show": []}))
            assert next_of(page, "feed")["feed"]["is_live"]


# ── who may act ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_action_is_the_message_that_its_command_sends(here: Settings, running: Running) -> None:
    """On the partition that learners read; and its answer comes to the page."""
    path = "/api/models/fraud/global/actions"
    assert running.ask(f"{path}/retrain", ASKED, **TOKEN).status == 202
    retired = running.ask(f"{path}/retire", ASKED, **TOKEN)
    assert (retired.status, retired.body["undo"]) == (202, "reinstate")
    assert running.ask(f"{path}/reinstate", ASKED, **TOKEN).status == 202
    assert running.ask(f"{path}/envelope", {**ASKED, "about": "e1-5f"}, **TOKEN).status == 202
    with Tail(here.kafka, [here.topics.name("control")]) as tail:
        sent = list(tail.until_caught_up())
    assert {each.partition() for each in sent} == {CONTROL_PARTITION}
    values = [bytes(each.value() or b"") for each in sent]
    retrain = decode(Retrain, values[0])
    assert (retrain.model, retrain.reason, retrain.by) == ("fraud", "prices are wrong", "ana")
    approved = decode(Decision, values[3])
    assert (approved.step, approved.envelope, approved.by) == ("envelope", "e1-5f", "ana")
    steps = [decode(Retire, value) for value in values[1:3]]
    assert [(each.step, each.why, each.by) for each in steps] == [
        ("retire", "prices are wrong", "ana"),
        ("reinstate", "prices are wrong", "ana"),
    ]
    with running.watch() as page:
        page.send(json.dumps({"show": ["fraud", "global"]}))
        next_of(page, "feed")
        told = {"id": "a", "model": "fraud", "request": retired.body["request"], "step": "retire", "why": "w"}
        say(here, "answers", RetireAnswer(**told, event_number=1, version=1, accepted=True))
        answers = next_of(page, "parts")["parts"]["actions"]["answers"]
    assert (answers[0]["request"], answers[0]["accepted"]) == (retired.body["request"], True)


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("fraud/global/actions/retire", ASKED, {}, 401),
        ("fraud/global/actions/retire", ASKED, {ACTION_HEADER: "no"}, 401),
        ("fraud/global/actions/explode", ASKED, TOKEN, 404),
        ("other/global/actions/retire", ASKED, TOKEN, 404),
        ("fraud/global/actions/retire", {"why": "x"}, TOKEN, 400),
        ("fraud/global/actions/retire", {"why": " ", "by": "ana"}, TOKEN, 400),
        ("fraud/global/actions/envelope", {**ASKED, "about": "x" * 101}, TOKEN, 400),
        ("fraud/global/actions/retire", {"why": "x" * 20_000, "by": "ana"}, TOKEN, 413),
    ],
)
def test_an_action_without_its_reasons_is_refused(
    running: Running, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    assert running.ask(f"/api/models/{path}", body, **headers).status == status


def test_without_an_action_token_the_page_only_reads(here: Settings) -> None:
    with dashboard(here) as running:
        assert running.ask("/api/about").body["can_act"] is False
        refused = running.ask("/api/models/fraud/global/actions/retire", ASKED, **TOKEN)
        assert refused.status == 403
        assert "dashboard.action_tokens" in refused.body["error"]


# ── where it reads ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_topics_that_are_not_there_are_named(embedded: EmbeddedKafka) -> None:
    """And read when they come."""
    here = settings(bootstrap=embedded.bootstrap, prefix="x-")
    with dashboard(here, wait=False) as running:
        until(lambda: running.ask("/healthz").body["feed"]["is_live"])
        assert "x-model-reports" in running.ask("/healthz").body["feed"]["missing"]
        assert running.ask("/api/models").body["rows"] == []
        embedded.create_topic("x-model-reports")
        publish(here, [report()])
        until(lambda: running.ask("/api/models").body["rows"])


def test_brokers_that_are_away_are_waited_for() -> None:
    """The page is there meanwhile, and says what is wrong."""
    with dashboard(settings(bootstrap="127.0.0.1:1"), wait=False) as running:
        until(lambda: running.ask("/healthz").body["feed"]["reason"] not in ("", "connecting"))
        feed = running.ask("/api/models").body["feed"]
    assert feed["is_live"] is False


def test_configurations_have_to_fit_together() -> None:
    one = settings(bootstrap="a:1")
    with pytest.raises(ConfigError, match="two configurations are of model 'fraud'"):
        Source([one, one])
    with pytest.raises(ConfigError, match="have to name one Kafka"):
        Source([one, settings(bootstrap="b:1", name="other")])


def test_what_cannot_be_read_is_counted(here: Settings, embedded: EmbeddedKafka) -> None:
    producer = Producer({"bootstrap.servers": embedded.bootstrap})
    producer.produce(here.topics.name("reports"), b"{")
    producer.flush(10)
    with dashboard(here) as running:
        assert running.ask("/healthz").body["feed"]["unreadable"] == {here.topics.name("reports"): 1}
