"""The blend: what it answers, when it serves, what is announced of it, and that nothing of it is lost by a restart."""

import math
import random
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from anabranch import artifact, statetree
from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import ModelReport, Transition
from anabranch.testing import MemoryFollower
from config.loading import build
from detectors.watch import Watch
from learners.emitted import Emitted, Promotion
from learners.labels.pending import Waiting
from learners.lane import Lane
from learners.models import catalogue
from support.lanes import Reads, entrant, event, label, lane_of, shown, twin_of
from support.streams import three_numbers

STANDING = [
    {"name": "bayes", "steps": [{"use": "naive_bayes.GaussianNB"}]},
    {"name": "linear", "steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}]},
    {"name": "labels", "steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.Perceptron"}]},
]
TABLE: dict[str, Any] = {
    "name": "m",
    "task": "binary",
    "model": {"steps": [{"use": "tree.HoeffdingTreeClassifier", "grace_period": 50}]},
    "scores": {"window": 200, "metrics": ["Accuracy"]},
    "retrain": {"admit_after_events": 20},
    "shadows": {"standing": STANDING},
    "publish": {"warm_up_events": 50, "report_events": 100},
}
LAG = 120


def blending(*, observer: Any = None, **more: Any) -> Lane:
    """A lane with four members, one of which gives labels only."""
    settings = build({**TABLE, **more})
    return Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings), observer=observer)


def steps(count: int, *, lag: int = LAG, first: int = 0) -> Iterator[tuple[AcceptedEvent, AcceptedEvent | None]]:
    """Each event without its label, and the one whose label comes right after it. The concept turns at 900."""
    rows = three_numbers(first + count, seed=3, is_turned=lambda n: n >= 900)
    behind: deque[AcceptedEvent] = deque()
    for n, row in enumerate(rows):
        behind.append(AcceptedEvent(f"e{n}", row["features"], row["label"], 1.6e9 + n, 0, n))
        due = behind.popleft() if len(behind) > lag else None
        if n >= first:
            yield behind[-1]._replace(y=None) if lag else (due or behind[-1])._replace(y=None), due


def run(lane: Lane, count: int, **which: Any) -> list[Any]:
    """What a lane says on these."""
    return [each for asked, due in steps(count, **which) for each in taken(lane, asked, due)]


def taken(lane: Lane, asked: AcceptedEvent, due: AcceptedEvent | None) -> Iterator[Any]:
    """What a lane says on an event, and on the label after it."""
    yield from lane.on_event(asked)
    if due is not None:
        yield from lane.on_label(label(due.id, due.y))


def live(said: list[Any]) -> list[Promotion]:
    """What goes live."""
    return [each for each in said if isinstance(each, Promotion)]


# ── what it answers ─────────────────────────────────────────────────────────────────────────────────────────────────


class Slowly:
    """The rule as it is written down, over everything that was ever answered."""

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self.judged: dict[str, list[tuple[float, float]]] = {}
        self.ways: dict[str, list[float]] = {"sharp": [], "soft": []}
        self.labels = 0

    def mean(self, losses: list[float]) -> float:
        """The last ones, those before fading: each new one takes a share of the window."""
        value = 0.0
        for number, loss in enumerate(losses, 1):
            value += (loss - value) / min(number, max(1000, self.lag))
        return value

    def answer(self, tables: dict[str, dict[Any, float]]) -> dict[str, dict[Any, float]]:
        """What both ways answer."""
        members = [name for name in tables if len(self.judged.get(name, [])) >= 200]
        n = min(self.labels, max(1000, self.lag))
        found = {}
        for way, rate, clip, which in (("sharp", 100, 0.3, 0), ("soft", 30, 0.0, 1)):
            losses = {name: self.mean([each[which] for each in self.judged[name]]) for name in members}
            step = min(0.3, rate / (1 + self.lag))
            powers = {name: math.exp(-step * n * (loss - min(losses.values()))) for name, loss in losses.items()}
            shares = {
                y: sum(powers[name] * min(max(tables[name].get(y, 0.0), clip), 1 - clip) for name in members)
                for y in (False, True)
            }
            found[way] = {y: share / sum(shares.values()) for y, share in shares.items()} if members else {}
        return found

    def served(self, found: dict[str, dict[Any, float]]) -> dict[Any, float]:
        """Of the one that was wrong less often."""
        wrong = {way: self.mean(losses) for way, losses in self.ways.items()}
        return found["soft" if wrong["soft"] < wrong["sharp"] else "sharp"]


