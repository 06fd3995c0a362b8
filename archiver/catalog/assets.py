"""The table `assets`: what is in the bucket for a slot, at most one of each origin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from archiver.catalog.rows import by_slot
from archiver.database import Connection
from archiver.models import Asset, Origin, Rendering
from archiver.moments import from_millis, to_millis

_COLUMNS = "origin, sha256, blob_key, size_bytes, media_type, width, height, archived_at, rendering"
INSERT = f"INSERT INTO assets (slot, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"

_DAMAGED = (
    "EXISTS (SELECT 1 FROM fixity WHERE fixity.sha256 = assets.sha256"
    " AND outcome IN ('missing', 'damaged'))"
)

_decode_rendering = msgspec.json.Decoder(Rendering).decode


def load(connection: Connection, generation: int) -> Mapping[int, tuple[Asset, ...]]:
    """The assets of each slot of one generation, oldest first."""
    rows = connection.execute(
        f"SELECT slot, {_COLUMNS}, {_DAMAGED} FROM assets"
        " WHERE slot IN (SELECT number FROM slots WHERE generation = ?) ORDER BY slot, archived_at",
        (generation,),
    )
    return by_slot(rows, _from_row)


def add(connection: Connection, slot: int, asset: Asset) -> None:
    """Writes one new asset; the bytes are in the bucket already."""
    connection.execute(INSERT, to_row(slot, asset))


def to_row(slot: int, asset: Asset) -> tuple[Any, ...]:
    """The values that `INSERT` takes."""
    return (
        slot,
        asset.origin.value,
        asset.sha256,
        asset.blob_key,
        asset.size_bytes,
        asset.media_type,
        asset.width,
        asset.height,
        to_millis(asset.archived_at),
        msgspec.json.encode(asset.rendering).decode() if asset.rendering else None,
    )


def slots_with_digest(connection: Connection, prefix: bytes) -> list[int]:
    """The archive numbers of assets whose SHA-256 begins with `prefix`."""
    rows = connection.execute(
        "SELECT DISTINCT slot FROM assets WHERE sha256 >= ? AND sha256 <= ? ORDER BY slot",
        (prefix, prefix + b"\xff" * (32 - len(prefix))),
    )
    return [number for (number,) in rows]


def _from_row(row: tuple[Any, ...]) -> Asset:
    origin, sha256, blob_key, size_bytes, media_type, width, height, *rest = row
    archived_at, rendering, damaged = rest
    return Asset(
        origin=Origin(origin),
        sha256=sha256,
        blob_key=blob_key,
        size_bytes=size_bytes,
        media_type=media_type,
        width=width,
        height=height,
        archived_at=from_millis(archived_at),
        rendering=_decode_rendering(rendering) if rendering else None,
        damaged=bool(damaged),
    )
