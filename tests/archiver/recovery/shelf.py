"""A small archive that is sealed into a bucket: generations of every kind, and what holds them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from archiver.blobs.folder import FolderBlobs
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.schema import migrate
from archiver.keys import blob_key
from archiver.ledger import keep
from archiver.lifecycle import archive, lose_link, stop_asking
from archiver.merging import merge
from archiver.models import (
    Asset,
    DeliveryRef,
    Failure,
    FailureClass,
    Generation,
    GenerationParams,
    GenerationState,
    InputObservation,
    Observation,
    Origin,
    SlotObservation,
)
from archiver.previews import Preview
from archiver.recovery.segmenting import Segmenting
from archiver.seal import Seal
from archiver.signing import Signer
from archiver.work import JobKind
from tests.archiver.heard import DRAWN, LINK_LIFETIME
from tests.clocks import FrozenClock

INBOX = "8f14e45f-ceea-467f-9e21-7a5c1d2b3e4f"
GONE = Failure(failure_class=FailureClass.RENDERABLE, code="gone", message="410 Gone")

Change = Callable[[Generation], Generation]


def picture(text: str) -> bytes:
    """The bytes that stand for a picture; nothing here decodes them."""
    return hashlib.sha256(text.encode()).digest() * 3


def asset_of(content: bytes, origin: Origin = Origin.PROVIDER) -> Asset:
    """The row of an object with those bytes."""
    digest = hashlib.sha256(content).digest()
    return Asset(
        origin=origin,
        sha256=digest,
        blob_key=blob_key(digest, "png"),
        size_bytes=len(content),
        media_type="image/png",
        width=64,
        height=48,
        archived_at=FrozenClock().at,
        rendering=DRAWN if origin is Origin.FALLBACK else None,
    )


def url(name: str, slot: int = 0) -> str:
    """A link that lives for a day."""
    return f"https://cdn.doitong.com/{name}/{slot}.png?Expires=1795348800&Signature=hush"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """A catalog, a bucket, and the ways in which they fill."""

    folder: Path
    catalog: Catalog
    reader: CatalogReader
    blobs: FolderBlobs
    clock: FrozenClock
    signer: Signer | None = None

    @property
    def path(self) -> Path:
        return self.folder / "catalog.db"

    @property
    def bucket(self) -> Path:
        return self.folder / "bucket"

    @property
    def segmenting(self) -> Segmenting:
        return Segmenting(
            catalog=self.catalog,
            reader=self.reader,
            blobs=self.blobs,
            signer=self.signer,
            lock=self.folder / "segments.lock",
        )

    async def hear(self, name: str, observation: Observation, *, position: int = 1) -> Generation:
        """What is known once this was heard."""

        def absorb(known: Generation | None) -> Generation:
            return merge(
                known,
                replace(observation, generation_id=name),
                heard_in=DeliveryRef(inbox=INBOX, position=position),
                received_at=self.clock(),
                link_lifetime=LINK_LIFETIME,
            )

        return await self.change(name, absorb)

    async def save(
        self, name: str, content: bytes, *, slot: int = 0, origin: Origin = Origin.PROVIDER
    ) -> Asset:
        """Bytes into the bucket, and the row that says so."""
        asset = asset_of(content, origin)
        await self.blobs.put(asset.blob_key, content, media_type="image/png", metadata={})
        await self.change(name, lambda known: archive(known, slot, asset))
        return asset

    async def lose(self, name: str) -> None:
        """The link of its first slot has come to a bad end."""
        digest = hashlib.sha256(url(name).encode()).digest()
        await self.change(name, lambda known: lose_link(known, 0, digest, GONE))

    async def change(self, name: str, change: Change) -> Generation:
        """Something becomes of a generation, new or not."""

        def work(tables: Tables) -> Generation:
            before = tables.generations.load("doitong", name)
            return keep(tables, before, change(before), now=self.clock())

        return await self.catalog.write(work)

    async def seal(self) -> None:
        """Every manifest that is wanted, into the bucket."""
        seal = Seal(
            blobs=self.blobs,
            catalog=self.reader,
            now=self.clock,
            random=lambda: 0.5,
            signer=self.signer,
        )
        claim = partial(_claim, now=self.clock)
        while jobs := await self.catalog.write(claim):
            for job in jobs:
                await self.catalog.write(await seal.perform(job))

    async def load(self, name: str) -> Generation | None:
        return await self.reader.read(lambda tables: tables.generations.load("doitong", name))

    async def fill(self, count: int) -> None:
        """Generations of every kind, one after the other, and their manifests."""
        for index in range(count):
            await self.add(index)
        await self.seal()

    async def add(self, index: int) -> None:
        """The generation `g<index>`, of the kind that is its turn."""
        await _KINDS[index % len(_KINDS)](self, f"g{index}")


def _claim(tables: Tables, *, now: Callable[[], object]) -> list[object]:
    return tables.jobs.claim(
        JobKind.SEAL,
        limit=50,
        worker="w",
        lease_seconds=30,
        now=now(),
    )


def said(
    name: str,
    *,
    slots: int = 1,
    state: str = "succeeded",
    prompt: str = "A lighthouse of {}, 灯塔",
    **more: object,
) -> Observation:
    """The provider's word that there are so many pictures, and what was asked for."""
    return Observation(
        provider="doitong",
        generation_id=name,
        state=GenerationState(state),
        slots=tuple(SlotObservation(index=n, url=url(name, n)) for n in range(slots)),
        params=GenerationParams(
            prompt=prompt.format(name),
            model="flux-pro",
            width=64,
            samples=slots,
            seed=7,
        ),
        **more,
    )


