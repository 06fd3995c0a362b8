"""Who writes an inbox on PostgreSQL: one session at a time, which holds the inbox's lock.

The lock is let go by the server when the session's backend has ended, and a backend ends after its
transaction has: so whoever has the lock sees all that was ever committed to the inbox, and nobody
else can commit to it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from archiver.errors import InboxUnavailableError
from archiver.inbox.postgres_tables import make_tables
from archiver.moves import ARRIVING, is_arriving
from archiver.postgres import Connection, LockTaken

_HOLDER = """
SELECT pid, coalesce(host(client_addr), 'the server''s own host'),
       to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS')
FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND classid::bigint = ? AND objid::bigint = ?
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """A process of the server; the moment tells it from a later one of the same number."""

    pid: int
    started_at: datetime


@dataclass(kw_only=True, slots=True)
class Owned:
    """An inbox in the hands of its writer, for as long as the connection lasts.

    `last` is the last position given, `told` the last that readers were notified of.
    """

    connection: Connection
    inbox: uuid.UUID
    last: int
    told: int = 0

    def close(self) -> None:
        """Lets go of the inbox."""
        self.connection.close()


def backend_of(connection: Connection) -> Backend:
    """The process that serves a connection; raises Error."""
    ((pid, started_at),) = connection.execute(
        "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    ).fetchall()
    return Backend(pid=pid, started_at=started_at)


def own(connection: Connection, name: str, predecessors: Iterable[Backend]) -> Owned:
    """Makes this session the only writer of the inbox of that name, which is made if missing.

    The predecessors, earlier sessions of the same writer, are ended: its network may have failed
    without its server having noticed. Any other owner is waited for, as long as for a lock. Raises
    InboxUnavailableError if it stays, and Error.
    """
    make_tables(connection)
    inbox = _named(connection, name)
    for backend in predecessors:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid = ? AND backend_start = ?",
            (backend.pid, backend.started_at),
        )
    lock = int.from_bytes(inbox.bytes[:8], signed=True)
    try:
        connection.execute("SELECT pg_advisory_lock(?)", (lock,))
    except LockTaken:
        raise _in_use(connection, name, lock) from None
    # Asked only now, for whoever moves an archive there says so first and then looks for locks.
    if is_arriving(connection):
        raise InboxUnavailableError(
            f"the inbox {name} cannot be used yet, and nothing was acknowledged: {ARRIVING}"
        )
    # Asked only now: a statement sees what was committed before it began, not before the lock.
    ((last,),) = connection.execute(
        "SELECT coalesce(max(position), 0) FROM deliveries WHERE inbox = ?", (inbox,)
    ).fetchall()
    return Owned(connection=connection, inbox=inbox, last=last)


def _named(connection: Connection, name: str) -> uuid.UUID:
    asked = ("SELECT uuid FROM inboxes WHERE name = ?", (name,))
    found = connection.execute(*asked).fetchall()
    if not found:
        connection.execute(
            "INSERT INTO inboxes (uuid, name, proved_at) VALUES (?, ?, 0)"
            " ON CONFLICT (name) DO NOTHING",
            (uuid.uuid4(), name),
        )
        found = connection.execute(*asked).fetchall()
    inbox: uuid.UUID = found[0][0]
    return inbox


def _in_use(connection: Connection, name: str, lock: int) -> InboxUnavailableError:
    halves = (lock >> 32 & 0xFFFFFFFF, lock & 0xFFFFFFFF)
    holders = connection.execute(_HOLDER, halves).fetchall()
    whose = "".join(f" (backend {pid}, from {host}, since {at} UTC)" for pid, host, at in holders)
    end = "".join(f"SELECT pg_terminate_backend({pid})" for pid, _, _ in holders)
    return InboxUnavailableError(
        f"the inbox {name} is in use by another process{whose}; nothing was acknowledged, the "
        "sender should try again, and the operator should give each process an inbox of a name of "
        "its own" + (f", or end a process that is no more with: {end}" if end else "")
    )
