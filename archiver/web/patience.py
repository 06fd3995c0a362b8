"""How long a page is searched for."""

from __future__ import annotations

from collections.abc import Callable

from archiver.clock import monotonic
from archiver.web.searching import SECONDS


def deadline() -> Callable[[], bool]:
    """Whether the time of a search that begins now is up: whoever waits longer has a part."""
    ends_at = monotonic() + SECONDS
    return lambda: monotonic() > ends_at
