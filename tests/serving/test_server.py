"""What a scorer is made of: the configurations on its command line."""

import socket
from pathlib import Path

import pytest

from anabranch.errors import ConfigError
from anabranch.scope import GLOBAL, of_partition
from anabranch.testing import MemoryFollower
from serving.models import Models, Served
from serving.server import loaded, models_of, served
from serving.stream import AnsweredEvents
from support.command_line import config_in
from support.scorers import FEATURES, linear

TABLE = 'name = "{name}"\ntask = "binary"\n{top}[model]\nsteps = [{{ use = "naive_bayes.GaussianNB" }}]\n'


def config(folder: Path, name: str, *, top: str = "", score: str = "") -> Path:
    """A configuration in a folder of its own."""
    here = folder / name
    here.mkdir()
    return config_in(here, TABLE.format(name=name, top=top) + score)


def test_what_the_command_line_says_counts_for_all_files(tmp_path: Path) -> None:
    """Before what stands in them."""
    files = [config(tmp_path, name, score="[score]\nport = 1\nmax_age = '5s'\n") for name in ("a", "b")]
    several = loaded(files, {"port": 2})
    assert [(each.name, each.score.port, each.score.max_age) for each in several] == [("a", 2, 5.0), ("b", 2, 5.0)]
    assert list(models_of(several).by_name) == ["a", "b"]


def test_a_scorers_name_among_the_followers_outlives_its_process(tmp_path: Path) -> None:
    """The host, the port, and of several workers the number."""
    [settings] = loaded([config(tmp_path, "a")], {"port": 81})
    alone, worker = served(settings), served(settings, worker=1)
    assert (alone.follower.ack_as, worker.follower.ack_as) == tuple(
        f"{socket.gethostname()}:{name}" for name in ("81", "81/1")
    )


def test_two_files_of_one_model_are_refused(tmp_path: Path) -> None:
    """Which of them would be asked?"""
    one = config(tmp_path, "a")
    with pytest.raises(ConfigError, match="two configurations are of model 'a'"):
        models_of(loaded([one, one], {}))


def test_who_answers_events_is_ready_once_it_has_begun(tmp_path: Path) -> None:
    """What is published before the scorers have a place in their group may be answered by nobody."""
    [settings] = loaded([config(tmp_path, "a")], {"predictions": True})
    follower = MemoryFollower("a")
    served = Served(follower)
    models = Models([served], beside=[AnsweredEvents(settings, served)])
    assert models.why_not_ready() == {"a": "no champion of 'a' yet"}
    follower.publish(linear(), features=FEATURES)
    assert models.why_not_ready() == {"a": "no place yet in the group anabranch-score-a, which answers events"}


def test_models_of_partitions_answer_no_topic(tmp_path: Path) -> None:
    """Each partition has another model; nor does one process serve both kinds."""
    shared, own = config(tmp_path, "a", top='scope = "partition"\n'), config(tmp_path, "b")
    with pytest.raises(ConfigError, match="predictions on a topic"):
        models_of(loaded([shared], {"predictions": True}), scope=of_partition(0))
    with pytest.raises(ConfigError, match="start two"):
        models_of(loaded([own, shared], {}), scope=GLOBAL)