async def _archived(shelf: Shelf, name: str) -> None:
    await shelf.hear(name, said(name, service="flux", cost=12.5))
    asset = await shelf.save(name, picture(name))
    preview = Preview(phash=-5, width=32, height=24)
    await shelf.catalog.write(lambda tables: tables.previews.put(asset.sha256, preview))


async def _several(shelf: Shelf, name: str) -> None:
    """One of three slots is archived, and one of them with the same bytes as another's."""
    await shelf.hear(name, said(name, slots=3))
    await shelf.save(name, picture("the same"), slot=1)
    await shelf.save(name, picture(name), slot=2)


async def _drawn(shelf: Shelf, name: str) -> None:
    await shelf.hear(name, said(name))
    await shelf.lose(name)
    await shelf.save(name, picture(name), origin=Origin.FALLBACK)


async def _dead(shelf: Shelf, name: str) -> None:
    """Its link was lost, and the provider was asked and had no other."""
    await shelf.hear(name, replace(said(name), params=GenerationParams()))
    await shelf.lose(name)
    await shelf.change(name, stop_asking)


async def _held(shelf: Shelf, name: str) -> None:
    policy = Failure(failure_class=FailureClass.POLICY, code="NSFW", message="no")
    await shelf.hear(name, replace(said(name, slots=0, state="failed"), failure=policy))


async def _with_input(shelf: Shelf, name: str) -> None:
    named = InputObservation(role="init_image", url=f"https://example.org/{name}.png")
    known = await shelf.hear(name, said(name, inputs=(named,)))
    await shelf.save(name, picture("an input"), slot=known.slots[0].index)
    await shelf.save(name, picture(name))


async def _waiting(shelf: Shelf, name: str) -> None:
    """Nothing of it has come to an end, so that nobody has sealed it."""
    await shelf.hear(name, said(name, slots=0, state="running"))


_KINDS = (_archived, _several, _drawn, _dead, _held, _with_input, _waiting, _archived)


async def fill_folder(folder: Path, count: int, *, signer: Signer | None = None) -> None:
    """A shelf of so many generations, for tests to have copies of."""
    async with shelf_in(folder, signer=signer) as shelf:
        await shelf.fill(count)


@asynccontextmanager
async def shelf_in(folder: Path, *, signer: Signer | None = None) -> AsyncIterator[Shelf]:
    """An empty one."""
    migrate(folder / "catalog.db")
    catalog, reader = Catalog(folder / "catalog.db"), CatalogReader(folder / "catalog.db")
    await catalog.start()
    yield Shelf(
        folder=folder,
        catalog=catalog,
        reader=reader,
        blobs=FolderBlobs(folder / "bucket"),
        clock=FrozenClock(),
        signer=signer,
    )
    reader.close()
    await catalog.close()
