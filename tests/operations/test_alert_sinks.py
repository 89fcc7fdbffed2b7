"""Sinks, against a real server that fails, hangs, hangs up, and takes it at last."""

import hashlib
import hmac
import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.alerts import Sink
from operations.alerts.delivery import QUEUED_MAX, Delivery, pauses_s
from operations.alerts.notice import Notice
from operations.alerts.rules import Key
from operations.alerts.sinks import HOLD_S, Log, postable, sink_of
from support.checkout import ROOT
from support.command_line import anabranch, config_in
from support.receivers import HANGS, HANGS_UP, Receiver, receiver
from support.scorers import free_port
from support.told import NOW_S
from support.waiting import until

SECRET, TOKEN = "of the tests", "likewise"
NOTICE = Notice(
    id="480384689a4a",
    state="firing",
    key=Key("unread", "fraud", "global"),
    severity="warning",
    value=12_000.0,
    threshold=10_000.0,
    unit="records",
    since_s=NOW_S,
    ended_s=None,
    summary="fraud: unread: 12,000 records are unread",
    to_do="Fewer shadows.",
    link="http://d/#/model/fraud/global",
)


def delivery(receiver: Receiver, *, use: Any = "webhook", path: str = "/hook?a=1", **how: Any) -> Delivery:
    """To the receiver, quick to try again."""
    url = f"{receiver.url}{path if use == 'webhook' else ''}"
    sink = Sink.model_validate({"use": use, "url": url, "retry": 0.05, "timeout": 0.5, **how})
    return Delivery("hook", sink, sink_of(sink), seed=1)


@contextmanager
def running(*deliveries: Delivery) -> Iterator[None]:
    for each in deliveries:
        each.start()
    try:
        yield
    finally:
        for each in deliveries:
            each.stop()


# ── the webhook ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_webhook_gets_all_there_is_to_say_as_json() -> None:
    """In one POST, to the very address."""
    with receiver() as here:
        assert delivery(here).deliver((NOTICE,)).is_well
    (request,) = here.requests
    assert request.path == "/hook?a=1"
    assert request.headers["content-type"] == "application/json"
    assert "x-anabranch-signature" not in request.headers
    body = json.loads(request.body)
    assert body == {**NOTICE._asdict(), "key": NOTICE.key._asdict()}
    (shown,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "ALERTS.md").read_text(), re.DOTALL)
    assert json.loads(shown).keys() == body.keys()


def test_its_bodies_are_signed_with_the_moment() -> None:
    """Whoever has the secret can tell that it is ours, and new."""
    with receiver() as here:
        delivery(here, secret=SECRET, token=TOKEN).deliver((NOTICE,))
    (request,) = here.requests
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", request.headers["x-anabranch-signature"])
    assert found is not None
    assert abs(time.time() - int(found[1])) < 60
    assert found[2] == hmac.new(SECRET.encode(), found[1].encode() + b"." + request.body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("fault", [500, 503, 429, HANGS, HANGS_UP], ids=["500", "503", "429", "hangs", "hangs up"])
def test_what_fails_is_told_again_until_it_is_taken(fault: int) -> None:
    """The same body each time, after longer and longer pauses."""
    with receiver(fault, fault) as here:
        sent = delivery(here, secret=SECRET)
        assert sent.deliver((NOTICE,)).is_well
    assert (sent.outcomes["told"], sent.outcomes["retried"], sent.outcomes["given-up"]) == (1, 2, 0)
    assert len({each.body for each in here.requests}) == 1
    assert len(here.requests) == 3


@pytest.mark.parametrize(("status", "requests"), [(500, 3), (404, 1), (302, 1)])
def test_what_fails_for_good_is_given_up_and_logged(status: int, requests: int) -> None:
    """After three attempts, or after one where another would be answered the same; elsewhere is not followed."""
    with receiver(*[status] * 9) as here, capture_logs() as logs:
        sent = delivery(here, attempts=3)
        assert not sent.deliver((NOTICE,)).is_well
    assert len(here.requests) == requests
    assert sent.outcomes["given-up"] == 1
    (line,) = logs
    assert (line["event"], line["rules"], line["reason"]) == ("alert not delivered", "unread", f"answered {status}")


def test_where_nobody_listens_it_is_said() -> None:
    """And tried again: a receiver may be restarted."""
    nobody = Receiver()
    nobody.port = free_port()
    sent = delivery(nobody, attempts=2)
    assert "refused" in sent.deliver((NOTICE,)).said
    assert sent.outcomes["retried"] == 1


def test_a_sink_that_hangs_holds_up_no_other() -> None:
    """Each has a thread of its own."""
    with receiver(HANGS) as slow, receiver() as quick:
        several = delivery(slow, timeout=3.0), delivery(quick)
        with running(*several):
            for each in several:
                each.put([NOTICE])
            until(lambda: quick.requests, within_s=1.0)
            assert several[0].outcomes["told"] == 0
            slow.let_go.set()


def test_several_are_told_in_order() -> None:
    """One request each, and one that failed does not repeat those before it."""
    several = [NOTICE._replace(summary=str(n)) for n in range(5)]
    with receiver(200, 200, 500) as here:
        sent = delivery(here)
        with running(sent):
            sent.put(several)
            until(lambda: sent.outcomes["told"] == 5)
    assert [json.loads(each.body)["summary"] for each in here.requests] == ["0", "1", "2", "2", "3", "4"]


def test_only_severities_that_are_wanted_are_told() -> None:
    """Others are nobody's business there."""
    with receiver() as here:
        sent = delivery(here, severities=["critical"])
        with running(sent):
            sent.put([NOTICE, NOTICE._replace(severity="critical")])
            until(lambda: sent.outcomes["told"] == 1)
    assert [json.loads(each.body)["severity"] for each in here.requests] == ["critical"]


def test_the_queue_is_bounded() -> None:
    """The oldest are dropped, and counted."""
    sent = delivery(Receiver())
    for _ in range(QUEUED_MAX + 3):
        sent.put([NOTICE])
    assert sent.outcomes["dropped"] == 3


def test_what_is_queued_at_the_end_is_told_once_more() -> None:
    """Without any pause; and a sink that does not take it keeps no process from ending."""
    with receiver(*[500] * 9) as here:
        sent = delivery(here, retry=60.0)
        with running(sent):
            sent.put([NOTICE])
            until(lambda: here.requests)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 4
    assert sent.outcomes["given-up"] == 1


def test_pauses_grow_and_are_the_same_for_a_seed() -> None:
    """Between half and the whole of 1, 2, 4 … s, at most a minute; other seeds have others."""
    first, same, other = ([*pauses_s(1.0, attempts=12, rng=random.Random(seed))] for seed in (1, 1, 2))
    assert first == same != other
    for n, pause_s in enumerate(first):
        most_s = min(60.0, 2.0**n)
        assert most_s / 2 <= pause_s <= most_s


# ── Alertmanager ────────────────────────────────────────────────────────────────────────────────────────────────────


def as_documented(alerts: Any) -> None:
    """As the API's version 2 describes `postableAlerts`: an array of alerts, each with labels."""
    assert isinstance(alerts, list)
    for each in alerts:
        assert each.keys() <= {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}
        for table in (each["labels"], each["annotations"]):
            assert all(re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name) for name in table)
            assert all(isinstance(value, str) for value in table.values())
        assert all(each["labels"].values()), "an empty label is none"
        for name in ("startsAt", "endsAt"):
            assert datetime.fromisoformat(each[name]).tzinfo is not None
        assert re.match(r"https?://", each.get("generatorURL", "http://"))


