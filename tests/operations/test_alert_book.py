"""The book: what is pending, fires, is silenced, repeated and over; and what it knows again after a restart."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from anabranch.messages import Message
from config.alerts import AlertRule, AlertsSettings, Silence
from config.loading import build
from operations.alerts.book import Book
from operations.alerts.finding import Finding
from operations.alerts.rules import Judged, Key
from operations.alerts.silences import is_within
from operations.alerts.watching import Watcher
from operations.picture import Picture, Record
from support.told import NOW_S, report, signal

KEY = Key("unread", "m", "global")


def book(**sections: Any) -> Book:
    return Book(AlertsSettings.model_validate({"dashboard": "http://d", **sections}))


def judged(value: float, *, lasts: float = 0.0, key: Key = KEY, since_s: float | None = None, **rule: Any) -> Judged:
    """What a rule has found whose bound is 10."""
    found = Finding(value > 10, value, 10.0, f"{value:g} records are unread", since_s)
    return Judged(key, AlertRule.model_validate({"use": "unread", "above": 10, "for": lasts, **rule}), found)


def told(book: Book, *values: float | None, every_s: float = 60.0, begin_s: float = NOW_S, **how: Any) -> list[str]:
    """What is told when these are found one after the other: the state at each; None: it cannot be said."""
    said = []
    for number, value in enumerate(values):
        found = judged(0, **how)._replace(finding=None) if value is None else judged(value, **how)
        notices = book.judge([found], begin_s + number * every_s)
        said.append(notices[0].state if notices else "")
    return said


def test_an_alert_is_told_once_and_that_it_is_over() -> None:
    """Well means well for a minute: what comes back within it is the same alert."""
    assert told(book(), 50, 60, 70, 5, 5, 5) == ["firing", "", "", "", "resolved", ""]
    assert told(book(), 50, 5, 60, 5, 5, every_s=40) == ["firing", "", "", "", ""]


def test_what_does_not_last_is_no_alert() -> None:
    """With `for = 3m` it is told after three minutes, and not if it goes away before."""
    assert told(book(), 50, 50, 5, 50, 50, 50, 50, lasts=180) == ["", "", "", "", "", "", "firing"]


def test_what_goes_on_is_told_again() -> None:
    """Every `repeat`."""
    assert told(book(repeat="2m"), 50, 50, 50, 50, 50) == ["firing", "", "firing", "", "firing"]


def test_where_a_rule_cannot_say_nothing_changes() -> None:
    """Neither over nor told."""
    assert told(book(), None, 50, None, None, 5, 5) == ["", "firing", "", "", "", "resolved"]


def test_a_notice_says_all_that_somebody_needs() -> None:
    """Value, bound, since when, what to do, and where to look."""
    (notice,) = book().judge([judged(50)], NOW_S)
    assert (notice.value, notice.threshold, notice.unit, notice.since_s) == (50, 10, "records", NOW_S)
    assert notice.summary == "m: unread: 50 records are unread"
    assert notice.to_do.startswith("The learner is slower than the stream")
    assert notice.link == "http://d/#/model/m/global"


def test_what_somebody_wrote_to_do_is_said_instead() -> None:
    """A rule may say whom to call."""
    (notice,) = book().judge([judged(50, to_do="Call Ada.")], NOW_S)
    assert notice.to_do == "Call Ada."


def test_what_is_told_of_an_alert_has_one_id() -> None:
    """That it fires, again, and that it is over; another model's has another."""
    here = book(repeat="1m")
    ids = [each.id for n, value in enumerate((50, 50, 5, 5)) for each in here.judge([judged(value)], NOW_S + 60 * n)]
    assert len(ids) == 3
    (other,) = here.judge([judged(50, key=Key("unread", "n", "global"))], NOW_S)
    assert len({*ids, other.id}) == 2


def test_the_gravest_comes_first() -> None:
    """Of several at once."""
    several = [
        judged(50, key=Key(severity, "m", "global"), severity=severity) for severity in ("info", "critical", "warning")
    ]
    assert [each.severity for each in book().judge(several, NOW_S)] == ["critical", "warning", "info"]


def test_a_full_book_passes_over_what_is_new_and_says_so() -> None:
    """What is in it goes on."""
    here = book(active_max=2)
    several = [judged(50, key=Key("unread", f"m{n}", "global")) for n in range(5)]
    assert len(here.judge(several, NOW_S)) == 2
    assert here.passed_over == 3
    assert here.entries.keys() == {("unread", "m0", "global"), ("unread", "m1", "global")}


# ── silences ────────────────────────────────────────────────────────────────────────────────────────────────────────

ALWAYS = {"from": "1970-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z", "why": "moving house"}


def until(at_s: float) -> dict[str, Any]:
    return {**ALWAYS, "until": datetime.fromtimestamp(at_s, UTC).isoformat()}


def test_what_still_fires_after_a_silence_is_told_then() -> None:
    """And not within it."""
    assert told(book(silences=[until(NOW_S + 150)]), 50, 50, 50, 50) == ["", "", "", "firing"]


def test_what_comes_and_goes_within_a_silence_is_told_to_nobody() -> None:
    """Nor that it is over."""
    assert told(book(silences=[ALWAYS]), 50, 5, 5, 5) == [""] * 4