def table(answer: Prediction) -> dict[Any, float]:
    """An answer's probabilities, or its label for certain."""
    return answer.proba or ({} if answer.value is None else {answer.value: 1.0})


def learned_slowly(slow: Slowly, y: Any, tables: dict[str, dict[Any, float]], found: dict[str, Any]) -> None:
    """A label came."""
    slow.labels += 1
    for name, each in tables.items():
        wrong = float(not each or max(each, key=each.__getitem__) != y)
        loss = 0.5 * sum((each.get(label, 0.0) - (label == y)) ** 2 for label in (False, True)) if each else 1.0
        slow.judged.setdefault(name, []).append((wrong, loss))
    for way, shares in found.items():
        if shares:
            slow.ways[way].append(float(max(shares, key=shares.__getitem__) != y))


@pytest.mark.interpreted
@pytest.mark.parametrize("lag", [LAG, 300])
def test_it_answers_by_its_rule(lag: int) -> None:
    """As a slow reference does that computes everything again for each event, from what members answered when asked."""
    asked: dict[str, dict[str, Prediction]] = {}
    lane = blending(serve="blend", retrain={"recruits": []}, detectors={})
    put = lane.join.pending.put

    def waiting(each: Waiting) -> None:
        asked[each.event.id] = {**each.answers, "served": each.served}
        put(each)

    lane.join.pending.put = waiting  # type: ignore[method-assign]
    slow, blended, founds = Slowly(lag), 0, {}
    for event_, due in steps(1000, lag=lag):
        lane.on_event(event_)
        answers = asked[event_.id]
        tables = {name: table(each) for name, each in answers.items() if name[0] not in "#@" and name != "served"}
        founds[event_.id] = tables, slow.answer(tables)
        if lane.blend.serves:
            blended += 1
            assert answers["served"].proba == pytest.approx(slow.served(founds[event_.id][1]), rel=1e-9)
        if due is not None:
            learned_slowly(slow, due.y, *founds[due.id])
            lane.on_label(label(due.id, due.y))
    assert blended > 150


def test_what_is_served_is_scored_and_watched() -> None:
    """The blend's answer of when it was asked, whatever its members answered."""
    seen: list[tuple[Prediction, dict[str, Prediction]]] = []

    def observer(event: Any, served: Any, answers: Any, lane: Lane) -> None:
        if lane.blend.serves and "#sharp" in answers:
            seen.append((served, answers))

    lane = blending(serve="blend", observer=observer)
    run(lane, 1200)
    blends = [next(a[key] for key in ("#sharp", "#soft") if a[key].proba) for _, a in seen]
    differ = sum(served != answers[lane.champion.name] for served, answers in seen)
    late = [(served, blend) for (served, _), blend in zip(seen[LAG + 1 :], blends[LAG + 1 :], strict=True)]
    assert all(served == blend for served, blend in late)
    assert differ > 100
    assert [answer for _, answer in list(lane.scores.recent)[-50:]] == [served for served, _ in seen[-50:]]


def test_members_without_probabilities_take_part() -> None:
    """They are certain of their label; what cannot be used sits out."""
    lane = blending(serve="blend")
    run(lane, 800)
    assert set(lane.blend.shares()) >= {"first", "bayes", "linear", "labels"}
    assert sum(lane.blend.shares().values()) == pytest.approx(1.0)


