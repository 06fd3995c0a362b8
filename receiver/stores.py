"""The inboxes of the archive that is configured, wherever its catalog says that they lie."""

from __future__ import annotations

from archiver.inbox.stores import InboxStore, inbox_store
from receiver.settings import CatalogTable


def inboxes_of(catalog: CatalogTable, *, node: str | None = None) -> InboxStore:
    """Those of all nodes; those it writes are this node's, or another's that is named.

    Raises ConfigError.
    """
    return inbox_store(
        catalog.where,
        folder=catalog.inbox_folder,
        node=node or catalog.node_name,
        min_free_bytes=catalog.min_free_bytes,
    )
