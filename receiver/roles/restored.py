"""Inbox files that lie beside the others since a restore: nobody hears into them, so the archive
owns them, and takes out of them what is not to be kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from archiver.errors import InboxUnavailableError
from archiver.inbox.pruning import Pruner
from archiver.inbox.sqlite import inbox_files
from archiver.log import logger
from archiver.recovery.restore_plan import was_restored
from receiver.settings import CatalogTable
from receiver.stores import inboxes_of


@asynccontextmanager
async def owned(catalog: CatalogTable) -> AsyncIterator[None]:
    """Owns those there are while inside; one that cannot be opened is nobody else's trouble."""
    async with AsyncExitStack() as stack:
        store = inboxes_of(catalog)
        # On a server nothing is restored beside anything, and what lies here is of another archive.
        for path in () if catalog.is_on_server else inbox_files(catalog.inbox_folder):
            if not was_restored(path.name):
                continue
            inbox = store.writer(path.stem)
            try:
                await inbox.start()
            except InboxUnavailableError as error:
                logger().error("a restored inbox cannot be opened", error=str(error))
                continue
            stack.push_async_callback(inbox.close)
            pruner = Pruner(inbox=inbox, orders=partial(store.orders, path.stem))
            await stack.enter_async_context(pruner.at_work())
        yield
