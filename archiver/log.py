"""Logging: one line on stderr for each change of state, never for each request.

JSON for machines, or words for whoever looks on at a terminal. Before a line is written, every
secret is cut out of it: what looks like one (`redact`), and what is known to be one (`conceal`).
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Literal, TextIO
from urllib.parse import quote

import msgspec
import structlog

from archiver.redact import SECRET_NAME, redact_lines

# A shorter one is no secret, and would be found in every second word.
MIN_SECRET_CHARACTERS = 8
# Deeper than anything of ours; what a stranger has nested deeper is not shown.
_MAX_DEPTH = 7

# What a terminal would obey.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != 10}


class Style(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it is logged, and what: `auto` is words at a terminal, and JSON anywhere else."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class _Concealed:
    """The secrets of this process, as one pattern that finds any of them in a text."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def add(self, secrets: Iterable[str]) -> None:
        for secret in secrets:
            lines = (line.strip() for line in secret.splitlines())
            for line in lines:
                if len(line) >= MIN_SECRET_CHARACTERS:
                    self._known |= {line, quote(line, safe=""), json.dumps(line)[1:-1]}
        if self._known:
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def cut_out(self, text: str) -> str:
        return self._pattern.sub("…", text) if self._pattern else text


_concealed = _Concealed()


def conceal(secrets: Iterable[str]) -> None:
    """From now on no line of this process holds any of these, in whatever place or wrapping.

    Call it with the secrets of the configuration, and again with new ones; what was a secret once
    stays one.
    """
    _concealed.add(secrets)


def configure(role: str, style: Style | None = None, *, file: TextIO = sys.stderr) -> None:
    """Sets the process's logging up once, at its start; every line names the role."""
    style = style or Style()
    terminal = file.isatty()
    words = terminal if style.format == "auto" else style.format == "console"
    level = logging.getLevelNamesMapping()[style.level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redact_values,
            *(_for_eyes(colors=terminal) if words else _FOR_MACHINES),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _Patient(file),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    # aiohttp logs a traceback for every malformed request, which is any stranger's to send.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    # It speaks of what it also raises, in no form of ours.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)


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


Event = MutableMapping[str, Any]


def _redact_values(_logger: Any, _method: str, event: Event) -> Event:
    cleaned: Event = _cleaned(event, 0)
    return cleaned


def _cleaned(value: Any, depth: int) -> Any:
    """The same in values of JSON, without any secret."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        if depth == _MAX_DEPTH:
            return "…"
        if isinstance(value, Mapping):
            return {
                _text(str(name)): "…" if _is_secret(name) else _cleaned(it, depth + 1)
                for name, it in value.items()
            }
        return [_cleaned(it, depth + 1) for it in value]
    if isinstance(value, BaseException):
        return _text(f"{type(value).__name__}: {value}")
    if isinstance(value, bytes | bytearray | memoryview):
        return _text(bytes(value).decode(errors="backslashreplace"))
    return _text(str(value))


def _text(text: str) -> str:
    return redact_lines(_concealed.cut_out(text))


def _is_secret(name: Any) -> bool:
    text = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
    return SECRET_NAME.fullmatch(text) is not None


_FOR_MACHINES = (structlog.processors.JSONRenderer(ensure_ascii=False),)


def _for_eyes(*, colors: bool) -> tuple[Any, ...]:
    # Its exceptions are text by now, in which nothing is left to be shown too much of.
    plain = structlog.dev.plain_traceback
    return _harmless, structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)


def _harmless(_logger: Any, _method: str, event: Event) -> Event:
    """No stranger's text moves a terminal's cursor."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = value.translate(_CONTROLS)
    return event
