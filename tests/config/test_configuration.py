"""docs/CONFIGURATION.md and the examples: they say what the settings are."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import orjson
import pytest
from pydantic import BaseModel

from commands import configuration, preflight, wiring
from config.learning import AtLeast
from config.loading import build
from config.settings import Settings
from consumers.guard import Guard
from evaluation import files
from support.checkout import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))


def sections_in(annotation: Any) -> set[type[BaseModel]]:
    """The sections that a type names, and those in them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        inner = [sections_in(field.annotation) for field in annotation.model_fields.values()]
        return {annotation}.union(*inner)
    return set().union(*map(sections_in, get_args(annotation)))


def test_the_reference_is_that_of_the_settings() -> None:
    """If this fails: `python -m commands.configuration` writes it again."""
    document = configuration.DOCUMENT.read_text()
    assert configuration.BEGIN in document
    assert document == configuration.renewed(document)


def test_every_section_is_in_it_and_every_key_says_what_it_is_for() -> None:
    """Nobody has to read the source for a key."""
    assert sections_in(Settings) - {AtLeast} <= set(configuration.SECTIONS.values())
    bare = [
        f"{kind.__name__}.{name}"
        for kind in configuration.SECTIONS.values()
        for name, field in kind.model_fields.items()
        if not field.description and field.annotation not in configuration.SECTIONS.values()
    ]
    assert bare == []


def test_a_default_is_written_as_the_file_would_have_it() -> None:
    """What stands in the table can be copied."""
    rows = re.findall(
        r"^\| `(\w+)` \|[^|]*\| `([^`]*)` \|", configuration.table(configuration.RetrainSettings), re.MULTILINE
    )
    written = tomllib.loads("\n".join(f"{key} = {value if value != '10m' else repr(value)}" for key, value in rows))
    table = {"name": "m", "task": "binary", "model": {"factory": "a:b"}}
    assert build({**table, "retrain": written}).retrain == build(table).retrain
    assert "recruits" in written


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_can_be_used(path: Path) -> None:
    """`anabranch check` finds nothing wrong with any."""
    preflight.look(wiring.settings_at(path))


def test_a_file_produced_twice_is_learned_once(tmp_path: Path) -> None:
    """Its rows have the same ids."""
    data = tmp_path / "rows.csv"
    data.write_text("a,target\n1,1\n2,0\n")
    guard = Guard(build({"name": "m", "task": "binary", "model": {"factory": "a:b"}}))
    ids = [orjson.loads(each)["id"] for each in (*files.events(data), *files.events(data, now_s=1.7e9))]
    assert ids == ["rows-0", "rows-1"] * 2
    assert [guard.ids.add(each) for each in ids] == [True, True, False, False]
