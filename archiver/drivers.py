"""Which driver leads to a database, and by which URL; a server's is loaded only for who has one."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from archiver.errors import ConfigError

_POSTGRES = ("postgresql://", "postgres://")


def is_on_server(where: Path | str) -> bool:
    """Whether it is a URL that begins with postgresql://; a path or another URL means a file."""
    return isinstance(where, str) and where.startswith(_POSTGRES)


def with_password(url: str, password: str) -> str:
    """A server's URL as its driver takes it, a secret; it must have no password in it before."""
    if not password:
        return url
    return f"{url}{'&' if '?' in url else '?'}password={quote(password, safe='')}"


def server_room(name: str) -> Any:
    """The room of that name, which speaks to PostgreSQL: its driver takes long to load.

    Raises ConfigError where nothing is installed that does.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            "catalog.url names a PostgreSQL, and its driver is missing: pip install "
            "'holdfast[postgres]'"
        ) from error
