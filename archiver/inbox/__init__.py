"""The log of deliveries: what was heard, kept as it was heard, before anyone is told so.

Each hearing process owns one inbox and is its only writer; absorb is the only reader. The
contract every driver keeps: `after(position)` never returns a delivery before which another may
still appear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from archiver.models import Delivery, Heard


class Recorded(Enum):
    """What became of a delivery that was offered to an inbox."""

    STORED = "stored"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, kw_only=True, slots=True)
class NewDelivery:
    """A delivery not yet given its position; fields as in `models.Delivery`."""

    source: str
    heard: Heard
    path_token: str = ""
    received_at: datetime
    peer: str = ""
    verified_by: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes


class InboxWriter(Protocol):
    """The side of the process that hears."""

    async def append(self, delivery: NewDelivery) -> Recorded:
        """Returns once the delivery is durable; raises InboxUnavailableError if it is not.

        A duplicate is one with the same source, way of hearing, path token and body.
        """
        ...

    async def prove(self, now: datetime) -> None:
        """Commits once for proof that it still can; raises InboxUnavailableError."""
        ...


class InboxReader(Protocol):
    """The side of absorb."""

    @property
    def uuid(self) -> str:
        """The inbox's own name, which outlives its file's path."""
        ...

    def changed(self) -> bool:
        """True if something may have been appended since the last call (microseconds)."""
        ...

    def after(self, position: int, *, limit: int) -> Sequence[Delivery]:
        """The next deliveries in order, at most `limit`."""
        ...

    def get(self, position: int) -> Delivery | None:
        """One delivery by its position."""
        ...


class OwnedInbox(InboxWriter, Protocol):
    """An inbox in the hands of the one process that writes it."""

    async def start(self, *, opened: bool = True) -> None:
        """Takes the inbox, made if missing; raises InboxUnavailableError.

        Unless `opened`: then the first delivery takes it, and whoever sent that is told if it
        cannot be taken.
        """
        ...

    async def prune(self, first: int, last: int) -> None:
        """Takes bodies and headers out of the deliveries from `first` to `last`, both included.

        All else about them stays, and with it the knowledge that they are here already. Raises
        InboxUnavailableError.
        """
        ...

    async def close(self) -> None:
        """Commits what waits and lets go of the inbox."""
        ...


class StoredInbox(InboxReader, Protocol):
    """An inbox for whoever looks after what is kept; every method raises InboxUnavailableError."""

    def bodies(
        self, *, above: int, upto: int, before: datetime, limit: int
    ) -> Sequence[tuple[int, bool]]:
        """Positions above one and up to another, ascending; each with whether its body can go.

        That is: whether there is one, and came before that moment.
        """
        ...

    def has_bodies(self, first: int, last: int) -> bool:
        """Whether any delivery between these positions, both included, has its body."""
        ...

    def last_position(self) -> int:
        """Of the newest delivery; 0 if there is none."""
        ...

    def count_after(self, position: int) -> int:
        """How many deliveries lie beyond a position."""
        ...

    def close(self) -> None:
        """Lets the inbox go."""
        ...


def is_the_one(inbox: InboxReader, position: int, received_at: datetime | None) -> bool:
    """Whether an inbox still is the one that was absorbed up to that position, whose delivery was
    received then (None: not noted).

    A copy that somebody brought back ends earlier, and then goes on with deliveries at positions
    that were others'.
    """
    last = inbox.get(position)
    return last is not None and received_at in (None, last.received_at)
