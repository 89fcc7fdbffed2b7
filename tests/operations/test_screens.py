"""The dashboard's page in a browser, over models that an embedded broker tells of."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from anabranch.kafka.tail import Tail
from anabranch.messages import (
    Decision,
    ListsReport,
    MemberReport,
    OffPolicyReport,
    RolloutReport,
    SegmentsReport,
    ServedCounts,
    Verdict,
    decode,
)
from benchmarks.told_models import Told, ToldModel
from commands.brokers import EmbeddedKafka
from config.settings import Settings
from operations.picture import KINDS
from support.browsers import opened
from support.dashboards import Running, dashboard, publish, say, settings
from support.told import fairness, report

pytestmark = [pytest.mark.peers, pytest.mark.slow]
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed: make peers")

LASTS_S = 5_400.0
INTERVAL_S = 24.0
"""The embedded broker knows no offsets by time, and so the newest 500 records are read."""
SCREENS = (
    "",
    "?view=charts",
    "model/fraud/global",
    "data/fraud/global",
    "versions/fraud/global",
    "swap/fraud/global/3",
)
OTHERS = ("letters/fraud/global", "audit/fraud/global", "tail", "model/nobody/global")


@pytest.fixture(scope="module")
def here() -> Iterator[Settings]:
    """Two models of which the topics tell an hour and a half, with two swaps each."""
    with EmbeddedKafka() as embedded:
        found = settings(bootstrap=embedded.bootstrap)
        for key in (*KINDS, "control", "events"):
            embedded.create_topic(found.topics.name(key))
        now_s = time.time()
        several: list[Told] = []
        for number, name in enumerate(("fraud", "churn")):
            of = ToldModel(name, began_s=now_s - LASTS_S, seed=number)
            several += of.between(now_s - LASTS_S, now_s, interval_s=INTERVAL_S)
        publish(found, sorted(several, key=lambda each: each.at_s))
        yield found


@pytest.fixture(scope="module")
def running(here: Settings) -> Iterator[Running]:
    with dashboard(here, action_tokens=("act",)) as found:
        yield found


def at(running: Running, screen: str) -> str:
    return f"http://127.0.0.1:{running.port}/#/{screen}"


def shown(watched: Any) -> None:
    """Wait until the screen has its picture."""
    watched.until("document.getElementById('connection').textContent === 'live' && anabranch.store.heardAt > 0")
    watched.page.wait_for_timeout(400)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [*SCREENS, *OTHERS])
def test_a_screen_is_accessible_and_stays_at_home(chrome: Any, running: Running, screen: str, scheme: str) -> None:
    """Axe finds nothing serious, in light and dark; no request leaves the machine; nothing is complained of."""
    with opened(chrome, at(running, screen), color_scheme=scheme) as watched:
        shown(watched)
        found = axe.Axe().run(watched.page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []
    assert watched.foreign == []
    assert [each for each in watched.complaints if "404" not in each or "nobody" not in screen] == []


@pytest.mark.parametrize("screen", [*SCREENS, *OTHERS])
def test_a_screen_fits_a_telephone(chrome: Any, running: Running, screen: str) -> None:
    """Nothing sticks out at 390 pixels."""
    with opened(chrome, at(running, screen), viewport={"width": 390, "height": 800}) as watched:
        shown(watched)
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_it_is_painted_within_a_second(chrome: Any, running: Running) -> None:
    with opened(chrome, "about:blank") as watched:
        watched.page.goto(at(running, "model/fraud/global"))
        shown(watched)
        told = watched.page.evaluate(
            "performance.getEntriesByType('paint').find((each) => each.name === 'first-contentful-paint').startTime"
        )
    assert told < 1000


def test_points_are_read_by_keyboard(chrome: Any, running: Running) -> None:
    """The arrows move from point to point, and each is said."""
    with opened(chrome, at(running, "model/fraud/global")) as watched:
        shown(watched)
        page = watched.page
        watched.until("anabranchCounters.mounted > 3")
        figure = page.locator("figure.chart", has_text="Error of the champion")
        figure.locator(".canvas").focus()
        page.keyboard.press("End")
        last = figure.locator("[aria-live]").inner_text()
        page.keyboard.press("ArrowLeft")
        before = figure.locator("[aria-live]").inner_text()
    assert "champion 0." in last
    assert "champion 0." in before
    assert last[:8] > before[:8]


def test_each_chart_has_its_table(chrome: Any, running: Running) -> None:
    with opened(chrome, at(running, "model/fraud/global?span=3600")) as watched:
        shown(watched)
        figure = watched.page.locator("figure.chart", has_text="Error of the champion")
        toggle = figure.get_by_role("button", name="Table")
        toggle.press("Enter")
        assert toggle.get_attribute("aria-expanded") == "true"
        rows = figure.locator("tbody tr").count()
        heads = figure.locator("th").all_inner_texts()
    assert rows > 40
    assert heads[:2] == ["time", "champion"]


def test_all_charts_show_the_same_time_and_the_address_says_which(chrome: Any, running: Running) -> None:
    """Whoever is sent the address sees the same."""
    with opened(chrome, at(running, "model/fraud/global"), viewport={"width": 1300, "height": 2400}) as watched:
        shown(watched)
        page = watched.page
        page.get_by_role("button", name="1 h", exact=True).click()
        page.get_by_role("button", name="Zoom in").click()
        watched.until("location.hash.includes('from=')")
        address = page.url
        ranges = page.evaluate(
            "[...document.querySelectorAll('figure.chart')].map((each) => each.chart).filter((each) => each.plot"
            " && each.isVisible && !each.options.own).map((each) => Math.round(each.plot.scales.x.min))"
        )
    assert len(ranges) > 3
    assert len(set(ranges)) == 1
    with opened(chrome, address) as again:
        shown(again)
        assert again.page.evaluate("Math.round(anabranch.view.range()[0])") == pytest.approx(ranges[0], abs=1)


def test_new_points_come_without_reload(chrome: Any, here: Settings, running: Running) -> None:
    with opened(chrome, at(running, "model/churn/global")) as watched:
        shown(watched)
        page = watched.page
        watched.until("anabranchCounters.mounted > 3")
        before = page.evaluate("anabranch.store.model.columns.t.length")
        draws = watched.counters()["draws"]
        now_s = time.time()
        told = ToldModel("churn", began_s=now_s - LASTS_S).report(now_s, INTERVAL_S)
        publish(here, [Told(now_s, "reports", told)])
        watched.until(f"anabranch.store.model.columns.t.length === {before + 1}", within_s=5)
        watched.until(f"anabranchCounters.draws > {draws}")


def test_what_is_pressed_is_not_drawn_anew(chrome: Any, here: Settings, running: Running) -> None:
    """Models are told of several times a second, and a person holds the button down for a tenth of one."""
    with opened(chrome, at(running, "")) as watched:
        shown(watched)
        link = watched.page.get_by_role("link", name="fraud").first
        box = link.bounding_box()
        watched.page.get_by_label("Filter the models").focus()  # which the press takes from it
        watched.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        watched.page.mouse.down()
        say(here, "reports", report(777_000, model="fraud", id="fraud/pressed", windowed={"accuracy": 0.5}))
        watched.until("anabranch.store.rows.get('fraud/global').event_number === 777000")
        watched.page.mouse.up()
        watched.until("location.hash.startsWith('#/model/fraud')")
        assert watched.complaints == []


def test_a_button_that_is_pressed_is_not_drawn_anew(chrome: Any, here: Settings, running: Running) -> None:
    """Its preview tells how many shadows there are, which changes with reports."""
    with opened(chrome, at(running, "model/fraud/global")) as watched:
        shown(watched)
        box = watched.page.get_by_role("button", name="Retrain now…").bounding_box()
        watched.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        watched.page.mouse.down()
        members = tuple(MemberReport(name=f"r{n}", kind="recruit", loss=0.2) for n in range(9))
        say(here, "reports", report(888_000, model="fraud", id="fraud/pressed-button", members=members))
        watched.until("anabranch.store.model.parts.actions.listed[0].preview.includes('now there are 8')")
        watched.page.mouse.up()
        watched.page.wait_for_selector("dialog[open] .preview")
        assert watched.complaints == []


def test_a_permalink_explains_a_swap(chrome: Any, running: Running) -> None:
    """From what happened to its story."""
    with opened(chrome, at(running, "model/fraud/global")) as watched:
        shown(watched)
        watched.page.get_by_role("link", name="version 3").first.click()
        watched.page.wait_for_selector("text=What fired")
        text = watched.page.inner_text(".story")
    assert "adwin (error) fired" in text
    assert "Version 3 replaced version 2" in text


def test_the_whole_page_goes_back_in_time(chrome: Any, running: Running) -> None:
    """The topics are read until then: the version is that of then, and nothing can be done."""
    then_s = int(time.time() - 2_400)
    with opened(chrome, at(running, f"model/fraud/global?at={then_s}")) as watched:
        watched.page.wait_for_selector("text=Everything is shown as it was")
        watched.page.wait_for_selector("dl.facts")
        facts = watched.page.inner_text("dl.facts")
        newest = watched.page.evaluate("Math.max(...anabranch.store.model.columns.t)")
        assert watched.page.get_by_role("button", name="Retire…").is_disabled()
        watched.page.get_by_role("button", name="Back to now").click()
        watched.until("anabranch.view.at == null && anabranch.store.model?.parts.versions[0].version === 3")
    assert "2 (swap)" in facts
    assert newest < then_s


def test_a_thousand_models_are_listed_and_few_are_made(chrome: Any, embedded: EmbeddedKafka) -> None:
    found, now_s = settings(bootstrap=embedded.bootstrap), time.time()
    for key in KINDS:
        embedded.create_topic(found.topics.name(key))
    with dashboard(found, wait=False) as running, opened(chrome, at(running, "")) as watched:
        names = [f"m-{n:04d}" for n in range(1000)]
        several = [ToldModel(each, began_s=now_s - LASTS_S).report(now_s, INTERVAL_S) for each in names]
        publish(found, [Told(now_s, "reports", each) for each in several])
        watched.until("anabranch.store.rows.size === 1000")
        watched.page.wait_for_timeout(500)
        count = watched.page.locator(".inner .row").count()
        watched.page.get_by_label("Filter the models").fill("m-0999")
        watched.page.wait_for_selector("text=1 of 1,000 models")
        assert watched.page.locator(".inner .row").count() == 1
    assert 5 < count < 60


def test_an_empty_kafka_says_what_to_do(chrome: Any, embedded: EmbeddedKafka) -> None:
    """Which topics are missing, and the commands that help."""
    found = settings(bootstrap=embedded.bootstrap, prefix="none-")
    with dashboard(found, wait=False) as running, opened(chrome, at(running, "")) as watched:
        watched.page.wait_for_selector("text=anabranch topics create CONFIG")
        watched.page.wait_for_selector("text=anabranch learn CONFIG")
        assert "none-model-reports" in watched.page.inner_text("main")


def test_an_action_is_seen_before_it_is_sent(chrome: Any, here: Settings, running: Running) -> None:
    """With a wrong token nothing is sent; the token is in no storage."""
    with opened(chrome, at(running, "model/fraud/global")) as watched:
        shown(watched)
        page = watched.page
        page.get_by_role("button", name="Retire…").click()
        assert "go out of service" in page.inner_text(".preview")
        page.get_by_label("Why").fill("prices are wrong")
        page.get_by_label("Who asks").fill("ana")
        page.get_by_label("Action token").fill("no")
        page.get_by_role("dialog").get_by_role("button", name="Retire").click()
        page.wait_for_selector("text=this token is not one of")
        page.get_by_label("Action token").fill("act")
        page.get_by_role("dialog").get_by_role("button", name="Retire").click()
        page.wait_for_selector("text=the answer comes when the learner has read it")
        kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert json.loads(kept) == [{"anabranch-theme": "system"}, {}, ""]


def test_a_ranker_is_drawn_beside_popularity_and_a_classifier_is_not(
    chrome: Any, running: Running, embedded: EmbeddedKafka
) -> None:
    """And what each member would earn stands in a table."""
    shop = settings(bootstrap=embedded.bootstrap, name="shop", prefix="ranks-")
    for key in (*KINDS, "control", "events"):
        embedded.create_topic(shop.topics.name(key))
    earned = OffPolicyReport(events=120, value=0.25, low=0.2, high=0.3)
    lists = ListsReport(lists=412, gain=0.0312, low=-0.01, high=0.07, evidence=0.2)
    members = (MemberReport(name="near", kind="standing", loss=0.6, off_policy=earned, lists=lists),)
    for number in (100, 200, 300):
        windowed = {"hitrate": 0.7, "popularity_hitrate": 0.4}
        say(shop, "reports", report(number, model="shop", windowed=windowed, members=members, id=f"shop/{number}"))
    with dashboard(shop) as ranks, opened(chrome, at(ranks, "model/shop/global")) as watched:
        shown(watched)
        assert watched.page.locator("section", has_text="HitRate beside popularity's").first.is_visible()
        row = watched.page.locator("section", has_text="would earn if it were shown").locator("tr", has_text="near")
        assert "25.0 % (20.0 % to 30.0 %)" in row.inner_text()
        assert "3.12 (-1 to 7)" in row.inner_text()
        assert watched.complaints == []
    with opened(chrome, at(running, "model/fraud/global")) as watched:
        shown(watched)
        assert not watched.page.locator("section", has_text="would earn if it were shown").is_visible()


def test_what_is_held_rolled_out_and_answered_by_segment_is_said(chrome: Any, embedded: EmbeddedKafka) -> None:
    """And the envelope that waits is approved by the digest that is shown."""
    steered = settings(bootstrap=embedded.bootstrap, name="steered", prefix="steers-")
    for key in (*KINDS, "control", "events"):
        embedded.create_topic(steered.topics.name(key))
    served = ServedCounts(beside=3, answers=412, failures=2, answers_beside=8000, serving=2)
    told = {"kind": "canary", "share": 5.0, "beside": 3, "labels": 20, "evidence": 0.25, "gain": 0.01}
    rollout = RolloutReport(**told, missing="labels: 20 of 500", served=served)
    segments = SegmentsReport(by="shop", models=41, ready=30, serving=7, swapped_in=9, swapped_out=2, gain=0.031)
    held = ("pinned by ana: audit", "unapproved e1-5f")
    for number in (100, 200):
        parts = {"rollout": rollout, "segments": segments, "held": held, "id": f"steered/{number}"}
        say(steered, "reports", report(number, model="steered", **parts))
    with dashboard(steered, action_tokens=("act",)) as one, opened(chrome, at(one, "model/steered/global")) as watched:
        shown(watched)
        facts = watched.page.locator("dl.facts").inner_text()
        assert "5 % of the keys have the new champion, the others version 3" in facts
        assert "asked of the new one 412 times (2 failures, 0 slow), of the other 8,000 (0, 0)" in facts
        assert "by shop: 41 have a model, 7 are answered by it; what they answered erred less by 0.031" in facts
        assert "pinned by ana: audit" in facts
        assert "change envelope e1-5f is not approved" in facts
        watched.page.get_by_role("button", name="Approve the change envelope…").click()
        assert "(e1-5f) counts from now on" in watched.page.inner_text(".preview")
        watched.page.get_by_label("Why").fill("read it")
        watched.page.get_by_label("Who asks").fill("ana")
        watched.page.get_by_label("Action token").fill("act")
        watched.page.get_by_role("dialog").get_by_role("button", name="Approve the change envelope").click()
        watched.page.wait_for_selector("text=the answer comes when the learner has read it")
        assert axe.Axe().run(watched.page).response["violations"] == []
        assert watched.complaints == []
    with Tail(steered.kafka, [steered.topics.name("control")]) as tail:
        asked = decode(Decision, bytes(next(iter(tail.until_caught_up())).value() or b""))
    assert (asked.step, asked.envelope) == ("envelope", "e1-5f")


def test_gaps_between_groups_are_drawn_with_their_intervals(chrome: Any, embedded: EmbeddedKafka) -> None:
    """A chart for each, and all in tables; of a model without sensitive features there is no such part."""
    fair, plain = (settings(bootstrap=embedded.bootstrap, name=name, prefix="fair-") for name in ("fair", "plain"))
    for key in (*KINDS, "control", "events"):
        embedded.create_topic(fair.topics.name(key))
    verdict = Verdict(events=9, gain_events=9, gain=0.0, low=-1.0, high=1.0, evidence=0.1, gap_won=0.25, lost=0.0125)
    told = {"model": "fair", "members": (MemberReport(name="weighed", kind="standing", loss=0.3, verdict=verdict),)}
    for number in (300, 600, 1200):
        say(fair, "reports", report(number, id=f"fair/{number}", fairness=(fairness(number),), **told))
        say(fair, "reports", report(number, model="plain", id=f"plain/{number}"))
    with dashboard(fair, plain) as both:
        with opened(chrome, at(both, "model/fair/global")) as watched:
            shown(watched)
            part = watched.page.locator("section", has=watched.page.locator("h2", has_text="Fairness"))
            charts = part.locator("figure.chart")
            assert [each.get_attribute("aria-label") for each in charts.locator(".canvas").all()] == [
                f"Gap by age: {each}: chart; arrow keys read the points"
                for each in ("demographic-parity", "equal-opportunity")
            ]
            canvas = charts.locator(".canvas").first
            canvas.focus()
            canvas.press("End")
            said = charts.locator(".readout").first.inner_text()
            assert "gap 0.2, at least 0.1786, at most 0.225" in said
            gap = part.locator("table", has_text="Gaps by age").locator("tr", has_text="equal-opportunity").inner_text()
            assert gap.split("\t")[1:] == ["0.3", "0 to 0.35", "–", "–", "under 30", "60 and over"]
            group = part.locator("table", has_text="Groups by age").locator("tr", has_text="60 and over").inner_text()
            assert group.split("\t")[1:5] == ["1,200", "30.0 %", "70.0 %", "15.0 %"]
            cost = part.locator("table", has_text="would do for groups").locator("tr", has_text="weighed").inner_text()
            assert cost.split("\t") == ["weighed", "0.25", "0.0125"]
            assert axe.Axe().run(watched.page).response["violations"] == []
            assert watched.complaints == []
        with opened(chrome, at(both, "model/fair/global"), viewport={"width": 390, "height": 800}) as watched:
            shown(watched)
            assert watched.page.evaluate("document.documentElement.scrollWidth") <= 390
        with opened(chrome, at(both, "model/plain/global")) as watched:
            shown(watched)
            assert not watched.page.locator("h2", has_text="Fairness").is_visible()
