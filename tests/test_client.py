"""What other services install: the wheel of anabranch-client, in an environment of its own."""

import subprocess
import zipfile
from pathlib import Path

import pytest

import anabranch

ROOMS_OF_THE_SERVICE = ["commands", "consumers", "learners", "detectors"]


def imports(python: Path, module: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([python, "-I", "-c", f"import {module}"], check=False, capture_output=True, text=True)


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(client_wheel: Path) -> None:
    """The client brings `anabranch`, its metadata, and no compiled leftovers of the checkout."""
    names = zipfile.ZipFile(client_wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"anabranch", "anabranch_client-0.1.0.dist-info"}
    assert not [name for name in names if name.endswith(".pyc")]


@pytest.mark.slow
@pytest.mark.parametrize("module", ["anabranch", "anabranch.messages", "anabranch.kafka_embedded"])
def test_the_client_can_import_the_package(client_python: Path, module: str) -> None:
    """The client's dependencies are all that the package needs."""
    assert imports(client_python, module).stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("room", ROOMS_OF_THE_SERVICE)
def test_the_client_does_not_have_the_service(client_python: Path, room: str) -> None:
    """The rooms' generic names do not land in other services' environments."""
    assert "ModuleNotFoundError" in imports(client_python, room).stderr


def test_the_follower_is_found_by_looking_around() -> None:
    """It is imported when it is first asked for, and yet nobody has to know that it is there."""
    assert {"follow", "Follower"} <= set(dir(anabranch))
    assert set(anabranch.__all__) <= set(dir(anabranch))
