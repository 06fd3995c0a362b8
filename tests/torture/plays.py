"""Two inboxes and one catalog, and all that may befall them, in an order that chance makes up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from random import Random

from archiver.catalog import Catalog, CatalogReader
from archiver.inbox import NewDelivery
from archiver.inbox.pruning import Pruner
from archiver.inbox.sqlite import SqliteInboxReader, inbox_files
from archiver.models import DeliveryRef
from archiver.retention import Retention
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import record, webhook
from tests.receiver.ruins import Ruins

ROLES = ("receive", "web")


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """What a copy of an inbox, or a backup of all, holds: the names of generations."""

    told: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    at: datetime
    born: datetime | None = None


@dataclass(kw_only=True)
class Play:
    """An archive, and the little that is promised of it.

    `told` is what lies in each inbox, `known` what the catalog has absorbed, `pruned` what may be
    gone from its inbox and is known to whom it was pruned for: that catalog, and backups of it.
    What broke the promise is counted: deliveries `skipped`, and `doubled`.
    """

    ruins: Ruins
    chance: Random
    told: dict[str, set[str]] = field(default_factory=lambda: {role: set() for role in ROLES})
    known: set[str] = field(default_factory=set)
    pruned: set[str] = field(default_factory=set)
    copies: dict[str, Saved] = field(default_factory=dict)
    backup: Saved | None = None
    heard: int = 0
    fresh: int = 0
    born: datetime | None = None  # when the catalog was that was begun after the last was lost
    # Whether all that is not fresh was absorbed, and by this catalog.
    surely: bool = True
    gone_back: bool = False  # an inbox has, since the backup
    happened: list[str] = field(default_factory=list)
    skipped: int = 0
    doubled: int = 0

    async def go_on(self) -> None:
        """Something happens."""
        name = self.chance.choice([*HAPPENINGS])
        self.happened.append(name)
        await HAPPENINGS[name](self)

    async def hear(self, role: str = "") -> None:
        """Somebody is told that it is stored."""
        role = role or self.chance.choice(ROLES)
        at = self.ruins.clock.advance(seconds=1)
        names = [f"g{self.heard + number}" for number in range(self.chance.randrange(1, 4))]
        await record(
            self.ruins.inbox(role), *(replace(_said(name), received_at=at) for name in names)
        )
        self.told[role] |= {*names}
        self.heard += len(names)
        self.fresh += len(names)

    async def hear_again(self) -> None:
        """A sender that heard no answer sends once more."""
        role = self.chance.choice(ROLES)
        if self.told[role]:
            name = self.chance.choice(sorted(self.told[role]))
            await record(self.ruins.inbox(role), _said(name))

    async def absorb(self) -> None:
        """All that was told is known afterwards; what was known already is as it was."""
        before = self._revisions()
        count = await self.ruins.absorb()
        after = self._revisions()
        self.known |= self._promised()
        self.skipped += len(self.known - after.keys())
        self.doubled += sum(after.get(name) != revision for name, revision in before.items())
        if self.surely:
            self.doubled += max(0, count - self.fresh)
        self.fresh, self.surely = 0, True

    async def prune(self) -> None:
        """The bodies are taken out that are absorbed and older than the backup."""
        if self.backup is None or not self.ruins.catalog.exists():
            return
        self.pruned |= self.ruins.known()
        catalog = Catalog(self.ruins.catalog)
        await catalog.start()
        with ExitStack() as stack:
            reader = stack.enter_context(closing(CatalogReader(self.ruins.catalog)))
            inboxes = [stack.enter_context(closing(it)) for it in self._readers()]
            retention = Retention(catalog=catalog, reader=reader)
            await retention.order(inboxes, before=self.backup.at, now=self.ruins.clock())
        store = inboxes_in(self.ruins.folder / "inbox")
        for role in ROLES:
            inbox = store.writer(role)
            await inbox.start()
            await Pruner(inbox=inbox, orders=partial(store.orders, role)).step()
            await inbox.close()
        await catalog.close()

    async def replay(self) -> None:
        """Somebody asks for all of it to be read once more."""
        if not self.ruins.catalog.exists():
            return
        refs: list[DeliveryRef] = []
        for inbox in self._readers():
            refs += [delivery.ref for delivery in inbox.after(0, limit=1000)]
            inbox.close()
        catalog = Catalog(self.ruins.catalog)
        await catalog.start()
        now = self.ruins.clock()
        await catalog.write(lambda tables: tables.deliveries.ask_replay(refs, now=now))
        await catalog.close()
        self.surely = False

    async def copy_an_inbox(self, role: str = "") -> None:
        """By hand."""
        role = role or self.chance.choice(ROLES)
        if not self.ruins.inbox(role).exists():
            return
        self.ruins.keep_copy(role, f"copy of {role}")
        self.copies[role] = Saved(told=frozenset(self.told[role]), at=self.ruins.clock())

    async def put_the_copy_back(self, role: str = "") -> None:
        """By hand too: what was told since is known if it was absorbed, and else it is gone."""
        role = role or self.chance.choice(ROLES)
        if role in self.copies:
            self.ruins.put_back(role, f"copy of {role}")
            self.told[role] = {*self.copies[role].told}
            self.surely, self.gone_back = False, True

    async def give_positions_twice(self) -> None:
        """What hardly comes together by itself: a copy is put back, and as much is told again."""
        role = self.chance.choice(ROLES)
        await self.hear(role)
        await self.copy_an_inbox(role)
        await self.hear(role)
        await self.absorb()
        await self.put_the_copy_back(role)
        for _ in range(3):
            await self.hear(role)

    async def replace_an_inbox(self) -> None:
        """Its disk is new, and so is the inbox."""
        role = self.chance.choice(ROLES)
        self.ruins.lose(self.ruins.inbox(role))
        self.told[role] = set()
        self.surely = False

    async def back_up(self) -> None:
        """All of it."""
        if self.ruins.catalog.exists():
            await self.ruins.back_up()
            self.gone_back = False
            self.backup = Saved(known=frozenset(self.known), at=self.ruins.clock(), born=self.born)

    async def restore(self) -> None:
        """The newest backup, over whatever there is."""
        if self.backup is not None:
            await self.ruins.bring_back()
            # Put aside, and not deleted, is a catalog that began without its past, and one that was
            # made to begin an inbox anew: nobody can tell it from an older one.
            if self.backup.born != self.born or self.gone_back:
                self.known, self.born = {*self.backup.known}, self.backup.born
            self.copies.clear()  # what came back from the backup is not put there by hand too
            self.surely = False

    async def lose_the_catalog(self) -> None:
        """What lies in the inboxes is absorbed anew; of the rest a backup knows."""
        self.ruins.lose(self.ruins.catalog)
        self.known = set()
        self.born = self.ruins.clock.advance(seconds=1)
        self.surely = False

    def _promised(self) -> set[str]:
        return set().union(*self.told.values()) - self.pruned

    def _readers(self) -> list[SqliteInboxReader]:
        return [SqliteInboxReader(path) for path in inbox_files(self.ruins.folder / "inbox")]

    def _revisions(self) -> Mapping[str, int | None]:
        if not self.ruins.catalog.exists():
            return {}
        return {it.id: it.revision for it in self.ruins.generations()}


def _said(name: str) -> NewDelivery:
    # No link: nobody fetches here, and what a link is read from is not pruned before that.
    return webhook(name, url=None, status="processing")


HAPPENINGS: dict[str, Callable[[Play], Awaitable[None]]] = {
    "hear": Play.hear,
    "hear more": Play.hear,
    "hear again": Play.hear_again,
    "absorb": Play.absorb,
    "absorb more": Play.absorb,
    "prune": Play.prune,
    "replay": Play.replay,
    "copy an inbox": Play.copy_an_inbox,
    "put the copy back": Play.put_the_copy_back,
    "give positions twice": Play.give_positions_twice,
    "replace an inbox": Play.replace_an_inbox,
    "back up": Play.back_up,
    "restore": Play.restore,
    "lose the catalog": Play.lose_the_catalog,
}


async def play(ruins: Ruins, seed: int, length: int) -> Play:
    """So many things that happen, and all of it absorbed in the end."""
    it = Play(ruins=ruins, chance=Random(seed))
    await it.hear()
    await it.absorb()
    for _ in range(length):
        await it.go_on()
    await it.absorb()
    return it
