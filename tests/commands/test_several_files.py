"""`anabranch learn` with several files: which models they are, what they share, and what is refused at once."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from anabranch.errors import ConfigError
from anabranch.events import Partition
from commands import several
from commands.exporting import Exporter
from commands.views.learn import View
from consumers.kafka.fetch import KafkaFetch
from support.command_line import anabranch
from support.loops import settings_of

MODEL = '[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'


def write(folder: Path, name: str, more: str = MODEL, *, file: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{file or name}.toml"
    path.write_text(f'name = "{name}"\ntask = "binary"\n{more}')
    return path


def test_a_folder_stands_for_its_files(tmp_path: Path) -> None:
    """In the order of their names; others beside them are no configurations."""
    second, first = write(tmp_path, "b"), write(tmp_path, "a")
    (tmp_path / "notes.txt").write_text("")
    other = write(tmp_path / "more", "c")
    assert several.files([other, tmp_path]) == [other, first, second]


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    """Nothing would be learned."""
    done = anabranch("learn", tmp_path)
    assert (done.returncode, str(tmp_path) in done.stderr) == (2, True)


def test_two_files_of_one_model_are_refused(tmp_path: Path) -> None:
    """They would take its checkpoints and its group from each other."""
    done = anabranch("learn", write(tmp_path, "m", file="one"), write(tmp_path, "m", file="two"))
    assert done.returncode == 2
    assert re.search(r"one\.toml and .*two\.toml are both of model 'm': give each another `name`", done.stderr)


@pytest.mark.parametrize("option", [("--warm-up", "rows.csv"), ("--from", "models:/m/1")])
def test_what_one_model_begins_with_is_refused_for_several(tmp_path: Path, option: tuple[str, str]) -> None:
    """It says how to begin with it all the same."""
    done = anabranch("learn", write(tmp_path, "a"), write(tmp_path, "b"), *option)
    assert (done.returncode, option[0] in done.stderr) == (2, True)


def test_a_mistake_in_one_file_is_found_before_anything_begins(tmp_path: Path) -> None:
    """And names the file."""
    done = anabranch("learn", write(tmp_path, "a"), write(tmp_path, "b", '[model]\nsteps = [{ use = "no.Such" }]\n'))
    assert (done.returncode, "b.toml" in done.stderr) == (2, True)


def test_workers_are_of_one_model(tmp_path: Path) -> None:
    done = anabranch("learn", write(tmp_path, "a"), write(tmp_path, "b"), "--workers", "2")
    assert (done.returncode, "--workers is for one model" in done.stderr) == (2, True)


def test_factories_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second file would be given the first one's model without a word."""
    made = "from river import naive_bayes\ndef make():\n    return naive_bayes.GaussianNB()\n"
    spec = '[model]\nfactory = "own_factory:make"\n'
    configs = [write(tmp_path / each, each, spec) for each in "ab"]
    for config in configs:
        config.with_name("own_factory.py").write_text(made)
    monkeypatch.setattr("sys.path", list(sys.path))
    with pytest.raises(ConfigError, match="imported under the same name"):
        several.settings_of(configs)


# ── what they share ─────────────────────────────────────────────────────────────────────────────────────────────────


def shared(*tables: dict[str, Any]) -> list[tuple[Any, Any]]:
    """What each of these models shares."""
    models = [settings_of(name=f"m{number}", **table) for number, table in enumerate(tables)]
    together = several.Shared(models)
    return [together.of(each) for each in models]


def test_models_of_one_topic_read_it_together() -> None:
    """Whatever the models are, and whatever their guards remember."""
    (first, reading), (second, same) = shared({}, {"guard": {"dedup_window": 5}, "seed": 7})
    assert first is second
    assert reading is same
    assert first is not None
    assert reading is not None


def test_who_decodes_otherwise_shares_the_fetch_alone() -> None:
    """And one that agrees with nobody decodes by itself."""
    found = shared({}, {"guard": {"string_max": 9}}, {})
    assert len({id(fanout) for fanout, _ in found}) == 1
    assert found[0][1] is found[2][1]
    assert found[0][1] is not found[1][1]


@pytest.mark.parametrize(
    "other",
    [
        {"topics": {"events": "others"}},
        {"kafka": {"bootstrap.servers": "elsewhere:9092"}},
        {"labels": {"late": True}},
        {"scope": "partition"},
    ],
)
def test_who_reads_something_else_reads_alone(other: dict[str, Any]) -> None:
    """Nothing is shared with who reads other topics, other brokers, or a share of the partitions."""
    assert shared({}, other) == [(None, None), (None, None)]


# ── what is seen of them ────────────────────────────────────────────────────────────────────────────────────────────


def test_one_port_answers_for_all_models() -> None:
    """Files may leave it out; two that differ are refused."""
    first, second = (settings_of(name=name, metrics={"port": port}) for name, port in (("a", 9101), ("b", 9102)))
    assert Exporter([settings_of(), first], list).port == 9101
    assert Exporter([first, second], list, port=0).port == 0
    with pytest.raises(ConfigError, match=r"9101 \(a\), 9102 \(b\)"):
        Exporter([first, second], list)


def test_each_line_names_its_model() -> None:
    """In a terminal the reports of all models come in turns."""
    said: list[str] = []
    view = View(settings_of(name="fraud"), named=True, say=said.append, monotonic_s=lambda: 0.0)
    view.say("waiting")
    assert said == ["fraud: waiting"]


# ── what reads for all, on a broker ─────────────────────────────────────────────────────────────────────────────────


def test_a_fetch_reads_on_from_where_it_is_told(embedded: Any, topic_prefix: str) -> None:
    """All partitions, each record once, and it knows where they end."""
    topic, options = f"{topic_prefix}events", {"bootstrap.servers": embedded.bootstrap}
    embedded.create_topic(topic)
    producer = Producer(options)
    for number in range(40):
        producer.produce(topic, str(number), partition=number % 2)
    producer.flush()
    fetch = KafkaFetch(options)
    places = [Partition(topic, each) for each in range(2)]
    fetch.start({places[0]: 5, places[1]: 0})
    found: list[tuple[int, int]] = []
    while fetch.told != dict.fromkeys(places, 20):
        found += [(each.partition, each.offset) for each in fetch.poll(7, timeout_s=0.5)]
    while len(found) < 35:
        found += [(each.partition, each.offset) for each in fetch.poll(7, timeout_s=0.5)]
    assert sorted(found) == [(0, n) for n in range(5, 20)] + [(1, n) for n in range(20)]
    assert fetch.read == fetch.ends() == dict.fromkeys(places, 20)
    fetch.close()
