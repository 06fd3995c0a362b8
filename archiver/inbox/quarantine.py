"""Rejected requests, kept for a while so that they can be verified again once a secret is mended.

Nothing here was acknowledged and anyone may have sent it, so it is bounded in every direction
and never waits for the disk: a full queue or a full file drops, counts what it has dropped, and no
sender notices. What no secret could ever verify, such as a request without a signature, has quotas
of its own and goes first: however much of it comes, it pushes nothing out that can be verified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from archiver.inbox.quarantine_file import Dropped, Item, LetGo, TooOld, commit, open_file
from archiver.moments import from_millis, to_millis
from archiver.sqlite import Connection, Error, File, open_reader
from archiver.writer import WriterThread

MAX_WAITING = 256
# One address may not push everyone else's requests out; a night of a real provider's has room.
MAX_BYTES_PER_PEER = 2 << 20
PEER_WINDOW = timedelta(minutes=10)

# Drops are told to the file this seldom, so that they cost a flood's victim nothing.
_TELL_EVERY = timedelta(seconds=1)

_pack = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A request that was refused for its signature; fields as in `models.Delivery`.

    It is `hopeless` if no secret could ever verify it.
    """

    source: str
    path_token: str
    received_at: datetime
    peer: str
    reason: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    hopeless: bool = False


class Quarantine:
    """The quarantine file of the receiving process, which alone puts requests in and takes them
    out; commands may mark some as verified."""

    def __init__(self, path: Path) -> None:
        self._writer: WriterThread[Connection, Item, None] = WriterThread(
            "quarantine", File(lambda: open_file(path)), commit
        )
        self._bytes_of: Counter[tuple[str, bool]] = Counter()
        self._window_ends_at: datetime | None = None
        self._dropped: Counter[str] = Counter()
        self._dropped_at: datetime | None = None
        self._tell_at: datetime | None = None

    async def start(self) -> None:
        """Begins to take copies; a disk that fails now must not keep webhooks from coming in."""
        await self._writer.start(opened=False)

    def offer(self, rejected: Rejected) -> bool:
        """Keeps a copy if there is room for it; never waits and never fails."""
        row = _to_row(rejected)
        size_bytes = sum(len(value) for value in row if isinstance(value, bytes))
        why_not = self._why_not(rejected, size_bytes)
        if why_not:
            self._dropped[why_not] += 1
            self._dropped_at = rejected.received_at
        else:
            self._put(row)
        if self._tell_at is None or rejected.received_at >= self._tell_at:
            self._tell_dropped()
            self._tell_at = rejected.received_at + _TELL_EVERY
        return not why_not

    async def let_go(self, ids: Sequence[int]) -> None:
        """Forgets requests that are safe elsewhere; raises Error if the file cannot be written."""
        await self._writer.put(LetGo(ids=ids))

    async def forget(self, before: datetime) -> None:
        """Lets go of what came before that moment, and not since; raises Error if it cannot."""
        await self._writer.put(TooOld(before=to_millis(before)))

    async def close(self) -> None:
        """Writes what waits and closes the file."""
        self._tell_dropped()
        await self._writer.close()

    def _why_not(self, rejected: Rejected, size_bytes: int) -> str:
        """Why there is no room for it, or ""."""
        now, whose = rejected.received_at, (rejected.peer, rejected.hopeless)
        if self._window_ends_at is None or now >= self._window_ends_at:
            self._bytes_of.clear()
            self._window_ends_at = now + PEER_WINDOW
        if self._writer.backlog >= (MAX_WAITING // 2 if rejected.hopeless else MAX_WAITING):
            return "too many at once"
        used_bytes = self._bytes_of[whose] + size_bytes
        if used_bytes > MAX_BYTES_PER_PEER:
            return "too much from one address"
        self._bytes_of[whose] = used_bytes
        return ""

    def _tell_dropped(self) -> None:
        if self._dropped_at is None:
            return
        last_at = to_millis(self._dropped_at)
        for why, count in self._dropped.items():
            self._put(Dropped(why=why, count=count, last_at=last_at))
        self._dropped, self._dropped_at = Counter(), None

    def _put(self, item: Item) -> None:
        future = self._writer.put(item)
        future.add_done_callback(lambda done: done.exception())  # a lost copy is no one's error


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """How many requests of a source wait for one reason, and when the newest came."""

    source: str
    reason: str
    count: int
    last_at: datetime


def refused(path: Path) -> Sequence[Refused]:
    """What waits in a quarantine file, the latest trouble first; nothing if it cannot be read."""
    if not path.exists():
        return []
    try:
        with closing(open_reader(path)) as connection:
            rows = connection.execute(
                "SELECT source, reason, count(*), max(max(received_at, last_at)) AS last"
                " FROM rejected GROUP BY source, reason ORDER BY last DESC"
            ).fetchall()
    except Error:
        return []  # being made just now, or damaged: its writer begins it anew
    return [
        Refused(source=source, reason=reason, count=count, last_at=from_millis(last_at))
        for source, reason, count, last_at in rows
    ]


def _to_row(rejected: Rejected) -> tuple[Any, ...]:
    headers = _pack(rejected.headers)
    return (
        rejected.source,
        rejected.path_token,
        to_millis(rejected.received_at),
        rejected.peer,
        rejected.reason,
        int(rejected.hopeless),
        sha256(headers + rejected.body).digest(),
        headers,
        rejected.body,
    )
