"""The archive as commands read it: straight from its files, beside a running service or without."""

from __future__ import annotations

from archiver.catalog import CatalogReader
from archiver.errors import ConfigError
from receiver.settings import Config


def open_archive(config: Config) -> CatalogReader:
    """The catalog for reading; raises ConfigError, saying what to type, if there is none."""
    path = config.catalog.path
    if not path.exists():
        raise ConfigError(
            f"there is no archive at {path}: start the service once, or point to another with "
            "--config FILE (before the command's name)"
        )
    return CatalogReader(path)
