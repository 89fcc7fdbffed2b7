"""What other services install: the wheel of anabranch-client, in an environment of its own."""

import subprocess
import zipfile
from pathlib import Path

import pytest
from river import dummy

import anabranch
from anabranch.errors import ArtifactError, ModelRetired, NoChampionYet
from anabranch.testing import MemoryFollower

PACKAGE = ["anabranch", "anabranch.messages", "anabranch.kafka.updates", "anabranch.testing"]
ROOMS_OF_THE_SERVICE = ["commands", "evaluation", "consumers", "learners", "detectors", "config"]


IMPORT = """
import sys
for module in sys.argv[1:]:
    try:
        __import__(module)
        print(module)
    except ModuleNotFoundError:
        pass
"""


def importable(python: Path, modules: list[str]) -> list[str]:
    """Those of the modules that this Python can import."""
    done = subprocess.run([python, "-I", "-c", IMPORT, *modules], check=False, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(client_wheel: Path) -> None:
    """The client brings `anabranch`, its metadata, and no compiled leftovers of the checkout."""
    names = zipfile.ZipFile(client_wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"anabranch", "anabranch_client-0.1.0.dist-info"}
    assert not [name for name in names if name.endswith(".pyc")]


SOURCE_MAX = 420_000
"""Bytes of its modules, many of them words: messages and their descriptions, model bytes, Kafka, features as learners
compute them, rankers, blends, groups, pseudonyms, signatures, and the loader for MLflow."""


def test_the_client_is_small(client_wheel: Path) -> None:
    """What `follow` needs and nothing else: no settings, no broker, no simulation."""
    sizes = {each.filename: each.file_size for each in zipfile.ZipFile(client_wheel).infolist()}
    assert sum(size for name, size in sizes.items() if name.endswith(".py")) <= SOURCE_MAX, sizes
    metadata = zipfile.ZipFile(client_wheel).read("anabranch_client-0.1.0.dist-info/METADATA").decode()
    assert "pydantic-settings" not in metadata


@pytest.mark.slow
def test_the_client_has_the_package_and_not_the_service(client_python: Path) -> None:
    """Its dependencies are all that the package needs; the rooms' generic names do not land in other environments."""
    assert importable(client_python, [*PACKAGE, *ROOMS_OF_THE_SERVICE]) == PACKAGE


def test_a_service_tests_itself_without_kafka() -> None:
    """Models come by hand, through bytes and checks as from the topic."""
    one, other = dummy.PriorClassifier(), dummy.PriorClassifier()
    one.learn_one({}, True)
    other.learn_one({}, False)
    seen: list[int] = []
    with MemoryFollower("fraud", on_update=lambda update: seen.append(update.version)) as fraud:
        with pytest.raises(NoChampionYet):
            fraud.predict_one({})
        fraud.publish(one, features=["a"], canary=[{"a": 1.0}])
        assert fraud.predict_one({"a": 1.0}) is True
        with pytest.raises(ArtifactError, match=r"River 0\.1\.0, here is"):
            fraud.publish(other, features=["a"], river_version="0.1.0")
        assert fraud.predict_one({"a": 1.0}) is True
        fraud.publish(other, features=["a"])
        assert fraud.predict_one({"a": 1.0}) is False
        one.learn_one({}, False)
        assert fraud.wait(version=3, timeout_s=0.0).kind == "swap"
    assert seen == [1, 3]


def test_the_follower_is_found_by_looking_around() -> None:
    """It is imported when it is first asked for, and yet nobody has to know that it is there."""
    assert {"follow", "Follower"} <= set(dir(anabranch))
    assert set(anabranch.__all__) <= set(dir(anabranch))


def test_a_retired_model_answers_nothing_until_the_next() -> None:
    """The error says since when, by whom and why; a champion that was taken before answers to its end."""
    model = dummy.PriorClassifier()
    model.learn_one({}, True)
    seen: list[str] = []
    with MemoryFollower("fraud", on_update=lambda update: seen.append(update.kind)) as fraud:
        fraud.publish(model, features=["a"])
        taken = fraud.champion
        fraud.retire(reason="it leaks", by="ann")
        with pytest.raises(ModelRetired, match=r"since 20..-..-..T.*: version 1 was retired by ann: it leaks"):
            fraud.predict_one({"a": 1.0})
        assert (fraud.version, fraud.in_use) == (None, None)
        assert taken.predict_one({"a": 1.0}) is True
        fraud.publish(model, features=["a"])
        assert fraud.predict_one({"a": 1.0}) is True
        assert fraud.retired is None
    assert seen == ["first", "retired", "swap"]
