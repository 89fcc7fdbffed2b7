"""[features] and [memory]: what can be written, and what a mistake is told."""

from typing import Any

import pytest

from anabranch.errors import ConfigError
from config.loading import build
from config.settings import Settings

COUNT: dict[str, Any] = {"name": "n", "what": "count", "by": "who", "over": "7d"}


def settings_of(task: str = "binary", **sections: Any) -> Settings:
    """A model with these sections."""
    return build({"name": "m", "task": task, "model": {"factory": "a:b"}, **sections})


def with_rules(*rules: dict[str, Any], **more: Any) -> Settings:
    """A model with these rules."""
    return settings_of(features={"rules": list(rules), **more})


def test_a_window_is_written_as_a_duration() -> None:
    """And kept in seconds."""
    (rule,) = with_rules(COUNT).features.rules
    assert (rule.rule.over_s, rule.rule.by, rule.rule.of) == (7 * 86_400.0, "who", "")


def test_without_them_nothing_is_computed_or_told() -> None:
    """Examples are told only where labels are late, as ever."""
    plain = settings_of()
    assert not plain.computed.any
    assert not plain.labels.tells_examples
    assert with_rules(COUNT).labels.tells_examples
    assert settings_of(memory={"labels": 3}).labels.tells_examples
    assert settings_of(features={"drop": ["id"]}).computed.hidden == ("id",)


def test_the_key_of_the_record_is_hidden_where_it_counts() -> None:
    """It is there for the rules alone."""
    assert settings_of(memory={"labels": 1, "key": "@key"}).computed.hidden == ("@key",)
    assert with_rules({**COUNT, "by": "@key"}, drop=["who"]).computed.names == ("n",)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no feature": ({**COUNT, "what": "sum"}, 'what = "sum" needs `of`'),
    "a feature too many": ({**COUNT, "of": "amount"}, 'what = "count" counts no values: leave out `of`'),
    "no window": ({"name": "n", "what": "count", "by": "who"}, 'what = "count" needs `over`'),
    "a window too many": ({**COUNT, "what": "since_last"}, "leave out `over`"),
    "an empty window": ({**COUNT, "over": "0s"}, "`over` must be longer than 0 s"),
    "no duration": ({**COUNT, "over": "a week"}, "'a week' is not a duration"),
    "a name of ours": ({**COUNT, "name": "@n"}, "must not begin with @"),
    "another word": ({**COUNT, "what": "median"}, "must be 'count', 'sum', 'mean'"),
    "another key": ({**COUNT, "window": "1d"}, "unknown key `features.rules.0.window`"),
}


@pytest.mark.parametrize(("rule", "said"), REFUSED.values(), ids=REFUSED)
def test_a_mistaken_rule_is_told_where_and_what_to_write(rule: dict[str, Any], said: str) -> None:
    """Before anything starts."""
    with pytest.raises(ConfigError) as caught:
        with_rules(rule)
    assert said in str(caught.value)
    assert "features.rules.0" in str(caught.value)


def test_rules_fit_together() -> None:
    """Each has a name of its own, and none builds on another."""
    for rules, more, said in [
        ([COUNT, COUNT], {}, "two rules make a feature 'n'"),
        ([COUNT, {**COUNT, "name": "m", "by": "n"}], {}, "rule 'm' builds on another rule"),
        ([COUNT], {"drop": ["n"]}, "`drop` names 'n', which a rule makes"),
    ]:
        with pytest.raises(ConfigError, match=said):
            with_rules(*rules, **more)


def test_they_fit_the_task() -> None:
    """A rate of positives wants two classes; a recommender has no use for labels of before."""
    rate = {**COUNT, "what": "positive_rate"}
    with pytest.raises(ConfigError, match="'n' is a positive_rate, for task = \"binary\""):
        settings_of("regression", features={"rules": [rate]})
    with pytest.raises(ConfigError, match="sees its user and its item"):
        settings_of("reco", memory={"labels": 3})
    with pytest.raises(ConfigError, match="sees its user and its item"):
        settings_of("reco", features={"drop": ["user"]})


def test_what_is_learned_has_to_be_told() -> None:
    """Retraining cannot compute the features again from a part of the log."""
    with pytest.raises(ConfigError, match=r"labels.examples = false.* does not go with \[features\]"):
        settings_of(memory={"labels": 3}, labels={"examples": False})


def test_a_key_without_labels_is_a_mistake() -> None:
    """Nothing would be remembered of it."""
    with pytest.raises(ConfigError, match="write `labels = 3`"):
        settings_of(memory={"key": "who"})
