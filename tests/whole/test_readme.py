"""The README's examples run as they stand."""

import doctest
import itertools
import re
import shlex
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from river.datasets import synth
from typer.main import get_command

from anabranch.messages import Event, decode
from commands.main import app
from config import loading
from evaluation import files
from learners.models import catalogue
from support.checkout import ROOT
from support.command_line import anabranch, ended, python, start

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_notebook_says_what_it_shows() -> None:
    """Its session is run as a doctest."""
    (session,) = blocks("pycon")
    test = doctest.DocTestParser().get_doctest(session, {}, "README", "README.md", 0)
    assert test.examples
    assert doctest.DocTestRunner(verbose=False).run(test).failed == 0


def test_the_event_is_one() -> None:
    """The JSON in the README is what a producer may send."""
    assert decode(Event, blocks("json")[0].encode()).label is False


def test_the_configuration_is_the_one_in_the_examples() -> None:
    """Nobody has to copy it."""
    assert blocks("toml")[0] == (ROOT / "examples" / "fraud.toml").read_text()


def test_the_configuration_learns_the_event() -> None:
    """Its country is a string."""
    settings = loading.load(ROOT / "examples" / "fraud.toml")
    event = orjson.loads(blocks("json")[0])
    model = catalogue.build(settings.model, seed=1)
    for label in (True, False):
        model.learn_one(event["features"], label)  # type: ignore[attr-defined]  # a classifier
    assert set(model["LogisticRegression"].weights) == {"amount", "hour", "country_FR"}  # type: ignore[index]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_file_is_one(page: Path) -> None:
    """Commands are parsed, not run: their options exist, and so does what lies in examples/."""
    text = page.read_text()
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in joined(block)]
    for verb, *words in (shlex.split(line, comments=True)[1:] for line in lines if line.startswith("anabranch ")):
        get_command(app).commands[verb].make_context(verb, words)  # type: ignore[attr-defined]  # a group of them
    named = re.findall(r"examples/[\w./]+\w", text)
    assert [each for each in named if not (ROOT / each).exists()] == []


def joined(block: str) -> list[str]:
    """The lines of a shell, those that end in a backslash with the next."""
    return block.replace("\\\n", " ").splitlines()


def test_the_payments_are_learned(tmp_path: Path) -> None:
    """The change of tactics is noticed, and no row is refused: also not by a learner on Kafka today."""
    data = tmp_path / "payments.csv"
    data.write_text(python(ROOT / "examples" / "payments_stream.py"))
    words = ["examples/fraud.toml", "--data", data, "--target", "fraud", "--ts", "when", "--json"]
    result = orjson.loads(anabranch("backtest", *words).stdout)
    assert (result["events"], result["dead_letters"]) == (20_000, 0)
    assert 10_000 < result["signals"][0]["offset"] < 10_500
    assert orjson.loads(next(files.events(data, target="fraud", ts="when")))["ts"] < "2026"


def test_the_backtest_prints_what_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the speed, which is the machine's."""
    data = tmp_path / "sea.jsonl"
    data.write_text(python(ROOT / "examples" / "sea_stream.py"))
    monkeypatch.setenv("COLUMNS", "120")
    done = anabranch("backtest", "examples/sea.toml", "--data", data)
    shown = blocks("text")[0].splitlines()[1:]
    assert [line.rstrip() for line in done.stdout.splitlines()[1 : len(shown) + 1]] == shown


@pytest.mark.slow
def test_the_configuration_learns_and_the_example_follows(tmp_path: Path, embedded: Any) -> None:
    """The TOML and the Python of the README, on a broker of the test's."""
    toml, example = (blocks(each)[0].replace("localhost:9092", embedded.bootstrap) for each in ("toml", "python"))
    config = tmp_path / "fraud.toml"
    config.write_text(toml + '"session.timeout.ms" = 6000\n')
    assert loading.load(config).name == "fraud"
    producer = Producer({"bootstrap.servers": embedded.bootstrap})
    for number, (x, y) in enumerate(itertools.islice(synth.SEA(seed=1), 500)):
        features = {"amount": x[0], "hour": int(x[1]), "country": "FR" if x[2] > 5 else "DE"}
        producer.produce("events", orjson.dumps({"id": f"p{number}", "ts": 1.7e9, "features": features, "label": y}))
    assert not producer.flush(20)
    assert ended(start("learn", config, "--until-end", cwd=tmp_path)).returncode == 0
    assert re.match(r"\d+ \{False: ", python("-c", example))
