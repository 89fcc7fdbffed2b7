"""How far a reproduction is, for a person."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress(events: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Shows on standard error how many of so many events are learned; is told by what it gives."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda learned: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("events learned again", total=events)
        yield lambda learned: bar.update(task, completed=learned)
