"""The PostgreSQL driver of the inbox: many inboxes in one database, each with one writer.

What guarantees that nothing appears before a position that was read: the positions of an inbox are
given by its writer, rising, to one commit after the other; its session holds the inbox's advisory
lock, which the server gives to the next session only when the last one's backend has ended, with
its transaction (`postgres_owner`). Should the lock fail, the primary key still does not let two
writers give the same position. Positions may have gaps.

What is pruned is gone from the table at once, and from the disk after the next VACUUM.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import msgspec

from archiver.clock import monotonic
from archiver.errors import InboxUnavailableError
from archiver.inbox import NewDelivery, Recorded
from archiver.inbox.batch import Prove, Prune
from archiver.inbox.postgres_batch import Item, Row, Tell, write
from archiver.inbox.postgres_owner import Backend, Owned, backend_of, own
from archiver.metrics import INGEST_COMMIT_SECONDS
from archiver.moments import to_millis
from archiver.postgres import Error, Server, connect, said
from archiver.writer import WriterThread

# A commit that notifies keeps all other commits of the server that do from going on beside it.
TELL_SECONDS = 0.05

_pack = msgspec.msgpack.Encoder().encode


class PostgresInbox:
    """The writing side; the process that owns the inbox of that name makes exactly one."""

    def __init__(self, url: str, name: str) -> None:
        """`name` is no other process's, wherever it runs: `receive@host`."""
        self._url = url
        self._name = name
        # More than one only where connections fail as soon as they are made.
        self._backends: deque[Backend] = deque(maxlen=8)
        self._tell_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._writer: WriterThread[Owned, Item, Recorded] = WriterThread(
            f"inbox {name}", Server(self._own), self._commit
        )

    async def start(self, *, opened: bool = True) -> None:
        """See `OwnedInbox.start`."""
        try:
            await self._writer.start(opened=opened)
        except (Error, OSError) as error:
            raise self._unavailable(error) from None

    async def append(self, delivery: NewDelivery) -> Recorded:
        """See `InboxWriter.append`; what any inbox of the database has is a duplicate here.

        Of a commit whose answer was lost nobody knows whether it stands: that is an
        InboxUnavailableError too, and if it does, the next try is a duplicate.
        """
        return await self._put(_to_row(delivery))

    async def prove(self, now: datetime) -> None:
        """See `InboxWriter.prove`."""
        await self._put(Prove(at=to_millis(now)))

    async def prune(self, first: int, last: int) -> None:
        """See `OwnedInbox.prune`."""
        await self._put(Prune(first, last))

    async def close(self) -> None:
        """Commits what waits and lets go of the inbox."""
        self._closing = True
        if self._timer is not None:
            self._timer.cancel()
            self._tell()
        await self._writer.close()

    async def _put(self, item: Item) -> Recorded:
        try:
            return await self._writer.put(item)
        except (Error, OSError) as error:
            raise self._unavailable(error) from None

    def _own(self) -> Owned:
        connection = connect(self._url)
        try:
            backend = backend_of(connection)
            predecessors = list(self._backends)
            self._backends.append(backend)
            owned = own(connection, self._name, predecessors)
        except BaseException:
            connection.close()
            raise
        self._backends = deque([backend], self._backends.maxlen)
        return owned

    def _commit(self, owned: Owned, items: Sequence[Item]) -> Sequence[Recorded]:
        """One durable commit for all of `items`; readers hear of it now, or a moment later."""
        now = monotonic()
        with INGEST_COMMIT_SECONDS.time():
            outcomes = write(owned, items, tell=self._closing or now >= self._tell_at)
        if owned.told < owned.last:
            self._loop.call_soon_threadsafe(self._tell_later)
        elif now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
        return outcomes

    def _tell_later(self) -> None:
        if self._timer is None and not self._closing:
            self._timer = self._loop.call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._timer = None
        # Should it fail, readers look for themselves.
        self._writer.put(Tell()).add_done_callback(
            lambda told: told.cancelled() or told.exception()
        )

    def _unavailable(self, error: Exception) -> InboxUnavailableError:
        # Not chained anywhere: a log with the whole story would show what `said` leaves out.
        return InboxUnavailableError(
            f"the inbox {self._name} cannot commit ({said(error)}); nothing was acknowledged, the "
            "sender should try again, and the operator should look at the PostgreSQL server"
        )


def _to_row(delivery: NewDelivery) -> Row:
    return Row(
        source=_bytes(delivery.source),
        heard=delivery.heard.value,
        path_token=_bytes(delivery.path_token),
        received_at=to_millis(delivery.received_at),
        peer=_bytes(delivery.peer),
        verified_by=_bytes(delivery.verified_by),
        sha256=sha256(delivery.body).digest(),
        headers=_pack(delivery.headers),
        body=delivery.body,
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
