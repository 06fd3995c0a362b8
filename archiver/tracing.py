"""One trace per generation: when each of its deliveries came, and every job that was done for it.

The trace's id is made of the generation's name, so nothing has to be carried along, from one
process to another or from one day to the next. Off until `begin` is given a collector.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from archiver.errors import ConfigError

_MODULE = "archiver.spans"

# Any: whatever is like `archiver.spans.Collector`, of an extra that need not be installed.
_collector: Any = None


def begin(endpoint: str, role: str) -> None:
    """From now on spans go to that collector, an OTLP endpoint over HTTP; raises ConfigError."""
    global _collector
    if not endpoint:
        return
    try:
        module = importlib.import_module(_MODULE)
    except ImportError as error:
        raise ConfigError(
            "tracing.endpoint is set, and what sends spans is not installed: "
            "pip install 'holdfast[tracing]', or leave the setting out"
        ) from error
    _collector = module.Collector(endpoint, role)


def end() -> None:
    """Sends what waits; blocking, for some seconds at most."""
    global _collector
    if _collector is not None:
        _collector.close()
    _collector = None


def is_on() -> bool:
    """Whether anybody wants spans."""
    return _collector is not None


def span(
    name: str,
    of: tuple[str, str],
    *,
    began_at: datetime,
    ended_at: datetime,
    says: Mapping[str, object],
) -> None:
    """Tells of something that was done for the generation `of` that provider and id."""
    if _collector is not None:
        _collector.span(name, of, began_at, ended_at, says)
