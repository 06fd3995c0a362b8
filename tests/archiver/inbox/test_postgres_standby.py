"""The PostgreSQL inbox with a synchronous standby: whatever is acknowledged, both servers have."""

from __future__ import annotations

import asyncio

import pytest

from archiver.errors import InboxUnavailableError
from tests.archiver.inbox.test_postgres import NAME, at_work, comes_true, typed
from tests.archiver.postgres_server import running
from tests.contracts.inbox import DUPLICATE, STORED, webhook

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

CANCEL = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


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


async def test_a_wait_for_the_standby_that_is_cancelled_acknowledges_nothing() -> None:
    """An operator ends what hangs; the server then commits all the same, with a warning."""
    with running() as primary, primary.synchronous_standby() as standby:
        url = primary.new_database()
        async with at_work(url, NAME) as (inbox,):
            assert await inbox.append(webhook(1)) is STORED
            await asyncio.to_thread(standby.stop)
            delivered = asyncio.create_task(inbox.append(webhook(2)))
            assert await comes_true(lambda: bool(typed(url, CANCEL)))
            with pytest.raises(InboxUnavailableError, match="the standby was cancelled"):
                await delivered
            again = asyncio.create_task(inbox.append(webhook(2)))
            assert await comes_true(lambda: bool(typed(url, WAITING)) or again.done())
            await asyncio.to_thread(standby.start)
            assert await again is DUPLICATE
