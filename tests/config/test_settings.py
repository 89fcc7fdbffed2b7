"""The configuration: every fault is named with what to write instead, and the environment overrides the file."""

import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from anabranch.errors import ConfigError
from config.learning import Bound, Detector
from config.loading import build, load
from config.settings import Settings
from detectors.catalogue import signal_of
from detectors.watch import Watch

TOML = """
name = "fraud"
task = "binary"

[model]
steps = [{use = "preprocessing.StandardScaler"}, {use = "linear_model.LogisticRegression"}]
"""


def table(**more: Any) -> dict[str, Any]:
    """A table that is as it should be, and more."""
    return {"name": "m", "task": "binary", "model": {"factory": "a:b"}, **more}


def faults(**more: Any) -> list[str]:
    """What is said of a table that is not."""
    with pytest.raises(ConfigError) as raised:
        build(table(**more), where="x.toml")
    return str(raised.value).splitlines()


def written(folder: Path, text: str) -> Path:
    """The text as a configuration file."""
    path = folder / "anabranch.toml"
    path.write_text(text)
    return path


UNKNOWN = {
    "top": ({"pending": 3}, "pending", "pending_max"),
    "a section": ({"gaurd": {}}, "gaurd", "guard"),
    "in a section": ({"arena": {"min_gian": 0.1}}, "arena.min_gian", "min_gain"),
    "in a list of tables": ({"retrain": {"recruits": [{"onn": "last"}]}}, "retrain.recruits.0.onn", "on"),
    "in the model": ({"model": {"factory": "a:b", "step": []}}, "model.step", "steps"),
    "an option of the library": ({"_env_file": "other"}, "_env_file", "serve"),
}


@pytest.mark.parametrize(("more", "key", "near"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_key_names_the_nearest_known(more: dict[str, Any], key: str, near: str) -> None:
    """A misspelt key is an error that says how to spell it, at every level."""
    hint = f"did you mean `{near}`?" if near else "known here: arena, assignment, checkpoint"
    assert faults(**more)[0].startswith(f"x.toml: unknown key `{key}`; {hint}")


def test_a_key_like_none_lists_all_known() -> None:
    """Where nothing is near, all keys of the place are named."""
    assert faults(scores={"xyzzy": 1}) == ["x.toml: unknown key `scores.xyzzy`; known here: metrics, window"]


def test_all_faults_are_reported_at_once() -> None:
    """Nobody has to run it four times to hear of four mistakes."""
    said = faults(task="ternary", nam="x", guard={"string_max": 0}, checkpoint={"every": "10 parsecs"}, _x=1)
    assert said == [
        "x.toml: task must be 'binary', 'multiclass', 'regression', 'reco' or 'rank', not 'ternary'",
        "x.toml: guard.string_max must be 1 or more, not 0",
        "x.toml: checkpoint.every: '10 parsecs' is not a duration; write for example 500ms, 10s, 10m, 2h or 7d",
        "x.toml: unknown key `nam`; did you mean `name`?",
        said[-1],
    ]
    assert "unknown key `_x`" in said[-1]


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("500ms", 0.5), ("10s", 10.0), ("1.5m", 90.0), ("2 h", 7200.0), ("7d", 604_800.0), (3, 3.0)],
)
def test_durations_are_written_with_their_unit(written: object, seconds: float) -> None:
    """500ms, 10s, 10m, 2h and 7d; a plain number is seconds."""
    assert build(table(checkpoint={"every": written})).checkpoint.every == seconds


@pytest.mark.parametrize("wrong", ["10", "-1s", "ten seconds", "10 S", -1, float("nan")])
def test_what_is_no_duration_is_refused(wrong: object) -> None:
    """A number in quotes has no unit, and no time is negative."""
    assert faults(checkpoint={"every": wrong})[0].startswith(
        ("x.toml: checkpoint.every: ", "x.toml: checkpoint.every must be ")
    )


