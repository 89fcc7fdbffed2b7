"""Readiness, limits, tokens, and the end of a scorer, over a real socket."""

import socket
import threading
import time
from typing import Any

import pytest

from anabranch.errors import ArtifactError
from anabranch.testing import MemoryFollower
from support.scorers import EVENT, FEATURES, linear, scorer


def fraud(**options: Any) -> MemoryFollower:
    """A follower that has a model."""
    follower = MemoryFollower("fraud")
    follower.max_age, follower.min_version = options.get("max_age"), options.get("min_version", 0)
    follower.publish(linear(), features=FEATURES)
    return follower


def test_it_is_ready_when_it_has_a_model() -> None:
    """Alive before, and it says why it does not answer."""
    follower = MemoryFollower("fraud")
    with scorer(follower) as running:
        assert running.ask("/healthz").status == 200
        assert running.ask("/readyz").body == {"ready": False, "reasons": {"fraud": "no champion of 'fraud' yet"}}
        asked = running.ask("/api/predict", EVENT)
        assert (asked.status, asked.headers["retry-after"]) == (503, "1")
        follower.publish(linear(), features=FEATURES)
        assert (running.ask("/readyz").status, running.ask("/api/predict", EVENT).status) == (200, 200)


@pytest.mark.parametrize(("option", "said"), [({"max_age": 0.0}, "max_age"), ({"min_version": 2}, "min_version")])
def test_nothing_stale_is_answered(option: dict[str, Any], said: str) -> None:
    """Too old a model, or too early a version: refused, and not ready."""
    with scorer(fraud(**option)) as running:
        for path, body in (("/api/predict", EVENT), ("/readyz", None)):
            reply = running.ask(path, body)
            assert (reply.status, said in str(reply.body)) == (503, True)


def test_a_long_request_is_not_read() -> None:
    """Whether it says its length or not."""
    with scorer(fraud(), body_max_bytes=1000) as running:
        assert running.ask("/api/predict", b" " * 1001).status == 413
        with socket.create_connection(("127.0.0.1", running.port)) as raw:
            raw.sendall(b"POST /api/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            raw.sendall(b"400\r\n" + b" " * 0x400 + b"\r\n" * 1)
            assert b" 413 " in raw.recv(1000)


def test_a_slow_request_is_given_up() -> None:
    """Who sends nothing more holds no place."""
    with scorer(fraud(), timeout=0.2) as running, socket.create_connection(("127.0.0.1", running.port)) as raw:
        raw.sendall(b"POST /api/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        raw.settimeout(5)
        assert b" 408 " in raw.recv(1000)


def test_more_at_once_than_it_takes_are_told_at_once() -> None:
    """429, with when to try again; who asks after its health is answered all the same."""
    with scorer(fraud(), concurrency_max=2, timeout=5) as running:
        held = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(2)]
        try:
            for each in held:
                each.sendall(b"POST /api/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            time.sleep(0.3)
            reply = running.ask("/api/predict", EVENT)
            assert (reply.status, reply.headers["retry-after"]) == (429, "1")
            assert running.ask("/readyz").status == 200
        finally:
            for each in held:
                each.close()
        time.sleep(0.3)
        assert running.ask("/api/predict", EVENT).status == 200


def test_who_brings_no_token_is_not_answered() -> None:
    """One of several; orchestrators need none."""
    with scorer(fraud(), tokens=("first", "second")) as running:
        assert running.ask("/api/predict", EVENT).status == 401
        assert running.ask("/api/predict", EVENT, Authorization="Bearer third").status == 401
        assert running.ask("/api/predict", EVENT, Authorization="Basic second").status == 401
        assert running.ask("/metrics").status == 401
        assert running.ask("/readyz").status == 200
        assert running.ask("/api/predict", EVENT, Authorization="Bearer second").status == 200


def test_requests_in_flight_are_answered_before_it_ends() -> None:
    """A request whose body is still on its way when the scorer is asked to stop."""
    got: list[bytes] = []
    with scorer(fraud(), timeout=8) as running:
        raw = socket.create_connection(("127.0.0.1", running.port))
        raw.sendall(b"POST /api/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 34\r\n\r\n")
        time.sleep(0.3)

        def finish() -> None:
            time.sleep(0.7)
            raw.sendall(b'{"features": {"amount": 6.0}}     ')
            got.append(raw.recv(1000))

        thread = threading.Thread(target=finish)
        thread.start()
    thread.join()
    raw.close()
    assert b" 200 " in got[0]


def test_what_it_measures() -> None:
    """Requests by route and status, predictions, and each model's version and age."""
    with scorer(fraud()) as running:
        running.ask("/api/predict", [EVENT] * 3)
        running.ask("/api/predict", {})
        running.ask("/nowhere")
        text = running.ask("/metrics").body
    assert 'anabranch_predictions_total{model="fraud"} 3.0' in text
    assert 'anabranch_requests_total{route="predict",status="422"} 1.0' in text
    assert 'anabranch_requests_total{route="none",status="404"} 1.0' in text
    assert 'anabranch_model_version{model="fraud"} 1.0' in text
    assert 'anabranch_ready{model="fraud"} 1.0' in text


def test_it_is_measured_in_either_format() -> None:
    """OpenMetrics for who asks for it, and else the plain one."""
    with scorer(fraud()) as running:
        plain, other = running.ask("/metrics"), running.ask("/metrics", Accept="application/openmetrics-text")
    assert plain.headers["content-type"].startswith("text/plain")
    assert other.headers["content-type"].startswith("application/openmetrics-text")
    assert other.body.endswith("# EOF\n")


def test_updates_that_were_not_taken_are_counted() -> None:
    """By the check that they did not pass."""
    follower = fraud()
    with scorer(follower) as running:
        with pytest.raises(ArtifactError):
            follower.publish(linear(), features=FEATURES, river_version="0.1.0")
        text = running.ask("/metrics").body
    assert 'anabranch_refused_updates_total{check="versions",model="fraud"} 1.0' in text


def test_its_pages_describe_every_route() -> None:
    """The page, and OpenAPI: each path there is one that is routed."""
    with scorer(fraud()) as running:
        described = running.ask("/openapi.json").body
        page = running.ask("/docs").body
        for path, methods in described["paths"].items():
            assert path in page
            for method in methods:
                asked = path.replace("{model}", "fraud")
                assert running.ask(asked, EVENT if method == "post" else None).status != 404, path
        assert running.ask("/nowhere").body["error"].startswith("Not Found: /nowhere")
