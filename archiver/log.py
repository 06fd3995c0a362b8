"""Logging: one JSON line on stderr for each change of state, never for each request."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog

from archiver.redact import redact


def configure(role: str, *, file: TextIO = sys.stderr) -> None:
    """Sets the process's logging up once, at its start; every line names the role."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_values,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=lambda *_: _Patient(file),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    # aiohttp logs a traceback for every malformed request, which is any stranger's to send.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


class _Patient:
    """Writes lines; one that a full disk or a closed pipe refuses is lost, and nobody fails."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def msg(self, line: str) -> None:
        """One line; structlog calls it by the name of its level."""
        with suppress(OSError, ValueError):
            self._file.write(f"{line}\n")
            self._file.flush()

    debug = info = warning = error = exception = critical = msg


def logger() -> Any:
    """The logger; call it as `logger().info("what happened", key=value)`."""
    return structlog.get_logger()


def _redact_values(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = "\n".join(map(redact, value.split("\n")))
    return event