def test_secrets_come_from_the_environment_or_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""No password stands in the configuration; what replaces it is taken as it is (a \1 in it, too)."""
    (tmp_path / "pass").write_text("p\\1${env:USER_OF_TEST}\n")
    monkeypatch.setenv("USER_OF_TEST", "ana")
    lines = f'[kafka]\n"sasl.username" = "${{env:USER_OF_TEST}}!"\n"sasl.password" = "${{file:{tmp_path}/pass}}"\n'
    kafka = load(written(tmp_path, TOML + lines)).kafka
    assert kafka == {"sasl.username": "ana!", "sasl.password": "p\\1${env:USER_OF_TEST}"}


@pytest.mark.parametrize("secret", ["${env:NOWHERE_TO_BE_FOUND}", "${file:/nowhere/to/be/found}"])
def test_a_missing_secret_is_named(secret: str, tmp_path: Path) -> None:
    """The error names the variable or file, never a value."""
    with pytest.raises(ConfigError) as raised:
        load(written(tmp_path, f'{TOML}[kafka]\n"sasl.password" = "{secret}"\n'))
    assert str(raised.value).startswith(secret + ": ")


def test_the_environment_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ANABRANCH__SECTION__KEY` goes before the file and leaves the section's other keys alone."""
    text = TOML + "[arena]\nmin_gain = 0.01\nshadows_max = 3\n[detectors.adwin]\nuse = 'drift.ADWIN'\ndelta = 0.1\n"
    monkeypatch.setenv("ANABRANCH__SEED", "7")
    monkeypatch.setenv("ANABRANCH__ARENA__SHADOWS_MAX", "5")
    monkeypatch.setenv("ANABRANCH__DETECTORS__ADWIN__DELTA", "0.5")
    monkeypatch.setenv("ANABRANCH__CONSTRAINTS__WINDOW", "50")
    monkeypatch.setenv("ANABRANCH__CONSTRAINTS__MIN_ACCURACY", "0.7")
    settings = load(written(tmp_path, text))
    assert (settings.seed, settings.arena.min_gain, settings.arena.shadows_max) == (7, 0.01, 5)
    assert settings.detectors["adwin"].parameters == {"delta": 0.5}
    assert settings.constraints.bounds == (Bound("min_accuracy", "accuracy", True, 0.7),)


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("ANABRANCH__GAURD__STRING_MAX", "9", "environment: unknown key `ANABRANCH__GAURD__STRING_MAX`"),
        ("ANABRANCH__GUARD__STRING_MIN", "9", "x.toml: unknown key `guard.string_min`; did you mean `string_max`?"),
        ("ANABRANCH__GUARD", "nine", "environment: error parsing value for field"),
    ],
)
def test_a_mistaken_variable_is_named(variable: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt override is not passed over in silence."""
    monkeypatch.setenv(variable, value)
    assert faults()[0].startswith(said)


@pytest.mark.parametrize(
    "key",
    ["group.id", "group.instance.id", "enable.auto.commit", "auto.offset.reset", "isolation.level", "group.protocol"],
)
def test_what_exactly_once_rests_on_is_not_the_users_to_set(key: str) -> None:
    """The reserved keys of Kafka are refused with the reason; all others pass through as they stand."""
    assert faults(kafka={key: "x"})[0].startswith(f"x.toml: kafka: `{key}` is not yours to set: ")
    rest = {"bootstrap.servers": "a:9092", "fetch.min.bytes": 3, "enable.ssl": True, "linger.ms": 0.5}
    kept = build(table(kafka=rest)).kafka
    assert [(type(value), value) for value in kept.values()] == [(type(value), value) for value in rest.values()]


def test_no_detectors_is_off_and_none_written_is_the_default_pair() -> None:
    """An empty `[detectors]` switches them off; leaving it out means ADWIN and Page-Hinkley."""
    assert build(table(detectors={})).detectors == {}
    pair = build(table()).detectors
    assert {name: each.use for name, each in pair.items()} == {
        "adwin": "drift.ADWIN",
        "page_hinkley": "drift.PageHinkley",
    }
    assert Watch(build(table(detectors={}))).signals == []


def test_one_detector_written_is_the_only_one() -> None:
    """The default pair is not mixed into what somebody chose."""
    settings = build(table(detectors={"mine": {"use": "drift.ADWIN", "delta": 0.3}}))
    assert settings.detectors == {"mine": Detector.model_validate({"use": "drift.ADWIN", "delta": 0.3})}


@pytest.mark.parametrize(
    ("detector", "said"),
    [
        ({"use": "drift.ADWIN", "delt": 0.1}, "detectors.mine: drift.ADWIN has no parameter `delt`; did you mean `del"),
        ({"use": "drift.ADWIN", "delta": "low"}, "detectors.mine: drift.ADWIN refuses its parameters: "),
        ({"use": "drift.PageHinkley", "q": 1}, "detectors.mine: drift.PageHinkley has no parameter `q`; it takes min_"),
    ],
)
def test_a_detectors_parameters_are_checked_at_start(detector: dict[str, Any], said: str) -> None:
    """A misspelt parameter is a mistake in the configuration, not a crash."""
    settings = build(table(detectors={"mine": detector}))
    with pytest.raises(ConfigError, match="^" + said):
        Watch(settings)


@pytest.mark.parametrize(
    ("task", "default", "said"),
    [
        ("regression", "abc", "'abc'; a label of task = \"regression\" is a number"),
        ("regression", "nan", "a number"),
        ("regression", math.nan, "a number"),
        ("rank", True, "a number"),
        ("multiclass", 1.5, "a string, an integer or a boolean"),
        ("multiclass", math.nan, "a string, an integer or a boolean"),
        ("binary", "no", "true or false"),
        ("binary", 2, "true or false"),
        ("binary", math.nan, "true or false"),
    ],
)
def test_a_default_that_is_no_label_of_the_task_is_refused(task: str, default: Any, said: str) -> None:
    """It was learned as whatever the task made of it, or was a traceback."""
    (fault,) = faults(task=task, labels={"late": True, "horizon": "1h", "default": default})
    assert fault.startswith("x.toml: `labels.default` is ")
    assert fault.endswith(said)
    assert faults(task="binary", positive="fraud", labels={"late": True, "horizon": "1h", "default": True})[0].endswith(
        "is a string, as `positive` is"
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model": {}}, "model: write either `factory` or `steps`"),
        ({"model": {"factory": "a:b", "steps": [{}]}}, "model: write either `factory` or `steps`"),
        ({"task": "regression", "positive": "x"}, '`positive` is for task = "binary", not "regression"'),
        (
            {"task": "multiclass", "constraints": {"group": "g", "group_metric": "positive-rate"}},
            '`constraints.group_metric = "demographic-parity"` is for task = "binary", not "multiclass"',
        ),
        (
            {"shadows": {"standing": [{"name": "first", "steps": [{}]}]}},
            "shadows: no standing shadow may be named `first`",
        ),
        ({"task": "rank", "serve": "blend"}, '`serve = "blend"` is for classes and numbers'),
        ({"serve": "blend"}, '`serve = "blend"` needs standing shadows'),
        (
            {"serve": "blend", "shadows": {"portfolio": "cheap"}, "publish": {"blocks": 9}},
            '`serve = "blend"` and `publish.blocks` do not go together',
        ),
        ({"arena": {"shadows_max": 1}}, "arena.shadows_max must be 2 or more, not 1"),
        ({"constraints": {"accuracy": 0.7}}, "constraints: `accuracy`: write min_ or max_ and the name of a metric"),
        ({"constraints": {"min_accuracy": "high"}}, "constraints.min_accuracy must be a number, not 'high'"),
        ({"constraints": {"min_accuracy": float("nan")}}, "constraints.min_accuracy must be a finite number, not nan"),
        ({"name": "Fraud Model"}, "name must be letters (the model's: lower-case), digits, '.'"),
        ({"arena": {"false_swap_every": 1}}, "arena.false_swap_every must be more than 1, not 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(more: dict[str, Any], said: str) -> None:
    """The rules between keys are checked with the same care as the keys."""
    assert faults(**more)[0].startswith(f"x.toml: {said}")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model": "tree"}, "model must be a table, not 'tree'"),
        ({"detectors": {"low": {"below": 1}}}, "detectors.low.use is missing"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"scores": {"metrics": [5]}}, "scores.metrics.0 must be a string or a table, not 5"),
        ({"trigger": {"when": "some"}}, "trigger.when must be 'any' or 'all' or a table, not 'some'"),
        ({"trigger": {"dry_run": 7}}, "trigger.dry_run must be true or false, not 7"),
        ({"kafka": {"a": ["secret"]}}, "kafka.a must be a string or a whole number or a number or true or false"),
    ],
)
def test_faults_are_told_in_plain_words(more: dict[str, Any], said: str) -> None:
    """Not in those of the library; and nothing of [kafka] is shown, which holds passwords."""
    assert faults(**more) == [f"x.toml: {said}"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """No file, no TOML and no text are the user's to mend, so the error says which file."""
    for data, said in ((None, "cannot be read: No such file"), (b"name = ", "not TOML"), (b"\xff", "not TOML")):
        path = tmp_path / f"{said[:4]}.toml"
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(ConfigError) as raised:
            load(path)
        assert str(raised.value).startswith(f"{path}: {said}")


def test_settings_cannot_be_changed() -> None:
    """What was checked at the start is what holds to the end."""
    settings: Settings = build(table())
    for section, key in ((settings, "seed"), (settings.arena, "min_gain"), (settings.detectors["adwin"], "use")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, 1)


def test_settings_survive_the_way_to_another_process() -> None:
    """A retraining process gets them as JSON, and reads the same."""
    settings = build(table(constraints={"min_f1": 0.5}, detectors={"a": {"use": "drift.ADWIN", "delta": 0.3}}))
    assert build(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(
    ("use", "old", "new"),
    [
        ({"use": "threshold", "metric": "MAE", "above": 1}, {"over": "6h"}, "`window_time`"),
        ({"use": "inputs"}, {"persists": 3}, "`consecutive_checks`"),
        ({"use": "labels"}, {"least": 0.2}, "`min_distance`"),
    ],
)
def test_a_key_of_before_is_refused_with_its_name_of_today(use: dict[str, Any], old: dict[str, Any], new: str) -> None:
    """Guessing by the letters would propose something else."""
    with pytest.raises(ConfigError, match=rf"unknown key `{next(iter(old))}`: it is called {new} now"):
        signal_of("a", build(table(detectors={"a": {**use, **old}})))
