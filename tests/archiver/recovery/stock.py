"""An archive of many small objects with links that live a day, and ways to harm it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from archiver.catalog import Tables
from archiver.catalog.schema import migrate
from archiver.keys import blob_key
from archiver.ledger import keep
from archiver.lifecycle import archive
from archiver.merging import merge
from archiver.models import (
    Asset,
    DeliveryRef,
    GenerationState,
    Observation,
    Origin,
    SlotObservation,
)
from archiver.sqlite import open_writer

LIFETIME = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One object, and the archive number of the slot that it is of."""

    number: int
    generation_id: str
    content: bytes
    asset: Asset
    url: str


def content(index: int) -> bytes:
    """Bytes unlike any other's."""
    return hashlib.sha256(b"%d" % index).digest() * (4 + index % 5)


def pieces(count: int, base_url: str, *, at: datetime) -> list[Piece]:
    """So many objects; the picture of each lies at `/<its index>.png` of the address."""
    return [
        Piece(
            number=index + 1,
            generation_id=f"g{index}",
            content=content(index),
            asset=asset_of(content(index), at=at),
            url=f"{base_url}/{index}.png",
        )
        for index in range(count)
    ]


def asset_of(body: bytes, *, at: datetime) -> Asset:
    """The row of an object with those bytes."""
    digest = hashlib.sha256(body).digest()
    return Asset(
        origin=Origin.PROVIDER,
        sha256=digest,
        blob_key=blob_key(digest, "png"),
        size_bytes=len(body),
        media_type="image/png",
        width=1,
        height=1,
        archived_at=at,
    )


def stock(catalog: Path, bucket: Path, made: Sequence[Piece], *, heard_at: datetime) -> None:
    """A catalog of archived slots and the folder of their objects; links live 24 hours more."""
    migrate(catalog)
    connection = open_writer(catalog)
    connection.execute("BEGIN IMMEDIATE")
    tables = Tables(connection)
    for piece in made:
        place = bucket / piece.asset.blob_key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(piece.content)
        keep_archived(tables, piece, heard_at=heard_at)
    connection.execute("COMMIT")
    connection.close()


def keep_archived(tables: Tables, piece: Piece, *, heard_at: datetime) -> None:
    """The rows of one generation whose only picture is in the bucket."""
    said = Observation(
        provider="doitong",
        generation_id=piece.generation_id,
        state=GenerationState.SUCCEEDED,
        slots=(SlotObservation(index=0, url=piece.url),),
    )
    heard = merge(
        None,
        said,
        heard_in=DeliveryRef(inbox="an inbox", position=piece.number),
        received_at=heard_at,
        link_lifetime=LIFETIME,
    )
    known = keep(tables, None, heard, now=heard_at)
    keep(tables, known, archive(known, 0, piece.asset), now=heard_at)


def flip(place: Path) -> None:
    """One bit of a file, with its size as it was."""
    spoilt = bytearray(place.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    place.write_bytes(spoilt)


def truncate(place: Path) -> None:
    """The end of a file cut off."""
    place.write_bytes(place.read_bytes()[:-1])


def delete(place: Path) -> None:
    """A file taken away."""
    place.unlink()
