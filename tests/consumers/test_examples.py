"""Examples as retraining reads them."""

from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from anabranch.errors import LogTruncated
from anabranch.scope import GLOBAL
from consumers.examples import counted


def example(number: int, **changes: Any) -> bytes:
    about = {"number": number, "model": "m", "scope": "global", "epoch": 1, "checkpoint": 1, "began": 0.5}
    event = {"id": f"e{number}", "ts": 1.0, "features": {"a": 1.0}, "label": True, "label_ts": 2.0}
    return orjson.dumps({**about, **event, "ending": "labelled", "corrects": False, **changes})


JUNK = [b"", b"junk", b"[]", b"{}", example(1, features=None), example(1, epoch="9"), example(1, features={"a": [1]})]


def test_what_is_no_example_is_passed_over_and_said_once() -> None:
    """One such record on the topic ended every retraining that read it."""
    with capture_logs() as logs:
        found = list(counted([example(0), *JUNK, example(1)], model="m", scope=GLOBAL, start=0, end=2))
    assert [(each.id, each.x) for each in found] == [("e0", {"a": 1.0}), ("e1", {"a": 1.0})]
    assert [(each["event"], each["records"]) for each in logs] == [("passed over", len(JUNK))]


def test_of_several_with_one_number_the_latest_learners_counts() -> None:
    told = [example(0, epoch=2, id="new"), example(0, checkpoint=9, id="old"), example(0, model="other", epoch=3)]
    assert [each.id for each in counted(told, model="m", scope=GLOBAL, start=0, end=1)] == ["new"]


def test_what_is_gone_is_said() -> None:
    with pytest.raises(LogTruncated, match="example 1 of m is gone"):
        list(counted([example(0)], model="m", scope=GLOBAL, start=0, end=2))
