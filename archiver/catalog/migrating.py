"""Bringing a catalog to the newest schema, wherever it lies: what only the archive's owner does."""

from __future__ import annotations

from pathlib import Path

from archiver.catalog import schema
from archiver.drivers import is_on_server, server_room


def migrate(where: Path | str) -> None:
    """Brings the catalog to the newest schema, made if missing; one process at a time.

    `where` as for `Catalog`. Raises CatalogUnavailableError for a server that cannot do it now, and
    ConfigError without its driver.
    """
    if not is_on_server(where):
        schema.migrate(Path(where))
        return
    server_room("archiver.catalog.postgres_store").PostgresStore(where).migrate()
