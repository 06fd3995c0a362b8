"""A small archive, filled by the rooms that fill a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from archiver import clock, lifecycle
from archiver.blobs.folder import FolderBlobs
from archiver.body import Budget
from archiver.catalog import Catalog, Tables
from archiver.catalog.schema import migrate
from archiver.ledger import keep
from archiver.merging import merge
from archiver.models import (
    Asset,
    DeliveryRef,
    GenerationParams,
    GenerationState,
    Observation,
    Origin,
    Rendering,
    SlotObservation,
)
from archiver.store import Store

HEARD_IN = DeliveryRef(inbox="an inbox", position=1)
URL_OF_IT = "https://cdn.doitong.com/out/{}.jpg?Expires=4102444800&Signature=hush"


@dataclass(frozen=True, slots=True)
class Archive:
    """A catalog and a bucket that fill as the service would fill them."""

    catalog: Catalog
    store: Store

    async def hear(self, generation_id: str, prompt: str, **said: Any) -> int:
        """One observation of a generation with one slot; the slot's archive number."""
        observation = Observation(
            provider="doitong",
            generation_id=generation_id,
            **{
                "params": GenerationParams(prompt=prompt),
                "state": GenerationState.SUCCEEDED,
                "slots": (SlotObservation(index=0, url=URL_OF_IT.format("a")),),
                **said,
            },
        )

        def absorb(tables: Tables) -> int:
            before = tables.generations.load("doitong", generation_id)
            after = merge(
                before,
                observation,
                heard_in=HEARD_IN,
                received_at=clock.now(),
                link_lifetime=timedelta(hours=24),
            )
            number = keep(tables, before, after, now=clock.now()).slots[0].number
            assert number is not None
            return number

        return await self.catalog.write(absorb)

    async def save(
        self,
        generation_id: str,
        picture: bytes,
        origin: Origin = Origin.PROVIDER,
        rendering: Rendering | None = None,
    ) -> Asset:
        """Those bytes into the bucket, and the row that says so."""

        async def chunks() -> AsyncIterator[bytes]:
            yield picture

        asset = await self.store.take_in(
            chunks(), len(picture), origin=origin, provenance={}, now=clock.now
        )

        def settle(tables: Tables) -> None:
            before = tables.generations.load("doitong", generation_id)
            assert before is not None
            drawn = replace(asset, rendering=rendering)
            keep(tables, before, lifecycle.archive(before, 0, drawn), now=clock.now())

        await self.catalog.write(settle)
        return asset


@asynccontextmanager
async def filling(folder: Path) -> AsyncIterator[Archive]:
    """An empty one, in `catalog.db` and `bucket` of a folder."""
    path = folder / "catalog.db"
    migrate(path)
    catalog = Catalog(path)
    await catalog.start()
    yield Archive(catalog, Store(FolderBlobs(folder / "bucket"), Budget(2**20), folder / "spool"))
    await catalog.close()
