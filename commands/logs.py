"""How log lines of all rooms look: for people in a terminal, as JSON elsewhere; always on standard error."""

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog


def configure(*, worker: int | None = None) -> None:
    """Take effect for the whole process.

    Args:
        worker: which of several processes this is; each line says so.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *([] if worker is None else [_with(worker=worker)]),
            structlog.processors.TimeStamper(fmt="iso"),
            without_empty,
            structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(),
        ],
        # With ANABRANCH_LOG=debug, also how long each checkpoint took.
        wrapper_class=structlog.make_filtering_bound_logger(
            "debug" if os.environ.get("ANABRANCH_LOG") == "debug" else "info"
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    shared = logging.getLogger("anabranch")  # what other services install as well logs as they are used to
    shared.handlers = [Retold()]
    # Or a root logger that some library has configured would tell each line a second time.
    shared.propagate = False


def _with(**more: object) -> structlog.typing.Processor:
    def added(_: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        del method
        fields.update(more)
        return fields

    return added


def without_empty(_: Any, method: str, fields: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A field that says nothing is left out."""
    del method
    return {name: value for name, value in fields.items() if value not in ("", None)}


class Retold(logging.Handler):
    """Tells the records of Python's `logging` as the other lines are told."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tell one."""
        structlog.get_logger().log(record.levelno, record.getMessage())
