"""A learner that dies on command: `anabranch learn`, with the ports wrapped in fail points.

python -m benchmarks.faults.learner CONFIG --journal FILE [--at commit:before --passing 3 --how kill] [--pace N]
"""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import structlog

from anabranch.errors import AnabranchError
from benchmarks.faults.points import NAMES, Points, arm
from commands import wiring
from commands.main import exit_code
from consumers.loop import LearningLoop
from consumers.supervisor import supervise

HOW = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def main(words: Sequence[str] | None = None) -> None:
    """Learn until the point, or until the end, with the exit codes of `anabranch learn`."""
    options = _options(words)
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    points = Points(options.at, passing=options.passing, how=HOW[options.how], journal=options.journal)
    try:
        _learn(options, points)
    except AnabranchError as error:
        print(f"anabranch: {error}", file=sys.stderr)
        sys.exit(exit_code(error))


def _learn(options: argparse.Namespace, points: Points) -> None:
    settings = wiring.settings_at(options.config)
    first = wiring.first_champion(settings)

    def armed(stopping: threading.Event, before: LearningLoop | None) -> LearningLoop:
        loop = wiring.learning_loop(settings, first=first, before=before, stopping=stopping)
        arm(loop, points, pace=options.pace)
        return loop

    supervise(armed, until_end=options.until_end)


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--at", choices=("", *NAMES), default="")
    parser.add_argument("--passing", type=int, default=1)
    parser.add_argument("--how", choices=tuple(HOW), default="kill")
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--until-end", action="store_true")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
