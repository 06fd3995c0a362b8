"""The inbox of what commands hear: what they submit, watch and adopt, with or without a service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from archiver.inbox.sqlite import SqliteInbox
from receiver.settings import Config


@asynccontextmanager
async def command_inbox(config: Config) -> AsyncIterator[SqliteInbox]:
    """Open while inside; the service absorbs it like any other, now or at its next start.

    Commands may share it, being slow: SQLite lets one write at a time. Raises
    InboxUnavailableError.
    """
    catalog = config.catalog
    inbox = SqliteInbox(catalog.inbox_folder / "command.db", min_free_bytes=catalog.min_free_bytes)
    await inbox.start()
    try:
        yield inbox
    finally:
        await inbox.close()
