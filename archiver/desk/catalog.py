"""The archive's own desk, over the catalog and the bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.desk import Commission, Verdict, leases
from archiver.errors import FetchError, NotOfferedError
from archiver.handles import opened
from archiver.log import logger
from archiver.metrics import JOBS_SETTLED
from archiver.models import Asset, Fault, Origin, Rendering
from archiver.redact import redact
from archiver.retries import backoff_seconds
from archiver.store import Store, provenance_of
from archiver.work import JobKind
from archiver.worker import Settled

MEDIA_TYPE = "image/png"
_PIECE_BYTES = 1 << 20
# A reason stands in every list of slots.
_MAX_REASON_CHARACTERS = 500
# More than there are parameters.
_MAX_NOTES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogDesk:
    """See Desk. Any number of them may stand over one catalog, in as many processes."""

    catalog: Catalog
    reader: CatalogReader
    store: Store
    now: Callable[[], datetime]
    random: Callable[[], float]

    async def claim(
        self, worker: str, *, fresh: bool = False, number: int | None = None
    ) -> Commission | None:
        """See Desk."""

        def work(tables: Tables) -> Commission | None:
            now = tables.time(self.now)
            if number is not None:
                return leases.claim_by_hand(tables, worker, number, now=now)
            return leases.claim(tables, worker, fresh=fresh, now=now)

        commission = await self.catalog.write(work)
        if commission is not None:
            number = commission.slot.number
            logger().info("claimed", kind=JobKind.RENDER, job=commission.job_id, slot=number)
        return commission

    async def recall(self, job_id: int, fence: int) -> Commission:
        """The commission that was given out under this id and fence; raises LeaseLostError."""
        return await self.reader.read(lambda tables: leases.recall(tables, job_id, fence))

    async def keep(self, commission: Commission) -> bool:
        """See Desk."""
        return await self.catalog.write(
            lambda tables: leases.extend(tables, commission, now=tables.time(self.now))
        )

    async def picture(self, commission: Commission, blob_key: str) -> AsyncIterator[bytes]:
        """See Desk."""
        await self.input_asset(commission, blob_key)
        async with self.store.blobs.read(blob_key) as chunks:
            async for chunk in chunks:
                yield chunk

    async def input_asset(self, commission: Commission, blob_key: str) -> Asset:
        """One of the pictures that the request named; raises NotOfferedError, LeaseLostError."""
        await self.require(commission)
        own = (asset for slot in commission.generation.slots if slot.role for asset in slot.assets)
        asset = next((asset for asset in own if asset.blob_key == blob_key), None)
        if asset is None:
            raise NotOfferedError(f"the request of this generation names no picture {blob_key!r}")
        return asset

    async def require(self, commission: Commission) -> None:
        """Raises LeaseLostError unless the lease is still held."""
        await self.reader.read(lambda tables: leases.require(tables, commission))

    async def complete(self, commission: Commission, png: Path, rendering: Rendering) -> None:
        """See Desk."""
        if await self.is_completed(commission):
            return
        try:
            size_bytes = (await asyncio.to_thread(png.stat)).st_size
        except OSError as error:
            raise FetchError(Fault.SHORT, f"the drawn picture is gone: {error}") from error
        asset = await self.take_in(commission, _pieces(png), size_bytes)
        await self.settle(commission, asset, rendering)

    async def is_completed(self, commission: Commission) -> bool:
        """Whether it was completed already, so that its caller had only lost the answer."""
        return await self.reader.read(lambda tables: leases.is_completed(tables, commission))

    async def take_in(
        self, commission: Commission, chunks: AsyncIterator[bytes], declared_bytes: int | None
    ) -> Asset:
        """Brings a PNG into the bucket, where it is no slot's yet; raises LeaseLostError first."""
        await self.require(commission)
        return await self.store.take_in(
            chunks,
            declared_bytes,
            origin=Origin.FALLBACK,
            provenance=provenance(commission),
            now=self.now,
            only=MEDIA_TYPE,
        )

    async def settle(self, commission: Commission, asset: Asset, rendering: Rendering) -> None:
        """Makes what is in the bucket the slot's; raises LeaseLostError."""
        drawn = replace(asset, rendering=_bounded(rendering))
        work = partial(leases.complete, commission=commission, asset=drawn, now=self.now())
        _tell(commission, await self.catalog.write(work))

    async def fail(self, commission: Commission, verdict: Verdict, reason: str) -> None:
        """See Desk."""
        now = self.now()
        said = " ".join(redact(reason).split())[:_MAX_REASON_CHARACTERS]

        def work(tables: Tables) -> Settled:
            attempts = leases.require(tables, commission).attempts
            wait = timedelta(seconds=backoff_seconds(attempts, self.random()))
            return leases.fail(tables, commission, verdict, said, again_at=now + wait, now=now)

        _tell(commission, await self.catalog.write(work))


def _bounded(rendering: Rendering) -> Rendering:
    """As much of what a renderer says as has room in a row, and nothing that is secret."""
    return replace(
        rendering,
        drawn_with=_short(rendering.drawn_with),
        software=_short(rendering.software),
        device=_short(rendering.device),
        notes=tuple(map(_short, rendering.notes[:_MAX_NOTES])),
    )


def _short(text: str) -> str:
    return redact(text)[:_MAX_REASON_CHARACTERS]


def provenance(commission: Commission) -> dict[str, str]:
    """What the object's metadata say of a picture that was drawn here."""
    return {
        **provenance_of(commission.generation, commission.index),
        "origin": Origin.FALLBACK.value,
    }


def _tell(commission: Commission, settled: Settled) -> None:
    JOBS_SETTLED.labels(JobKind.RENDER.value, settled.outcome).inc()
    logger().info(settled.outcome, kind=JobKind.RENDER, job=commission.job_id, **settled.says)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    file = await opened(lambda: path.open("rb"))
    try:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
    finally:
        await asyncio.to_thread(file.close)