def rare(count: int) -> Iterator[tuple[AcceptedEvent, AcceptedEvent | None]]:
    """One event of a hundred is positive: mostly where `a` is large."""
    rng = random.Random(11)
    behind: deque[AcceptedEvent] = deque()
    for n in range(count):
        x = {name: rng.gauss(0.0, 1.0) for name in "abc"}
        y = rng.random() < (0.4 if x["a"] > 2.1 else 0.002)
        behind.append(AcceptedEvent(f"e{n}", x, y, 1.6e9 + n, 0, n))
        yield behind[-1]._replace(y=None), behind.popleft() if len(behind) > 1500 else None


def test_where_positives_are_rare_who_ranks_them_counts() -> None:
    """A model that never says the rare label is seldom wrong; it has no say, and no probability is pulled up."""
    served: list[tuple[bool, float]] = []

    def observer(event: Any, answer: Prediction, answers: dict[str, Prediction], lane: Lane) -> None:
        if lane.events > 5500:
            served.append((event.y, (answer.proba or {}).get(True, 0.0)))

    lane = blending(
        serve="blend",
        model={"steps": [{"use": "dummy.PriorClassifier"}]},
        shadows={"standing": [STANDING[0], STANDING[1]]},
        detectors={},
        observer=observer,
    )
    for asked, due in rare(9000):
        list(taken(lane, asked, due))
    shares = lane.blend.shares()
    assert lane.blend.has_rare
    assert lane.blend.way.key == "#rare"
    assert shares["first"] < 0.01
    mean = sum(p for _, p in served) / len(served)
    assert mean == pytest.approx(sum(y for y, _ in served) / len(served), abs=0.005)
    top = sorted(served, key=lambda each: -each[1])[:40]
    assert sum(y for y, _ in top) / len(top) > 0.2


def test_an_answer_before_anything_was_learned_says_nothing_of_rare_labels() -> None:
    """Whoever was asked before the first labels came is not weighed by that."""
    lane = blending(serve="blend", detectors={})
    for n, (asked, due) in enumerate(rare(5000)):
        list(taken(lane, asked, due))
        if n == 2800:  # 1,301 labels came, each for an event that was asked before 1,000 were learned
            assert {record.surprise.labels for record in lane.blend.records.values()} == {0}
            assert lane.blend.way.key == "#soft"
    assert lane.lateness.ripe_from == 2500
    assert {record.surprise.labels for record in lane.blend.records.values()} == {1000}
    assert lane.blend.way.key == "#rare"


def test_who_says_the_rare_label_all_the_time_loses_its_say_before_any_label_comes() -> None:
    """What members say lately is held against how rare the label is: that needs no label of these events."""
    lane = blending(serve="blend", shadows={"standing": [STANDING[0], STANDING[1]]}, detectors={})
    for asked, due in rare(5000):
        list(taken(lane, asked, due))
    before = lane.blend.shares()
    loud = max(before, key=lambda name: before[name])
    member = next(each for each in lane.blend.everybody() if each.name == loud)
    member.predict = lambda x: Prediction(True, {True: 0.97, False: 0.03})  # type: ignore[method-assign]
    for n, (asked, _) in enumerate(rare(5600)):
        if n >= 5000:
            lane.on_event(asked)
    assert lane.blend.shares()[loud] < 0.01 < before[loud]


# ── when it serves ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_prompt_labels_change_nothing() -> None:
    """With labels that come with their events, `auto` says what `champion` says, to the last bit."""
    lanes = [blending(serve=serve) for serve in ("auto", "champion")]
    told = []
    for lane in lanes:
        said = [each for _, due in steps(1500, lag=0) for each in lane.on_event(due)]  # type: ignore[arg-type]
        told.append([each if not isinstance(each, Promotion) else (each.kind, each.data) for each in said])
    assert told[0] == told[1]
    assert not any(lane.blend.judges for lane in lanes)
    assert lanes[0].lateness.lag == 0.0


