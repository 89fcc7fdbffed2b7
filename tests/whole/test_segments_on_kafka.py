"""Per-segment models on a real Kafka: a learner is killed, another goes on, and a follower answers by segments."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from anabranch import follow
from support.projects import SCALED_LINEAR, Project, checkpointed, ended
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SEGMENTS = (
    SCALED_LINEAR + '[features]\ndrop = ["tenant"]\n[arena]\nfalse_swap_every = 200\n'
    '[segments]\nby = "tenant"\nmemory_max = 2\npacked_max = 2\nmin_events = 10\n'
)
EVENTS = 2000


def tenants() -> list[bytes]:
    """Two numbers; the tenant `odd` has the labels of the opposite concept."""
    rng, made = random.Random(3), []
    for n in range(EVENTS):
        x = {"a": rng.uniform(-1, 1), "b": rng.uniform(-1, 1), "tenant": rng.choice(["one", "odd", "two", "three"])}
        label = (x["a"] > x["b"]) != (x["tenant"] == "odd")
        made.append(orjson.dumps({"id": f"e{n}", "ts": 1.6e9 + n, "features": x, "label": label}))
    return made


def test_a_killed_learner_is_gone_on_from_and_followers_answer_by_segments(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    """The state is that of a backtest over the same events, to the last bit."""
    here, values = project(sections=SEGMENTS), tenants()
    here.produce(iter(values[: EVENTS // 2]))
    learner = here.start("learn", here.config)
    until(lambda: any(here.config.parent.glob("checkpoints/*/manifest.json")))
    learner.send_signal(signal.SIGKILL)
    ended(learner)
    here.produce(iter(values[EVENTS // 2 :]))
    code, logged = ended(here.start("learn", here.config, "--until-end"))
    assert code == 0, logged
    assert checkpointed(here)["events"] == EVENTS
    data = tmp_path / "events.jsonl"
    data.write_bytes(b"\n".join(values))
    straight = orjson.loads(here.run("backtest", here.config, "--data", data, "--json"))
    found = here.state()
    assert found["state_hash"] == straight["state_hash"]
    serving = found["segments"]["serving"]
    assert serving > 0
    with follow(here.name, kafka=here.kafka, topic=here.updates, segments=True) as model:
        model.wait(timeout_s=30)
        until(lambda: model.segments is not None and len(model.segments) == serving)
        asked = [model.predict_one({"a": 0.9, "b": -0.9, "tenant": tenant}) for tenant in ("one", "odd")]
    assert asked == [True, False]
