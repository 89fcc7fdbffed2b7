"""The watch on a champion: all configured signals, and the trigger that decides on them."""

import math
from collections.abc import Sequence
from typing import Any

from anabranch.events import AcceptedEvent, Findings, Fired, Prediction
from anabranch.messages import DetectorReport, FeatureReport
from config.settings import Settings
from detectors.catalogue import signal_of
from detectors.error_signals import AdwinGauge, ErrorSignal
from detectors.histograms import Histograms
from detectors.schedule import EventClock
from detectors.signal import OnLabels, OnQuestions, Signal
from detectors.threshold import Threshold
from detectors.trigger import Trigger, Withheld, never_withheld


class Watch:
    """The signals and the trigger of one lane, by its settings; no detectors is a watch that sees nothing.

    Raises:
        ConfigError: a detector is not known, or has no such parameter.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.signals: list[Signal] = [signal_of(name, settings) for name in settings.detectors]
        self.trigger = Trigger(settings.trigger, names=tuple(settings.detectors))
        self.clock = EventClock()
        self.dry_run = settings.trigger.dry_run
        self.histograms = Histograms()
        self.wants_proba = any(isinstance(each, Threshold) and each.wants_proba for each in self.signals)
        self._sort()
        on_time = any(isinstance(each, Threshold) and each.settings.window_time for each in self.signals)
        # The clock is moved by on_event() alone, so whatever goes by event time needs to be shown events as well.
        self.sees_events = bool(self._on_questions) or self.trigger.needs_time or on_time

    def _sort(self) -> None:
        """By what they are shown: done once, since it runs on every event."""
        errors = [each for each in self.signals if isinstance(each, ErrorSignal)]
        self._on_loss = [each for each in errors if not each.of_labels]
        self._on_wrong = [each for each in errors if each.of_labels]
        self._on_labels = [each for each in self.signals if isinstance(each, OnLabels)]
        self._on_questions = [each for each in self.signals if isinstance(each, OnQuestions)]

    def on_event(
        self, event: AcceptedEvent, answer: Prediction, *, event_number: int, withheld: Withheld = never_withheld
    ) -> Findings | None:
        """Show an event and the champion's answer, before its label is looked at; what fired, if anything did."""
        now_s = self.clock.update(event.ts)
        fired = [
            Fired(signal.name, shift, signal.kind)
            for signal in self._on_questions
            if (shift := signal.on_event(event, answer, now_s=now_s)) is not None
        ]
        return self._findings(fired, event_number, event, withheld) if fired else None

    def update(
        self,
        loss: float | None,
        *,
        event_number: int,
        seen: AcceptedEvent,
        answer: Prediction | None,
        withheld: Withheld = never_withheld,
    ) -> Findings | None:
        """Show a labelled event with the loss in [0, 1]; what fired, if anything did."""
        fired = []
        if loss is not None:
            for signal in self._on_loss:
                if (shift := signal.update(loss)) is not None:
                    fired.append(Fired(signal.name, shift))  # noqa: PERF401  # a list for each event costs more
        if self._on_wrong and answer is not None:
            fired += _on_wrong(self._on_wrong, 0.0 if answer.value == seen.y else 1.0)
        if self._on_labels:
            now_s = self.clock.now_s
            fired += [
                Fired(each.name, shift, each.kind)
                for each in self._on_labels
                if (shift := each.on_label(seen.y, answer, now_s=now_s)) is not None
            ]
        return self._findings(fired, event_number, seen, withheld) if fired else None

    def _findings(self, fired: list[Fired], event_number: int, seen: AcceptedEvent, withheld: Withheld) -> Findings:
        triggered, counted, reason = self.trigger.decide(
            fired,
            event_number=event_number,
            place=(seen.partition, seen.offset),
            now_s=self.clock.now_s,
            withheld=withheld,
        )
        if self.dry_run:
            if triggered:
                self.trained()  # as if: the next volume is counted from here
            return Findings(tuple(fired), False, counted, reason or ("dry run" if triggered else ""), triggered)
        return Findings(tuple(fired), triggered, counted, reason)

    def trained(self) -> None:
        """A retraining has begun."""
        for signal in self.signals:
            signal.trained()

    def start_over(self) -> None:
        """Fresh signals for a new champion, but for schedules; the trigger's pause goes on: it is about retraining."""
        self.signals = [signal_of(each.name, self.settings) if each.of_champion else each for each in self.signals]
        # In this order: until _sort() has run, its lists still hold the signals of the displaced champion.
        self.trigger.start_over()
        self.histograms = Histograms()
        self._sort()

    def rescaled(self) -> None:
        """The same errors cost more from now on, which is no rise: fresh detectors on the loss, as quiet as before."""
        for signal in self._on_loss:
            fresh = signal_of(signal.name, self.settings)
            assert isinstance(fresh, ErrorSignal)
            signal.gauge = fresh.gauge

    # ── for people ──────────────────────────────────────────────────────────────────────────────────────────────

    def look(self, x: dict[str, Any]) -> None:
        """Count an event's features for `features`; to be shown some of the events, evenly."""
        self.histograms.update(x)

    def mark(self) -> None:
        """A report is made: the cuts at which later ones tell how near ADWIN is."""
        for gauge in self._adwins().values():
            gauge.mark()

    def _adwins(self) -> dict[str, AdwinGauge]:
        return {
            each.name: each.gauge
            for each in self.signals
            if isinstance(each, ErrorSignal) and isinstance(each.gauge, AdwinGauge)
        }

    def levels(self) -> tuple[DetectorReport, ...]:
        """How near each signal is to firing."""
        return tuple(_reported(each) for each in self.signals)

    def features(self) -> tuple[FeatureReport, ...]:
        """How features are distributed, those that have moved furthest first."""
        return self.histograms.reports()

    def observed(self) -> dict[str, Any]:
        """What a checkpoint keeps for people, beside `state`."""
        return {
            "histograms": self.histograms.state(),
            "marks": {name: list(gauge.marks) for name, gauge in self._adwins().items()},
        }

    def restore_observed(self, observed: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.histograms.restore(observed["histograms"])
        for name, gauge in self._adwins().items():
            gauge.marks = [(total, width) for total, width in observed["marks"].get(name, ())]

    # ── for checkpoints ─────────────────────────────────────────────────────────────────────────────────────────

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "signals": [
                {"name": each.name, "settings": self._settings_of(each), "state": each.state()} for each in self.signals
            ],
            "trigger": self.trigger.state(),
            "clock": self.clock.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; a signal that the configuration added or changed since restarts."""
        kept = {each["name"]: each for each in state["signals"]}
        for signal in self.signals:
            if signal.name in kept and kept[signal.name]["settings"] == self._settings_of(signal):
                signal.restore(kept[signal.name]["state"])
        self.trigger.restore(state["trigger"])
        self.clock.restore(state["clock"])

    def _settings_of(self, signal: Signal) -> dict[str, Any]:
        return self.settings.detectors[signal.name].model_dump()


def _reported(signal: Signal) -> DetectorReport:
    level = signal.level()
    if level is None or not math.isfinite(level.statistic):
        return DetectorReport(name=signal.name, kind=signal.kind)
    return DetectorReport(
        name=signal.name,
        kind=signal.kind,
        statistic=level.statistic,
        threshold=level.threshold,
        fires_below=level.fires_below,
    )


def _on_wrong(signals: Sequence[ErrorSignal], wrong: float) -> list[Fired]:
    return [Fired(each.name, shift) for each in signals if (shift := each.update(wrong)) is not None]
