"""Models of one partition each, served together: a key has the model of the partition on which its events lie."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer
from river import dummy, stats

from anabranch.errors import ConfigError
from anabranch.testing import MemoryFollower
from config.loading import build
from config.output import Score
from serving.application import application
from serving.metrics import Metrics
from serving.models import Models, Served
from serving.partitions import HASHES, KeysWatch, Partitioner, ServedByPartition, murmur2, partition_of, see
from serving.server import in_a_thread, models_of
from support.scorers import Scorer

PARTITIONS = 4
NAMES: dict[Partitioner, str] = {"crc32": "consistent", "murmur2": "murmur2"}
"""How librdkafka calls them."""

JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""What the Java client's hash makes of them."""


def produced(embedded: Any, topic: str, partitioner: Partitioner, keys: list[bytes]) -> dict[bytes, int]:
    """Where a producer has put them."""
    found: dict[bytes, int] = {}
    producer = Producer({"bootstrap.servers": embedded.bootstrap, "partitioner": NAMES[partitioner]})
    for key in keys:
        producer.produce(topic, b"{}", key, on_delivery=lambda _, each: found.update({each.key(): each.partition()}))
    assert not producer.flush(20)
    return found


def test_the_java_clients_hash() -> None:
    assert {key: murmur2(key) for key in JAVA} == {key: value & 0x7FFFFFFF for key, value in JAVA.items()}


@pytest.mark.parametrize("partitioner", list(HASHES))
def test_keys_lie_where_a_producer_puts_them(embedded: Any, partitioner: Partitioner) -> None:
    """Of every length, text and bytes."""
    keys = [f"customer-{'é' * (n % 5)}{n}".encode() for n in range(200)] + [bytes([n, 255, n]) for n in range(50)]
    embedded.create_topic(f"put-{partitioner}")
    found = produced(embedded, f"put-{partitioner}", partitioner, keys)
    assert found == {key: partition_of(key, count=PARTITIONS, partitioner=partitioner) for key in keys}
    assert set(found.values()) == set(range(PARTITIONS))


def test_producers_that_use_another_one_are_noticed(embedded: Any) -> None:
    """Before anybody is answered by another customer's model; and the one that fits is named."""
    kafka = {"bootstrap.servers": embedded.bootstrap}
    keys = [b"customer-%d" % n for n in range(100)]
    for name in HASHES:
        embedded.create_topic(f"see-{name}")
        produced(embedded, f"see-{name}", name, keys)
        see(kafka, f"see-{name}", partitioner=name)
    with pytest.raises(
        ConfigError, match=r'are not on the partition that crc32 says.*set score\.partitioner = "murmur2"'
    ):
        see(kafka, "see-murmur2", partitioner="crc32")
    produced(embedded, "see-murmur2", "crc32", keys)
    with pytest.raises(ConfigError, match="no other that is known here fits: say --partition"):
        see(kafka, "see-murmur2", partitioner="murmur2")


def test_producers_that_change_while_it_serves_are_noticed(embedded: Any) -> None:
    """On /metrics and in the log, once; the models go on. Partitions that were added move keys, too."""
    embedded.create_topic("watched")
    keys = [b"customer-%d" % n for n in range(100)]
    kafka = {"bootstrap.servers": embedded.bootstrap}

    def watch_of(count: int) -> KeysWatch:
        return KeysWatch(kafka, "watched", model="fraud", count=count, partitioner="crc32")

    watch, fewer = watch_of(PARTITIONS), watch_of(PARTITIONS - 1)
    produced(embedded, "watched", "crc32", keys)
    watch.look()
    assert watch.found == ""
    produced(embedded, "watched", "murmur2", keys)
    watch.look()
    fewer.look()
    assert "are not on the partition that crc32 says" in watch.found
    assert fewer.found.startswith("watched has 4 partitions, and the models of 3 are served")
    models = Models([Served(MemoryFollower("fraud"))], beside=[watch])
    assert 'anabranch_keys_elsewhere{model="fraud"} 1.0' in Metrics(models).text("")[0].decode()
    assert "fraud" in models.why_not_ready()  # as it has no model
    assert watch.why_not_ready() == {}


def always(answer: float) -> dummy.PriorClassifier:
    """A model that answers True with this probability."""
    model = dummy.PriorClassifier()
    for n in range(10):
        model.learn_one({}, n < 10 * answer)
    return model


@pytest.fixture
def followers() -> list[MemoryFollower]:
    """Of three partitions; the last has no model yet."""
    found = [MemoryFollower("fraud", scope=f"p{number}") for number in range(3)]
    for number, each in enumerate(found[:2]):
        each.publish(always(0.2 + 0.5 * number), features=["a"])
    return found


