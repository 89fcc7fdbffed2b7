"""examples/recommender: what its shoppers send is what its configuration learns."""

from confluent_kafka import Producer

from anabranch.events import AcceptedEvent, Record
from commands.brokers import EmbeddedKafka
from config.loading import load
from consumers.guard import Guard, Told
from detectors.watch import Watch
from learners.lane import Lane
from learners.models import catalogue
from support.checkout import ROOT, example
from support.projects import values_on

HERE = ROOT / "examples" / "recommender"


def test_the_shoppers_impressions_and_clicks_are_learned(embedded: EmbeddedKafka) -> None:
    """No scorer answers, so that pages are drawn at random: each item is an impression, and clicks find theirs."""
    script, settings = example("recommender"), load(HERE / "shop.toml")
    bootstrap = script.with_topics(embedded)
    script.API = "127.0.0.1:1"
    shop = script.Shop(Producer({"bootstrap.servers": bootstrap}))
    for _ in range(30):
        shop.visit()
    assert not shop.producer.flush(10)
    guard = Guard(settings)
    lane = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))
    kafka = {"bootstrap.servers": bootstrap}
    events = [guard.check(Record("events", 0, n, 2e9, None, each)) for n, each in enumerate(values_on(kafka, "events"))]
    for event in events:
        assert isinstance(event, AcceptedEvent)
        lane.on_event(event)
    for n, value in enumerate(values_on(kafka, "labels")):
        told = guard.check_label(Record("labels", 0, n, 2e9, None, value))
        assert isinstance(told, Told)
        assert lane.join.look(told.label) == "wanted"
        lane.on_label(told.label)
    assert len(events) == shop.impressions == 600
    assert lane.events == shop.clicks > 5
