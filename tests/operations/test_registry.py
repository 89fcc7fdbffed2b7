"""The registry: versions, aliases and cards, from updates and reports alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anabranch.blends import Blend
from anabranch.errors import ConfigError
from anabranch.messages import MemberReport, ModelReport, ModelUpdate, Verdict, encode
from anabranch.signatures import Signer
from config.loading import load
from learners.models import catalogue
from operations import cards
from operations.registry import Announced, Reference, aliases, changes, find, since
from support.checkout import ROOT
from support.command_line import anabranch, config_in
from support.publisher import UPDATE, Publisher
from support.told import fairness

REPORT = ModelReport(
    id="m/0/5/report", model="m", version=2, event_number=150, partition=0, offset=5, event_ts=5.0,
    scores={}, windowed={"accuracy": 0.75}, members=(MemberReport(name="first", kind="champion", loss=0.25),),
)  # fmt: skip


def update(version: int, kind: str = "refresh", **more: Any) -> ModelUpdate:
    """An announcement, in the order of the versions."""
    share = {"share": 5.0} if kind == "canary" else {}
    bytes_ = {"artifact": None} if kind == "retired" else {}
    return UPDATE.model_copy(update={"version": version, "seq": version, "kind": kind, **share, **bytes_, **more})


def announced(*updates: ModelUpdate) -> list[Announced]:
    return [Announced(each, 0, n, "not signed") for n, each in enumerate(updates)]


@pytest.mark.parametrize(
    ("updates", "named"),
    [
        ([update(1, "first"), update(2)], {"champion": 2}),
        ([update(1, "first"), update(2, "canary", beside=1)], {"champion": 1, "canary": 2}),
        ([update(2, "canary", beside=1)], {"champion": 1, "canary": 2}),
        ([update(1, "first"), update(2, "canary", beside=1), update(3, "rollback")], {"champion": 3}),
        ([update(1, "first"), update(1, "retired", seq=2)], {"retired": 1}),
        ([update(1, "first"), update(1, "retired", seq=2), update(3, "reinstated")], {"champion": 3}),
        ([], {}),
    ],
)
def test_aliases_are_what_the_updates_make_of_them(updates: list[ModelUpdate], named: dict[str, int]) -> None:
    """Nothing else is stored."""
    assert aliases(updates) == named


def test_the_history_of_an_alias_says_who_and_why() -> None:
    """Each change once, with what it named before."""
    told = [update(1, "first"), update(2, "swap", reason="it is better"), update(2, "swap", seq=3)]
    told.append(update(2, "retired", seq=4, by="ana", reason="audit"))
    found = [(each.alias, each.before, each.after, each.by, each.reason) for each in changes(told)]
    assert found == [
        ("champion", None, 1, "", ""),
        ("champion", 1, 2, "", "it is better"),
        ("champion", 2, None, "ana", "audit"),
        ("retired", None, 2, "ana", "audit"),
    ]


@pytest.mark.parametrize("text", ["models:/m/x", "models:/M", "m@best", "m/1@champion", ""])
def test_what_names_no_version_is_refused(text: str) -> None:
    """With how to write it."""
    with pytest.raises(ConfigError, match="write models:/name/7 or models:/name@champion"):
        Reference.read(text)


def test_a_version_is_found_by_number_and_by_alias() -> None:
    """Of one announced twice the later; what is not there is told with what is."""
    told = announced(update(1, "first"), update(2), update(2, seq=3))
    assert find(Reference.read("m@champion"), told, topic="t").update.seq == 3
    assert find(Reference.read("m/1"), told, topic="t").update.version == 1
    with pytest.raises(ConfigError, match=r"models:/m/9: not on t; versions there: 1, 2$"):
        find(Reference.read("m/9"), told, topic="t")
    with pytest.raises(ConfigError, match="no version is its canary now"):
        find(Reference.read("m@canary"), told, topic="t")


def test_scores_since_come_from_the_reports_of_that_version() -> None:
    """Those of another version, or of before it was announced, say nothing of it."""
    other = REPORT.model_copy(update={"version": 1, "windowed": {"accuracy": 0.1}})
    early = REPORT.model_copy(update={"event_number": 50})
    found = since(update(2, event_number=100), [early, other, REPORT])
    assert (found.reports, found.events, found.scores, found.loss) == (1, 50, {"accuracy": 0.75}, 0.25)


def card_of(told: ModelUpdate) -> cards.Card:
    (each,) = announced(told)
    return cards.card(each, since(told, []), model={"fault": "gone"}, signal=None, aliases=[], history=[])


def test_a_card_shows_what_people_wrote_and_runs_none_of_it() -> None:
    """In HTML and in Markdown; a cell stays one cell."""
    told = card_of(update(2, reason="<script>x</script> | a\nb"))
    assert "<script>" not in cards.page(told)
    assert "<script>" not in cards.markdown(told)
    assert "| why | &lt;script&gt;x&lt;/script&gt; \\| a b |" in cards.markdown(told)


def test_a_card_tells_how_far_groups_lie_apart() -> None:
    """As the last report of the version has it."""
    (each,) = announced(update(2, event_number=100))
    found = since(each.update, [REPORT.model_copy(update={"fairness": (fairness(300),)})])
    card = cards.card(each, found, model={"fault": "gone"}, signal=None, aliases=[], history=[])
    assert "## Fairness by age" in cards.markdown(card)
    assert "| demographic-parity | 0.2 | 0.14 to 0.3 | under 30 | 60 and over |" in cards.markdown(card)
    assert json.loads(json.dumps(card))["since"]["fairness"][0]["groups"][0]["group"] == "under 30"


def test_a_verdict_says_what_it_does_for_groups() -> None:
    """And at which price; where no groups are compared it says nothing of either."""
    verdict = Verdict(events=9, gain_events=9, gain=0.1, low=0.0, high=0.2, evidence=1.1)
    assert "narrower" not in cards.markdown(card_of(update(2, verdict=verdict)))
    fair = verdict.model_copy(update={"gap_won": 0.25, "lost": 0.0125})
    told = cards.markdown(card_of(update(2, verdict=fair)))
    assert "| gap between groups, narrower by | 0.25 |" in told
    assert "| mean loss lately, higher by | 0.0125 |" in told


def test_a_card_says_what_is_not_known() -> None:
    """And does not guess: bytes that are gone, a contest that never was."""
    text = cards.markdown(card_of(update(2)))
    assert "| model | not read: gone |" in text
    assert "| verdict | none: it has won no contest |" in text


def test_differences_are_told_by_path() -> None:
    """What differs between any two versions is left out."""
    verdict = Verdict(events=9, gain_events=9, gain=0.1, low=0.0, high=0.2, evidence=1.0)
    found = cards.differences(card_of(update(1)), card_of(update(2, "swap", verdict=verdict, river="9")))
    assert found["verdict.gain"] == (None, 0.1)
    assert found["versions.river"] == ("", "9")
    assert found["kind"] == ("refresh", "swap")
    assert "version" not in found


def test_models_are_listed_shown_and_compared(embedded: Any, tmp_path: Path) -> None:
    """From the topics alone, with what the bytes of the model hold."""
    signer = Signer(Ed25519PrivateKey.generate())
    publisher = Publisher(embedded.bootstrap, signer=signer)
    for version in (1, 2):
        publisher.announce(version, scores={"accuracy": 0.5})
    publisher.sink.send("model-reports", key=REPORT.id, value=encode(REPORT))
    publisher.sink.flush()

    # Without the wait: the embedded broker does not wake a waiting reader.
    kafka = f'[kafka]\n"bootstrap.servers" = "{embedded.bootstrap}"\n"fetch.wait.max.ms" = 50\n'
    steps = 'model.steps = [{ use = "dummy.PriorClassifier" }]'
    config = config_in(tmp_path, f'name = "m"\ntask = "binary"\n{steps}\n{kafka}')

    def run(*words: str) -> Any:
        done = anabranch("models", *words, "--config", config)
        assert done.returncode == 0, done.stderr
        return done.stdout

    (listed,) = json.loads(run("list", "--json"))
    assert (listed["model"], listed["aliases"], listed["announcements"]) == ("m", {"champion": 2}, 2)
    assert [each["version"] for each in json.loads(run("list", "m", "--json"))["versions"]] == [1, 2]
    card = json.loads(run("show", "models:/m@champion", "--format", "json", "--trust", signer.public))
    assert (card["name"], card["aliases"], card["announced"]["signature"]) == (
        "models:/m/2", ["champion"], f"by key {signer.id}, verified"
    )  # fmt: skip
    assert card["scores"] == {"then": {"accuracy": 0.5}, "since": {"accuracy": 0.75}}
    assert "PriorClassifier" in card["contents"]["spec"]
    assert "artifact.sha256" in run("diff", "m/1", "m/2")
    assert "accuracy" in run("compare", "m/1", "m/2")


def test_a_mistyped_model_is_told_with_the_nearest(embedded: Any) -> None:
    """Exit code 2, as for whatever else was written wrongly."""
    Publisher(embedded.bootstrap, name="fraud").announce(1)
    done = anabranch("models", "show", "frod", "--bootstrap", embedded.bootstrap)
    assert done.returncode == 2
    assert "no update of frod is on model-updates; did you mean `fraud`?" in done.stderr


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*.toml")), ids=lambda path: path.stem)
def test_what_a_card_says_a_model_is_made_of(path: Path) -> None:
    """Of each example, also where it is a part of a blend: River's own words fail where a step selects two types."""
    model = catalogue.build(load(path).model, seed=1)
    for each in (model, Blend([model, model], [0.5, 0.5])):
        said = cards.described(each)
        assert "\n" not in said
        assert len(said) > 5
