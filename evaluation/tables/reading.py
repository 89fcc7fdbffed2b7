"""How a table is to be read: what a person says of its columns."""

from dataclasses import dataclass

ALL = "*"
"""As a name in `keep`: every column."""


@dataclass(frozen=True)
class Reading:
    """What the columns mean, and what cannot be seen in the file.

    Attributes:
        target: the column that holds the label.
        ts: the column that holds the time; without one, a row counts as a second.
        ts_format: strptime's format of the time, where the file's own is not known.
        id: the column that holds the event's id; without one, it is the file's name and the row's number.
        keep: columns that stay features though they look like a time or an id; "*" keeps all.
        drop: columns that are no features.
        missing: further words that stand for no value.
        encoding: of the text, where it is not to be guessed.
        positive: the configuration's positive class: a label of numbers or truths is then read as strings.
        truths: the label is true or false; words such as yes and no are taken for it.
        asked: columns that the configuration names.
    """

    target: str = "target"
    ts: str | None = None
    ts_format: str | None = None
    id: str | None = None
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    encoding: str | None = None
    positive: str | None = None
    truths: bool = False
    asked: frozenset[str] = frozenset()

    @property
    def wanted(self) -> list[str]:
        """The columns that must be there, the label's first."""
        named = [self.target, self.ts, self.id, *self.drop, *(name for name in self.keep if name != ALL)]
        return list(dict.fromkeys(name for name in named if name is not None))

    def keeps(self, name: str) -> bool:
        """Whether a column stays a feature whatever it looks like."""
        return name in self.keep or ALL in self.keep or name in self.asked
