"""Charts out of characters: an area with lines over it, a sparkline, a bar. Pure.

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

from collections.abc import Iterable, Sequence

from rich.text import Text

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
