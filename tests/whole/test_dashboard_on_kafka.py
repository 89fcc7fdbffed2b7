"""The dashboard in a browser over a real Kafka, with a real learner: it learns, swaps, is retired and reinstated."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.told_models import ToldModel
from commands.brokers.local import LocalKafka, create_topic
from support.browsers import opened
from support.dashboards import dashboard, publish, say, settings
from support.projects import SCALED_LINEAR, Project, announced, ended, sea
from support.scorers import Scorer, free_port
from support.waiting import until

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make peers")

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.peers]

SECTIONS = (
    f"{SCALED_LINEAR}[publish]\nwarm_up_events = 300\nreport_events = 200\n"
    "[scores]\nwindow = 300\n[dashboard]\naction_tokens = ['act']\n"
)


def ask(page: Any, action: str, *, why: str) -> None:
    """Fill in the form and send it."""
    form = page.get_by_role("dialog")
    form.get_by_label("Why").fill(why)
    form.get_by_label("Who asks").fill("ana")
    form.get_by_label("Action token").fill("act")
    form.get_by_role("button", name=action).click()


def test_a_person_follows_a_model_and_takes_it_out_of_service(project: Callable[..., Project], chrome: Any) -> None:
    """It is seen learning; its swap is explained; retired by the page it answers, and the undo brings it back."""
    here, port = project(sections=SECTIONS), free_port()
    learner, process = here.start("learn", here.config), here.start("dashboard", here.config, "--port", port)
    sent = threading.Thread(target=here.produce, args=(sea(9000, flipped_from=3000),), kwargs={"rate": 600})
    sent.start()
    address = f"http://127.0.0.1:{port}/"
    try:
        until(lambda: Scorer(port, []).answers())
        with opened(chrome, f"{address}#/") as watched:
            page = watched.page
            page.wait_for_selector(f"text={here.name}", timeout=30_000)
            page.get_by_role("link", name=here.name).first.click()
            watched.until("location.hash.startsWith('#/model/')")
            watched.until("anabranchCounters.mounted > 2 && anabranch.store.model.columns.t.length > 3", within_s=30)
            points = page.evaluate("anabranch.store.model.columns.t.length")
            watched.until(f"anabranch.store.model.columns.t.length > {points}", within_s=20)
            until(lambda: any(each.kind == "swap" for each in announced(here)), within_s=60)
            version = next(each.version for each in announced(here) if each.kind == "swap")
            page.goto(f"{address}#/swap/{here.name}/global/{version}")
            page.wait_for_selector("text=What fired")
            story = page.inner_text(".story")
            page.goto(f"{address}#/model/{here.name}/global")
            page.get_by_role("button", name="Retire…").click()
            ask(page, "Retire", why="prices are wrong")
            page.wait_for_selector("text=Retire: accepted", timeout=30_000)
            page.wait_for_selector("text=out of service: prices are wrong", timeout=30_000)
            page.get_by_role("button", name="Undo: Reinstate").click()
            ask(page, "Reinstate", why="they are right again")
            page.wait_for_selector("text=Reinstate: accepted", timeout=30_000)
            page.goto(f"{address}#/audit/{here.name}/global")
            page.wait_for_selector("text=they are right again")
            audited = page.inner_text("main")
            assert watched.foreign == []
            assert watched.complaints == []
    finally:
        sent.join()
        learner.terminate()
        process.terminate()
        assert ended(learner)[0] == 0
        code, said = ended(process, within_s=10)
    assert code == 0, said
    assert "fired at event" in story
    assert "times what a win needs" in story
    assert "ana" in audited
    # The champion that is back may be announced anew before its learner ends.
    assert [each.kind for each in announced(here) if each.kind != "refresh"][-2:] == ["retired", "reinstated"]


def test_brokers_go_away_and_come_back(local_kafka: LocalKafka, chrome: Any) -> None:
    """The page keeps its last picture, greyed, and says what is wrong; then it goes on."""
    here = settings(bootstrap=local_kafka.bootstrap)
    create_topic(local_kafka.bootstrap, here.topics.name("reports"), partitions=1)
    told = ToldModel("fraud", began_s=time.time() - 900)
    publish(here, told.between(time.time() - 300, time.time(), interval_s=10.0))
    with dashboard(here) as running, opened(chrome, f"http://127.0.0.1:{running.port}/#/model/fraud/global") as watched:
        page = watched.page
        page.wait_for_selector("dl.facts")
        local_kafka.stop()
        page.wait_for_selector("text=The topics cannot be read", timeout=30_000)
        assert page.evaluate("document.body.classList.contains('stale')")
        assert page.locator("dl.facts").first.is_visible()
        points = page.evaluate("anabranch.store.model.columns.t.length")
        local_kafka.start()
        watched.until("!document.body.classList.contains('stale')", within_s=60)
        say(here, "reports", told.report(time.time(), 10.0))
        watched.until(f"anabranch.store.model.columns.t.length > {points}", within_s=30)


def test_a_dashboard_goes_away_and_comes_back(project: Callable[..., Project], chrome: Any) -> None:
    """Nothing goes blank; the age of what is seen is said; within a second of its return all is there again."""
    here, port = project(sections=SECTIONS), free_port()
    here.produce(sea(2000))
    here.run("learn", here.config, "--until-end")
    process = here.start("dashboard", here.config, "--port", port)
    try:
        until(lambda: Scorer(port, []).answers())
        with opened(chrome, f"http://127.0.0.1:{port}/#/model/{here.name}/global") as watched:
            page = watched.page
            page.wait_for_selector("dl.facts", timeout=30_000)
            process.kill()
            process.wait()
            page.wait_for_selector("text=The connection to the dashboard is lost")
            assert page.evaluate("document.body.classList.contains('stale')")
            assert page.locator("dl.facts").first.is_visible()
            process = here.start("dashboard", here.config, "--port", port)
            watched.until("!document.body.classList.contains('stale')", within_s=30)
            page.wait_for_selector("dl.facts")
    finally:
        process.terminate()
        code, said = ended(process, within_s=10)
    assert code == 0, said
