"""Which bodies need no longer be kept: absorbed, old enough, and without a link still to fetch.

The archive alone knows, so it writes orders; who owns an inbox carries them out (`inbox.pruning`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.inbox import InboxReader, StoredInbox, is_the_one
from archiver.prunings import Pruning

# Deliveries that are looked at in one transaction.
_PORTION = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """Looks after the bodies in all inboxes; every method raises as inboxes and catalog do."""

    catalog: Catalog
    reader: CatalogReader

    async def order(
        self, inboxes: Iterable[StoredInbox], *, before: datetime, now: datetime
    ) -> int:
        """Orders out the bodies that came before that moment; how many orders it takes."""
        count = 0
        for inbox in inboxes:
            upto = await self.reader.read(partial(absorbed_upto, inbox))
            above = 0
            while page := inbox.bodies(above=above, upto=upto, before=before, limit=_PORTION):
                above = page[-1][0]
                old = [position for position, can_go in page if can_go]
                if old:
                    count += await self.catalog.write(
                        partial(_order, inbox=inbox, positions=old, now=now)
                    )
                elif inbox.has_bodies(page[0][0], above):
                    break  # they are in the order in which they came
        return count

    async def settle(self, inboxes: Iterable[StoredInbox], *, now: datetime) -> int:
        """Makes ready what waited for a link that is not needed any more, and strikes off what was
        carried out; how many orders are left.
        """
        readers = {inbox.uuid: inbox for inbox in inboxes}
        waiting, ready = await self.reader.read(
            lambda tables: (tables.prunings.waiting(), tables.prunings.ready())
        )
        done = [order for order in ready if not _has_bodies(readers, order)]
        if waiting or done:
            await self.catalog.write(partial(_settle, waiting=waiting, done=done, now=now))
        return len(waiting) + len(ready) - len(done)


def ranges(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Ascending positions as `(first, last)` of what follows without a gap."""
    begin = 0
    for end in range(1, len(positions) + 1):
        if end == len(positions) or positions[end] != positions[end - 1] + 1:
            yield positions[begin], positions[end - 1]
            begin = end


def absorbed_upto(inbox: InboxReader, tables: Tables) -> int:
    """How far an inbox is absorbed, if it still is the one that was; else 0."""
    position, received_at = tables.prunings.reached(inbox.uuid)
    return position if is_the_one(inbox, position, received_at) else 0


def _order(tables: Tables, *, inbox: StoredInbox, positions: Sequence[int], now: datetime) -> int:
    span = Pruning(inbox=inbox.uuid, first=positions[0], last=positions[-1])
    needed = set(tables.forgetting.needed(span, now=now))
    # Whoever brings an older copy of the catalog back has to absorb them again.
    upto = absorbed_upto(inbox, tables)
    free = [it for it in positions if it not in needed and it <= upto]
    orders = [Pruning(inbox=inbox.uuid, first=first, last=last) for first, last in ranges(free)]
    tables.prunings.order(orders, ready=True)
    return len(orders)


def _settle(
    tables: Tables, *, waiting: Iterable[Pruning], done: Iterable[Pruning], now: datetime
) -> None:
    for order in done:
        tables.prunings.done(order)
    for order in waiting:
        if not tables.forgetting.needed(order, now=now):
            tables.prunings.make_ready(order)


def _has_bodies(readers: dict[str, StoredInbox], order: Pruning) -> bool:
    """An inbox that cannot be opened now may have them, and is asked another time."""
    reader = readers.get(order.inbox)
    return reader is None or reader.has_bodies(order.first, order.last)
