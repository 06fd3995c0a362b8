"""What a journal says of each row: its entries, in their order, read into how the row stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

import msgspec

from receiver.submission.batch import BatchError, Row


class Event(StrEnum):
    """What befell a row; the last one is how it stands."""

    WAITING = "waiting"  # nothing yet, or nothing that came to anything
    SENDING = "sending"  # on its way; if this is the last word, its outcome is not known
    SUBMITTED = "submitted"  # the provider has begun it, and its exchange is recorded
    HELD = "held"  # refused, and not to be tried again as it is
    DEAD = "dead"


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a journal; `key` is the idempotency key, `id` the generation's.

    `account` is the label of the API key that the row was sent with.
    """

    row: int
    event: Event
    at: datetime
    provider: str = ""
    account: str = ""
    digest: str = ""
    key: str = ""
    id: str = ""
    cost: float | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How a row stands, when it was last sent, and how often nothing came of that."""

    event: Event = Event.WAITING
    account: str = ""
    digest: str = ""
    key: str = ""
    generation_id: str = ""
    sent_at: datetime | None = None
    cost: float | None = None
    why: str = ""
    refusals: int = 0


UNTOUCHED = Standing()


def after(standing: Standing, entry: Entry) -> Standing:
    """How a row stands once this has been written of it."""
    sending = entry.event is Event.SENDING
    return Standing(
        event=entry.event,
        account=entry.account if sending else standing.account,
        digest=entry.digest if sending else standing.digest,
        key=entry.key if sending else standing.key,
        sent_at=entry.at if sending else standing.sent_at,
        generation_id=entry.id,
        cost=entry.cost,
        why=entry.why,
        refusals=standing.refusals + (entry.event is Event.WAITING),
    )


def standings(entries: Iterable[Entry]) -> dict[int, Standing]:
    """How every row stands that has an entry."""
    found: dict[int, Standing] = {}
    for entry in entries:
        found[entry.row] = after(found.get(entry.row, UNTOUCHED), entry)
    return found


def idempotency_key(journal: str, row: Row, refusals: int) -> str:
    """The same for the same row however often it is repeated, until it was truly refused.

    A refusal began nothing, and a server may answer a key that it has seen with it for ever.
    """
    named = f"{journal} {row.number} {row.digest} {refusals}"
    return f"holdfast-{sha256(named.encode()).hexdigest()[:32]}"


def check_unchanged(rows: Iterable[Row], known: dict[int, Standing], *, batch: str) -> None:
    """Raises BatchError, naming the row, if one that was sent now asks for something else.

    What was refused, or has not been sent, may be mended.
    """
    digests = {row.number: row.digest for row in rows}
    for number, standing in sorted(known.items()):
        begun = standing.event in (Event.SENDING, Event.SUBMITTED)
        if begun and digests.get(number) != standing.digest:
            what = "has changed" if number in digests else "is missing"
            raise BatchError(
                f"{batch}: row {number} {what} since it was sent: put it back as it was, or submit "
                "what is new in a file of its own"
            )


def check_same_account(
    rows: Iterable[Row], known: Mapping[int, Standing], accounts: Mapping[str, str]
) -> None:
    """Raises BatchError if a row in doubt was sent with another key than its provider's by now.

    Another account would not know that it was asked before.
    """
    for row in rows:
        standing = known.get(row.number, UNTOUCHED)
        account = accounts[row.provider]
        if standing.event is Event.SENDING and standing.account != account:
            raise BatchError(
                f"row {row.number} was sent with another key and never answered: settle it with "
                f"--key {standing.account} first"
            )