def test_alertmanager_gets_what_its_api_documents() -> None:
    """All in one request; without a link there is no generatorURL."""
    several = (NOTICE, NOTICE._replace(link="", key=Key("drift", "fraud", "p3")))
    with receiver() as here:
        assert delivery(here, use="alertmanager").deliver(several).is_well
    (request,) = here.requests
    assert request.path == "/api/v2/alerts"
    alerts = json.loads(request.body)
    as_documented(alerts)
    assert alerts[0]["labels"] == {
        "alertname": "unread",
        "model": "fraud",
        "scope": "global",
        "severity": "warning",
        "service": "anabranch",
    }
    assert alerts[0]["generatorURL"] == NOTICE.link
    assert "generatorURL" not in alerts[1]


def test_its_labels_stay_while_the_value_changes() -> None:
    """By them Alertmanager knows that it is the same; the end is ahead while it fires, and behind when it is over."""
    firing = postable(NOTICE, ends_s=NOW_S + HOLD_S)
    again = postable(NOTICE._replace(value=13_000.0, summary="more"), ends_s=NOW_S + 2 * HOLD_S)
    over = postable(NOTICE._replace(state="resolved", ended_s=NOW_S + 60), ends_s=NOW_S + 3 * HOLD_S)
    assert firing["labels"] == again["labels"] == over["labels"]
    assert firing["startsAt"] == over["startsAt"] == "1970-01-12T13:46:40.000Z"
    assert (firing["endsAt"], over["endsAt"]) == ("1970-01-12T13:51:40.000Z", "1970-01-12T13:47:40.000Z")


# ── the log, and the command ────────────────────────────────────────────────────────────────────────────────────────


def test_the_log_has_a_line_for_each() -> None:
    """With its fields; what is over is no warning."""
    with capture_logs() as logs:
        Log().tell([NOTICE, NOTICE._replace(state="resolved")])
    assert [(each["log_level"], each["state"], each["rule"]) for each in logs] == [
        ("warning", "firing", "unread"),
        ("info", "resolved", "unread"),
    ]
    assert logs[0]["to_do"] == "Fewer shadows."


PLAIN = 'name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'


def test_the_command_tries_every_sink_and_says_what_came_of_it(tmp_path: Path) -> None:
    """Exit code 1 if one of them did not take it."""
    with receiver() as good, receiver(403) as bad:
        sinks = f'[alerts.sinks.a]\nuse = "webhook"\nurl = "{good.url}"\n[alerts.sinks.b]\nuse = "log"\n'
        config = config_in(tmp_path, PLAIN + sinks)
        done = anabranch("alerts", "test", config)
        assert (done.returncode, done.stdout) == (0, "a (webhook): ok, answered 200\nb (log): ok, logged\n")
        with config.open("a") as file:
            file.write(f'[alerts.sinks.c]\nuse = "alertmanager"\nurl = "{bad.url}"\n')
        done = anabranch("alerts", "test", config)
    assert done.returncode == 1
    assert "c (alertmanager): FAILED, answered 403" in done.stdout
    assert json.loads(good.requests[0].body)["state"] == "test"
    as_documented(json.loads(bad.requests[0].body))
