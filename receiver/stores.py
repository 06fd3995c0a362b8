"""The inboxes of the archive that is configured, wherever its catalog says that they lie."""

from __future__ import annotations

from archiver.errors import InboxUnavailableError
from archiver.inbox import OwnedInbox
from archiver.inbox.stores import InboxStore, inbox_store
from archiver.log import logger
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


async def start_inbox(inbox: OwnedInbox, catalog: CatalogTable) -> None:
    """Takes an inbox; one on a server that is not there yet is taken once it is.

    Until then whoever is heard is refused with 503, instead of waiting for a listener that nobody
    serves. Raises InboxUnavailableError for a file.
    """
    try:
        await inbox.start()
    except InboxUnavailableError as error:
        if not catalog.is_on_server:
            raise
        logger().error("an inbox is not taken yet", error=str(error))
        await inbox.start(opened=False)
