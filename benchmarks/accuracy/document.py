"""benchmarks/ACCURACY.md, written from the results; what they mean is told by hand in NOTES.md beside this module."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.aims import EIGHT, aims
from benchmarks.accuracy.entries import Entry
from benchmarks.accuracy.jobs import TRIAL_SEEDS, versions
from benchmarks.accuracy.measures import FINAL_EVENTS, RECOVERED, ROLLING
from benchmarks.accuracy.results import Results
from benchmarks.accuracy.streams import SEEDS, Stream
from evaluation.swaps import SPAN_EVENTS

NOTES = Path(__file__).with_name("NOTES.md")

OVER_EIGHT = ("Accuracy", "As followers have it: accuracy", "µs per event")
"""Measures whose mean over the eight streams says something."""


def written(
    results: Results, entries: Sequence[Entry], *, left_out: Sequence[str], unknown: Sequence[str], limit: int | None
) -> str:
    """The whole document."""
    shown = [each for each in entries if any(results.of(stream.name, each.name) for stream in results.streams)]
    parts = [_head(limit), *_gaps(results, left_out=left_out, unknown=unknown)]
    parts += [
        "## Aims\n",
        _table(("aim", "wanted", "measured", ""), (each.row() for each in aims(results)), words=True),
    ]
    if NOTES.exists():
        parts.append(NOTES.read_text())
    parts += _measured(results, shown)
    parts += ["## The streams\n", _streams(results)]
    return "\n".join(parts)


def _head(limit: int | None) -> str:
    prefix = f" Quick: the first {limit:,} events of each stream only." if limit else ""
    seeds = ", ".join(map(str, SEEDS))
    return f"""# Accuracy

Written by `make accuracy`; not to be edited. {versions()}.{prefix}

Each competitor predicts an event, then learns it, with its label at once. Synthetic streams have the seeds {seeds};
shown is their mean, in the accuracy with half the distance from the least to the most. SRP10 and AMF10 have seed 1
only, since they are slow. *batch LR* (scaled, scikit-learn) and *batch LightGBM* are refitted on all events so far,
every 25,000 events, and answer the most frequent label before. Files are in time order, and models have seed 1 there.
Features are numbers for everybody: a word is the place of its first appearance in its column. Where fewer than a fifth
are positive, Anabranch's arena judges by Brier's score.
*CapyMOA* is MOA's own loop in Java, with CapyMOA's defaults, ten models, or a hundred trees of *SGBT*. It tells no
probabilities, knows the classes beforehand, and its time holds the reading of rows as text. Its SRP10 and SGBT100 have
seed 1 only.
All other settings are the defaults. LeveragingBagging5, Bagging5 and the two adaptive rivals hold Hoeffding trees;
*reset on ADWIN* begins a fresh tree when River's ADWIN sees the error rise; *peeking McNemar* then retrains a candidate
on the last 1,000 events, and swaps as soon as McNemar's test says p < .05.

- A swap is **wrong** if what it displaced, kept running on its own, loses less than what is served over the next
  {SPAN_EVENTS:,} events; 3/1 means three swaps judged, one of them wrong. Swaps with fewer events after them are not
  judged.
- **Recovery** counts the events after an abrupt change until the accuracy over the last {ROLLING} is at least
  {RECOVERED:.0%} of the best final level: the best accuracy of any competitor over the {FINAL_EVENTS:,} events before
  the next change. Shown is the mean over changes.
- **As followers have it**: Anabranch live, and what a follower with the newest announced copy answers to the same
  events, from the first announcement on, with the default announcements; in brackets how many there were. It has each
  copy at once, and events come once a second: `anabranch backtest --followers-late` and `python -m benchmarks.served`
  say what being late costs, and at 500 events a second `publish.bytes_per_s` keeps large models back.
