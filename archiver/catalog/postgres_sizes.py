"""How much room an archive's tables take on a PostgreSQL."""

from __future__ import annotations

from archiver.database import Connection


def table_bytes(connection: Connection) -> tuple[int, int]:
    """Of the catalog, and of the inboxes; each with its indexes and what its rows have outsourced.

    An archive that nobody has heard anything in has no inboxes yet.
    """
    row = connection.execute(
        "SELECT pg_database_size(current_database()),"
        " coalesce(pg_total_relation_size(to_regclass('deliveries')), 0)"
    ).fetchone()
    whole, inboxes = int(row[0]), int(row[1])
    return whole - inboxes, inboxes