def test_it_serves_while_labels_are_late() -> None:
    """From 200 judged labels on; announced as what it is, and not again as a swap of champions."""
    lane = blending()
    before = live(run(lane, LAG + 150))
    assert [each.member for each in before] == ["first"]
    said = run(lane, 800, first=LAG + 150)
    taken_over, *after = live(said)
    assert (taken_over.kind, taken_over.member, taken_over.displaced_version) == ("swap", "blend", before[-1].version)
    assert "labels come 120 events late" in taken_over.reason
    assert lane.blend.serves
    assert {(each.kind, each.member) for each in after} <= {("refresh", "blend")}
    assert not any(each.learns for each in (taken_over, *after))
    assert all(later.parent == earlier.version for earlier, later in pairwise([taken_over, *after]))
    report = [each for each in said if isinstance(each, ModelReport)][-1]
    assert sum(each.weight or 0.0 for each in report.members) == pytest.approx(1.0)
    assert report.lag == pytest.approx(LAG)


def test_the_champion_serves_again_when_labels_are_prompt() -> None:
    """Below half of the lag from which on they were late, so that it does not go back and forth."""
    lane = blending()
    run(lane, 800)
    assert lane.blend.serves
    lane.lateness.lag = 40.0
    run(lane, 5, first=800)
    assert lane.blend.serves
    for asked, _ in steps(2500, lag=0, first=800 + LAG):
        promoted = live(list(lane.on_event(asked._replace(id=f"{asked.id}+", y=True))))
        if promoted and promoted[0].member != "blend":
            break
    (promoted_,) = promoted
    assert (promoted_.kind, promoted_.member, promoted_.learns) == ("swap", lane.champion.name, True)
    assert not lane.blend.serves
    assert not lane.task.blends
    assert lane.lateness.lag < 25


def swapped_thrice(lane: Lane, *, within: int) -> None:
    """As if evidence had swapped the champion three times."""
    lane.succession.swapped_at = (lane.events - within, lane.events - 100, lane.events)


@pytest.mark.parametrize("within", [9999, 10_000])
def test_it_serves_where_champions_take_turns(within: int) -> None:
    """Though labels are prompt: three swaps in less than 10,000 events say that nobody is the best for long."""
    lane = blending(detectors={})
    lane.blend.ends_turns = True
    for _, due in steps(100, lag=0):
        lane.on_event(due)  # type: ignore[arg-type]
    swapped_thrice(lane, within=within)
    lane = twin_of(lane)
    lane.blend.ends_turns = True
    said = [each for _, due in steps(400, lag=0, first=100) for each in lane.on_event(due)]  # type: ignore[arg-type]
    assert lane.blend.serves is (within < 10_000)
    if lane.blend.serves:
        (swap,) = [each for each in live(said) if each.kind == "swap"]
        assert swap.member == "blend"
        assert swap.reason.endswith(f"champions take turns, 3 swaps in {within} events")


@pytest.mark.parametrize(
    ("shadows", "more", "wanted"),
    [
        ({"portfolio": "cheap"}, {}, True),
        ({"portfolio": "cheap+forest"}, {}, True),
        ({"portfolio": "cheap-2"}, {}, False),
        ({"portfolio": "cheap-1+forest"}, {}, False),
        ({"standing": STANDING}, {}, False),
        ({"portfolio": "cheap"}, {"serve": "champion"}, False),
        ({"portfolio": "cheap"}, {"score": {"learn_along": True}}, False),
        ({"portfolio": "cheap"}, {"publish": {"blocks": 100}}, False),
        ({"portfolio": "cheap"}, {"rollout": {"kind": "canary"}}, False),
    ],
)
def test_the_newest_portfolios_blend_though_labels_are_prompt(shadows: Any, more: dict[str, Any], wanted: bool) -> None:
    """A configuration that names an edition goes on as it did; and a blend cannot be learned along."""
    assert blending(shadows=shadows, **more).blend.wanted is wanted


