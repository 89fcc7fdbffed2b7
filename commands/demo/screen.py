"""The demo's view: charts and what happened last, live in a terminal, else a line for each happening.

>>> sparkline([0.0, 0.05, 0.1, 0.2], top=0.2)
'▁▂▄█'
>>> bar(0.5, width=8)
'████    '
>>> chart = Chart(width=6, height=2, top=0.2)
>>> chart.area([0.0, 0.05, 0.1, 0.2, None, None])
>>> chart.line([0.2, 0.2, 0.2, 0.2, 0.2, 0.2], "─", style="red")
>>> for row in chart.rows():
...     print(row.plain)
──────
 ▄██
"""

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from anabranch.messages import MemberReport
from commands.demo.story import Story

# ── Charts out of characters: an area with lines over it, a sparkline, a bar. Pure ──────────────────────────────────

BLOCKS = " ▁▂▃▄▅▆▇█"


def columns(points: Iterable[tuple[int, float]], *, width: int, end: int) -> list[float | None]:
    """The values of points (offset, value), spread over `width` columns from offset 0 to `end`.

    A column without a point repeats the one before it, up to the last that has one.
    """
    found: list[float | None] = [None] * width
    last = -1
    for offset, value in points:
        last = column(offset, width=width, end=end)
        found[last] = value
    for n in range(1, last):
        if found[n] is None:
            found[n] = found[n - 1]
    return found


