"""The aims, each computed from the results: what was wanted, what was measured, met or missed."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.accuracy.results import Results
from benchmarks.accuracy.streams import STREAMS

EIGHT = tuple(each.name for each in STREAMS if each.group == "eight")
SYNTHETIC = tuple(each.name for each in STREAMS if each.generator and each.group == "eight")
CHEAP, FOREST, CHAMPION = "Anabranch, cheap", "Anabranch, cheap+forest", "Anabranch, cheap-2"
ARF = "ARF10"


@dataclass(frozen=True)
class Aim:
    """One aim and what was measured; None where nothing was."""

    what: str
    limit: float
    measured: float | None
    at_least: bool = False
    form: str = ".4f"
    beside: str = ""

    @property
    def verdict(self) -> str:
        """Met, missed, or not measured."""
        if self.measured is None:
            return "not measured"
        met = self.measured >= self.limit if self.at_least else self.measured <= self.limit
        return "met" if met else "**missed**"

    def row(self) -> tuple[str, str, str, str]:
        """The aim as cells: what, wanted, measured, verdict."""
        sign = "≥" if self.at_least else "≤"
        measured = "–" if self.measured is None else f"{self.measured:{self.form}}{self.beside}"
        return self.what, f"{sign} {self.limit:{self.form}}", measured, self.verdict


def aims(results: Results) -> Iterator[Aim]:
    """All of them."""
    for entry, limit in ((CHEAP, 0.86), (FOREST, 0.875)):
        mean = results.mean_over(EIGHT, entry, "accuracy")
        yield Aim(f"mean accuracy over the eight streams, {entry}", limit, mean, at_least=True)
    yield Aim(f"Elec2, {CHEAP}", 0.914, results.mean("elec2", CHEAP, "accuracy"), at_least=True)
    yield Aim(f"NOAA, {FOREST}", 0.775, results.mean("noaa_weather", FOREST, "accuracy"), at_least=True)
    yield from _followers(results)
    for stream, limit in (("agrawal_abrupt", 1300), ("sea_abrupt", 420)):
        yield Aim(f"events to recover, {stream}, {CHEAP}", limit, results.recovery(stream, CHEAP), form=",.0f")
    for entry in (CHEAP, FOREST, CHAMPION):
        yield _wrong_swaps(results, entry)
    yield from _false_swaps(results)
    yield _time(results)


def _followers(results: Results) -> Iterator[Aim]:
    for stream, limit in (("elec2", 0.82), ("noaa_weather", 0.755)):
        measured = results.mean(stream, CHEAP, "followers")
        yield Aim(f"{stream} as followers have it, {CHEAP}", limit, measured, at_least=True)
    for stream in ("agrawal_abrupt", "sea_abrupt", "hyperplane"):
        live, behind = (results.mean(stream, CHEAP, each) for each in ("live_then", "followers"))
        lost = None if live is None or behind is None else live - behind
        yield Aim(f"{stream}, what followers lose, {CHEAP}", 0.003, lost)


def _wrong_swaps(results: Results, entry: str) -> Aim:
    judged, wrong = (results.total(SYNTHETIC, entry, each) for each in ("judged", "wrong"))
    was_run = any(results.of(stream, entry) for stream in SYNTHETIC)
    share = wrong / judged if judged else 0.0 if was_run else None
    of = f" ({wrong} of {judged})" if judged else " (nobody was swapped)"
    return Aim(f"wrong swaps on synthetic drift, {entry}", 0.05, share, form=".1%", beside=of)


def _false_swaps(results: Results) -> Iterator[Aim]:
    tied, forced = (results.of("", trial) for trial in ("tied models", "forced alarms"))
    swaps = sum(each["swaps"] for each in tied)
    per_100k = 1e5 * swaps / sum(each["events"] for each in tied) if tied else None
    yield Aim("false swaps between tied models in 100,000 events, A = 10,000", 10, per_100k, form=".1f")
    worst = max((each["swaps"] for each in forced), default=None)
    several = " (" + ", ".join(str(each["swaps"]) for each in forced) + " by seed)"
    yield Aim("most swaps after 20 false alarms, GaussianNB, no drift", 1, worst, form=".0f", beside=several)


def _time(results: Results) -> Aim:
    ours, theirs = (results.mean_over(EIGHT, entry, "us") for entry in (CHEAP, ARF))
    share = ours / theirs if ours and theirs else None
    return Aim(f"time of {CHEAP} as a share of {ARF}'s, eight streams", 0.7, share, form=".2f")
