"""The tests' own house: folders that mirror the rooms, and one place for what tests share."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from benchmarks import house
from support.checkout import ROOT

TESTS = ROOT / "tests"
MODULES = sorted(TESTS.rglob("test_*.py"))
NAMES = {path.stem for path in MODULES}


def imported(source: str) -> Iterator[str]:
    """The modules that a module imports, and each name that it takes from one, with dots between all parts."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{each.name}" for each in node.names)


def those_of_tests(source: str, names: Iterable[str] = NAMES) -> list[str]:
    """Those of the imported modules that are tests."""
    return [each for each in imported(source) if any(part in names for part in each.split("."))]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_test_module_imports_another(path: Path) -> None:
    """What two of them need lies in tests/support."""
    assert those_of_tests(path.read_text()) == []


@pytest.mark.parametrize("line", ["import test_a", "from tests.whole import test_a", "from test_a import x"])
def test_such_an_import_is_found(line: str) -> None:
    """However it is written, also inside a function."""
    assert len(those_of_tests(f"def f():\n    {line}", {"test_a"})) == 1


def test_what_tests_share_knows_no_test() -> None:
    """Else a test module would be imported after all."""
    assert [each for path in (TESTS / "support").glob("*.py") for each in those_of_tests(path.read_text())] == []


def test_a_module_has_its_name_for_itself() -> None:
    """Over all folders: a name tells where a failure is."""
    assert [name for name, count in Counter(path.name for path in MODULES).items() if count > 1] == []


def test_each_folder_is_a_room() -> None:
    """Or `whole`, for what is about all of them. None is a package: it would hide the room of its name."""
    rooms = {path.parent.name for path in MODULES}
    assert all((ROOT / room / "__init__.py").exists() for room in rooms - {"whole"})
    assert [path for path in TESTS.rglob("__init__.py") if path.parent.name != "support"] == []


def test_the_architecture_lists_the_modules_as_they_are() -> None:
    """A newcomer finds the room for a change there; `python -m benchmarks.house --rooms` writes the tables."""
    written = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    assert [table for table in house.tables() if table not in written] == []


def test_functions_stay_short() -> None:
    """The longest of the service, in lines of code."""
    assert max(count for path in house.modules() for count, _ in house.functions(path)) <= 54
