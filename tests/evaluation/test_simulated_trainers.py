"""The simulated workers: what befalls them costs nothing, and a learner that takes any answer is found out."""

from collections import Counter
from dataclasses import replace
from typing import Any

from config.settings import Settings
from consumers.jobs.topic import Awaited
from consumers.loop import LearningLoop
from consumers.telling import Ports
from evaluation.simulation.campaign import Campaign, shipped
from evaluation.simulation.trainers import RemoteRunner

NAME = "linear, trained elsewhere"
BEFALLS = ("its worker is slow", "its worker dies", "another answers once more")
SEEDS = range(60)


def test_workers_die_answer_twice_and_answer_late_and_nothing_comes_of_it() -> None:
    """Each of it happens within these schedules."""
    seen: Counter[str] = Counter()
    campaign = Campaign([shipped(NAME)])
    for seed in SEEDS:
        (result,) = campaign.some([seed])
        assert result.finding == ""
        seen.update(each for each in BEFALLS if each in result.steps)
        if all(seen[each] for each in BEFALLS):
            return
    raise AssertionError(f"only {dict(seen)} within {len(SEEDS)} schedules")


class Careless(Awaited):
    """Takes whatever comes for what it waits for."""

    def wants(self, job_id: str) -> bool:
        super().wants(job_id)
        return bool(self.futures)

    def take(self, job_id: str, came: bytes | Exception) -> None:
        super().take(next(iter(self.futures)), came)


def careless(settings: Settings, *, ports: Ports, **more: Any) -> LearningLoop:
    runners = ports.runners

    def made(scope: Any) -> Any:
        runner = runners(scope)
        assert isinstance(runner, RemoteRunner)
        runner.workers.awaited = Careless()
        return runner

    return LearningLoop(settings, ports=replace(ports, runners=made), **more)


def test_a_learner_that_takes_the_answer_to_another_job_is_found_out() -> None:
    """What it learned is then not what a straight run learns."""
    campaign = Campaign([replace(shipped(NAME), loop=careless)])
    findings = (result.finding for seed in SEEDS for result in campaign.some([seed]))
    assert next((finding for finding in findings if "straight run" in finding), "")
