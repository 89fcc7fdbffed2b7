"""What other services install: the wheel of anabranch-client, in an environment of its own."""

import subprocess
import zipfile
from pathlib import Path

import pytest
from river import dummy

import anabranch
from anabranch.errors import ArtifactError, NoChampionYet
from anabranch.testing import MemoryFollower

ROOMS_OF_THE_SERVICE = ["commands", "evaluation", "consumers", "learners", "detectors", "config"]


def imports(python: Path, module: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-I", "-c", f"import {module}"], check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(client_wheel: Path) -> None:
    """The client brings `anabranch`, its metadata, and no compiled leftovers of the checkout."""
    names = zipfile.ZipFile(client_wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"anabranch", "anabranch_client-0.1.0.dist-info"}
    assert not [name for name in names if name.endswith(".pyc")]


MODULES_MAX = 25


def test_the_client_is_small(client_wheel: Path) -> None:
    """What `follow` needs and nothing else: no settings, no broker, no simulation."""
    names = [name for name in zipfile.ZipFile(client_wheel).namelist() if name.endswith(".py")]
    assert len(names) <= MODULES_MAX, names
    metadata = zipfile.ZipFile(client_wheel).read("anabranch_client-0.1.0.dist-info/METADATA").decode()
    assert "pydantic-settings" not in metadata


@pytest.mark.slow
@pytest.mark.parametrize("module", ["anabranch", "anabranch.messages", "anabranch.kafka.updates", "anabranch.testing"])
def test_the_client_can_import_the_package(client_python: Path, module: str) -> None:
    """The client's dependencies are all that the package needs."""
    assert imports(client_python, module).stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS_OF_THE_SERVICE)
def test_the_client_does_not_have_the_service(client_python: Path, room: str) -> None:
    """The rooms' generic names do not land in other services' environments."""
    assert "ModuleNotFoundError" in imports(client_python, room).stderr


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
