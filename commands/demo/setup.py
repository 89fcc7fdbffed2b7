"""What the demo runs on: its configuration, and the topics on the embedded broker."""

from pathlib import Path

from commands.brokers.embedded import EmbeddedKafka
from config import loading
from config.settings import Settings

TOPICS = ("events", "labels", "updates", "artifacts", "signals", "reports", "dead_letters")
REPORT_EVENTS = 250

_CONFIG = """\
name = "fraud"
task = "binary"
seed = {seed}

[model]
steps = [{{ use = "tree.HoeffdingTreeClassifier" }}]

[kafka]
"bootstrap.servers" = "{bootstrap}"
"session.timeout.ms" = 6000  # who joins a group of the embedded broker may have to wait for it
"fetch.wait.max.ms" = 50     # the embedded broker does not wake a waiting reader when a record comes

[scores]
window = 500
metrics = ["Accuracy", {{ use = "RollingPRAUC", window_size = {events} }}]  # over the whole run

[trigger]
debounce_events = 2000       # about the time that a retraining takes

[arena]
loss = "brier"
min_gain = 0.005
contest_events = 6000

[publish]
refresh_events = 0
report_events = {report_events}

[checkpoint]
store = "{store}"
"""


def write_config(path: Path, *, bootstrap: str, seed: int, events: int) -> Settings:
    """Write the demo's configuration, with its checkpoints beside it; and what it says."""
    store = (path.parent / "checkpoints").as_uri()
    text = _CONFIG.format(seed=seed, bootstrap=bootstrap, events=events, report_events=REPORT_EVENTS, store=store)
    path.write_text(text, "utf-8")
    return loading.load(path)


def make_topics(kafka: EmbeddedKafka, settings: Settings) -> None:
    """Let the topics appear."""
    for which in TOPICS:
        kafka.create_topic(settings.topics.name(which))
