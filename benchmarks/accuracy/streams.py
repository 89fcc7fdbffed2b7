"""The streams: the eight that the aims are about, further ones from files, and controls that do not drift."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from benchmarks.accuracy import generators
from benchmarks.accuracy.generators import XY

SEEDS = (1, 2, 3)

Group = Literal["eight", "more", "rare", "control", "regression", "reco"]


@dataclass(frozen=True)
class Stream:
    """One stream, as data: a River generator with its concepts, or a file.

    Attributes:
        day: the column whose date says which day an event belongs to; it is no feature.
        changes: where an abrupt change is known to be, in events from 0.
        note: what a reader of the table should know.
    """

    name: str
    group: Group
    task: Literal["binary", "multiclass", "regression", "reco"] = "binary"
    generator: str = ""
    concepts: tuple[dict[str, Any], ...] = ()
    each: int = 8000
    width: int = 0
    file: str = ""
    drop: tuple[str, ...] = ()
    day: str = ""
    limit: int | None = None
    changes: tuple[int, ...] = ()
    note: str = field(default="", compare=False)

    @property
    def seeds(self) -> tuple[int, ...]:
        """A file is the same under every seed; the models' seed is 1 there."""
        return SEEDS if self.generator else SEEDS[:1]

    def path(self, data: Path) -> Path:
        """Where the file lies."""
        return data / f"{self.file}.csv.gz"

    def is_there(self, data: Path) -> bool:
        """Whether it can be had."""
        return bool(self.generator) or self.path(data).is_file()

    def digest(self, data: Path) -> str:
        """Of the file, as it lies in this folder; empty for a generator."""
        return "" if self.generator else _digest(self.path(data))

    def events(self, *, seed: int, data: Path, limit: int | None = None) -> list[XY]:
        """The events, at most `limit`."""
        most = min((each for each in (limit, self.limit) if each is not None), default=None)
        made = self._made(seed, data, most)
        return [(x, self._label(y)) for (x, y), _ in zip(made, range(most or 10**9), strict=False)]

    def days(self, *, data: Path, limit: int | None = None) -> list[str] | None:
        """The day of each event; None where days mean nothing."""
        return generators.days(self.path(data), self.day, limit=limit) if self.day else None

    def _made(self, seed: int, data: Path, limit: int | None) -> Iterator[XY]:
        if self.generator == "tastes":
            return generators.tastes(events=self.each, seed=seed)
        if self.generator:
            return generators.concepts(self.generator, self.concepts, each=self.each, width=self.width, seed=seed)
        return generators.rows(self.path(data), drop=self.drop, limit=limit)

    def _label(self, y: Any) -> Any:
        return {"binary": bool, "multiclass": int, "regression": float, "reco": float}[self.task](y)

    def recipe(self) -> str:
        """What the cache takes for the same stream."""
        return repr({name: value for name, value in vars(self).items() if name not in ("note", "group", "changes")})


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_AGRAWAL = tuple({"classification_function": each, "perturbation": 0.05} for each in (0, 2, 3, 6))
_SEA = tuple({"variant": each, "noise": 0.1} for each in (1, 2, 0, 3))
_MIXED = tuple({"classification_function": each} for each in (0, 1, 0, 1))
_EVERY_8K = (8000, 16_000, 24_000)
_PAYMENT_IDS = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID")

STREAMS = (
    Stream("elec2", "eight", file="elec2", note="electricity prices"),
    Stream("noaa_weather", "eight", file="noaa_weather", note="rain or not, 50 years of days"),
    Stream("sea_abrupt", "eight", generator="SEA", concepts=_SEA, changes=_EVERY_8K, note="10 % of labels flipped"),
    Stream("agrawal_abrupt", "eight", generator="Agrawal", concepts=_AGRAWAL, changes=_EVERY_8K),
    Stream("agrawal_gradual", "eight", generator="Agrawal", concepts=_AGRAWAL, width=2000, note="changes 2,000 wide"),
    Stream("mixed_recurring", "eight", generator="Mixed", concepts=_MIXED, changes=_EVERY_8K, note="each comes twice"),
    Stream(
        "hyperplane", "eight", generator="Hyperplane", each=30_000,
        concepts=({"n_features": 10, "n_drift_features": 2, "mag_change": 0.001},), note="rotates all the time",
    ),
    Stream(
        "moving_rbf", "eight", generator="RandomRBFDrift", each=30_000,
        concepts=({"n_classes": 2, "n_features": 10, "n_centroids": 20, "change_speed": 0.002,
                   "n_drift_centroids": 20},), note="moves all the time",
    ),
    Stream("syn_sea_50k", "more", file="syn_sea_50k", changes=(12_500, 25_000, 37_500)),
    Stream("hv_stagger_abrupt", "more", file="hv_stagger_abrupt", changes=(10_000, 20_000, 30_000),
           note="labels alternate; the fourth concept is the first again"),
    Stream("hv_sine_gradual", "more", file="hv_sine_gradual", note="labels alternate"),
    Stream("covtype_100k", "more", "multiclass", file="covtype_100k", note="7 classes, 54 features"),
    Stream("bank_marketing", "rare", file="bank_marketing", note="12 % positive"),
    Stream("fraud_payments_250k", "rare", file="fraud_payments_250k", drop=_PAYMENT_IDS, day="TX_DATETIME",
           note="0.5 % positive; without ids and times"),
    Stream("bike_sharing_hourly", "regression", "regression", file="bike_sharing_hourly", drop=("dteday",)),
    Stream("toulouse_bikes", "regression", "regression", file="toulouse_bikes",
           note="five stations in turn"),
    Stream("tastes", "reco", "reco", generator="tastes", each=30_000,
           note="300 users rate 200 items; at 10,000 and 20,000 every third user takes to other things"),
    Stream("stationary_sea", "control", generator="SEA", concepts=_SEA[:1], each=20_000),
    Stream("stationary_agrawal", "control", generator="Agrawal", concepts=_AGRAWAL[1:2], each=20_000),
    Stream("phishing_11k", "control", file="phishing_11k", note="46 features"),
)  # fmt: skip
