"""[privacy]: what does not go together is said, and the key of the pseudonyms is never shown."""

from pathlib import Path
from typing import Any

import pytest

from anabranch.errors import ConfigError
from config.loading import build, load, secrets_in_file

KEY = "a key of thirty-two characters.."
TABLE: dict[str, Any] = {"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}
RULE = {"name": "often", "what": "count", "by": "ssn", "over": "1h"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"privacy": {"hidden": ["ssn"]}, "features": {"rules": [RULE]}}, "`features.rules, 'often'` needs"),
        ({"privacy": {"hidden": ["ssn"]}, "memory": {"labels": 1, "key": "ssn"}}, "`memory.key` needs"),
        ({"privacy": {"hidden": ["user"]}, "task": "reco"}, "`model.user` needs"),
        ({"privacy": {"users": ["item"], "pseudonyms": KEY}, "task": "reco"}, "has to be known by its name"),
        ({"privacy": {"users": ["a"], "pseudonyms": KEY}, "score": {"learn_along": True}}, "knows pseudonyms"),
        ({"privacy": {"users": ["a"]}}, "need a key"),
        ({"privacy": {"users": ["a"], "hidden": ["a"], "pseudonyms": KEY}}, "both hidden and a user"),
        ({"privacy": {"pseudonyms": "short-secret"}}, "too short for a key"),
        ({"privacy": {"pseudonyms": 1234567}}, "privacy.pseudonyms"),
        ({"privacy": {"hide": ["a"]}}, "did you mean `hidden`"),
    ],
)
def test_what_does_not_go_together_is_said(changes: dict[str, Any], said: str) -> None:
    """Before anything is read; and no key stands in what is said."""
    with pytest.raises(ConfigError) as raised:
        build({**TABLE, **changes})
    assert said in str(raised.value)
    for secret in (KEY, "short-secret", "1234567"):
        assert secret not in str(raised.value)


def test_a_hidden_feature_may_have_the_name_that_rankers_give_their_users() -> None:
    """Where nobody ranks, `model.user` is nothing but a default."""
    assert build({**TABLE, "privacy": {"hidden": ["user"]}}).edge.hidden == {"user"}


def test_the_key_comes_from_a_file_and_is_shown_nowhere(tmp_path: Path) -> None:
    """In the configuration itself it is a finding, as a password is."""
    (tmp_path / "key").write_text(KEY + "\n")
    table = (
        'name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n[privacy]\npseudonyms = '
    )
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(f'{table}"${{file:{tmp_path / "key"}}}"\n')
    bad.write_text(f'{table}"{KEY}"\n')
    settings = load(good)
    assert settings.edge.pseudonym("ann") == load(bad).edge.pseudonym("ann") != "ann"
    assert (secrets_in_file(good), secrets_in_file(bad)) == ([], ["privacy.pseudonyms"])
    assert KEY not in f"{settings!r} {settings.model_dump_json()} {settings.edge.__dict__.get('key_id', '')}"