@pytest.mark.parametrize(("portfolio", "ends"), [("cheap", True), ("cheap-2", False)])
def test_turns_end_for_numbers(portfolio: str, ends: bool) -> None:
    """Where a champion serves, and with the newest portfolios alone."""
    model = {"steps": [{"use": "tree.HoeffdingTreeRegressor"}]}
    lane = blending(task="regression", model=model, shadows={"portfolio": portfolio}, scores={"metrics": ["MAE"]})
    assert not lane.blend.wanted
    swapped_thrice(lane, within=500)
    assert lane.blend.wanted is ends


def test_swaps_by_evidence_are_remembered() -> None:
    """What a person puts in is no sign that champions take turns."""
    lane = lane_of(detectors={})
    lane.shadows.enter(entrant(lane, "s", Reads("s")), reason="")
    for n in range(400):
        lane.on_event(event(n, c=n < 50, s=True))
    assert lane.champion.name == "s"
    assert len(lane.succession.swapped_at) == 1
    assert not lane.succession.take_turns


def test_nobody_is_swapped_while_it_serves() -> None:
    """The contests go on all the same."""
    lane = blending(arena={"false_swap_every": 20.0}, detectors={})
    said = run(lane, 600)
    assert lane.blend.serves
    champion = lane.champion
    said = run(lane, 1000, first=600)
    assert lane.champion is champion
    assert not [each for each in said if isinstance(each, Transition) and each.after == "displaced"]
    assert all(member.contest.events > 900 for member in lane.shadows.members if member.place)


def test_one_that_cannot_be_announced_is_left_out() -> None:
    """A NaN in one member's state keeps back the blend with it, and not the blend without it."""
    lane = blending(serve="blend", detectors={})
    run(lane, LAG + 60)
    broken = next(each for each in lane.shadows.members if each.name == "linear")
    broken.model["LogisticRegression"].intercept = math.nan
    broken.learn = lambda x, y: None
    run(lane, 700, first=LAG + 60)
    assert lane.blend.serves
    assert set(lane.blend.left_out) == {"linear"}
    assert "linear" not in lane.blend.shares()


@pytest.mark.parametrize("bound", [{"max_artifact_bytes": 2_000}, {"min_accuracy": 1.1}])
def test_a_hard_constraint_holds_it_back(bound: dict[str, Any]) -> None:
    """The champion serves on, and it is told why, once."""
    lane = blending(constraints=bound, detectors={})
    said = run(lane, 900)
    held = [each.reason for each in said if isinstance(each, Transition) and "the blend" in each.reason]
    assert not lane.blend.serves
    assert len(held) == 1
    assert held[0].startswith(f"held back: the blend: {next(iter(bound))}")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            {"task": "rank", "model": {"steps": [{"use": "ranking.Popularity"}], "user": "u", "item": "i"}},
            "has neither",
        ),
        ({"shadows": {}}, "needs standing shadows"),
        ({"publish": {"blocks": 50}}, "do not go together"),
    ],
)
def test_where_there_is_nothing_to_blend_it_is_refused(more: dict[str, Any], said: str) -> None:
    """When it is asked for; without being asked for, a champion serves there."""
    with pytest.raises(ConfigError, match=said):
        build({**TABLE, "serve": "blend", **more})
    build({**TABLE, **more})


# ── what goes out, and what is kept ─────────────────────────────────────────────────────────────────────────────────


