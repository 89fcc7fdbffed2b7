"""`--labels FILE`: the labels of a backtest's events from a table of their own."""

import json
from pathlib import Path

import pytest

from support.command_line import anabranch, config_in

STEPS = 'model.steps = [{ use = "naive_bayes.GaussianNB" }]\ndetectors = {}'


@pytest.mark.parametrize(
    ("more_columns", "more_cells", "learned"),
    [("", "", 300), (",revision", ",0", 300), (",blocked", ",", 300), (",revision,blocked", ",1,", 300)],
)
def test_revisions_and_blocked_labels_may_be_there(
    more_columns: str, more_cells: str, learned: int, tmp_path: Path
) -> None:
    """Each event finds its label, whichever of the two columns the table has."""
    config = config_in(tmp_path, f'name = "m"\ntask = "binary"\n{STEPS}\n')
    events = ["id,ts,a,target", *(f"e{n},{1_600_000_000 + n},{n % 7}," for n in range(300))]
    labels = ["id,ts,label" + more_columns]
    labels += [f"e{n},{1_600_000_050 + n},{n % 7 > 3}{more_cells}" for n in range(300)]
    (tmp_path / "events.csv").write_text("\n".join(events))
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    files = ["--data", tmp_path / "events.csv", "--labels", tmp_path / "labels.csv"]
    done = anabranch("backtest", config, *files, "--id", "id", "--ts", "ts", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] == learned
