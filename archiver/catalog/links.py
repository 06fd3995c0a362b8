"""The table `links`: which URLs are known for a slot, by digest and public part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver.catalog.rows import FAILURE_COLUMNS, by_slot, failure_from_row, failure_to_row
from archiver.database import Connection
from archiver.models import DeliveryRef, Link
from archiver.moments import from_millis, to_millis

_COLUMNS = f"url_sha256, location, host, expires_at, inbox, position, {FAILURE_COLUMNS}"

PUT = (
    f"INSERT INTO links (slot, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"
    " ON CONFLICT (slot, url_sha256) DO UPDATE SET expires_at=excluded.expires_at,"
    " inbox=excluded.inbox, position=excluded.position, failure_class=excluded.failure_class,"
    " failure_code=excluded.failure_code, failure_message=excluded.failure_message"
)


def load(connection: Connection, generation: int) -> Mapping[int, tuple[Link, ...]]:
    """The links of each slot of one generation, ordered by digest as `merging` keeps them."""
    rows = connection.execute(
        f"SELECT slot, {_COLUMNS} FROM links"
        " WHERE slot IN (SELECT number FROM slots WHERE generation = ?) ORDER BY slot, url_sha256",
        (generation,),
    )
    return by_slot(rows, _from_row)


def put(connection: Connection, slot: int, link: Link) -> None:
    """Writes one link, new or changed."""
    connection.execute(PUT, to_row(slot, link))


def to_row(slot: int, link: Link) -> tuple[Any, ...]:
    """The values that `PUT` takes."""
    ref = link.heard_in
    return (
        slot,
        link.url_sha256,
        link.location,
        link.host,
        to_millis(link.expires_at),
        ref.inbox,
        ref.position,
        *failure_to_row(link.failure),
    )


def _from_row(row: tuple[Any, ...]) -> Link:
    url_sha256, location, host, expires_at, inbox, position, *failure = row
    return Link(
        url_sha256=url_sha256,
        location=location,
        host=host,
        expires_at=from_millis(expires_at),
        heard_in=DeliveryRef(inbox=inbox, position=position),
        failure=failure_from_row(*failure),
    )
