"""How crowded the house is: files a thousand lines, the longest function, the calls of an event, the rooms of a swap.

python -m benchmarks.house            the figures
python -m benchmarks.house --rooms    the modules of each room, as docs/ARCHITECTURE.md lists them
"""

import argparse
import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import orjson
import structlog

from anabranch.events import Record
from anabranch.messages import ModelUpdate, TrainedOn
from commands.compiling import ROOMS, ROOT
from config.loading import build
from consumers.jobs import InlineRunner
from consumers.loop import LearningLoop
from consumers.owner import Owner
from consumers.stores import MemoryStore
from consumers.telling import Ports
from evaluation.simulation.world import FrozenClock, MemoryLog, MemorySink, MemorySource
from learners.models import catalogue

WORLD = Path("evaluation/simulation/world")
EVENTS = 4000


def modules() -> Iterator[Path]:
    """Every module of the service."""
    for room in ROOMS:
        yield from sorted((ROOT / room).rglob("*.py"))


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """The functions of a module with their lines of code, the signature's too: no docstring, comments, blank lines."""
    source = path.read_text().splitlines()
    for node in ast.walk(ast.parse("\n".join(source))):
        if isinstance(node, ast.FunctionDef):
            documented = ast.get_docstring(node, clean=False) is not None
            body = node.body[1:] if documented else node.body
            lines = source[node.lineno - 1 : node.body[0].lineno - 1]
            lines += source[body[0].lineno - 1 : node.end_lineno] if body else []
            yield sum(bool(line.split("#")[0].strip()) for line in lines), f"{path.relative_to(ROOT)}:{node.name}"


def comments() -> int:
    """Lines that are comments, but for the headings of sections."""
    lines = (line.strip() for path in modules() for line in path.read_text().splitlines())
    return sum(line.startswith("# ") and not line.startswith("# ─") for line in lines)


class Calls:
    """Counts the calls of functions of the house while `of` runs."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.entries: list[tuple[str, str]] = []

    def of(self, work: Callable[[], Any]) -> "Calls":
        """Run it."""
        sys.setprofile(self._see)
        try:
            work()
        finally:
            sys.setprofile(None)
        return self

    def _see(self, frame: FrameType, what: str, _: object) -> None:
        here = _place(frame)
        if what != "call" or not here or frame.f_code.co_name in ("<genexpr>", "<listcomp>", "<dictcomp>", "<lambda>"):
            return
        self.calls.append(f"{here}:{frame.f_code.co_name}")
        before = frame.f_back
        while before is not None and not _place(before):
            before = before.f_back
        if before is not None and _room(_place(before)) != _room(here):
            self.entries.append((_place(before), here))

    @property
    def files(self) -> set[str]:
        """In which they stand."""
        return {call.partition(":")[0] for call in self.calls}


def _place(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    here = path.relative_to(ROOT) if path.is_relative_to(ROOT) else Path()
    # The log and the clock in memory stand for Kafka and the system, which lie outside.
    return str(here) if here.parts[:1] and here.parts[0] in ROOMS and WORLD not in here.parents else ""


def _room(place: str) -> str:
    return place.partition("/")[0]


def owner_on(log: MemoryLog) -> Owner:
    """The owner of a small model on a log, at its first record."""
    settings = build(
        {
            "name": "m",
            "task": "binary",
            "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]},
            "publish": {"warm_up_events": 50, "refresh_events": 0, "report_events": 10**6},
            "arena": {"false_swap_every": 1000},
            "retrain": {"admit_after_events": 20},
            "checkpoint": {"every_events": 10**6},
        }
    )
    source, store = MemorySource(log, "events"), MemoryStore()
    ports = Ports(
        source=source,
        sink=MemorySink(log),
        stores=lambda scope: store,
        runners=lambda scope: InlineRunner(settings, reader=source),
        clock=FrozenClock(),
    )
    loop = LearningLoop(settings, first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()), ports=ports)
    source.start(loop)
    loop.owner.checkpoint()
    return loop.owner


def measured() -> tuple[Calls, Calls]:
    """One plain event, and the event of a swap."""
    log = MemoryLog()
    for n in range(EVENTS):
        x = {"a": float(n % 7), "b": float(n % 5)}
        label = (x["a"] > 3) != (n > EVENTS // 2)
        log.append("events", orjson.dumps({"id": f"e{n}", "ts": 1.6e9, "features": x, "label": label}))
    records: list[Record] = log.records["events", 0]
    heard: list[Any] = []
    owner = owner_on(log)
    owner.listener = heard.append
    plain = Calls()
    for number, record in enumerate(records):
        if number == EVENTS // 4:
            plain.of(lambda record=record: owner.take(record))  # type: ignore[misc]  # bound for this turn
            continue
        calls = Calls().of(lambda record=record: owner.take(record))  # type: ignore[misc]  # likewise
        if any(isinstance(each, ModelUpdate) and each.kind == "swap" for each in heard):
            return plain, calls
        heard.clear()
    raise AssertionError("there was no swap")


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    return docstring.partition("\n")[0]


def tables() -> Iterator[str]:
    """The modules of each room, as Markdown."""
    for room in ROOMS:
        rows = [f"**{room}/**\n", "| module | what it holds |", "|---|---|"]
        for path in modules():
            inside = path.relative_to(ROOT)
            if inside.parts[0] == room and (path.name != "__init__.py" or len(path.read_text().splitlines()) > 3):
                name = inside.relative_to(room)
                of_folder = path.name == "__init__.py" and name.parent != Path()
                rows.append(f"| `{f'{name.parent}/' if of_folder else name}` | {_first_line(path)} |")
        yield "\n".join(rows)


def main() -> None:
    """Print what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", action="store_true")
    if parser.parse_args().rooms:
        print("\n\n".join(tables()))
        return
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    lines = sum(len(path.read_text().splitlines()) for path in modules())
    files = len(list(modules()))
    longest = sorted((each for path in modules() for each in functions(path)), reverse=True)[:3]
    plain, swap = measured()
    print(f"{files} files, {lines:,} lines: {1000 * files / lines:.1f} files a thousand lines")
    print(f"comments: {100 * comments() / lines:.1f} in a hundred lines")
    print("longest functions, lines of code:", ", ".join(f"{count} {name}" for count, name in longest))
    print(
        f"one plain event: {len(plain.calls)} calls in {len(plain.files)} files, {len(plain.entries)} into another room"
    )
    print(f"one swap: {len(swap.files)} files, {len(swap.entries)} entries into another room")


if __name__ == "__main__":
    main()
