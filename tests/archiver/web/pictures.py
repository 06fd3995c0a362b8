"""An archive with pictures to look at: painted here, and kept as the service would keep them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor, ImageDraw

from archiver import lifecycle
from archiver.blobs import BlobStore
from archiver.blobs.folder import FolderBlobs
from archiver.catalog import Catalog, Tables
from archiver.catalog.schema import migrate
from archiver.keys import blob_key, thumb_key
from archiver.ledger import keep, keep_all
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
from archiver.previews import Preview

HEARD_AT = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
URL = "https://cdn.doitong.com/out/{}.jpg?Expires=4102444800&Signature=hush"
SIZES = [(3, 2), (2, 3), (1, 1), (16, 9), (4, 3), (4, 7), (1, 1), (3, 4), (21, 9)]
# Of a picture: the sky above and at the horizon, sun or moon, and the hills that are nearest.
PALETTES = [
    ("#27466b", "#f2b98a", "#fff1d6", "#2a2438"),
    ("#6fa3c8", "#e8eef0", "#fffdf4", "#2f4a3a"),
    ("#1a1f3c", "#b0527a", "#ffd9a0", "#1c1526"),
    ("#8fb5a8", "#f3ead2", "#f7d774", "#4b3f2f"),
    ("#3b3f4c", "#a9b3bb", "#e9edf0", "#20252b"),
    ("#0d2233", "#3d8f86", "#e7fff4", "#0b1a1f"),
    ("#c9713f", "#f6d5a0", "#fff3d0", "#5a2a20"),
    ("#d8e3ea", "#f7f8f6", "#f4c9a8", "#5d7485"),
    ("#403a5c", "#d9a5b3", "#fbe6d0", "#2b3350"),
]
FILM = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + bytes(100)


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What is told of one generation with one slot, and its bytes: painted where none are given.

    `preview` None: none was made; `""`: there is one, with its thumbnail; else why there is none.
    """

    prompt: str | None
    provider: str = "doitong"
    params: dict[str, Any] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    size: tuple[int, int] | None = (480, 320)
    body: tuple[bytes, str] | None = None
    rendering: Rendering | None = None
    preview: str | None = ""


def paint(size: tuple[int, int], seed: int) -> Image.Image:
    """Hills under a sky, always the same for the same seed."""
    chosen = random.Random(seed)
    width, height = size
    above, below, light, hills = chosen.choice(PALETTES)
    sky = Image.new("RGB", (1, 2), above)
    sky.putpixel((0, 1), ImageColor.getrgb(below))
    picture = sky.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    radius = min(size) * chosen.uniform(0.05, 0.13)
    x, y = width * chosen.uniform(0.15, 0.85), height * chosen.uniform(0.2, 0.5)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=light)
    for ridge in range(4):
        base = height * (0.52 + 0.13 * ridge)
        points = [
            (width * step / 12, base + chosen.uniform(-0.1, 0.1) * height) for step in range(13)
        ]
        far = Image.blend(
            Image.new("RGB", (1, 1), below), Image.new("RGB", (1, 1), hills), 0.4 + 0.2 * ridge
        )
        draw.polygon([(0, height), *points, (width, height)], fill=far.getpixel((0, 0)))
    return picture


async def fill(folder: Path, stories: Iterable[Told], blobs: BlobStore | None = None) -> list[int]:
    """Makes catalog and bucket in `folder`; the archive numbers of the slots, in their order."""
    migrate(folder / "catalog.db")
    catalog = Catalog(folder / "catalog.db")
    await catalog.start()
    blobs = blobs or FolderBlobs(folder / "bucket")
    kept: list[tuple[Told, Asset | None, Preview | None]] = []
    for place, told in enumerate(stories):
        kept.append((told, *await _stored(blobs, told, place)))
    try:
        return await catalog.write(lambda tables: _told(tables, kept))
    finally:
        await catalog.close()


async def _stored(blobs: BlobStore, told: Told, place: int) -> tuple[Asset | None, Preview | None]:
    """The bytes into the bucket, with a thumbnail; nothing where there is no picture."""
    if told.size is None:
        return None, None
    picture = paint(told.size, place) if told.body is None else None
    body, kind = told.body or (_encoded(picture, "JPEG"), "image/jpeg")
    digest = sha256(body).digest()
    asset = Asset(
        origin=Origin.FALLBACK if told.rendering else Origin.PROVIDER,
        sha256=digest,
        blob_key=blob_key(digest, "jpg" if kind == "image/jpeg" else kind.partition("/")[2]),
        size_bytes=len(body),
        media_type=kind,
        width=told.size[0],
        height=told.size[1],
        archived_at=HEARD_AT + timedelta(minutes=place, seconds=9),
        rendering=told.rendering,
    )
    await blobs.put(asset.blob_key, body, media_type=kind, metadata={})
    if told.preview is None:
        return asset, None
    if told.preview or picture is None:
        return asset, Preview(reason=told.preview)
    picture.thumbnail((320, 320))
    await blobs.put(
        thumb_key(digest), _encoded(picture, "WEBP"), media_type="image/webp", metadata={}
    )
    # Families of four look alike.
    alike = (place // 4) * 0x9E3779B97F4A7C15 % 2**63 ^ (1 << place % 4)
    return asset, Preview(phash=alike, width=picture.width, height=picture.height)


def _told(
    tables: Tables, stories: Sequence[tuple[Told, Asset | None, Preview | None]]
) -> list[int]:
    heard = []
    for place, (told, _, _) in enumerate(stories):
        at = HEARD_AT + timedelta(minutes=place)
        params = {"width": told.size and told.size[0], "height": told.size and told.size[1]}
        observation = Observation(
            provider=told.provider,
            generation_id=f"{told.provider[:2]}-{place:05x}",
            params=GenerationParams(prompt=told.prompt, **(params | told.params)),
            created_at=at - timedelta(seconds=40),
            **{
                "state": GenerationState.SUCCEEDED,
                "slots": (SlotObservation(index=0, url=URL.format(place)),),
                "completed_at": at - timedelta(seconds=3),
                **told.said,
            },
        )
        heard.append(
            merge(
                None,
                observation,
                heard_in=DeliveryRef(inbox="an inbox", position=place + 1),
                received_at=at,
                link_lifetime=timedelta(hours=24),
            )
        )
    numbers = []
    for (_, asset, preview), known in zip(
        stories, keep_all(tables, [(None, it) for it in heard], now=HEARD_AT), strict=True
    ):
        if asset is not None:
            keep(tables, known, lifecycle.archive(known, 0, asset), now=HEARD_AT)
            if preview is not None:
                tables.previews.put(asset.sha256, preview)
        number = next(slot.number for slot in known.slots if not slot.role)
        assert number is not None
        numbers.append(number)
    return numbers


def _encoded(picture: Image.Image | None, form: str) -> bytes:
    assert picture is not None
    file = BytesIO()
    picture.save(file, form, quality=82)
    return file.getvalue()
