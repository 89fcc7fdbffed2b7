"""The demo, run as a user runs it."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, ConsoleDimensions

from anabranch.errors import AnabranchError
from commands.demo.processes import Child
from commands.demo.screen import Chart, Screen, columns
from commands.demo.story import Story
from commands.demo.stream import Stream
from support.command_line import ANABRANCH
from support.waiting import until

DEMO = [*ANABRANCH, "demo"]
EVENTS = 24_000


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    """What a shorter and faster run ends with."""
    command = [*DEMO, "--json", "--events", str(EVENTS), "--rate", "1000"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    [line] = done.stdout.splitlines()
    made: dict[str, Any] = json.loads(line)
    return made


@pytest.mark.slow
def test_the_demo_reports_every_planted_change(result: dict[str, Any]) -> None:
    """Each change is in the summary with the offset at which it was planted, noticed or not."""
    planted = Stream(seed=1, events=EVENTS).changes
    assert [change["offset"] for change in result["changes"]] == [change.offset for change in planted]
    assert all(change["detector"] for change in result["changes"])


@pytest.mark.slow
def test_the_demo_swaps_and_the_follower_takes_the_new_champion(result: dict[str, Any]) -> None:
    """A change is answered by a swap, and another process predicts with the winner within seconds."""
    swaps = [change for change in result["changes"] if change["swap_offset"] is not None]
    assert swaps
    assert all(0 < swap["follower_seconds"] < 30 for swap in swaps)
    assert all(swap["training_range"][1] > swap["offset"] for swap in swaps)


@pytest.mark.slow
def test_the_demo_learns_every_good_event_and_sets_the_bad_ones_aside(result: dict[str, Any]) -> None:
    """No event is lost on the way through Kafka, and it pays to adapt."""
    assert (result["events"], result["dead_letters"]) == (EVENTS, 6)
    assert result["accuracy"] > result["without_adaptation"]["accuracy"]
    assert result["pr_auc"] > result["without_adaptation"]["pr_auc"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the other processes under /proc")
@pytest.mark.parametrize(
    ("number", "words", "others"), [(signal.SIGINT, [], 3), (signal.SIGTERM, ["--no-dashboard"], 2)]
)
def test_the_demo_can_be_stopped_at_any_time(number: signal.Signals, words: list[str], others: int) -> None:
    """Ctrl-C or SIGTERM ends it cleanly, and its other processes with it: learner, follower and dashboard."""
    demo = subprocess.Popen([*DEMO, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    of_demo = Path(f"/proc/{demo.pid}/task/{demo.pid}/children")
    try:
        until(lambda: len(of_demo.read_text().split()) >= others)
        time.sleep(1)
        children = [int(line) for line in of_demo.read_text().split()]
    finally:
        demo.send_signal(number)
        _, said = demo.communicate(timeout=30)
    assert demo.returncode == 130
    assert said.splitlines()[-1] == "stopped before the end"
    assert len(children) == others
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_a_process_that_ends_by_itself_is_reported_with_its_log(tmp_path: Path) -> None:
    """The demo never waits for a process that is not there any more."""
    with Child("learner", "commands.main", "learn", "nowhere.toml", log=tmp_path / "log") as child:
        child.process.wait(60)
        with pytest.raises(AnabranchError, match=r"exit code 2(?s:.)*nowhere\.toml: cannot be read"):
            child.check()


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (200, 60)])
def test_the_view_fits_the_terminal(size: tuple[int, int]) -> None:
    """The screen is as many lines as the terminal has, and no line is wider."""
    width, height = size
    console = Console(width=width, height=height)
    story = Story(Stream(seed=1, events=3_000))
    story.sent_to(2_000)
    lines = console.render_lines(Screen(rate=800).render(story, ConsoleDimensions(width, height), now_s=1.0))
    assert len(lines) == height
    assert all(sum(segment.cell_length for segment in line) == width for line in lines)


def test_a_chart_repeats_the_last_value_up_to_the_newest_point() -> None:
    """Between two points the first one holds, after the last nothing is drawn."""
    assert columns([(0, 0.1), (30, 0.2)], width=5, end=50) == [0.1, 0.1, 0.1, 0.2, None]


def test_a_chart_never_overflows() -> None:
    """A value above the top fills its column."""
    chart = Chart(width=1, height=2, top=0.1)
    chart.area([0.9])
    chart.line([0.9], "x", style="")
    assert [row.plain for row in chart.rows()] == ["x", "█"]


def test_the_follower_can_be_asked_as_soon_as_it_predicts() -> None:
    """A command to copy; before there is a model it would only be told so."""
    story = Story(Stream(seed=1, events=3600))
    story.hear_follower(b'{"port": 8080}')
    assert story.curl == ""
    story.hear_follower(b'{"version": 1, "first_prediction_ts": 1.0}')
    assert story.curl.startswith("curl localhost:8080/api/predict -d '{")
