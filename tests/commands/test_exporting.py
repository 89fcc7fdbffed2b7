"""A learner's metrics, from a real loop over a log in memory."""

import urllib.request
from collections import Counter
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from anabranch.messages import ModelUpdate
from commands.exporting import Exporter
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryLog
from support.loops import filled, first_of, ports_on, settings_of


def learned(
    log: MemoryLog, *, port: int | None = 0, **changes: Any
) -> tuple[LearningLoop, list[Any], dict[str, float]]:
    """A loop that has come to the log's end, what it told, and what was scraped then, by the sample's text."""
    settings, told = settings_of(**changes), []
    ports = ports_on(log, settings, stores=lambda scope: MemoryStore())
    exporter = Exporter([settings], lambda: [loop], port=port)
    loop = LearningLoop(settings, first=first_of(settings), ports=ports, listener=exporter.beside(told.append))
    with exporter:
        if exporter.port is None:
            loop.run(until_end=True)
            return loop, told, {}
        scrape(exporter)
        loop.run(until_end=True)
        return loop, told, scrape(exporter)


def scrape(exporter: Exporter) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{exporter.listens_on}/metrics") as answer:
        families = list(parsed(answer.read().decode()))
    samples = [each for family in families for each in family.samples]
    return {" ".join((each.name, *(text for _, text in sorted(each.labels.items())))): each.value for each in samples}


def test_what_is_scraped_is_what_the_loop_has_done() -> None:
    """Events of this moment, announcements by kind, refused records by stage; the other listener hears all."""
    log = filled(2000)
    for value in (b"{", b'{"id": "x"}', b'{"id": "y"}'):
        log.append("events", value)
    loop, told, samples = learned(log)
    kinds = Counter(each.kind for each in told if isinstance(each, ModelUpdate))
    assert samples["anabranch_event_number m global"] == loop.owner.lane.events == 2000
    assert samples["anabranch_dead_letters_total m global decode"] == 1
    assert samples["anabranch_dead_letters_total m global schema"] == 2
    assert kinds["swap"] >= 1
    assert {kind: samples[f"anabranch_updates_total {kind} m global"] for kind in kinds} == kinds
    assert samples["anabranch_announced_version m global"] == loop.owner.lane.version


def test_a_model_of_a_partition_is_exported_by_its_scope() -> None:
    """What it announces, what it reports and how far it is, under one scope."""
    loop, _, samples = learned(filled(600), scope="partition")
    (owner,) = loop.owners.values()
    assert samples["anabranch_event_number m p0"] == owner.lane.events == 600
    assert samples["anabranch_announced_version m p0"] == owner.lane.version
    assert samples["anabranch_member_loss champion m p0"] > 0
    assert not [name for name in samples if name.endswith("m global")]


def test_without_a_port_nothing_listens_and_nothing_is_heard() -> None:
    """It costs nothing where it is not asked for."""
    _, told, _ = learned(filled(300), port=None)
    assert told
    exporter = Exporter([settings_of()], list)
    assert exporter.beside(None) is None
    with exporter, pytest.raises(AssertionError):
        _ = exporter.listens_on


def test_models_of_one_process_are_exported_by_their_names() -> None:
    """On one port, from the one picture that all tell."""
    several = [settings_of(name=name) for name in ("a", "b")]
    loops: list[LearningLoop] = []
    exporter = Exporter(several, lambda: loops, port=0)
    for settings, events in zip(several, (300, 500), strict=True):
        log = filled(events)
        ports = ports_on(log, settings, stores=lambda scope: MemoryStore())
        loops.append(LearningLoop(settings, first=first_of(settings), ports=ports, listener=exporter.beside(None)))
    with exporter:
        for loop in loops:
            loop.run(until_end=True)
        samples = scrape(exporter)
    assert [samples[f"anabranch_event_number {name} global"] for name in "ab"] == [300, 500]
    assert [samples[f"anabranch_updates_total first {name} global"] for name in "ab"] == [1, 1]
