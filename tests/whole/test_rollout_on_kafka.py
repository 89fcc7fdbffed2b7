"""A new champion's way to all keys on a real Kafka, with a real learner and two scorers in processes of their own."""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from anabranch.messages import ModelReport, ModelUpdate, decode
from support.command_line import environment
from support.projects import GAUSSIAN, Project, announced, ended, sea, values_on
from support.scorers import Scorer, free_port
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

EVENT = {"features": {"f0": 9.0, "f1": 9.0, "f2": 1.0}}
KEYS = [f"customer-{n}" for n in range(120)]
SECTIONS = GAUSSIAN + "[publish]\nwarm_up_events = 300\nrefresh_level = 0\n"


@contextmanager
def running(here: Project, **environ: str) -> Iterator[list[Scorer]]:
    """A learner and two scorers, these with more environment variables."""
    scorers = [Scorer(free_port(), []) for _ in range(2)]
    processes = [here.start("learn", here.config)]
    env = {**environment(), **environ}
    processes += [here.start("score", here.config, "--port", each.port, env=env) for each in scorers]
    try:
        until(lambda: all(each.answers() for each in scorers))
        yield scorers
    finally:
        for process in processes:
            process.terminate()
        codes = [ended(process) for process in processes]
    assert [code for code, _ in codes] == [0, 0, 0], codes


def newest(here: Project) -> ModelUpdate:
    """What was announced last; the first is waited for."""
    until(lambda: announced(here))
    return announced(here)[-1]


def produce_until(here: Project, rows: Iterator[bytes], true: Callable[[ModelUpdate], bool]) -> ModelUpdate:
    """Events in small portions, until what was announced last is as wanted."""
    while not true(update := newest(here)):
        portion = list(itertools.islice(rows, 50))
        assert portion, f"the stream has ended: {update.kind}, {update.reason}"
        here.produce(iter(portion))
        time.sleep(0.1)
    return update


def versions(scorer: Scorer) -> list[Any]:
    """The version that answers, for each key."""
    return [scorer.ask("/api/predict", EVENT, Anabranch_Key=key).body["version"] for key in KEYS]


def test_a_winner_answers_for_more_keys_as_labels_come(project: Callable[..., Project]) -> None:
    """Both scorers give each key the same version; without events nothing moves; then it is everybody's."""
    here = project(sections=f"{SECTIONS}[rollout]\nkind = 'canary'\nsteps = [25]\nstep_labels = 300\n")
    with running(here) as scorers:
        rows = sea(20_000, flipped_from=1500)
        here.produce(itertools.islice(rows, 1500))
        until(lambda: all(each.ask("/api/predict", EVENT).status == 200 for each in scorers))
        canary = produce_until(here, rows, lambda update: update.kind == "canary")
        until(lambda: all(set(versions(each)) == {canary.beside, canary.version} for each in scorers))
        first, second = map(versions, scorers)
        assert first == second
        assert 0.1 < first.count(canary.version) / len(KEYS) < 0.4
        time.sleep(1)  # neither success nor failure
        assert newest(here).version == canary.version
        update = produce_until(here, rows, lambda update: update.kind == "swap")
        assert (update.displaced_version, update.share) == (canary.beside, None)
        until(lambda: all(set(versions(each)) == {update.version} for each in scorers))


def test_one_that_is_worse_for_those_who_had_it_is_withdrawn_by_labels(project: Callable[..., Project]) -> None:
    """It won while the concept was turned, and that is over: the one that most keys never lost is everybody's again."""
    here = project(sections=f"{SECTIONS}[rollout]\nkind = 'canary'\nsteps = [50]\nstep_labels = 100000\n")
    with running(here) as scorers:
        rows, turned = sea(20_000), sea(20_000, flipped_from=0)
        here.produce(itertools.islice(rows, 1500))
        canary = produce_until(here, renamed(turned), lambda update: update.kind == "canary")
        back = produce_until(here, rows, lambda update: update.kind == "rollback")
        assert back.restores == canary.beside
        until(lambda: all(set(versions(each)) == {back.version} for each in scorers))


def test_a_person_lets_it_go_on_or_takes_it_back(project: Callable[..., Project]) -> None:
    """Nobody has it until then, and whoever looks is told what it waits for."""
    here = project(sections=f"rollout = 'manual'\n{SECTIONS}report_interval = '1s'\n")
    with running(here) as scorers:
        rows = sea(20_000, flipped_from=1500)
        here.produce(itertools.islice(rows, 1500))
        canary = produce_until(here, rows, lambda update: update.kind == "canary")
        until(lambda: waits_for(here).startswith("a person's word"))
        assert all(set(versions(each)) == {canary.beside} for each in scorers)
        assert "requested to approve" in here.run("models", "approve", here.config, "--reason", "seen", "--by", "ada")
        until(lambda: newest(here).kind == "swap")
        assert newest(here).by == "ada"
        until(lambda: all(set(versions(each)) == {newest(here).version} for each in scorers))


def renamed(rows: Iterator[bytes]) -> Iterator[bytes]:
    """Events with ids of their own."""
    return (row.replace(b'"e', b'"t', 1) for row in rows)


def waits_for(here: Project) -> str:
    reports = [decode(ModelReport, value) for value in values_on(here.kafka, f"{here.prefix}model-reports")]
    rollout = reports[-1].rollout if reports else None
    return "" if rollout is None else rollout.missing


FRAGILE = '''
import os

from river import naive_bayes


class Fragile(naive_bayes.GaussianNB):
    """Once the concept has turned, it raises on one event, and nowhere but at the scorer."""

    def predict_proba_one(self, x):
        proba = super().predict_proba_one(x)
        if "FRAGILE" in os.environ and x["f0"] == 9.0 and proba.get(True, 1.0) < 0.5:
            raise ValueError("the library that it calls is another one here")
        return proba
'''


def test_one_that_fails_at_the_scorers_is_withdrawn_before_labels_come(project: Callable[..., Project]) -> None:
    """The learner hears of it on `model-acks`; all keys have the one before again, and are answered."""
    model = '[model]\nfactory = "fragile:Fragile"\ntrusted = ["fragile:Fragile"]\n'
    publish = "[publish]\nwarm_up_events = 300\nrefresh_level = 0\n"
    here = project(sections=f"{model}{publish}[rollout]\nkind = 'canary'\nsteps = [50]\nstep_labels = 100000\n")
    (here.config.parent / "fragile.py").write_text(FRAGILE)
    with running(here, FRAGILE="1") as scorers:
        rows = sea(20_000, flipped_from=1500)
        here.produce(itertools.islice(rows, 1500))
        until(lambda: all(each.ask("/api/predict", EVENT).status == 200 for each in scorers))
        canary = produce_until(here, rows, lambda update: update.kind == "canary")
        until(lambda: {422} <= set(statuses(scorers[0])))
        until(lambda: [*map(statuses, scorers)] and newest(here).kind == "rollback")
        back = newest(here)
        assert back.restores == canary.beside
        assert back.reason.startswith("withdrawn: ")
        assert " answers to followers' callers failed, and 0 of " in back.reason
        until(lambda: {200} == {status for each in scorers for status in statuses(each)})


def statuses(scorer: Scorer) -> list[int]:
    return [scorer.ask("/api/predict", EVENT, Anabranch_Key=key).status for key in KEYS]
