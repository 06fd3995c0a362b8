"""Logging: one JSON line on stderr for each change of state, never for each request."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
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
        logger_factory=structlog.WriteLoggerFactory(file=file),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    # aiohttp logs a traceback for every malformed request, which is any stranger's to send.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


def logger() -> Any:
    """The logger; call it as `logger().info("what happened", key=value)`."""
    return structlog.get_logger()


def _redact_values(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = redact(value)
    return event
