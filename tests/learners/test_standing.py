"""Standing shadows: always there, restarted by their own rules, and champions like any other."""

import random
from typing import Any

import pytest

from anabranch import statetree
from anabranch.errors import ModelSpecError
from anabranch.events import AcceptedEvent
from anabranch.messages import Transition
from config.loading import build
from detectors.watch import Watch
from learners.arena import standing as portfolio
from learners.emitted import Promotion
from learners.lane import Lane
from learners.models import catalogue
from support.lanes import Reads, entrant, event, settings_of, twin_of
from support.live_lanes import LIVE, mixed, stream

NAMES = ["linear-adagrad", "linear", "linear-quick", "bayes", "tree", "adaptive-tree", "tree-reset", "bayes-reset"]
BAYES = {"name": "bayes", "steps": [{"use": "naive_bayes.GaussianNB"}]}

VOTE = {
    "use": "ensemble.VotingClassifier",
    "models": [{"use": "tree.HoeffdingTreeClassifier"}, {"use": "naive_bayes.GaussianNB"}],
}


def lane_with(steps: list[dict[str, Any]], *, task: str = "binary", **shadows: Any) -> Lane:
    """A lane whose champion has these steps, with these standing shadows."""
    settings = build({"name": "m", "task": task, "model": {"steps": steps}, "shadows": shadows, "detectors": {}})
    return Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))


def numbers(n: int, rng: random.Random, *, task: str = "binary", word: bool = False) -> AcceptedEvent:
    """An event of two numbers, and perhaps a word."""
    x: dict[str, object] = {"a": rng.gauss(0, 1), "b": rng.random()}
    if word:
        x["word"] = rng.choice(["red", "green"])
    score = x["a"] + x["b"] + (x.get("word") == "red")  # type: ignore[operator]
    y: Any = {"binary": score > 0.5, "multiclass": f"c{min(2, max(0, int(score + 1)))}", "regression": score}[task]
    return AcceptedEvent(f"e{n}", x, y, float(n), 0, n)


def shown(lane: Lane, count: int, **how: Any) -> list[Any]:
    """Show the lane so many events of seed 7."""
    rng = random.Random(7)
    return [said for n in range(count) for said in lane.on_event(numbers(n, rng, task=lane.settings.task, **how))]


def members(lane: Lane) -> list[str]:
    """The shadows' names."""
    return [member.name for member in lane.shadows.members]


def test_the_cheap_portfolio_stands_from_the_first_event() -> None:
    """All eight, besides the champion, and never expire."""
    lane = lane_with([{"use": "linear_model.ALMAClassifier"}], portfolio="cheap")
    shown(lane, 300)
    assert sorted([*members(lane), lane.champion.name]) == sorted([*NAMES, "first"])
    assert lane.lifecycle.states["bayes"] == "arena"


def test_a_champion_that_is_one_of_them_is_not_there_twice() -> None:
    """The configured tree holds the place `tree`."""
    lane = lane_with([{"use": "tree.HoeffdingTreeClassifier"}], portfolio="cheap")
    shown(lane, 2)
    assert members(lane) == [name for name in NAMES if name != "tree"]
    assert lane.champion.place == "tree"


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("word", [False, True])
def test_every_member_of_a_portfolio_learns_every_task(task: str, word: bool) -> None:
    """With numbers only, or with words among them: nobody raises, and everybody is better than a guess."""
    steps = {"regression": "dummy.StatisticRegressor"}.get(task, "dummy.PriorClassifier")
    table: dict[str, Any] = {"use": steps}
    if task == "regression":
        table["statistic"] = {"use": "stats.Mean"}
    lane = lane_with([table], task=task, portfolio="cheap")
    shown(lane, 600, word=word)
    places = [each.name for each in portfolio.members("cheap", task=task, words=word)]
    assert sorted({member.place for member in [lane.champion, *lane.shadows.members]}) == sorted([*places, "first"])
    assert not [note for note in lane.notes if "disqualified" in note]
    first = next(each for each in [lane.champion, *lane.shadows.members] if each.name == "first")
    better = [each.name for each in [lane.champion, *lane.shadows.members] if each.loss_mean < first.loss_mean]
    assert len(better) >= len(places) - 1


def test_a_word_that_comes_late_begins_the_linear_ones_afresh() -> None:
    """What computes with numbers raises on it, and begins again with words encoded."""
    lane = lane_with([{"use": "tree.HoeffdingTreeClassifier"}], portfolio="cheap")
    shown(lane, 50)
    shown(lane, 50, word=True)
    assert {member.place for member in lane.shadows.members} == set(NAMES) - {"tree"}
    assert any("linear disqualified: TypeError" in note for note in lane.notes)


