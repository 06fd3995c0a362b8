"""The table `slots`: the archive numbers, and where each stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from archiver.catalog import assets, links
from archiver.catalog.rows import FAILURE_COLUMNS, failure_from_row, failure_to_row
from archiver.database import Connection
from archiver.models import Asset, Link, Slot, SlotState, Undrawn

_CHANGING = f"state, reason, asked, undrawn, {FAILURE_COLUMNS}"
_COLUMNS = f"number, slot_index, role, {_CHANGING}"
INSERT = (
    f"INSERT INTO slots (number, generation, slot_index, role, {_CHANGING})"
    " VALUES (?,?,?,?,?,?,?,?,?,?,?)"
)
_APPEND = (
    f"INSERT INTO slots (generation, slot_index, role, {_CHANGING})"
    " VALUES (?,?,?,?,?,?,?,?,?,?) RETURNING number"
)
_ASSIGNED = ", ".join(f"{name}=?" for name in _CHANGING.split(", "))

_decode_undrawn = msgspec.json.Decoder(Undrawn).decode


def load(connection: Connection, generation: int) -> tuple[Slot, ...]:
    """The slots of one generation with their links and assets, by index."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM slots WHERE generation = ? ORDER BY slot_index", (generation,)
    ).fetchall()
    links_of, assets_of = links.load(connection, generation), assets.load(connection, generation)
    return tuple(
        _from_row(row, links_of.get(row[0], ()), assets_of.get(row[0], ())) for row in rows
    )


def save(connection: Connection, generation: int, before: Slot | None, after: Slot) -> Slot:
    """Writes what changed of one slot; the answer has its archive number, given here if it is new
    and has none."""
    number = before.number if before else None
    if number is None:
        number = _insert(connection, generation, after)
    elif before is not None and _row(before) != _row(after):
        connection.execute(f"UPDATE slots SET {_ASSIGNED} WHERE number=?", (*_row(after), number))
    known_links = {link.url_sha256: link for link in before.links} if before else {}
    for link in after.links:
        if known_links.get(link.url_sha256) != link:
            links.put(connection, number, link)
    known_assets = before.assets if before else ()
    for asset in after.assets:
        if asset not in known_assets:
            assets.add(connection, number, asset)
    return after if after.number == number else replace(after, number=number)


def _insert(connection: Connection, generation: int, slot: Slot) -> int:
    if slot.number is not None:
        connection.execute(INSERT, to_row(slot.number, generation, slot))
        return slot.number
    (number,) = connection.execute(_APPEND, to_row(None, generation, slot)[1:]).fetchone()
    return int(number)


def to_row(number: int | None, generation: int, slot: Slot) -> tuple[Any, ...]:
    """The values that `INSERT` takes; without a number the table gives one."""
    return (number, generation, slot.index, slot.role, *_row(slot))


def _row(slot: Slot) -> tuple[Any, ...]:
    undrawn = msgspec.json.encode(slot.undrawn).decode() if slot.undrawn else None
    return (slot.state.value, slot.reason, slot.asked, undrawn, *failure_to_row(slot.failure))


def _from_row(
    row: tuple[Any, ...], known_links: tuple[Link, ...], known_assets: tuple[Asset, ...]
) -> Slot:
    number, index, role, state, reason, asked, undrawn, *failure = row
    return Slot(
        index=index,
        role=role,
        number=number,
        state=SlotState(state),
        reason=reason,
        asked=asked,
        undrawn=_decode_undrawn(undrawn) if undrawn else None,
        failure=failure_from_row(*failure),
        links=known_links,
        assets=known_assets,
    )
