"""The example of a service that follows a model: what it answers, and what it refuses."""

import asyncio
import importlib.util
import json
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from river import dummy
from starlette.requests import Request

from anabranch.testing import MemoryFollower
from support.checkout import ROOT


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """With a model that has seen one fraud."""
    spec = importlib.util.spec_from_file_location("fraud_service", ROOT / "examples/fraud_service.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = dummy.PriorClassifier()
    model.learn_one({"amount": 1.0}, True)
    with MemoryFollower("fraud") as fraud:
        fraud.publish(model, features=["amount"])
        monkeypatch.setattr(module, "fraud", fraud)
        yield module


def checked(service: ModuleType, body: bytes) -> tuple[int, Any]:
    """The answer to a body: status and JSON."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    answer = asyncio.run(service.check(Request({"type": "http", "method": "POST", "headers": []}, receive)))
    return answer.status_code, json.loads(answer.body)


def test_a_payment_is_judged(service: ModuleType) -> None:
    """The one in the example's own words; what it lacks is left to the model."""
    status, said = checked(service, b'{"amount": 950.0, "hour": 3, "country": "PL"}')
    assert (status, said) == (200, {"decision": "refuse", "risk": 1.0, "version": 1})
    assert checked(service, b'{"amount": 9}')[0] == 200


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"amount=9", 400, "the body is no JSON"),
        (b"\xff", 400, "the body is no JSON"),
        (b"[1]", 422, 'a payment is a JSON object, as {"amount": 950.0}'),
        (b'{"amount": "abc"}', 422, "amount must be a number"),
        (b'{"amount": NaN}', 422, "amount must be a number"),
        (b'{"amount": 1' + b"0" * 400 + b"}", 422, "amount must be a number"),
        (b'{"hour": true}', 422, "hour must be a number"),
        (b'{"country": 7}', 422, "country must be a string"),
    ],
)
def test_what_is_no_payment_is_refused_in_a_sentence(service: ModuleType, body: bytes, status: int, said: str) -> None:
    """And never by a traceback."""
    assert checked(service, body) == (status, {"error": said})