def test_a_place_whose_models_keep_raising_stays_empty() -> None:
    """After three more tries."""
    lane = lane_with(
        [{"use": "naive_bayes.GaussianNB"}],
        standing=[
            {
                "name": "bad",
                "steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}],
            }
        ],
    )
    rng = random.Random(1)
    said = []
    for n in range(40):
        each = numbers(n, rng)
        member = next((one for one in lane.shadows.members if one.place == "bad"), None)
        if member is not None:
            member.learn = lambda x, y: 1 / 0
        said += lane.on_event(each)
    left = [each for each in said if isinstance(each, Transition) and each.after == "gone"]
    assert len(left) == 4
    assert members(lane) == []


def test_one_is_begun_afresh_after_so_many_events() -> None:
    """In its place and under its name; its contest goes on."""
    lane = lane_with([{"use": "tree.HoeffdingTreeClassifier"}], standing=[{**BAYES, "restart_every": 100}])
    steps = [each for each in shown(lane, 350) if isinstance(each, Transition) and each.member == "bayes"]
    assert [(each.after, each.event_number) for each in steps] == [
        ("arena", 1),
        ("arena", 101),
        ("arena", 201),
        ("arena", 301),
    ]
    assert lane.shadows.members[0].contest.events == 349
    assert sum(lane.shadows.members[0].model.class_counts.values()) == 49


def test_one_is_begun_afresh_on_its_own_alarm() -> None:
    """When its own error rises; the champion and the others learn on."""
    lane = lane_with(
        [{"use": "tree.HoeffdingTreeClassifier"}],
        standing=[{**BAYES, "reset_on_alarm": True}, {**BAYES, "name": "stays"}],
    )
    rng, said = random.Random(7), []
    for n in range(1200):
        each = numbers(n, rng)
        said += lane.on_event(each._replace(y=each.y if n < 800 else not each.y))
    renewed = [each for each in said if isinstance(each, Transition) and "its own error has risen" in each.reason]
    assert renewed
    assert {each.member for each in renewed} == {"bayes"}
    assert 800 < renewed[0].event_number < 900


def test_a_champion_whose_place_is_begun_afresh_serves_on() -> None:
    """A fresh one takes its place, and has to win like any other; displaced, the old one leaves after its probation."""
    lane = lane_with([{"use": "naive_bayes.GaussianNB"}], standing=[{**BAYES, "reset_on_alarm": True}])
    lane.succession.champion.place = "bayes"
    lane.standing.holders = {"bayes": lane.champion}
    rng = random.Random(7)
    for n in range(900):
        each = numbers(n, rng)
        lane.on_event(each._replace(y=each.y if n < 800 else not each.y))
    fresh = lane.shadows.members if lane.champion.name == "first" else [lane.champion]
    assert any(member.place == "bayes" for member in fresh)
    assert next(each for each in [lane.champion, *lane.shadows.members] if each.name == "first").place == ""


def test_a_displaced_champion_with_a_place_stays() -> None:
    """It races on after its probation, and a later win of it is a swap and no rollback."""
    settings = settings_of(
        model={"steps": [{"use": "tree.HoeffdingTreeClassifier"}], "factory": None}, shadows={"standing": [BAYES]}
    )
    lane = Lane(settings, Reads("c"), watch=Watch(settings))
    said: list[Any] = []
    for n in range(400):
        said += lane.on_event(event(n, y=n % 2 == 0, c=n % 2 == 1, a=float(n % 2)))
    (swap,) = [each for each in said if isinstance(each, Promotion) and each.kind == "swap"]
    assert (swap.member, lane.champion.place) == ("bayes", "bayes")
    assert [(each.name, each.kind) for each in lane.shadows.members] == [("first", "standing")]
    assert lane.lifecycle.states == {"bayes": "serving", "first": "arena"}


def test_standing_shadows_take_no_room_from_recruits() -> None:
    """`shadows_max` is about guests; the evidence that a win takes counts all."""
    lane = lane_with([{"use": "tree.HoeffdingTreeClassifier"}], portfolio="cheap")
    shown(lane, 2)
    assert lane.shadows.wins_at == 7 * lane.settings.arena.false_swap_every


