"""River's metrics by their name in a configuration."""

import inspect
from difflib import get_close_matches
from typing import Any

from river import metrics

from anabranch.errors import ConfigError

_KINDS = {
    "binary": (metrics.base.BinaryMetric, metrics.base.MultiClassMetric),
    "multiclass": (metrics.base.MultiClassMetric,),
    "regression": (metrics.base.RegressionMetric,),
}


def metric_of(wanted: str | dict[str, Any], *, task: str) -> metrics.base.Metric:
    """A fresh metric by its name, or by a table with `use` and parameters.

    Raises:
        ConfigError: naming the nearest that exists, the task that it does not fit, or the parameter that it lacks.
    """
    parameters = {"use": wanted} if isinstance(wanted, str) else dict(wanted)
    kind = _class(str(parameters.pop("use", "")).removeprefix("metrics."), task=task)
    try:
        metric = kind(**parameters)
        metric.get()
    except TypeError as error:
        raise ConfigError(f"the metric {kind.__name__} refuses its parameters: {error}") from error
    except NotImplementedError as error:
        raise ConfigError(f"the metric {kind.__name__} is not one number") from error
    return metric


def _class(name: str, *, task: str) -> type[metrics.base.Metric]:
    """The class in river.metrics with this name, in any case."""
    known = {each.lower(): each for each in metrics.__all__ if inspect.isclass(getattr(metrics, each, None))}
    if name.lower() not in known:
        near = get_close_matches(name.lower(), list(known), n=1)
        raise ConfigError(
            f"no metric {name!r} in river.metrics" + (f"; did you mean {known[near[0]]}?" if near else "")
        )
    kind: type[metrics.base.Metric] = getattr(metrics, known[name.lower()])
    if not issubclass(kind, _KINDS[task]):
        raise ConfigError(f"the metric {kind.__name__} does not fit task = {task!r}")
    return kind


def on_proba(metric: Any) -> bool:
    """Whether a metric is computed on probabilities."""
    return isinstance(metric, metrics.base.ClassificationMetric) and not metric.requires_labels