def column(offset: int, *, width: int, end: int) -> int:
    """The column in which an offset lies."""
    return min(width - 1, offset * width // max(1, end))


def sparkline(values: Sequence[float], *, top: float) -> str:
    """A character a value."""
    return "".join(BLOCKS[max(1, min(8, round(value / top * 8)))] for value in values)


def bar(share: float, *, width: int) -> str:
    """A bar that is full at 1."""
    filled = round(max(0.0, min(1.0, share)) * width)
    return "█" * filled + " " * (width - filled)


class Chart:
    """A grid of styled characters; what is drawn later goes over what was there, the area excepted.

    Args:
        top: the value at the upper edge; 0 is at the lower one.
    """

    def __init__(self, *, width: int, height: int, top: float) -> None:
        self.height = height
        self.top = top
        self.cells = [[(" ", "") for _ in range(width)] for _ in range(height)]

    def area(self, values: Sequence[float | None], *, style: str = "") -> None:
        """Fill the columns up to the values."""
        for n, value in enumerate(values):
            if value is None:
                continue
            eighths = round(min(1.0, value / self.top) * 8 * self.height)
            for row in range(self.height):
                filled = max(0, min(8, eighths - 8 * row))
                if filled:
                    self.cells[self.height - 1 - row][n] = (BLOCKS[filled], style)

    def line(self, values: Sequence[float | None], mark: str, *, style: str) -> None:
        """Put a mark in each column at the height of its value."""
        for n, value in enumerate(values):
            if value is not None:
                row = min(self.height - 1, int(value / self.top * self.height))
                self.cells[self.height - 1 - row][n] = (mark, style)

    def upright(self, at: int, mark: str, *, style: str) -> None:
        """A vertical line behind everything: where nothing is drawn yet."""
        for row in self.cells:
            if row[at][0] == " ":
                row[at] = (mark, style)

    def rows(self) -> list[Text]:
        """The rows, from the top."""
        return [Text.assemble(*row) for row in self.cells]


# ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

RATE_S = 3.0
SCALE_CHARS = 6
STYLES = {
    "planted": "yellow",
    "signal": "magenta",
    "first": "green",
    "swap": "bold green",
    "rollback": "bold red",
    "dead letter": "red",
}
MARKS = (("swap", "⇄"), ("rollback", "↺"), ("signal", "!"), ("dead letter", "×"))


WIDE = 100


class Screen:
    """Draws the story to fit a terminal, from 80×24 upwards."""

    def __init__(self, *, rate: float) -> None:
        self.rate = rate
        self.sent: deque[tuple[float, int]] = deque(maxlen=50)

    def render(self, story: Story, size: ConsoleDimensions, *, now_s: float) -> RenderableType:
        """The whole screen."""
        low = size.height < 28
        shadows, told = (2, 3) if low else (3, 7)
        chart = max(3, size.height - 3 - 4 - (shadows + 2) - (told + 2))
        frame = Table.grid(expand=True)  # keeps each part on lines of its own
        for part in (
            self._head(story, now_s, wide=size.width >= WIDE),
            _where(story),
            ProgressBar(total=story.stream.events, completed=story.learned),
            _errors(story, width=size.width - 4, height=chart),
            _shadows(story, rows=shadows),
            _told(story, rows=told),
        ):
            frame.add_row(part)
        return frame

    def _head(self, story: Story, now_s: float, *, wide: bool) -> RenderableType:
        self.sent.append((now_s, story.sent))
        while now_s - self.sent[0][0] > RATE_S:
            self.sent.popleft()
        elapsed_s, sent = now_s - self.sent[0][0], story.sent - self.sent[0][1]
        left_s = max(0.0, (story.stream.records - story.sent) / self.rate)
        head = Table.grid(expand=True)
        head.add_column(no_wrap=True)
        head.add_column(justify="right", no_wrap=True)
        rate = sent / elapsed_s if elapsed_s else 0.0
        head.add_row(
            f"[bold]anabranch[/] [bold green]v{story.version}[/]"
            f"  follower [bold green]v{story.followed}[/] {story.scored:,} scored"
            + (f"  [dim]{story.waiting:,} wait for their labels[/]" if wide and story.waiting else ""),
            f"{story.learned:,}/{story.stream.events:,}  {rate:,.0f}/s  {left_s:.0f} s left"
            if story.sent
            else "[yellow]starting, and measuring the model without adaptation[/]",
        )
        return head


# ── the panels ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _errors(story: Story, *, width: int, height: int) -> Panel:
    """The champion's error as an area, that of the model without adaptation and those of shadows as lines over it."""
    inner, end = width - SCALE_CHARS - 1, story.stream.records
    unadapted = [point for point in story.unadapted if point.offset <= story.at]
    top = max(0.05, *(loss for _, loss in [*story.champion, *unadapted, (0, 0.0)])) * 1.05
    chart = Chart(width=inner, height=height, top=top)
    chart.area(columns(story.champion, width=inner, end=end), style="cyan")
    for change in story.stream.changes[: story.planted]:
        chart.upright(column(change.offset, width=inner, end=end), "┊", style="yellow")
    chart.line(columns(unadapted, width=inner, end=end), "─", style="red")
    for points in story.shadows.values():
        chart.line(columns(points, width=inner, end=end), "•", style="bold bright_white")
    rows = chart.rows()
    scale = [f"{top:.3f}", *[""] * (height - 2), "0"]
    body = [Text.assemble(f"{label:>{SCALE_CHARS}}", ("│", "dim"), row) for label, row in zip(scale, rows, strict=True)]
    legend = "error: [cyan]█ champion[/]  [red]─ without adaptation[/]  [bold]•[/] shadows"
    body += _axis(story, width=inner)
    return Panel(
        Group(*body), title=legend, subtitle=_key(), title_align="left", subtitle_align="left", border_style="dim"
    )


def _axis(story: Story, *, width: int) -> list[Text]:
    """Two rows below the chart: the planted changes, and what came of them."""
    end, margin = story.stream.records, " " * SCALE_CHARS
    planted, said = [("─", "dim")] * width, [(" ", "")] * width
    for change in story.stream.changes[: story.planted]:
        planted[column(change.offset, width=width, end=end)] = ("▲", STYLES["planted"])
    # The first of them is drawn last: in the same column a swap is worth more than a signal.
    for kind, mark in reversed(MARKS):
        for happening in story.happenings:
            if happening.kind == kind:
                said[column(happening.offset, width=width, end=end)] = (mark, STYLES[kind])
    return [Text.assemble(margin, ("└", "dim"), *planted), Text.assemble(margin, " ", *said)]


def _key() -> str:
    marks = " ".join(f"[{STYLES[kind]}]{mark}[/] {kind}" for kind, mark in MARKS)
    return f"[yellow]▲[/] planted change {marks}"


def _shadows(story: Story, *, rows: int) -> Panel:
    """The shadows in the arena: error, gain with its interval, evidence."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for _ in range(3):
        table.add_column(no_wrap=True)
    members = story.report.members[1:] if story.report else ()
    for member in members[:rows]:
        table.add_row(*_shadow(story, member))
    for _ in range(rows - len(members)):
        table.add_row("", "", "", "")
    more = f", {len(members) - rows} more" if len(members) > rows else ""
    jobs = f", {story.report.jobs} in training" if story.report and story.report.jobs else ""
    title = f"arena: {len(members)} in it{more}{jobs}; error, gain with its interval, evidence"
    return Panel(table, title=title, title_align="left", border_style="dim", height=rows + 2)


def _shadow(story: Story, member: MemberReport) -> tuple[RenderableType, ...]:
    recent = [loss for _, loss in story.shadows.get(member.name, [])][-12:]
    top = max([*recent, *(loss for _, loss in story.champion[-12:]), 0.01])
    verdict = member.verdict
    evidence = verdict.evidence if verdict else 0.0
    gain = f"{verdict.gain:+.3f} [{verdict.low:+.3f}, {verdict.high:+.3f}]" if verdict else ""
    return (
        Text(member.name),
        Text(f"{sparkline(recent, top=top):>12} {member.loss:.3f}", style="cyan"),
        Text(gain),
        Text.assemble((bar(_towards(evidence), width=6), "green"), f"{min(evidence, 1):>4.0%}"),
    )


def _towards(evidence: float) -> float:
    """How much of the bar to fill: evidence grows by factors, and an equal soon has 1 % of what a win needs."""
    return 1 + math.log10(max(evidence, 0.01)) / 2


def _told(story: Story, *, rows: int) -> Panel:
    """The last happenings, newest below."""
    lines = [
        Text.assemble(
            (f"{each.offset:>7,}  ", "dim"),
            (f"{each.kind}: ", STYLES.get(each.kind, "dim")),
            each.words,
            no_wrap=True,
            overflow="ellipsis",
        )
        for each in story.happenings[-rows:]
    ]
    return Panel(Group(*lines), title="what happened", title_align="left", border_style="dim", height=rows + 2)


# ── What is seen of the demo while it runs: a live view in a terminal, plain lines elsewhere ────────────────────────

REFRESH_S = 0.25
PROGRESS_S = 5.0

Show = Callable[[Story], None]


@contextmanager
def view(console: Console, *, rate: float, live: bool) -> Iterator[Show]:
    """What to call with the story, as often as one likes."""
    if not live:
        yield Lines(rate=rate).show
        return
    console.print("starting the broker, the learner and the follower …")
    screen = Screen(rate=rate)
    shown_s = 0.0
    with Live(console=console, auto_refresh=False, screen=True, vertical_overflow="crop") as display:

        def show(story: Story) -> None:
            nonlocal shown_s
            now_s = time.monotonic()
            if now_s - shown_s >= REFRESH_S:
                shown_s = now_s
                display.update(screen.render(story, console.size, now_s=now_s), refresh=True)

        yield show


def _where(story: Story) -> Text:
    """Where it can be looked at and asked while it runs."""
    page = f"{story.dashboard}  " if story.dashboard else ""
    return Text.assemble((page, "bold"), (f"$ {story.curl}" if story.curl else "", "dim"), no_wrap=True)


class Lines:
    """Plain lines on standard error: what happens, and now and then how far it is."""

    def __init__(self, *, rate: float) -> None:
        self.rate = rate
        self.told = 0
        self.said_curl = self.said_dashboard = False
        self.progress_s = 0.0

    def show(self, story: Story) -> None:
        """Print what is new."""
        for happening in story.happenings[self.told :]:
            print(f"{happening.offset:>7,}  {happening.kind}: {happening.words}", file=sys.stderr, flush=True)
        self.told = len(story.happenings)
        if story.curl and not self.said_curl:
            self.said_curl = True
            print(f"while it runs, ask it: {story.curl}", file=sys.stderr, flush=True)
        if story.dashboard and not self.said_dashboard:
            self.said_dashboard = True
            print(f"while it runs, look at it: {story.dashboard}", file=sys.stderr, flush=True)
        now_s = time.monotonic()
        if now_s - self.progress_s >= PROGRESS_S:
            self.progress_s = now_s
            print(f"{story.at:>7,}  {progress(story)}", file=sys.stderr, flush=True)


def progress(story: Story) -> str:
    """How far it is, in a few words."""
    loss = f", error {story.champion[-1].loss:.3f}" if story.champion else ""
    return f"{story.learned:,} of {story.stream.events:,} events learned, version {story.version}{loss}"