@pytest.fixture
def scorer(followers: list[MemoryFollower]) -> Iterator[Scorer]:
    served = ServedByPartition([Served(each) for each in followers], partitioner="crc32")
    with in_a_thread(application(Models([served]), Score())) as port:
        yield Scorer(port, followers)


def key_on(number: int) -> str:
    return next(f"k{n}" for n in range(99) if partition_of(f"k{n}", count=3, partitioner="crc32") == number)


def test_a_key_has_the_model_of_its_partition(scorer: Scorer) -> None:
    """An id is no key; without one nobody can tell, and the reply says what to send."""
    event = {"id": key_on(1), "features": {"a": 1.0}}
    for number, share in ((0, 0.2), (1, 0.7)):
        reply = scorer.ask("/api/predict", event, Anabranch_Key=key_on(number))
        assert reply.body["scope"] == f"p{number}"
        assert reply.body["probabilities"]["true"] == pytest.approx(share)
    assert scorer.ask("/api/predict", event, Anabranch_Key=key_on(2)).status == 503
    reply = scorer.ask("/api/predict", event)
    assert (reply.status, reply.body["field"]) == (422, "Anabranch-Key")
    tensor = {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]}
    assert scorer.ask("/v2/models/fraud/infer", {"id": key_on(1), "inputs": [tensor]}).status == 422
    reply = scorer.ask("/v2/models/fraud/infer", {"inputs": [tensor]}, Anabranch_Key=key_on(1))
    assert reply.body["model_version"] == "1"


def test_each_partition_is_told_of(scorer: Scorer, followers: list[MemoryFollower]) -> None:
    """One that cannot answer is named, and nothing is ready without it."""
    assert [each["ready"] for each in scorer.ask("/api/models").body["models"]] == [True, True, False]
    reply = scorer.ask("/readyz")
    assert reply.status == 503
    assert reply.body["reasons"]["fraud"].startswith("fraud/p2: no champion")
    followers[2].publish(always(0.5), features=["a"])
    assert scorer.ask("/readyz").status == 200
    assert scorer.ask("/v2/models/fraud").body["name"] == "fraud"
    assert 'anabranch_model_version{model="fraud/p1"} 1.0' in str(scorer.ask("/metrics").body)


def test_the_mean_of_all_partitions_answers_for_everybody(followers: list[MemoryFollower]) -> None:
    """With a key or without; once each partition has a model; and it says which versions these are."""
    served = ServedByPartition([Served(each) for each in followers], partitioner="crc32", averages=True)
    event = {"id": "e1", "features": {"a": 1.0}}
    with in_a_thread(application(Models([served]), Score())) as port:
        scorer = Scorer(port, followers)
        assert scorer.ask("/api/predict", event).status == 503
        followers[2].publish(always(1.0), features=["b"])
        followers[2].publish(always(0.9), features=["b"])
        replies = [scorer.ask("/api/predict", event, **how).body for how in ({}, {"Anabranch_Key": key_on(0)})]
        for reply in replies:
            assert reply["probabilities"]["true"] == pytest.approx((0.2 + 0.7 + 0.9) / 3)
            assert (reply["prediction"], reply["scope"], reply["versions"]) == (True, "average", [1, 1, 2])
            assert reply["missing"] == ["b"]
        tensor = {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.0]}
        reply = scorer.ask("/v2/models/fraud/infer", {"inputs": [tensor]})
        assert (reply.status, reply.body["model_version"]) == (200, "1,1,2")
        assert scorer.ask("/api/explain", event).status == 422
        followers[0].publish(always(0.8), features=["a"])
        assert scorer.ask("/api/predict", event).body["versions"] == [2, 1, 2]


def test_numbers_have_a_mean() -> None:
    """Each model counts alike, however much it has learned."""
    found = [MemoryFollower("price", scope=f"p{number}") for number in range(2)]
    for each, value in zip(found, (10.0, 20.0), strict=True):
        model = dummy.StatisticRegressor(stats.Mean())
        model.learn_one({}, value)
        each.publish(model, features=["a"], task="regression")
    served = ServedByPartition([Served(each) for each in found], partitioner="crc32", averages=True)
    assert served.now().answer({}).value == 15.0


def test_positions_have_no_mean() -> None:
    """A ranker's items do not come in an average order."""
    score = {"by_partition": "average"}
    shop = {"name": "shop", "task": "rank", "model": {"steps": [{"use": "ranking.Popularity"}]}}
    settings = build({**shop, "scope": "partition", "score": score, "kafka": {"bootstrap.servers": "127.0.0.1:1"}})
    with pytest.raises(ConfigError, match="is not for rankers"):
        models_of([settings], scope=None)