- **Top 100 a day**: the share of positives among the 100 highest scores of each day, mean over the days.
- **µs per event** is computing time, on a machine with other work to do. Anabranch's holds everything from the encoded
  event on: decoding, guard, detectors, checkpoints, retraining. River's models are given decoded events.
- **Tied models** are right and wrong at random, differ on a tenth of the events, and meet in the arena over 100,000
  events. **False alarms** are forced on GaussianNB every 1,500 events of a SEA stream that does not drift. Both with
  seeds {TRIAL_SEEDS[0]}–{TRIAL_SEEDS[-1]}.
"""


def _gaps(results: Results, *, left_out: Sequence[str], unknown: Sequence[str]) -> list[str]:
    said = []
    if left_out:
        said.append(f"Left out, since the file is not in the data folder: {', '.join(left_out)}.")
    said += [f"Left out: {entry}: {reason.splitlines()[0]}." for entry, reason in sorted(results.refused.items())]
    if unknown:
        how = (
            ": `make capymoa` makes the environment of CapyMOA's" if any("CapyMOA" in each for each in unknown) else ""
        )
        passes = "One pass has" if len(unknown) == 1 else f"{len(unknown)} passes have"
        said.append(f"{passes} not been run yet, of {', '.join(dict.fromkeys(unknown))}{how}.")
    return [f"{each}\n" for each in said]


def _measured(results: Results, entries: Sequence[Entry]) -> list[str]:
    """A chapter a measure: streams across, competitors down."""
    labels = [each for each in results.streams if each.task in ("binary", "multiclass")]
    numbers = [each for each in results.streams if each not in labels]
    rare = [each for each in labels if any("pr_auc" in one for of in entries for one in results.of(each.name, of.name))]
    chapters = (
        Chapter("Accuracy", labels, "accuracy", ".4f", best=max, of=_accuracy),
        Chapter("As followers have it: accuracy", labels, "followers", ".4f", best=max, of=_followers),
        Chapter("Mean absolute error", numbers, "mae", ".2f", best=min),
        Chapter("As followers have it: mean absolute error", numbers, "followers", ".2f", best=min, of=_followers),
        Chapter("Area under precision and recall, where few are positive", rare, "pr_auc", ".4f", best=max),
        Chapter("Precision at the top 100 a day", [each for each in rare if each.day], "top_a_day", ".4f", best=max),
        Chapter("Kappa", labels, "kappa", ".3f", best=max),
        Chapter("Kappa-temporal: beyond the label of last time", labels, "kappa_temporal", ".3f", best=max),
        Chapter("Brier's score, the less the better", labels, "brier", ".4f", best=min),
        Chapter("Swaps judged / wrong", results.streams, of=_swaps),
        Chapter("Recovery, events", [each for each in labels if each.changes], of=_recovery),
        Chapter("µs per event", results.streams, "us", ",.0f"),
    )
    return [part for chapter in chapters if chapter.streams for part in chapter.parts(results, entries)]


def _cell(results: Results, stream: Stream, entry: Entry, chapter: "Chapter") -> str:
    return _number(results.mean(stream.name, entry.name, chapter.measure), chapter.form)


@dataclass(frozen=True)
class Chapter:
    """One measure of all competitors on some streams.

    Attributes:
        best: which of a stream's values is shown in bold, if one is.
        of: makes a cell.
    """

    title: str
    streams: Sequence[Stream]
    measure: str = ""
    form: str = ""
    best: Callable[[Iterable[float]], float] | None = None
    of: Callable[[Results, Stream, Entry, "Chapter"], str] = _cell

    def parts(self, results: Results, entries: Sequence[Entry]) -> list[str]:
        """Its head, a table of the eight streams with their mean, and one of the others."""
        tables = [table for are_eight in (True, False) if (table := self._of(results, entries, are_eight=are_eight))]
        return [f"## {self.title}\n", *tables] if tables else []

    def _of(self, results: Results, entries: Sequence[Entry], *, are_eight: bool) -> str:
        """A table of streams that are of the eight, or are not; empty, if nobody has a value there."""
        streams = [each for each in self.streams if (each.name in EIGHT) is are_eight]
        with_mean = self.title in OVER_EIGHT and len(streams) == len(EIGHT)
        rows = [
            (entry.name, *cells, *([self._mean(results, entry)] if with_mean else []))
            for entry in entries
            if any(cells := [self._shown(results, stream, entry, entries) for stream in streams])
        ]
        return (
            _table(("", *(each.name for each in streams), *(["**mean**"] if with_mean else [])), rows) if rows else ""
        )

    def _shown(self, results: Results, stream: Stream, entry: Entry, entries: Sequence[Entry]) -> str:
        text = self.of(results, stream, entry, self)
        if self.best is None or not text:
            return text
        values = [results.mean(stream.name, each.name, self.measure) for each in entries]
        best = self.best(each for each in values if each is not None)
        return f"**{text}**" if results.mean(stream.name, entry.name, self.measure) == best else text

    def _mean(self, results: Results, entry: Entry) -> str:
        return _number(results.mean_over(EIGHT, entry.name, self.measure), self.form)


def _accuracy(results: Results, stream: Stream, entry: Entry, chapter: Chapter) -> str:
    values = [each["accuracy"] for each in results.of(stream.name, entry.name)]
    if not values:
        return ""
    spread = f" ±{(max(values) - min(values)) / 2:.3f}".replace("0.", ".") if len(values) > 1 else ""
    return f"{sum(values) / len(values):{chapter.form}}{spread}"


def _followers(results: Results, stream: Stream, entry: Entry, chapter: Chapter) -> str:
    behind = results.mean(stream.name, entry.name, chapter.measure)
    if behind is None:
        return ""
    live, count = (results.mean(stream.name, entry.name, each) for each in ("live_then", "announced"))
    return f"{_number(live, chapter.form)} / {_number(behind, chapter.form)} ({_number(count, ',.0f')})"


def _swaps(results: Results, stream: Stream, entry: Entry, chapter: Chapter) -> str:
    del chapter
    if entry.way not in ("reset", "peeking", "anabranch") or not results.of(stream.name, entry.name):
        return ""
    judged, wrong = (results.total([stream.name], entry.name, each) for each in ("judged", "wrong"))
    return f"{judged}/{wrong}"


def _recovery(results: Results, stream: Stream, entry: Entry, chapter: Chapter) -> str:
    del chapter
    return _number(results.recovery(stream.name, entry.name), ",.0f")


def _streams(results: Results) -> str:
    rows = []
    for each in results.streams:
        events = max(one["events"] for one in results.all if one["stream"] == each.name)
        source = _source(each)
        prefix = ", a prefix" if each.limit else ""
        rows.append((each.name, source, f"{events:,}{prefix}", each.group, each.note))
    said = """The parameters of the synthetic streams were chosen among several so that River's trees and ARF10 alone
come out near figures that were known beforehand; no result of Anabranch's was looked at for it.
"""
    return said + "\n" + _table(("stream", "source", "events", "group", ""), rows, words=True)


def _source(stream: Stream) -> str:
    """The generator with the parameters of each concept, or the file."""
    if not stream.generator:
        return f"{stream.file}.csv.gz"
    concepts = "; ".join(", ".join(f"{name} {value}" for name, value in each.items()) for each in stream.concepts)
    return f"{stream.generator}: {concepts}"


def _number(value: float | None, form: str) -> str:
    if value is None:
        return ""
    return f"{value:.2e}" if value >= 1e6 else f"{value:{form}}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, words: bool = False) -> str:
    """A table in Markdown; its first column, or with `words` every one, begins on the left."""
    aligned = " | ".join(["---", *["---" if words else "---:"] * (len(head) - 1)])
    lines = [f"| {' | '.join(head)} |", f"| {aligned} |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"
