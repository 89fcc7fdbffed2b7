"""What deploy/ says to Prometheus and Grafana: every metric in it is exported, and its rules do what they are for."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parsed
from prometheus_client.registry import CollectorRegistry

from anabranch.testing import MemoryFollower
from config.loading import build
from operations.alerts.delivery import Delivery
from operations.alerts.sinks import sink_of
from operations.alerts.watching import Watcher, WatcherCollector
from operations.metrics import Live, PictureCollector, encoded
from support.checkout import ROOT
from support.scorers import EVENT, FEATURES, linear, scorer
from support.told import NOW_S, everything

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yml"
BOARD = DEPLOY / "grafana" / "dashboards" / "anabranch.json"

OF_SCRAPES = {"up", "job", "instance"}
"""What Prometheus knows by itself: a metric, and two labels of all of them."""


@cache
def texts() -> list[str]:
    """What a process that has a picture exports, alerts among it; and what a scorer does."""
    registry = CollectorRegistry()
    registry.register(PictureCollector(everything, live=lambda: {("m", "global"): Live(10, 12)}))
    registry.register(WatcherCollector(a_watcher()))
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=FEATURES)
    with scorer(follower) as running:
        running.ask("/api/predict", EVENT)
        return [encoded(registry)[0].decode(), running.ask("/metrics").body]


@cache
def exported() -> dict[str, set[str]]:
    """Every name that a process of ours exports, with its labels; those of a family without samples are not known."""
    found: dict[str, set[str]] = {"process_resident_memory_bytes": set(), "process_cpu_seconds_total": set()}
    for family in (each for text in texts() for each in parsed(text)):
        suffix = "_total" if family.type == "counter" and not family.name.endswith("_total") else ""
        found.setdefault(family.name + suffix, set())
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def a_watcher() -> Watcher:
    """One that tells the log, and has something to tell."""
    settings = build({"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}})
    sink = settings.alerts.sinks["log"]
    watcher = Watcher([settings], [Delivery("log", sink, sink_of(sink), seed=1)], time_s=lambda: NOW_S)
    watcher.picture = everything()
    assert watcher.judge(NOW_S)
    return watcher


@cache
def rules() -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


@cache
def board() -> dict[str, Any]:
    return json.loads(BOARD.read_text())  # type: ignore[no-any-return]  # an object


def panels() -> list[dict[str, Any]]:
    return [each for each in board()["panels"] if each["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """Where it stands, and what it asks."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for panel in panels():
        yield from ((panel["title"], each["expr"]) for each in panel["targets"])
    for mark in board()["annotations"]["list"]:
        yield mark["name"], mark["expr"]
    for variable in board()["templating"]["list"]:
        yield variable["name"], variable["query"]["query"]


def names_in(expression: str) -> set[str]:
    """The metrics in an expression, without those that rules have recorded."""
    return set(re.findall(r"\b(?:anabranch|process)_[a-z_]+", re.sub(r'"[^"]*"', '""', expression)))


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_what_is_asked_for_is_exported(where: str, expression: str) -> None:
    """Each metric, by its full name, with the labels that the expression picks by."""
    assert names_in(expression) <= exported().keys()
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    assert set(re.findall(r"\banabranch:[\w:]+", expression)) <= recorded
    for name, picked in re.findall(r"\b(\w+)\{([^}]*)\}", expression):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=)", picked)) - OF_SCRAPES
        assert labels <= (exported().get(name) or labels), where


def test_a_name_that_nobody_exports_is_found() -> None:
    """The check above can fail."""
    assert not names_in("rate(anabranch_lost_things_total[5m])") <= exported().keys()


def test_every_metric_of_ours_is_on_a_panel() -> None:
    """Or in a rule: nothing is exported that nobody looks at."""
    asked = {name for _, expression in expressions() for name in names_in(expression)}
    asked |= {re.sub(r"_(bucket|sum|count)$", "", each) for each in asked}
    names = [each for each in exported() if each.startswith("anabranch_") and not each.endswith("_created")]
    ours = {re.sub(r"_(bucket|sum|count)$", "", each) for each in names}
    assert sorted(ours - asked) == [
        "anabranch_detector_statistic",  # with the threshold it is the level, which has a panel
        "anabranch_detector_threshold",
        "anabranch_event_number",
        "anabranch_model_behind_events",
        "anabranch_model_events",
        "anabranch_predictions_total",
        "anabranch_retired",
        "anabranch_unreadable_records_total",
    ]


