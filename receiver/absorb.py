"""The inboxes' only reader: parse, merge, plan, and note how far it got, all in one commit.

So each delivery takes effect exactly once, whatever dies in between. One that cannot be
understood is set aside with the reason and never stops those behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from archiver.catalog import Catalog, Tables
from archiver.catalog.deliveries import Replay
from archiver.errors import CatalogUnavailableError, InboxUnavailableError, UnreadableError
from archiver.inbox import InboxReader
from archiver.ledger import keep
from archiver.lifecycle import merge
from archiver.log import logger
from archiver.metrics import ABSORBED
from archiver.models import Delivery, DeliveryRef, Observation
from archiver.redact import redact
from receiver.inboxes import Inboxes
from receiver.providers import PROVIDERS, observations

BATCH = 200
POLL_SECONDS = 0.05
UNAVAILABLE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Understood:
    """A delivery and what it says, or why it says nothing to us."""

    delivery: Delivery
    says: tuple[Observation, ...] = ()
    unreadable: str = ""


class Absorb:
    """Moves what the inboxes have heard into the catalog, in order, in batches."""

    def __init__(
        self,
        catalog: Catalog,
        inboxes: Inboxes,
        *,
        now: Callable[[], datetime],
        work_planned: Callable[[], None],
    ) -> None:
        self._catalog = catalog
        self._inboxes = inboxes
        self._now = now
        self._work_planned = work_planned
        self._positions: dict[str, int] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Absorbs until `stop`; a catalog that is unavailable is waited for."""
        while not stop.is_set():
            try:
                absorbed = await self.step()
            except (CatalogUnavailableError, InboxUnavailableError) as error:
                logger().error("absorbing waits", error=str(error))
                await asyncio.sleep(UNAVAILABLE_SECONDS)
                continue
            if not absorbed:
                await asyncio.sleep(POLL_SECONDS)

    async def step(self) -> int:
        """Absorbs one batch of each inbox that has something new; how many deliveries it was."""
        absorbed = await self._replays()
        for inbox in self._inboxes.changed():
            batch = inbox.after(await self._position(inbox.uuid), limit=BATCH)
            await self._absorb(inbox, batch)
            absorbed += len(batch)
            if len(batch) < BATCH:
                self._inboxes.caught_up(inbox)
        if absorbed:
            self._work_planned()
        return absorbed

    async def _position(self, inbox: str) -> int:
        if inbox not in self._positions:
            self._positions[inbox] = await self._catalog.write(
                lambda tables: tables.deliveries.position(inbox)
            )
        return self._positions[inbox]

    async def _absorb(self, inbox: InboxReader, batch: Sequence[Delivery]) -> None:
        if not batch:
            return
        understood = [_understand(delivery) for delivery in batch]
        try:
            await self._commit(understood, partial(_advance, batch[-1].ref))
        except CatalogUnavailableError:
            raise
        except Exception:
            # One of them breaks a rule that parsing could not see: find it, let the others by.
            for one in understood:
                await self._commit_alone(one, partial(_advance, one.delivery.ref))
        self._positions[inbox.uuid] = batch[-1].ref.position

    async def _commit_alone(self, one: Understood, done: Callable[[Tables], None]) -> None:
        try:
            await self._commit([one], done)
        except CatalogUnavailableError:
            raise
        except Exception as error:
            reason = redact(f"{type(error).__name__}: {error}")
            logger().error("a delivery could not be merged", **_named(one.delivery), error=reason)
            await self._commit([Understood(delivery=one.delivery, unreadable=reason)], done)

    async def _commit(
        self, understood: Sequence[Understood], done: Callable[[Tables], None]
    ) -> None:
        """Commits the effect of deliveries together with the note that it is done."""
        now = self._now()

        def apply(tables: Tables) -> None:
            for one in understood:
                _apply(tables, one, now)
            done(tables)

        await self._catalog.write(apply)
        for one in understood:
            ABSORBED.labels("unparsed" if one.unreadable else "understood").inc()

    async def _replays(self) -> int:
        """What somebody asked to be read again goes first, and moves no position."""
        replays = await self._catalog.write(lambda tables: tables.deliveries.replays(limit=BATCH))
        for replay in replays:
            delivery = self._inboxes.get(replay.ref)
            done = partial(_strike_off, replay)
            if delivery is None:
                await self._catalog.write(done)
            else:
                await self._commit_alone(_understand(delivery), done)
        return len(replays)


def _understand(delivery: Delivery) -> Understood:
    try:
        return Understood(delivery=delivery, says=observations(delivery))
    except UnreadableError as error:
        reason = str(error)
    except Exception as error:
        # A parser that raises anything else has a bug; the delivery is kept until it is mended.
        reason = redact(f"a fault of the parser: {type(error).__name__}: {error}")
    logger().error("a delivery could not be understood", **_named(delivery), error=reason)
    return Understood(delivery=delivery, unreadable=reason)


def _apply(tables: Tables, one: Understood, now: datetime) -> None:
    delivery = one.delivery
    if one.unreadable:
        tables.deliveries.unparsed(delivery, one.unreadable)
    for observation in one.says:
        before = tables.generations.load(observation.provider, observation.generation_id)
        after = merge(
            before,
            observation,
            heard_in=delivery.ref,
            received_at=delivery.received_at,
            link_lifetime=PROVIDERS[observation.provider].link_lifetime,
        )
        kept = keep(tables, before, after, now=now)
        assert kept.key is not None
        tables.deliveries.observed(delivery, kept.key, observation.state.value)


def _advance(ref: DeliveryRef, tables: Tables) -> None:
    tables.deliveries.advance(ref.inbox, ref.position)


def _strike_off(replay: Replay, tables: Tables) -> None:
    tables.deliveries.replayed(replay)


def _named(delivery: Delivery) -> dict[str, object]:
    ref = delivery.ref
    return {"source": delivery.source, "inbox": ref.inbox, "position": ref.position}
