"""Why a version answered so, and why it took over: the commands, on what a learner has told on a real Kafka."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.command_line import anabranch
from support.projects import SCALED_LINEAR, Project, announced, sea

pytestmark = pytest.mark.kafka

SECTIONS = f"{SCALED_LINEAR}[publish]\nwarm_up_events = 300\nreport_events = 200\n[scores]\nwindow = 300\n"


def test_an_answer_and_a_swap_are_explained(project: Callable[..., Project], tmp_path: Path) -> None:
    """By the id of an event on the topic, and by a file; as text, JSON and a picture; the story as the dashboard's."""
    here, png = project(sections=SECTIONS), tmp_path / "why.png"
    values = list(sea(4000, flipped_from=2000))
    here.produce(iter(values))
    here.run("learn", here.config, "--until-end")
    event = json.loads(values[-1])
    champion = f"models:/{here.name}@champion"
    told = json.loads(here.run("explain", champion, "--config", here.config, "--id", event["id"], "--json"))
    assert (told["id"], told["model"]) == (event["id"], here.name)
    assert told["value"] == pytest.approx(told["base"] + sum(each["amount"] for each in told["contributions"]))
    assert {each["feature"]: each["value"] for each in told["contributions"]} == event["features"]
    (tmp_path / "event.json").write_bytes(values[-1])
    given = ("--event", tmp_path / "event.json", "--png", png)
    text = here.run("explain", champion, "--config", here.config, *given)
    assert f"The answer is {str(told['prediction']).lower()}" in text
    assert png.read_bytes().startswith(b"\x89PNG")

    swap = next(each for each in announced(here) if each.kind == "swap")
    story = here.run("explain-swap", here.name, swap.version, "--config", here.config)
    assert story.startswith(f"{here.name} version {swap.version} (swap), 20")
    for part in ("What fired: ", "Who was recruited: ", "times what a win needs", "What has changed: Version"):
        assert part in story
    done = anabranch("explain-swap", here.name, 999, "--config", here.config)
    assert (done.returncode, "versions there: 1, 2" in done.stderr) == (2, True), done.stderr
    done = anabranch("explain", champion, "--config", here.config, "--id", "nobody's")
    assert (done.returncode, "its retention may have taken it" in done.stderr) == (2, True)