def test_that_it_is_over_is_told_within_a_silence_too() -> None:
    """Whoever was told that it fires waits for that."""
    silence = {**ALWAYS, "from": datetime.fromtimestamp(NOW_S + 30, UTC).isoformat()}
    assert told(book(silences=[silence]), 50, 50, 5, 5) == ["firing", "", "", "resolved"]


def test_a_silence_may_be_about_some_rules_or_models() -> None:
    """Others are told."""
    assert told(book(silences=[{**ALWAYS, "rules": ["unread"]}]), 50) == [""]
    assert told(book(silences=[{**ALWAYS, "rules": ["drift"]}]), 50) == ["firing"]
    assert told(book(silences=[{**ALWAYS, "models": ["other"]}]), 50) == ["firing"]


@pytest.mark.parametrize(
    ("silence", "moments"),
    [
        ({"daily": "08:00-17:30"}, {"07:59": False, "08:00": True, "17:29": True, "17:30": False}),
        ({"daily": "22:00-06:00"}, {"21:59": False, "22:00": True, "00:00": True, "05:59": True, "06:00": False}),
        ({"cron": "30 2 * * *", "lasts": "1h"}, {"02:29": False, "02:30": True, "03:29": True, "03:30": False}),
        ({"cron": "30 2 * * mon", "lasts": "1h"}, {"02:30": False}),  # it is a Thursday
    ],
    ids=str,
)
def test_windows_of_time(silence: dict[str, Any], moments: dict[str, bool]) -> None:
    """The beginning is within, the end is not."""
    window = Silence.model_validate({"why": "x", **silence})
    for moment, expected in moments.items():
        now = datetime.fromisoformat(f"2026-11-26T{moment}:00+00:00")
        assert is_within(window, now.timestamp()) is expected, moment


@pytest.mark.parametrize(
    ("silence", "said"),
    [
        ({}, "a silence is either"),
        ({"daily": "22-6"}, "no time of day"),
        ({"daily": "22:00-06:00", "cron": "* * * * *"}, "a silence is either"),
        ({"cron": "61 * * * *"}, "no schedule as cron has it"),
        ({"from": "2026-01-01T00:00:00Z"}, "without an end"),
        ({"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "before `from`"),
    ],
    ids=str,
)
def test_what_is_no_silence_is_refused(silence: dict[str, Any], said: str) -> None:
    """With what to write instead."""
    with pytest.raises(ValidationError, match=said):
        Silence.model_validate({"why": "x", **silence})


# ── a restart ───────────────────────────────────────────────────────────────────────────────────────────────────────


def history(*at: tuple[float, int], begin_s: float = NOW_S) -> list[Record]:
    """Reports with so many unread records, these seconds before now."""
    return [record(begin_s - ago_s, report(5000 + n, unread=unread)) for n, (ago_s, unread) in enumerate(at)]


def record(at_s: float, message: Message) -> Record:
    return Record(at_s, message.goes_to, 0, int(at_s), message)


def begun(settings: Any, records: list[Record]) -> Watcher:
    """A watcher that has just read this."""
    watcher = Watcher([settings], [], time_s=lambda: NOW_S)
    watcher.begin(records, Picture())
    return watcher


def test_a_restarted_watcher_knows_since_when_something_fires(configured: Any) -> None:
    """It has been so for twenty minutes: longer than `for`, so it is told at once, with its time."""
    watcher = begun(configured, history((1800, 0), (1205, 50_000), (600, 60_000), (5, 70_000)))
    (notice,) = watcher.judge(NOW_S)
    assert notice.key.rule == "unread"
    assert notice.since_s == pytest.approx(NOW_S - 1205, abs=watcher.settings.every)


def test_what_was_over_before_the_restart_is_told_to_nobody(configured: Any) -> None:
    """Neither that it fired nor that it is over."""
    watcher = begun(configured, history((1800, 50_000), (900, 50_000), (600, 10), (5, 10)))
    assert watcher.judge(NOW_S) == []
    assert KEY not in watcher.book.entries


def test_drift_is_timed_by_its_signal(configured: Any) -> None:
    """Whenever the watcher began."""
    watcher = begun(configured, [record(NOW_S - 400, signal(10)), *history((5, 0))])
    (notice,) = watcher.judge(NOW_S)
    assert (notice.key.rule, notice.since_s) == ("drift", NOW_S - 400)


def test_after_the_whole_machine_was_away_nobody_is_silent_at_once(configured: Any) -> None:
    """The learner has two minutes from when the watcher listens."""
    watcher = begun(configured, history((7200, 0), (3000, 0)))
    assert watcher.judge(NOW_S + 60) == []
    (notice,) = watcher.judge(NOW_S + 125)
    assert notice.key.rule == "learner-silent"
    assert notice.since_s == pytest.approx(NOW_S - 3000, abs=watcher.settings.every)


def test_a_learner_that_comes_back_with_the_watcher_was_never_silent(configured: Any) -> None:
    """It tells a report in time."""
    watcher = begun(configured, history((7200, 0), (3000, 0)))
    watcher.picture.hear(record(NOW_S + 20, report(6000)))
    assert [watcher.judge(NOW_S + at_s) for at_s in (30, 100, 125, 135)] == [[]] * 4


@pytest.fixture
def configured() -> Any:
    """Settings of model m, with the rules that ship."""
    return build({"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}})
