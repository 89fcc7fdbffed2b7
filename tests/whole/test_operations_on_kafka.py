"""Metrics and alerts on a real Kafka, with real processes: a drift is scraped, told, and told to be over."""

import hashlib
import hmac
import http.client
import itertools
import json
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics

from support.projects import GAUSSIAN, Project, announced, ended, sea
from support.receivers import Receiver, receiver
from support.scorers import free_port
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECRET = "of this test"  # noqa: S105  # of nothing else


def watched(receiver: Receiver, port: int) -> str:
    """Sections of a model that is scraped at this port, and whose alerts the receiver is told."""
    return f"""{GAUSSIAN}
[publish]
report_events = 200
[metrics]
port = {port}
[alerts]
every = "500ms"
resolve_after = "1s"
dashboard = "http://127.0.0.1:1"
[alerts.rules.drift]
window = "15s"
[alerts.sinks.hook]
use = "webhook"
url = "{receiver.url}"
secret = "{SECRET}"
retry = "100ms"
"""


def scraped(port: int) -> dict[tuple[str, ...], float]:
    """The samples at this moment; nothing while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with closing(connection), suppress(OSError):
        connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        return samples(connection.getresponse().read().decode())
    return {}


def samples(text: str) -> dict[tuple[str, ...], float]:
    """By name and the values of further labels."""
    found = {}
    for each in (sample for family in open_metrics(text) for sample in family.samples):
        labels = sorted(each.labels.items())
        found[each.name, *(value for label, value in labels if label not in ("model", "scope"))] = each.value
    return found


def told(receiver: Receiver, rule: str) -> list[dict[str, Any]]:
    """What the webhook was told of a rule, if it is signed."""
    found = []
    for request in receiver.requests:
        moment, _, digest = request.headers["x-anabranch-signature"].partition(",v1=")
        signed = moment.removeprefix("t=").encode() + b"." + request.body
        assert digest == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        found.append(json.loads(request.body))
    return [each for each in found if each["key"]["rule"] == rule]


def test_a_drift_is_scraped_and_told_and_told_to_be_over(project: Callable[..., Project]) -> None:
    """The first answer of the webhook is 500. The learner and the watcher, two processes, export the same swap."""
    learner_port, watcher_port = free_port(), free_port()
    with receiver(500) as hook:
        here = project(sections=watched(hook, learner_port))
        learner = here.start("learn", here.config)
        watcher = here.start("alerts", "run", here.config, "--metrics-port", watcher_port)
        try:
            stream = sea(60_000, flipped_from=8000)
            here.produce(itertools.islice(stream, 8000))
            until(lambda: scraped(learner_port).get(("anabranch_event_number",), 0) >= 8000, within_s=60)
            until(lambda: scraped(watcher_port).get(("anabranch_event_number",), 0) >= 8000, within_s=60)
            assert told(hook, "drift") == []
            here.produce(itertools.takewhile(lambda _: not swaps(learner_port), stream), rate=700)
            firing = until(lambda: told(hook, "drift"), within_s=60)[-1]
            shown = [json.loads(line) for line in here.run("alerts", "list", here.config, "--json").splitlines()]
            until(lambda: swaps(watcher_port), within_s=60)
            over = until(lambda: [each for each in told(hook, "drift") if each["state"] == "resolved"], within_s=90)
            measured = scraped(learner_port), scraped(watcher_port)
        finally:
            learner.terminate()
            watcher.terminate()
    learned, watched_till = ended(learner), ended(watcher)
    assert learned[0] == 0, learned[1]
    assert watched_till[0] == 0, watched_till[1]
    assert (firing["state"], firing["key"]["model"], firing["severity"]) == ("firing", here.name, "info")
    assert firing["link"] == f"http://127.0.0.1:1/#/model/{here.name}/global"
    assert "drift" in [each["key"]["rule"] for each in shown]
    assert over[0]["id"] == firing["id"]
    assert over[0]["ended_s"] > over[0]["since_s"]
    assert any(each.kind == "swap" for each in announced(here))
    for each in measured:
        assert each["anabranch_swap_seconds_count",] >= 1
        assert each["anabranch_triggers_total",] >= 1
        assert each["anabranch_announced_version",] == measured[0]["anabranch_announced_version",]
    assert measured[1]["anabranch_notifications_total", "retried", "hook"] == 1
    assert time.time() - firing["since_s"] < 300


def swaps(port: int) -> float:
    """How many a process has told of."""
    return scraped(port).get(("anabranch_updates_total", "swap"), 0)
