"""How things look to a person; figures as all views write them.

>>> listed({"accuracy": 0.91234, "mae": 1.5e98})
'accuracy 0.9123  mae 1.5e+98'
"""

from collections.abc import Mapping

from anabranch.messages import PublishedReport


def figure(value: float) -> str:
    """Four decimals; as a power of ten where those would fill the line."""
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def behind(published: PublishedReport | None) -> str:
    """How far behind followers are, where that is known, and what they wait for.

    >>> behind(PublishedReport(version=3, events=40, age_s=0.41, lost=0.0123, evidence=0.2))
    'followers lose 1.2 points; 40 events, 0.41 s old'
    >>> waits = "publish.bytes_per_s: 2.5 s more"
    >>> behind(PublishedReport(version=3, events=40, age_s=0.41, lost=None, evidence=0.0, waits=waits))
    'followers: 40 events, 0.41 s old, waiting for publish.bytes_per_s: 2.5 s more'
    """
    if published is None:
        return ""
    old = f"{published.events:,} events, {published.age_s:,.3g} s old" if published.events else "up to date"
    if published.waits:
        old += f", waiting for {published.waits}"
    return (
        f"followers lose {100 * published.lost:.1f} points; {old}"
        if published.lost is not None
        else f"followers: {old}"
    )


def listed(values: Mapping[str, float], *, between: str = "  ") -> str:
    """Names and values in a line."""
    return between.join(f"{name} {figure(value)}" for name, value in values.items())
