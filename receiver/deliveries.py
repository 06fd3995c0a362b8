"""Everything that was heard, leafed through: the inboxes and the quarantine, the newest first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from archiver.catalog import CatalogReader, Tables
from archiver.errors import HoldfastError
from archiver.inbox.leafing import InboxLeaves, Leaf
from archiver.inbox.quarantined import Kept, Quarantined
from archiver.inbox.readmission import OUT_OF_QUARANTINE
from archiver.inbox.stores import InboxStore, role_of
from archiver.models import Delivery
from receiver.delivery_lines import (
    QUARANTINE,
    DeliveryFilter,
    DeliveryLine,
    DeliveryState,
    heard_line,
    refused_line,
)
from receiver.settings import CatalogTable
from receiver.stores import inboxes_of

_PAGE = 200
_RECEIVE = "receive"
_SHORTEST_UUID = 4
_LATEST = datetime.max.replace(tzinfo=UTC)


class NoSuchDeliveryError(HoldfastError):
    """Nothing that was heard goes by that name."""


class DeliveryLog:
    """All inboxes, this machine's quarantine, and what the catalog knows of both.

    Every method raises InboxUnavailableError.
    """

    def __init__(self, archive: CatalogReader, store: InboxStore, quarantine_path: Path) -> None:
        self._archive = archive
        self._store = store
        self._inboxes = {name: store.leaves(name) for name in store.names()}
        self.quarantined = Quarantined(quarantine_path)

    def lines(self, which: DeliveryFilter) -> Iterator[DeliveryLine]:
        """All of them, the newest first, read page by page as they are taken."""
        return self._merged(which, self._ends(which))

    def page(
        self, which: DeliveryFilter, *, cursor: str | None = None, limit: int
    ) -> tuple[list[DeliveryLine], str | None]:
        """So many of them, and the cursor of the next page; raises ValueError for no cursor."""
        bounds = self._ends(which) if cursor is None else _read_cursor(cursor)
        lines = self._merged(which, bounds)
        page = list(islice(lines, limit))
        if next(lines, None) is None:
            return page, None
        reached = bounds | {line.inbox: line.ref.position for line in page}
        return page, ",".join(f"{name}:{bound}" for name, bound in sorted(reached.items()))

    def find(self, name: str) -> tuple[Delivery | Kept, DeliveryLine]:
        """What was heard, and what became of it; raises NoSuchDeliveryError."""
        inbox, _, typed = name.rpartition(":")
        position = int(typed) if typed.isascii() and typed.isdigit() and len(typed) <= 18 else 0
        found = self._refused(position) if inbox == QUARANTINE else self._heard(inbox, position)
        if found is None:
            names = ", ".join([*self._inboxes, QUARANTINE])
            raise NoSuchDeliveryError(
                f"there is no delivery {name!r}: say INBOX:POSITION, such as receive:17; inboxes "
                f"are {names}"
            )
        return found

    def was_pushed_since(self, kept: Kept) -> bool:
        """Whether a receiving process, of whichever node, has the same by now, sent once more."""
        said = kept.rejected
        return any(
            inbox.knows(said.source, said.path_token, said.body)
            for name, inbox in self._inboxes.items()
            if role_of(name) == _RECEIVE
        )

    def close(self) -> None:
        """Lets the inboxes go."""
        for inbox in self._inboxes.values():
            inbox.close()

    def _ends(self, which: DeliveryFilter) -> dict[str, int]:
        """Just beyond the newest of each, so that what comes meanwhile shifts no page."""
        if which.state is DeliveryState.QUARANTINED:
            return {QUARANTINE: self.quarantined.newest() + 1}
        return {name: inbox.newest() + 1 for name, inbox in self._inboxes.items()}

    def _merged(self, which: DeliveryFilter, bounds: Mapping[str, int]) -> Iterator[DeliveryLine]:
        streams = [
            _timed(self._of_inbox(name, which, bounds[name]), which)
            for name in self._inboxes
            if name in bounds
        ]
        if QUARANTINE in bounds:
            streams.append(_timed(self._of_quarantine(bounds[QUARANTINE]), which))
        merged = heapq.merge(*streams, key=lambda timed: timed[0], reverse=True)
        return (line for _, line in merged)

    def _of_inbox(self, name: str, which: DeliveryFilter, below: int) -> Iterator[DeliveryLine]:
        inbox = self._inboxes[name]
        if which.generation is None and which.state is not DeliveryState.UNPARSED:
            while leaves := inbox.before(below, limit=_PAGE):
                yield from self._described(name, leaves)
                below = leaves[-1].position
            return
        while positions := self._meant(inbox, which, below):
            yield from self._described(name, inbox.at(positions))
            below = positions[-1]

    def _meant(self, inbox: InboxLeaves, which: DeliveryFilter, below: int) -> list[int]:
        """The next positions of what the catalog knows to be meant, so that nobody looks at all."""

        def known(tables: Tables) -> list[int]:
            if which.generation is None:
                return tables.outcomes.unparsed(inbox.uuid, below=below, limit=_PAGE)
            return tables.outcomes.of_generation(
                which.generation, inbox.uuid, below=below, limit=_PAGE
            )

        with self._archive.view() as tables:
            return known(tables)

    def _of_quarantine(self, below: int) -> Iterator[DeliveryLine]:
        while found := self.quarantined.before(below, limit=_PAGE):
            yield from map(refused_line, found)
            below = found[-1].id

    def _described(self, name: str, leaves: Sequence[Leaf]) -> list[DeliveryLine]:
        uuid = self._inboxes[name].uuid
        with self._archive.view() as tables:
            reached = tables.deliveries.position(uuid)
            outcomes = tables.outcomes.of(uuid, [leaf.position for leaf in leaves])
        return [
            heard_line(name, uuid, leaf, reached=reached, outcome=outcomes.get(leaf.position))
            for leaf in leaves
        ]

    def _refused(self, request: int) -> tuple[Kept, DeliveryLine] | None:
        kept = self.quarantined.get(request)
        return (kept, refused_line(kept)) if kept else None

    def _heard(self, called: str, position: int) -> tuple[Delivery, DeliveryLine] | None:
        for name, inbox in self._inboxes.items():
            by_uuid = len(called) >= _SHORTEST_UUID and inbox.uuid.startswith(called.lower())
            if called != name and not by_uuid:
                continue
            lines = self._described(name, inbox.at([position]))
            with closing(self._store.reader(name)) as reader:
                delivery = reader.get(position)
            if lines and delivery is not None:
                return delivery, lines[0]
        return None


def log_of(archive: CatalogReader, catalog: CatalogTable) -> DeliveryLog:
    """What was heard by the archive that is configured; raises ConfigError, too."""
    quarantine_path = catalog.inbox_folder / f"{QUARANTINE}.db"
    return DeliveryLog(archive, inboxes_of(catalog), quarantine_path)


def _timed(
    lines: Iterator[DeliveryLine], which: DeliveryFilter
) -> Iterator[tuple[datetime, DeliveryLine]]:
    """Those that are meant, each with the time that puts it among the others.

    What came out of the quarantine was heard long before what stands around it.
    """
    at = _LATEST
    for line in lines:
        if not line.verified_by.endswith(OUT_OF_QUARANTINE):
            at = line.received_at
        ended = which.since is not None and at < which.since
        backlog = which.state is DeliveryState.BACKLOG
        if ended or (backlog and line.state is not DeliveryState.BACKLOG):
            return
        if which.agrees(line):
            yield at, line


def _read_cursor(cursor: str) -> dict[str, int]:
    bounds: dict[str, int] = {}
    for part in cursor.split(","):
        name, _, bound = part.rpartition(":")
        bounds[name] = int(bound)
    return bounds
