"""The inboxes' only reader: parse, merge, plan, and note how far it got, all in one commit.

So each delivery takes effect exactly once, whatever dies in between. One that cannot be
understood is set aside with the reason and never stops those behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from archiver import tracing
from archiver.catalog import Catalog, Tables
from archiver.catalog.credits import AccountBalance
from archiver.catalog.deliveries import Replay
from archiver.catalog.tombstones import WHOLE
from archiver.errors import (
    CatalogUnavailableError,
    InboxUnavailableError,
    LedElsewhereError,
    UnreadableError,
)
from archiver.inbox import InboxReader
from archiver.ledger import keep_all
from archiver.log import logger
from archiver.merging import merge
from archiver.metrics import ABSORBED, UNKNOWN_STATUSES
from archiver.models import Delivery, Generation, Observation
from archiver.prunings import Pruning
from archiver.redact import redact
from archiver.retention import absorbed_upto
from archiver.tombstone import emptied
from receiver.inboxes import Inboxes
from receiver.providers import PROVIDERS, observations
from receiver.providers.balances import balance
from receiver.providers.base import Balance

Heard = tuple[Delivery, Observation]
Name = tuple[str, str]

BATCH = 200
POLL_SECONDS = 0.05
UNAVAILABLE_SECONDS = 1.0

# Of odd words so many are named in the log, each cut to this; the metric counts on.
MAX_ODD_STATUSES = 256
_MAX_ODD_CHARACTERS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Understood:
    """A delivery and what it says, or why it says nothing to us."""

    delivery: Delivery
    says: tuple[Observation, ...] = ()
    balance: Balance | None = None
    unreadable: str = ""


class OddStatuses:
    """Counts the words for a state that no parser knows, and names each once in the log."""

    def __init__(self) -> None:
        self._named: set[tuple[str, str]] = set()
        for provider in PROVIDERS:
            UNKNOWN_STATUSES.labels(provider)  # a rise is seen only of what was there before

    def heard(self, says: Iterable[Observation]) -> None:
        """Notes those that are odd."""
        for observation in says:
            if observation.odd_status is None:
                continue
            provider, word = observation.provider, redact(observation.odd_status)
            UNKNOWN_STATUSES.labels(provider).inc()
            named = provider, word[:_MAX_ODD_CHARACTERS]
            if named not in self._named and len(self._named) < MAX_ODD_STATUSES:
                self._named.add(named)
                logger().warning(
                    "an unknown status means running", provider=provider, status=named[1]
                )


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
        self._odd_statuses = OddStatuses()

    async def run(self, stop: asyncio.Event) -> None:
        """Absorbs until `stop`; a catalog that is unavailable is waited for.

        Raises LedElsewhereError once that is another node's work.
        """
        while not stop.is_set():
            try:
                absorbed = await self.step()
            except LedElsewhereError:
                raise
            except (CatalogUnavailableError, InboxUnavailableError) as error:
                logger().error("absorbing waits", error=str(error))
                self._positions.clear()  # another node may have led meanwhile
                await asyncio.sleep(UNAVAILABLE_SECONDS)
                continue
            if not absorbed:
                await asyncio.sleep(POLL_SECONDS)

    async def step(self) -> int:
        """Absorbs one batch of each inbox that has something new; how many deliveries it was."""
        absorbed = await self._replays()
        for inbox in self._inboxes.changed():
            batch = inbox.after(await self._position(inbox), limit=BATCH)
            await self._absorb(inbox, batch)
            absorbed += len(batch)
            if len(batch) < BATCH:
                self._inboxes.caught_up(inbox)
        if absorbed:
            self._work_planned()
        return absorbed

    async def _position(self, inbox: InboxReader) -> int:
        if inbox.uuid not in self._positions:
            position = await self._catalog.write(partial(_position, inbox))
            self._positions[inbox.uuid] = position
        return self._positions[inbox.uuid]

    async def _absorb(self, inbox: InboxReader, batch: Sequence[Delivery]) -> None:
        if not batch:
            return
        understood = [_understand(delivery) for delivery in batch]
        try:
            await self._commit(understood, partial(_advance, batch[-1]))
        except CatalogUnavailableError:
            raise
        except Exception:
            # One of them breaks a rule that parsing could not see: find it, let the others by.
            for one in understood:
                await self._commit_alone(one, partial(_advance, one.delivery))
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
            _apply(tables, understood, now)
            done(tables)

        await self._catalog.write(apply)
        unparsed = sum(1 for one in understood if one.unreadable)
        for outcome, count in (("unparsed", unparsed), ("understood", len(understood) - unparsed)):
            if count:
                ABSORBED.labels(outcome).inc(count)
        for one in understood:
            self._odd_statuses.heard(one.says)
        if tracing.is_on():
            self._trace(understood)

    def _trace(self, understood: Sequence[Understood]) -> None:
        """From the moment when each was heard."""
        for one in understood:
            heard, began_at = one.delivery.heard.value, one.delivery.received_at
            for of in {(it.provider, it.generation_id) for it in one.says}:
                says = {"heard": heard}
                tracing.span("delivery", of, began_at=began_at, ended_at=self._now(), says=says)

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
    if delivery.body is None:
        return Understood(delivery=delivery)  # pruned: what it said was taken in long ago
    try:
        says, told = observations(delivery), balance(delivery)
        return Understood(delivery=delivery, says=says, balance=told)
    except UnreadableError as error:
        reason = str(error)
    except Exception as error:
        # A parser that raises anything else has a bug; the delivery is kept until it is mended.
        reason = redact(f"a fault of the parser: {type(error).__name__}: {error}")
    logger().error("a delivery could not be understood", **_named(delivery), error=reason)
    return Understood(delivery=delivery, unreadable=reason)


def _apply(tables: Tables, understood: Sequence[Understood], now: datetime) -> None:
    """What some deliveries change, however often one generation is heard of among them."""
    heard = [(one.delivery, observation) for one in understood for observation in one.says]
    names = dict.fromkeys(_name(observation) for _, observation in heard)
    lost = tables.tombstones.of(names)
    if lost:
        heard = _without_forgotten(tables, heard, lost)
    known = tables.generations.load_all([*names])
    merged: dict[Name, Generation] = {}
    for delivery, observation in heard:
        name = _name(observation)
        before = merged.get(name) or known.get(name)
        if before is None and observation.unknown:
            continue  # a client has asked for what does not exist
        merged[name] = merge(
            before,
            observation,
            heard_in=delivery.ref,
            received_at=delivery.received_at,
            link_lifetime=PROVIDERS[observation.provider].link_lifetime,
        )
    for name in merged.keys() & lost.keys():
        merged[name] = emptied(merged[name], lost[name])
    changes = [(known.get(name), after) for name, after in merged.items()]
    kept = dict(zip(merged, keep_all(tables, changes, now=now), strict=True))
    said: list[tuple[Delivery, int, str]] = []
    for delivery, observation in heard:
        name = _name(observation)
        if name in kept:
            key = kept[name].key
            assert key is not None
            said.append((delivery, key, observation.state.value))
    tables.deliveries.observed(said)
    tables.deliveries.understood(one.delivery.ref for one in understood if not one.unreadable)
    for one in understood:
        if one.unreadable:
            tables.deliveries.unparsed(one.delivery, one.unreadable)
        if one.balance is not None:
            tables.credits.put(_account_balance(one.delivery, one.balance))


def _without_forgotten(
    tables: Tables, heard: Sequence[Heard], lost: Mapping[Name, Collection[int | None]]
) -> list[Heard]:
    """What may be taken in; the inbox is not to keep what must not come back either."""
    again = [delivery.ref for delivery, observation in heard if _name(observation) in lost]
    prunings = (Pruning(inbox=it.inbox, first=it.position, last=it.position) for it in again)
    tables.prunings.order(prunings, ready=False)
    return [it for it in heard if WHOLE not in lost.get(_name(it[1]), ())]


def _account_balance(delivery: Delivery, said: Balance) -> AccountBalance:
    return AccountBalance(
        provider=delivery.source,
        account=said.account,
        credits=said.available,
        required=said.required,
        heard_at=delivery.received_at,
    )


def _name(observation: Observation) -> Name:
    return observation.provider, observation.generation_id


def _position(inbox: InboxReader, tables: Tables) -> int:
    """How far an inbox is absorbed; whatever is heard twice has its effect once, so an older copy
    begins anew."""
    position = absorbed_upto(inbox, tables)
    if not position and tables.deliveries.position(inbox.uuid):
        logger().warning("an inbox is an older copy; absorbing it anew", inbox=inbox.uuid)
        tables.deliveries.begin_anew(inbox.uuid)
        tables.prunings.begin_anew(inbox.uuid)
    return position


def _advance(last: Delivery, tables: Tables) -> None:
    ref = last.ref
    tables.deliveries.advance(ref.inbox, ref.position, received_at=last.received_at)


def _strike_off(replay: Replay, tables: Tables) -> None:
    tables.deliveries.replayed(replay)


def _named(delivery: Delivery) -> dict[str, object]:
    ref = delivery.ref
    return {"source": delivery.source, "inbox": ref.inbox, "position": ref.position}
