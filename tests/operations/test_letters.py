"""Dead letters: which are chosen, and what they have in common."""

import base64

import pytest

from anabranch.errors import ConfigError
from anabranch.messages import DeadLetter
from operations.letters import Choice, Letter, kind_of, offsets, statistics


def letter(
    offset: int, *, stage: str = "type", reason: str = "'a' is 'x'", at_s: float = 0.0, value: bytes = b""
) -> Letter:
    told = DeadLetter(
        id=f"m/events/0/{offset}", topic="events", partition=0, offset=offset, stage=stage, reason=reason,
        value_base64=base64.b64encode(value[:4]).decode(), value_bytes=len(value),
    )  # fmt: skip
    return Letter(told, at_s, offset)


LETTERS = [letter(1), letter(2, stage="learn", reason="ValueError"), letter(30, at_s=7200.0, reason="'b' is 'x'")]


@pytest.mark.parametrize(
    ("choice", "places"),
    [
        (Choice(), [1, 2, 30]),
        (Choice(stages=("type",)), [1, 30]),
        (Choice(reason="VALUEerror"), [2]),
        (Choice(since_s=3600.0), [30]),
        (Choice(until_s=3600.0), [1, 2]),
        (Choice(first_offset=2, last_offset=2), [2]),
        (Choice(topic="labels"), []),
        (Choice(partition=1), []),
        (Choice(stages=("type",), first_offset=2), [30]),
    ],
)
def test_those_that_satisfy_everything_are_chosen(choice: Choice, places: list[int]) -> None:
    """By stage, reason, time, and place."""
    assert [each.told.offset for each in LETTERS if choice.takes(each)] == places


@pytest.mark.parametrize("text", ["", "x", "9-3", "-3", "1-2-3"])
def test_what_is_no_offset_is_refused(text: str) -> None:
    """With how to write it."""
    with pytest.raises(ConfigError, match="write one"):
        offsets(text)


def test_reasons_that_differ_in_what_they_quote_are_one() -> None:
    """The most frequent first, and hours in their order."""
    found = statistics(LETTERS)
    assert found["by_reason"] == [
        {"stage": "type", "reason": "… is …", "letters": 2},
        {"stage": "learn", "reason": "ValueError", "letters": 1},
    ]
    assert found["by_hour"] == [{"start": 0, "letters": 2}, {"start": 7200, "letters": 1}]
    assert kind_of("offset 17 of 1,204") == "offset … of …"


def test_a_letter_says_whether_it_holds_its_whole_record() -> None:
    """Its bytes are cut at a bound."""
    assert letter(1, value=b"abcd").is_whole
    assert not letter(1, value=b"abcde").is_whole
