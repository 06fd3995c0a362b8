"""The archive as commands use it: straight from its files, beside a running service or without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from archiver.catalog import Catalog, CatalogReader
from archiver.errors import ConfigError
from receiver.settings import Config


def open_archive(config: Config) -> CatalogReader:
    """The catalog for reading; raises ConfigError, saying what to type, if there is none."""
    where = config.catalog.where
    if isinstance(where, Path) and not where.exists():
        raise ConfigError(
            f"there is no archive at {where}: start the service once, or point to another with "
            "--config FILE (before the command's name)"
        )
    return CatalogReader(where)


@asynccontextmanager
async def writing(config: Config) -> AsyncIterator[Catalog]:
    """The catalog for short changes, as any role makes them; raises CatalogUnavailableError."""
    catalog = Catalog(config.catalog.where)
    await catalog.start()
    try:
        yield catalog
    finally:
        await catalog.close()