def test_the_document_lists_what_is_exported() -> None:
    """docs/METRICS.md: every name, with its labels, and no other."""
    rows = re.findall(r"^\| `(anabranch_\w+)` \|[^|]*\|([^|]*)\|", (ROOT / "docs/METRICS.md").read_text(), re.MULTILINE)
    written = {
        name: set(re.findall(r"`([a-z]+)`", re.sub(r"= (`[\w-]+`(, )?)+|, or .*", "", labels))) for name, labels in rows
    }
    names = {each: labels for each, labels in exported().items() if each.startswith("anabranch_")}
    families = {re.sub(r"_(bucket|sum|count)$", "", each) for each in names if not each.endswith("_created")}
    assert written.keys() == families
    for name, labels in written.items():
        found = (names.get(name) or names.get(f"{name}_bucket") or set()) - {"le", "model", "scope"}
        assert not found or found == labels - {"model", "scope"}, name


def test_every_alert_says_what_to_do() -> None:
    """And how bad it is."""
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 15
    for rule in alerts:
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]  # type: ignore[arg-type]  # a table
        assert rule["labels"]["severity"] in ("info", "warning", "critical")  # type: ignore[index]  # a table


# ── promtool ────────────────────────────────────────────────────────────────────────────────────────────────────────


def promtool(*words: object, within: Path = RULES.parent, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """What it says. Where it is missing the test is skipped, but in CI, where a skip would go unseen, it fails."""
    found = shutil.which("promtool")
    if found is None:
        missing = "no promtool: it comes with Debian's package `prometheus`"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    line = [found, *map(str, words)]
    return subprocess.run(line, check=False, capture_output=True, text=True, cwd=within, input=given)


def said_well(*words: object) -> str:
    """What it says, where it finds nothing wrong."""
    done = promtool(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    """As promtool reads them."""
    assert f"{len(rules())} rules found" in said_well("check", "config", RULES.parent / "prometheus.yml")


def test_prometheus_finds_nothing_to_complain_of_in_what_is_exported() -> None:
    """Names, units and help, as promtool lints them; a scorer's are in the same form."""
    for text in texts():
        done = promtool("check", "metrics", given=text)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_rules_fire_when_they_should_and_not_else() -> None:
    """deploy/prometheus/rules_test.yml: series, and what comes of them."""
    assert "SUCCESS" in said_well("test", "rules", RULES.with_name("rules_test.yml"))


def test_a_rule_that_does_not_fire_is_found(tmp_path: Path) -> None:
    """The test above can fail: with another bound it does."""
    (tmp_path / "rules.yml").write_text(RULES.read_text().replace("ratio5m > 0.05", "ratio5m > 0.5"))
    shutil.copy(RULES.with_name("rules_test.yml"), tmp_path)
    assert promtool("test", "rules", "rules_test.yml", within=tmp_path).returncode != 0


def test_what_panels_ask_is_promql(tmp_path: Path) -> None:
    """Every expression of a panel, as a rule of its own."""
    asked = [each["expr"] for panel in panels() for each in panel["targets"]]
    plain = [re.sub(r"\$(model|scope)", ".*", each) for each in asked]
    group = {"name": "panels", "rules": [{"record": f"panel:{n}", "expr": each} for n, each in enumerate(plain)]}
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [group]}))
    assert f"{len(plain)} rules found" in said_well("check", "rules", path)


# ── Grafana, and docker-compose.yml ─────────────────────────────────────────────────────────────────────────────────


def test_panels_stand_beside_each_other() -> None:
    """None lies on another, and all are told apart."""
    places = {each["id"]: each["gridPos"] for each in board()["panels"]}
    assert len(places) == len(board()["panels"])
    for one, other in combinations(places.values(), 2):
        apart = any(
            this[at] + this[size] <= that[at]
            for this, that in ((one, other), (other, one))
            for at, size in (("x", "w"), ("y", "h"))
        )
        assert apart, (one, other)
    assert all(each["x"] + each["w"] <= 24 for each in places.values())


def test_panels_ask_the_data_source_that_is_provisioned() -> None:
    """And Grafana finds the dashboard where compose puts it."""
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    asked = {each["datasource"]["uid"] for panel in panels() for each in (panel, *panel["targets"])}
    assert asked == {source["uid"]}
    (provider,) = yaml.safe_load((folder / "dashboards" / "anabranch.yml").read_text())["providers"]
    mounted = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounted


def test_prometheus_scrapes_services_that_compose_has() -> None:
    """At the ports on which they answer."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    jobs = yaml.safe_load((RULES.parent / "prometheus.yml").read_text())["scrape_configs"]
    targets = [target for job in jobs for config in job["static_configs"] for target in config["targets"]]
    answers = {
        f"learner:{services['learner']['environment']['ANABRANCH__METRICS__PORT']}",
        f"alerts:{services['alerts']['command'][-1]}",
        f"scorer:{services['scorer']['ports'][0].split(':')[-1]}",
    }
    assert set(targets) == answers
    for name in ("learner", "alerts"):
        assert services[name]["environment"]["ANABRANCH__METRICS__HOST"] != "127.0.0.1"
    assert "--metrics-port" in services["alerts"]["command"]
