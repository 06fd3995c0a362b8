"""Follows what was submitted through the catalog, which the service keeps, if one runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from archiver.catalog import CatalogReader, Tables
from archiver.catalog.activity import Recent, heard_since
from archiver.errors import CatalogUnavailableError
from archiver.models import Generation
from receiver.submission.board import Board, State, shown
from receiver.submission.journal import Journal
from receiver.submission.limits import DAY

LOOK_SECONDS = 0.5
# The archive role gives a sign of life far more often.
_SILENT = timedelta(seconds=60)

_NOBODY = "no service runs to fetch the pictures: start `holdfast serve`; nothing is lost meanwhile"

Names = Sequence[tuple[str, str]]


@dataclass(kw_only=True)
class Lookout:
    """Looks again and again; `heard` is what the catalog knows of each provider's last day.

    `note` is told once if there is nobody to see things through.
    """

    catalog: CatalogReader
    board: Board
    journal: Journal
    note: Callable[[str], None]
    now: Callable[[], datetime]
    heard: dict[str, list[Recent]] = field(default_factory=dict)
    _is_served: bool = False
    _noted: bool = False

    async def look(self) -> None:
        """Shows every row anew that has not settled; without a catalog there is nothing to see."""
        rows = [row for row in self.board.unsettled() if self._id(row.number)]
        names = [(row.provider, self._id(row.number)) for row in rows]
        try:
            known = await self.catalog.read(lambda tables: self._read(tables, names))
        except CatalogUnavailableError:
            return  # it is made by the service's first start
        for row, name in zip(rows, names, strict=True):
            self.board.show(row, shown(self.journal.standing(row.number), known.get(name)))

    async def keep_looking(self, stop: asyncio.Event) -> None:
        """Returns once every row has settled, or when told to stop."""
        while not stop.is_set():
            await self.look()
            if not self.board.unsettled():
                return
            submitted = any(self.board.of(row).state is State.SUBMITTED for row in self.board.rows)
            if submitted and not (self._is_served or self._noted):
                self._noted = True
                self.note(_NOBODY)
            await rest(stop, LOOK_SECONDS)

    def _id(self, row: int) -> str:
        return self.journal.standing(row).generation_id

    def _read(self, tables: Tables, names: Names) -> Mapping[tuple[str, str], Generation]:
        now = self.now()
        beat_at = tables.deliveries.last_beat_at("archive")
        self._is_served = beat_at is not None and now - beat_at < _SILENT
        for provider in {row.provider for row in self.board.rows}:
            self.heard[provider] = heard_since(tables.connection, provider, now - DAY)
        return tables.generations.load_all(names)


async def rest(stop: asyncio.Event, seconds: float) -> bool:
    """Waits so many seconds, or less when told to stop; whether it was."""
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()
