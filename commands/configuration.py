"""The reference of all keys in docs/CONFIGURATION.md, from the settings themselves.

    python -m commands.configuration      writes it again

>>> print(table(Augment))
| key | type | default | |
|---|---|---|---|
| `minority` | number, 1 to 100 | `1.0` | how often an event of a rarer class is learned, on average |
| `jitter` | number, 0 to 1 | `0.0` | noise on the repeats' numbers, in standard deviations |
"""

import inspect
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
import orjson
from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from config.alerts import AlertRule, AlertsSettings, Silence, Sink
from config.features import FeatureRule, FeaturesSettings, MemorySettings
from config.learning import (
    ArenaSettings,
    Augment,
    ConstraintsSettings,
    Detector,
    FairnessSettings,
    ModelSpec,
    Recruit,
    RetrainSettings,
    RolloutSettings,
    ScoresSettings,
    SegmentsSettings,
    ShadowsSettings,
    StandingSettings,
    TriggerSettings,
)
from config.output import Checkpoint, Dashboard, MetricsSettings, Publish, Score
from config.privacy import PrivacySettings
from config.records import ControlSettings, FreezeSettings, GuardSettings, LabelsSettings, Topics
from config.sections import Section
from config.settings import Settings
from detectors.distribution_signals import DistributionSettings
from detectors.schedule import ScheduleSettings, VolumeSettings
from detectors.threshold import ThresholdSettings

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "CONFIGURATION.md"
BEGIN, END = "<!-- keys: python -m commands.configuration -->\n", "<!-- /keys -->\n"

SECTIONS: dict[str, type[BaseModel]] = {
    "The top of the file": Settings,
    "[model]": ModelSpec,
    "[topics]": Topics,
    "[control]": ControlSettings,
    "[guard]": GuardSettings,
    "[privacy]": PrivacySettings,
    "[labels]": LabelsSettings,
    "[freeze]": FreezeSettings,
    "[features]": FeaturesSettings,
    "[[features.rules]]": FeatureRule,
    "[memory]": MemorySettings,
    "[scores]": ScoresSettings,
    "[detectors.NAME]": Detector,
    '[detectors.NAME] with use = "inputs", "predictions" or "labels"': DistributionSettings,
    '[detectors.NAME] with use = "threshold"': ThresholdSettings,
    '[detectors.NAME] with use = "schedule"': ScheduleSettings,
    '[detectors.NAME] with use = "volume"': VolumeSettings,
    "[trigger]": TriggerSettings,
    "[retrain]": RetrainSettings,
    "[[retrain.recruits]]": Recruit,
    "[retrain.augment]": Augment,
    "[shadows]": ShadowsSettings,
    "[[shadows.standing]]": StandingSettings,
    "[arena]": ArenaSettings,
    "[segments]": SegmentsSettings,
    "[constraints]": ConstraintsSettings,
    "[fairness]": FairnessSettings,
    "[rollout]": RolloutSettings,
    "[publish]": Publish,
    "[checkpoint]": Checkpoint,
    "[score]": Score,
    "[metrics]": MetricsSettings,
    "[alerts]": AlertsSettings,
    "[alerts.rules.NAME]": AlertRule,
    "[alerts.sinks.NAME]": Sink,
    "[[alerts.silences]]": Silence,
    "[dashboard]": Dashboard,
}

_NAMES: dict[Any, str] = {
    int: "whole number",
    float: "number",
    bool: "`true` or `false`",
    str: "string",
    SecretStr: "string",
    datetime: "moment",
    dict: "table",
    Any: "anything",
}
_UNITS = (("d", 86_400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0))


def reference() -> str:
    """All sections, each with a table of its keys."""
    return "\n".join(f"### {head}\n\n{_intro(kind)}\n\n{table(kind)}\n" for head, kind in SECTIONS.items())


def _intro(kind: type[BaseModel]) -> str:
    """The docstring, without its list of arguments."""
    return inspect.getdoc(kind) or ""


def table(kind: type[BaseModel]) -> str:
    """The keys of a section, as a table in Markdown."""
    head = ["| key | type | default | |", "|---|---|---|---|"]
    return "\n".join([*head, *_rows(kind)])


def _rows(kind: type[BaseModel]) -> list[str]:
    # By its alias, where the word of the file is one of Python's own.
    fields = kind.model_fields.items()
    return [_row(field.alias or name, field) for name, field in fields if not _apart(field)]


def _apart(field: FieldInfo) -> bool:
    """A section that has a table of its own."""
    return field.annotation in SECTIONS.values() and not field.description


def _row(name: str, field: FieldInfo) -> str:
    cells = (f"`{name}`", _type(field), _default(field), field.description or "")
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _type(field: FieldInfo) -> str:
    annotation = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return " or ".join(dict.fromkeys(_kinds(annotation))) + _bounds(field)


def _kinds(annotation: Any) -> Iterator[str]:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        durations = [each for each in inner[1:] if isinstance(each, BeforeValidator)]
        yield from ["duration"] if durations else _kinds(inner[0])
    elif origin in (Union, UnionType):
        for each in inner:
            if each is not NoneType:
                yield from _kinds(each)
    elif origin is Literal:
        yield ", ".join(f'`"{each}"`' for each in inner)
    elif origin is tuple:
        yield f"list of {' or '.join(_plural(each) for each in _kinds(inner[0]))}"
    elif origin is dict and isinstance(inner[1], type) and issubclass(inner[1], Section):
        yield "tables"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield "table"
    else:
        yield _NAMES[origin or annotation]


def _plural(kind: str) -> str:
    return f"{kind}s"


def _bounds(field: FieldInfo) -> str:
    least = greatest = ""
    for each in field.metadata:
        if isinstance(each, annotated_types.Ge):
            least = f"{each.ge:g}"
        elif isinstance(each, annotated_types.Gt):
            least = f"more than {each.gt:g}"
        elif isinstance(each, annotated_types.Le):
            greatest = f"{each.le:g}"
        elif isinstance(each, annotated_types.Lt):
            greatest = f"less than {each.lt:g}"
    if least and greatest:
        return f", {least} to {greatest}"
    if least:
        return f", {least}" if least.startswith("more") else f", {least} or more"
    return f", {greatest} or less" if greatest else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if isinstance(field.json_schema_extra, dict):
        return str(field.json_schema_extra["default"])
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or (isinstance(value, str | tuple) and not value):
        return "none"
    if isinstance(value, float) and "duration" in _type(field):
        return f"`{_duration(value)}`"
    return f"`{_toml(value)}`"


def _duration(seconds: float) -> str:
    unit, size = next((each for each in _UNITS if seconds >= each[1] and seconds % each[1] == 0), ("s", 1.0))
    return f"{seconds / size:g}{unit}"


def _toml(value: Any) -> str:
    """A value as it is written in the file."""
    if isinstance(value, BaseModel):
        return _toml(value.model_dump(exclude_unset=True))
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {_toml(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else orjson.dumps(value).decode()


def renewed(document: str) -> str:
    """The document with the reference as it is now."""
    # By a function, since in a string a backslash of the reference would be taken for a group.
    return re.sub(f"{BEGIN}.*{END}", lambda _: f"{BEGIN}\n{reference()}\n{END}", document, flags=re.DOTALL)


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text()))
