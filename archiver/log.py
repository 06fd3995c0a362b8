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


class Outage:
    """Tells when a trouble begins and when it is over, however often it is met meanwhile.

    A line for each request would fill the very disk whose fault it may be.
    """

    def __init__(self, begun: str, over: str) -> None:
        self._begun = begun
        self._over = over
        self._met = 0

    @property
    def lasts(self) -> bool:
        """Whether the trouble was met and is not known to be over."""
        return self._met > 0

    def met(self, error: Exception) -> None:
        """The trouble, once more."""
        if not self._met:
            logger().error(self._begun, error=str(error))
        self._met += 1

    def over(self) -> None:
        """All is well; says so if it was not before, and how often the trouble was met."""
        if self._met:
            logger().info(self._over, refused=self._met)
            self._met = 0


def _redact_values(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = "\n".join(map(redact, value.split("\n")))
    return event
