"""The book of alerts: which are pending, which fire, and what of them is to be told. It does no I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from config.alerts import AlertsSettings, Severity
from operations.alerts.finding import Finding
from operations.alerts.notice import Notice, notice
from operations.alerts.rules import Judged, Key
from operations.alerts.silences import silence_of

GRAVEST_FIRST: tuple[Severity, ...] = ("critical", "warning", "info")


@dataclass(slots=True)
class Entry:
    """One alert that is pending or fires.

    Attributes:
        since_s: when it began.
        judged: the last time that it was found.
        fires: it has lasted long enough.
        told_s: when it was last told; None: never.
        well_s: since when all is well again; None: it is not.
    """

    judged: Judged
    since_s: float
    fires: bool = False
    told_s: float | None = None
    well_s: float | None = None
    silenced: str = ""


@dataclass
class Book:
    """Takes in what rules find, again and again, and says what is to be told.

    An alert that lasts as long as its rule says fires; it is told once, and again every `repeat`. It is over once all
    has been well for `resolve_after`; that is told if the alert was. Where a rule cannot say, nothing changes.

    Attributes:
        passed_over: alerts that were left out, since the book was full.
    """

    settings: AlertsSettings
    entries: dict[Key, Entry] = field(default_factory=dict)
    passed_over: int = 0

    def judge(self, found: Iterable[Judged], now_s: float, *, telling: bool = True) -> list[Notice]:
        """What is to be told now, the gravest first.

        Args:
            telling: False: nothing is, since it is the past that is judged.
        """
        told = [each for judged in found for each in self._judge(judged, now_s, telling=telling)]
        return sorted(told, key=lambda each: GRAVEST_FIRST.index(each.severity))

    def _judge(self, judged: Judged, now_s: float, *, telling: bool) -> list[Notice]:
        entry = self.entries.get(judged.key)
        if judged.finding is None:
            return []
        if not judged.finding.is_on:
            return [] if entry is None else self._well(entry, now_s, telling=telling)
        if entry is None:
            entry = self._entered(judged, judged.finding, now_s)
        if entry is None:
            return []
        entry.judged, entry.well_s = judged, None
        entry.fires = entry.fires or now_s - entry.since_s >= judged.rule.lasting
        return self._telling(entry, now_s) if telling and entry.fires else []

    def _entered(self, judged: Judged, finding: Finding, now_s: float) -> Entry | None:
        if len(self.entries) >= self.settings.active_max:
            self.passed_over += 1
            return None
        # What has to last is timed by what was seen: a moment on the topics does not say that it went on.
        is_known = finding.since_s is not None and not judged.rule.lasting
        entry = Entry(judged, min(now_s, finding.since_s or now_s) if is_known else now_s)
        self.entries[judged.key] = entry
        return entry

    def _well(self, entry: Entry, now_s: float, *, telling: bool) -> list[Notice]:
        entry.well_s = now_s if entry.well_s is None else entry.well_s
        if entry.fires and now_s - entry.well_s < self.settings.resolve_after:
            return []
        del self.entries[entry.judged.key]
        if entry.told_s is None or not telling:
            return []
        return [self._notice(entry, "resolved", ended_s=entry.well_s)]

    def _telling(self, entry: Entry, now_s: float) -> list[Notice]:
        silence = silence_of(self.settings.silences, entry.judged.key, now_s)
        entry.silenced = silence.why if silence else ""
        is_due = entry.told_s is None or now_s - entry.told_s >= self.settings.repeat
        if silence or not is_due:
            return []
        entry.told_s = now_s
        return [self._notice(entry, "firing")]

    def _notice(self, entry: Entry, state: Literal["firing", "resolved"], *, ended_s: float | None = None) -> Notice:
        return notice(
            entry.judged, state=state, since_s=entry.since_s, ended_s=ended_s, dashboard=self.settings.dashboard
        )

    def firing(self) -> list[Notice]:
        """All that fires and was told, as it is now."""
        return [
            self._notice(each, "firing") for each in self.entries.values() if each.fires and each.told_s is not None
        ]
