"""Inboxes that lie beside the others since a restore: nobody hears into them, so the archive owns
them, and takes out of them what is not to be kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from archiver.errors import InboxUnavailableError
from archiver.inbox.pruning import Pruner
from archiver.inbox.sqlite import SqliteInbox, inbox_files
from archiver.log import logger
from archiver.recovery.restore_plan import was_restored
from receiver.settings import CatalogTable


@asynccontextmanager
async def owned(catalog: CatalogTable) -> AsyncIterator[None]:
    """Owns those there are while inside; one that cannot be opened is nobody else's trouble."""
    async with AsyncExitStack() as stack:
        for path in inbox_files(catalog.inbox_folder):
            if not was_restored(path.name):
                continue
            inbox = SqliteInbox(path)
            try:
                await inbox.start()
            except InboxUnavailableError as error:
                logger().error("a restored inbox cannot be opened", error=str(error))
                continue
            stack.push_async_callback(inbox.close)
            pruner = Pruner(inbox=inbox, path=path, catalog=catalog.path)
            await stack.enter_async_context(pruner.at_work())
        yield
