"""What is compiled, and where. That it answers the same is tested in the copy itself: `make test-compiled`."""

import shutil
from pathlib import Path

import pytest

from commands import compiling


def test_each_module_is_there_and_named_once() -> None:
    assert sorted(set(compiling.MODULES)) == list(compiling.MODULES)
    assert all((compiling.ROOT / each).is_file() for each in compiling.MODULES)


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "precious.txt"
    mine.write_text("precious")
    with pytest.raises(SystemExit, match="holds something else"):
        compiling.main(["--into", str(tmp_path)])
    assert mine.read_text() == "precious"


def test_a_copy_is_current_only_while_nothing_has_changed_since(tmp_path: Path) -> None:
    for room in compiling.ROOMS:
        shutil.copytree(compiling.ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("*.so", "node_modules"))
    assert not compiling.is_current(tmp_path), "nothing is compiled there"
    (tmp_path / "learners" / "lane.cpython-311-x86_64-linux-gnu.so").touch()
    assert compiling.is_current(tmp_path)
    with (tmp_path / "learners" / "lane.py").open("a") as source:
        source.write("# changed\n")
    assert not compiling.is_current(tmp_path)
