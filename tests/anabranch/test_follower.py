"""The follower: the newest champion, exchanged under threads; anything wrong with an update keeps the one in use."""

import re
import threading
from contextlib import closing
from typing import Any

import orjson
import pytest

from anabranch import candidates, follow
from anabranch.errors import ArtifactMissing, KafkaUnavailable, NoChampionYet
from anabranch.kafka import artifacts as kafka_artifacts
from anabranch.messages import ModelUpdate, encode
from support.publisher import Publisher
from support.waiting import until


@pytest.fixture
def publisher(embedded: Any) -> Publisher:
    """A publisher on an embedded broker."""
    made = Publisher(embedded.bootstrap)
    made.sink.send("model-updates", key="other/global/1", value=b"{}")
    made.sink.flush()
    return made


def test_predictions_are_made_by_whole_versions_while_threads_predict(publisher: Publisher) -> None:
    """Whatever the moment of an exchange, a prediction is one version's, and versions only rise."""
    expected = {version / (version + 1) for version in range(1, 9)}
    seen: list[list[float]] = [[] for _ in range(4)]
    done = threading.Event()
    publisher.announce(1)
    with follow("m", kafka=publisher.kafka) as model:
        model.wait(timeout_s=20)

        def predict(mine: list[float]) -> None:
            while not done.is_set():
                mine.append(model.predict_proba_one({"a": 1.0})[True])

        threads = [threading.Thread(target=predict, args=(mine,)) for mine in seen]
        for thread in threads:
            thread.start()
        for version in range(2, 9):
            publisher.announce(version)
            model.wait(version=version, timeout_s=20)
        done.set()
        for thread in threads:
            thread.join()
    for mine in seen:
        assert set(mine) <= expected
        assert mine == sorted(mine)
        assert len(set(mine)) > 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"river": "0.1.0"}, "River 0.1.0"),
        ({"artifact": {"sha256": "0" * 64}}, "chunks"),
        ({"artifact": {"size_bytes": 2**40}}, "artifact_max_bytes"),
    ],
)
def test_an_update_that_is_not_right_keeps_the_model_in_use(
    publisher: Publisher, fault: dict[str, Any], reason: str
) -> None:
    """Other versions, missing or changed bytes, too large: the reason is told, predictions go on."""
    good = publisher.announce(1)
    if "artifact" in fault:
        fault = {"artifact": good.artifact.model_copy(update=fault["artifact"])}
    with follow("m", kafka=publisher.kafka) as model:
        model.wait(timeout_s=20)
        publisher.announce(2, **fault)
        until(lambda: model.last_refusal is not None)
        assert reason in str(model.last_refusal)
        assert model.version == 1
        publisher.announce(3)
        model.wait(version=3, timeout_s=20)


def test_a_late_follower_takes_the_newest_and_never_an_older_one(publisher: Publisher) -> None:
    """Of many announced versions only the newest is loaded; one that comes late with a lower number is passed over."""
    loaded: list[int] = []
    for version in (1, 2, 5):
        publisher.announce(version)
    with follow("m", kafka=publisher.kafka, on_update=lambda update: loaded.append(update.version)) as model:
        model.wait(timeout_s=20)
        publisher.announce(4)
        publisher.announce(6)
        model.wait(version=6, timeout_s=20)
    assert loaded == [5, 6]


def test_unknown_and_missing_features_are_left_out(publisher: Publisher) -> None:
    """Several River models change state when they see an unknown feature."""
    publisher.announce(1)
    with follow("m", kafka=publisher.kafka) as model:
        model.wait(timeout_s=20)
        assert model.predict_one({"a": None, "never seen": "x"}) in (True, False)
        assert model.champion.artifact.features == {"a"}


def test_before_the_first_model_there_is_a_clear_exception(publisher: Publisher) -> None:
    """It names the model, the topic, and what to do."""
    with (
        follow("m", kafka=publisher.kafka) as model,
        pytest.raises(NoChampionYet, match=r"'m' has been announced on 'model-updates' yet.*wait"),
    ):
        model.predict_proba_one({})


def test_a_record_that_nobody_can_read_stops_nobody(publisher: Publisher) -> None:
    """It is said what is wrong with it; a version after it is followed, by one that starts then as well."""
    publisher.announce(1)
    with follow("m", kafka=publisher.kafka) as model:
        model.wait(timeout_s=20)
        publisher.sink.send("model-updates", key="m/global/2", value=b'{"model": "m"}')
        publisher.announce(3)
        model.wait(version=3, timeout_s=20)
        said = r"model-updates partition \d offset 0: not a ModelUpdate"  # it may be read after the one behind it
        until(lambda: re.match(said, model.last_refusal or "") is not None)
    with follow("m", kafka=publisher.kafka) as late:
        assert late.wait(version=3, timeout_s=20).version == 3


def test_what_a_newer_learner_says_beyond_is_passed_over(publisher: Publisher) -> None:
    """A follower is often older than its learner."""
    update = publisher.announce(1)
    more = orjson.dumps({**orjson.loads(encode(update)), "seq": 2, "mood": "good"})
    publisher.sink.send("model-updates", key="m/global/1", value=more)
    publisher.sink.flush()
    with follow("m", kafka=publisher.kafka) as model:
        assert model.wait(timeout_s=20).seq == 2


def test_a_callback_that_raises_does_not_end_the_following(publisher: Publisher) -> None:
    """It is the caller's own, and the next version comes all the same."""

    def raises(update: ModelUpdate) -> None:
        raise RuntimeError("mine")

    publisher.announce(1)
    with follow("m", kafka=publisher.kafka, on_update=raises) as model:
        model.wait(timeout_s=20)
        publisher.announce(2)
        assert model.wait(version=2, timeout_s=20).version == 2


def test_one_client_fetches_one_model_after_the_other(publisher: Publisher) -> None:
    """In any order, new ones too, and on after one that is not there: always what a new client would bring."""
    several = [publisher.announce(version) for version in (1, 2, 3)]
    gone = several[0].model_copy(
        update={"artifact": several[0].pointer.model_copy(update={"first_offset": 10_000, "last_offset": 10_000})}
    )
    with closing(kafka_artifacts.Artifacts(publisher.kafka)) as artifacts:
        for update in (several[2], several[0], several[1], several[2], publisher.announce(4)):
            assert artifacts.fetch(update) == kafka_artifacts.fetch(publisher.kafka, update)
        with pytest.raises(ArtifactMissing):
            artifacts.fetch(gone)
        assert artifacts.fetch(several[1]) == kafka_artifacts.fetch(publisher.kafka, several[1])


def test_brokers_that_are_away_while_a_model_is_fetched(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The update is asked for again until they are back."""
    real, failures = kafka_artifacts.Artifacts.fetch, iter(range(4))

    def away(artifacts: kafka_artifacts.Artifacts, update: ModelUpdate) -> bytes:
        if next(failures, None) is not None:
            raise KafkaUnavailable("away")
        return real(artifacts, update)

    monkeypatch.setattr(kafka_artifacts.Artifacts, "fetch", away)
    monkeypatch.setattr(candidates, "RETRY_S", 0.01)
    publisher.announce(1)
    with follow("m", kafka=publisher.kafka) as model:
        assert model.wait(timeout_s=20).version == 1
