"""The PostgreSQL inbox with a synchronous standby: whatever is acknowledged, both servers have."""

from __future__ import annotations

import asyncio

import pytest

from archiver.errors import InboxUnavailableError
from tests.archiver.inbox.test_postgres import NAME, at_work, comes_true, typed
from tests.archiver.postgres_server import running
from tests.contracts.inbox import DUPLICATE, STORED, webhook

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


async def test_a_duplicate_is_acknowledged_once_the_standby_has_it() -> None:
    """After a crash the primary shows what the standby never heard, and may still be lost."""
    with running() as primary, primary.synchronous_standby() as standby:
        url = primary.new_database()

        async def waits(number: int) -> asyncio.Task[object]:
            delivered = asyncio.create_task(inbox.append(webhook(number)))
            assert await comes_true(lambda: bool(typed(url, WAITING)) or delivered.done())
            assert not delivered.done()
            return delivered

        async with at_work(url, NAME) as (inbox,):
            assert await inbox.append(webhook(1)) is STORED
            await asyncio.to_thread(standby.stop)
            first = await waits(2)
            await asyncio.to_thread(primary.stop)
            with pytest.raises(InboxUnavailableError):
                await first
            await asyncio.to_thread(primary.start)
            again = await waits(2)
            await asyncio.to_thread(standby.start)
            assert await again is DUPLICATE