def test_followers_answer_as_it_does() -> None:
    """Bit for bit, from the bytes alone and without trust in any class; and what went out is compared with it."""
    lane = blending(publish={"warm_up_events": 50, "refresh_events": 200})
    promotions = live(run(lane, 900))
    newest = next(each for each in promotions[::-1] if each.member == "blend")
    assert lane.published.data == promotions[-1].data
    copy = statetree.decode(newest.data)
    assert artifact.gives_probabilities(copy)
    lane = blending(publish={"warm_up_events": 50, "refresh_events": 200})
    for asked, due in steps(900):
        went_out = [each for each in taken(lane, asked, due) if isinstance(each, Promotion)]
        if went_out and went_out[0].version == newest.version:
            break
    with MemoryFollower("m") as follower:
        follower.publish(newest.model, features=["f0", "f1", "f2"], canary=newest.canary)
        for asked, _ in steps(50, first=900):
            answers = {each.name: each.predict(asked.x) for each in lane.blend.everybody()}
            blended = lane.blend.answer(answers)
            assert blended is not None
            assert statetree.decode(went_out[0].data).predict_proba_one(asked.x) == blended.proba
            assert follower.predict_proba_one(asked.x) == newest.model.predict_proba_one(asked.x)
    with pytest.raises(TypeError, match="learns nothing"):
        copy.learn_one({"f0": 1.0}, True)


def test_a_lane_goes_on_with_its_blend() -> None:
    """The same answers, announcements and state from any point on: before, at and after it begins to serve."""
    straight = blending()
    expected = outline(run(straight, 1300))
    for at in (100, LAG + 60, 322, 500, 905, 1100):
        lane = blending()
        before = outline(run(lane, at))
        twin = twin_of(lane)
        assert before + outline(run(twin, 1300 - at, first=at)) == expected
        assert statetree.digest(twin.learning_state()) == statetree.digest(straight.learning_state())


def test_what_waits_was_answered_alike_whenever_a_lane_went_on() -> None:
    """The copy that followers have is asked for the same, whether it went out before there was a blend or after."""
    straight, lane = blending(), blending()
    for each in (straight, lane):
        run(each, 100, lag=0)  # prompt at first, so that a copy has gone out before there is a blend
        run(each, 250, first=100)
    assert not straight.blend.serves
    twin = twin_of(lane)
    assert straight.blend.judges
    for each in (straight, twin):
        run(each, 40, first=350)
    assert list(twin.join.pending.waiting()) == list(straight.join.pending.waiting())


def outline(said: list[Any]) -> list[Any]:
    """What was said, to be compared."""
    return [(each.kind, each.version, each.data) if isinstance(each, Promotion) else each for each in said]


# ── the lead ────────────────────────────────────────────────────────────────────────────────────────────────────────


def wins_at(lane: Lane, *, lag: int) -> int | None:
    """After how many labels a shadow wins that is right from the 400th event on, where the champion was before it."""
    lane.shadows.enter(entrant(lane, "s", Reads("s")), reason="")
    behind: deque[AcceptedEvent] = deque()
    for n in range(3000):
        behind.append(event(n, c=n < 400, s=n >= 400))
        said: Emitted | list[Any] = lane.on_event(behind[-1]._replace(y=None))
        if len(behind) > lag:
            said = lane.on_label(label(behind.popleft().id, True))
        if live(list(said)) and lane.champion.name == "s":
            return lane.events
    return None


def test_late_labels_ask_for_a_lead() -> None:
    """Besides the evidence: its mean loss over 1,000 labels has to be the lower one. Prompt labels ask for none."""
    prompt = wins_at(lane_of(detectors={}, arena={"contest_events": 10_000}), lag=10)
    late = wins_at(lane_of(detectors={}, arena={"contest_events": 10_000}), lag=60)
    assert prompt is not None
    assert late is not None
    assert prompt < 500
    assert 795 < late < 900


def test_a_champion_alone_is_not_blended() -> None:
    """Recruits come and go; without standing shadows nothing would be left of what they learned."""
    lane = lane_of()
    for n in range(400):
        lane.on_event(event(n, y=None))
        if n >= 100:
            lane.on_label(label(f"e{n - 100}", True))
    assert lane.lateness.is_late
    assert not lane.blend.judges
    assert shown(lane, 1) == []