def test_a_lane_with_a_portfolio_goes_on_from_its_state() -> None:
    """Alarms, births and contests included, bit for bit, after every 97th event."""
    table = {
        **LIVE,
        "shadows": {
            "portfolio": "cheap",
            "standing": [
                {**BAYES, "name": "young", "restart_every": 60, "steps": [{"use": "tree.HoeffdingTreeClassifier"}]}
            ],
        },
    }

    def fresh() -> Lane:
        settings = build(table)
        return Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))

    events = stream(600)
    for at in range(50, 600, 97):
        lane = fresh()
        for each in events[:at]:
            lane.on_event(each)
        twin = twin_of(lane)
        for each in events[at : at + 120]:
            lane.on_event(each)
            twin.on_event(each)
        assert statetree.digest(twin.state()) == statetree.digest(lane.state())


def test_a_standing_shadow_that_is_no_longer_configured_leaves() -> None:
    """It races on as a recruit does, for a time; a new one enters at the next event."""
    lane = lane_with([{"use": "tree.HoeffdingTreeClassifier"}], standing=[BAYES])
    shown(lane, 20)
    changed = lane_with([{"use": "tree.HoeffdingTreeClassifier"}], standing=[{**BAYES, "name": "other"}]).settings
    other = twin_of(lane, changed)
    other.on_event(mixed(20, random.Random(1))._replace(x={"a": 0.0, "b": 0.0}))
    assert [(each.name, each.kind) for each in other.shadows.members] == [("bayes", "recruit"), ("other", "standing")]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_shadow_of_naive_bayes_answers_as_the_champion_would(task: str) -> None:
    """Its quicker sum gives the same label, and the same probabilities to twelve digits; nothing before any class."""
    lane = lane_with([{"use": "naive_bayes.GaussianNB"}], task=task)
    model, rng = lane.champion.model, random.Random(9)
    quick = lane.task.shadow_predictor(model)
    assert quick({"a": 1.0}).value is None
    for n in range(200):
        each = numbers(n, rng, task=task)
        lane.on_event(each)
        own, other = lane.champion.predict(each.x), quick(each.x)
        assert other.value == own.value
        assert (other.proba or {}) == pytest.approx(own.proba or {}, rel=1e-12)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"shadows": {"standing": [{**BAYES, "steps": [{"use": "tree.HoefdingTreeClassifier"}]}]}}, "no class"),
        (
            {
                "shadows": {
                    "standing": [{**BAYES, "restart_every": 9, "steps": [{"use": "tree.HoeffdingTreeRegressor"}]}]
                }
            },
            "classifier",
        ),
        (
            {
                "shadows": {"standing": [{**BAYES, "steps": [VOTE]}]},
                "arena": {"loss": "brier"},
            },
            "gives no prob",
        ),
        (
            {"retrain": {"recruits": [{"on": "last", "model": {"steps": [{"use": "tree.HoeffdingTreeRegressor"}]}}]}},
            "classifier",
        ),
    ],
)
def test_a_mistaken_shadow_shows_at_start(section: dict[str, Any], said: str) -> None:
    """And not when it is first needed, in the middle of the stream."""
    settings = build({"name": "m", "task": "binary", "model": {"steps": BAYES["steps"]}, **section})
    with pytest.raises(ModelSpecError, match=said):
        Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))


def test_a_displaced_champion_with_a_place_is_no_guest() -> None:
    """However little room there is for recruits, it keeps its place."""
    lane = lane_with([{"use": "tree.HoeffdingTreeClassifier"}], portfolio="cheap")
    shown(lane, 2)
    for member in lane.shadows.members[:3]:
        lane.lifecycle.states[member.name] = "displaced"
    lane.shadows._shadows_max = 1
    for n in range(3):
        lane.shadows.enter(
            entrant(lane, f"r{n}", lane.champion.model, since=2),
            reason="",
        )
    assert members(lane) == [*[name for name in NAMES if name != "tree"], "r2"]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "reco"])
def test_the_first_edition_of_a_portfolio_is_as_it_was(task: str) -> None:
    """As many places: of labels, trees and forest are River's own and one linear model is slow; the rest is as now."""
    now = portfolio.members("cheap+forest", task=task, words=False)
    then = portfolio.members("cheap-1+forest", task=task, words=False)
    changed = {each.name for each, after in zip(then, now, strict=True) if each != after}
    trees = {"adaptive-tree", "tree-reset", "forest"}
    assert changed == ({"linear-slow", *trees} if task in ("binary", "multiclass") else set())
    if changed:
        assert {"use": "tree.HoeffdingAdaptiveTreeClassifier"} in [step for each in then for step in each.steps]
