"""A headless Chromium that reaches this machine and nothing else."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from operations import charts
from support.waiting import until

CHROMIUM = "chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def chromium() -> str:
    """Where it is; without one the test is skipped, but in CI that is a failure."""
    found = shutil.which(CHROMIUM)
    if found is None and os.environ.get("CI"):
        pytest.fail("CI needs chromium")
    if found is None:
        pytest.skip("there is no chromium on the PATH")
    return found


@pytest.fixture(scope="module")
def with_charts() -> None:
    """They are no part of the checkout."""
    if not charts.is_there():
        pytest.skip("uPlot is not there: make web")


@pytest.fixture(scope="module")
def chrome(with_charts: None) -> Iterator[Any]:
    """A browser for a module's tests, where the charts can be drawn."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make peers")
    with playwright.sync_playwright() as made:
        launched = made.chromium.launch(executable_path=chromium(), headless=True, args=list(ARGUMENTS))
        yield launched
        launched.close()


class Watched:
    """A page, what it asked for, and what it complained of."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda each: self.asked.append(each.url))
        page.on("pageerror", lambda each: self.complaints.append(str(each)))
        page.on("console", lambda each: self.complaints.append(each.text) if each.type == "error" else None)

    @property
    def foreign(self) -> list[str]:
        """Requests that left this machine."""
        return [each for each in self.asked if not each.startswith("http://127.0.0.1:")]

    def until(self, expression: str, *, within_s: float = 15.0) -> None:
        """Wait until an expression is true; the page's policy allows no polling inside it."""
        until(lambda: self.page.evaluate(expression), within_s=within_s)

    def counters(self) -> dict[str, int]:
        """What a canvas does not tell."""
        found: dict[str, int] = self.page.evaluate("window.anabranchCounters")
        return found


@contextmanager
def opened(browser: Any, address: str, **context: Any) -> Iterator[Watched]:
    """A page in a context of its own."""
    made = browser.new_context(**{"viewport": {"width": 1300, "height": 900}, **context})
    try:
        watched = Watched(made.new_page())
        watched.page.goto(address)
        yield watched
    finally:
        made.close()
