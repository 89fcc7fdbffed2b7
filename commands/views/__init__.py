"""How things look to a person; figures as all views write them.

>>> listed({"accuracy": 0.91234, "mae": 1.5e98})
'accuracy 0.9123  mae 1.5e+98'
"""

from collections.abc import Mapping


def figure(value: float) -> str:
    """Four decimals; as a power of ten where those would fill the line."""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def listed(values: Mapping[str, float], *, between: str = "  ") -> str:
    """Names and values in a line."""
    return between.join(f"{name} {figure(value)}" for name, value in values.items())
