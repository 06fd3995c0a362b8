"""The table `generations`, and with it the whole of one: its slots, their links and assets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from archiver.catalog import slots
from archiver.catalog.rows import (
    FAILURE_COLUMNS,
    failure_from_row,
    failure_to_row,
    in_portions,
)
from archiver.database import Connection
from archiver.models import Generation, GenerationParams, GenerationState, SlotState
from archiver.moments import from_millis, to_millis

COLUMNS = (
    f"provider, id, state, service, params, {FAILURE_COLUMNS}, moderated, canceled, track_id,"
    " cost, created_at, completed_at, first_heard_at, account, hinted_at, revision, sealed_revision"
)
_NAMES = COLUMNS.split(", ")
_PLACES = ",".join("?" * len(_NAMES))

_PARAMS = tuple(field.name for field in fields(GenerationParams))
_decode_params = msgspec.json.Decoder(GenerationParams).decode


class Generations:
    """Loads and saves generations as wholes, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def load(self, provider: str, generation_id: str) -> Generation | None:
        """The generation of that name, or None."""
        return self._load("provider = ? AND id = ?", (provider, generation_id))

    def load_all(self, names: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Generation]:
        """Those generations of `(provider, id)` that are known."""
        found: dict[tuple[str, str], Generation] = {}
        for some in in_portions(names):
            places = ",".join(["(?,?)"] * len(some))
            rows = self._connection.execute(
                f"SELECT key, {COLUMNS} FROM generations WHERE (provider, id) IN (VALUES {places})",
                [part for name in some for part in name],
            ).fetchall()
            found |= {(row[1], row[2]): _from_row(self._connection, row) for row in rows}
        return found

    def load_key(self, key: int) -> Generation | None:
        """The generation with that key, or None."""
        return self._load("key = ?", (key,))

    def load_slot(self, number: int) -> Generation | None:
        """The generation that an archive number belongs to, or None."""
        return self._load("key = (SELECT generation FROM slots WHERE number = ?)", (number,))

    def keys(self, *, above: int, limit: int) -> list[int]:
        """The keys of those there are, ascending."""
        rows = self._connection.execute(
            "SELECT key FROM generations WHERE key > ? ORDER BY key LIMIT ?", (above, limit)
        )
        return [key for (key,) in rows]

    def names(self, *, above: int, limit: int) -> list[tuple[int, str, str]]:
        """`(key, provider, id)` of those there are, by key ascending."""
        return self._connection.execute(
            "SELECT key, provider, id FROM generations WHERE key > ? ORDER BY key LIMIT ?",
            (above, limit),
        ).fetchall()

    def after(self, name: tuple[str, str], *, limit: int) -> list[tuple[str, str]]:
        """The `(provider, id)` of those whose names come after that one, in their order."""
        return self._connection.execute(
            "SELECT provider, id FROM generations WHERE (provider, id) > (?, ?)"
            " ORDER BY provider, id LIMIT ?",
            (*name, limit),
        ).fetchall()

    def begun_at(self) -> datetime | None:
        """When the first that there is was heard of."""
        row = self._connection.execute(
            "SELECT first_heard_at FROM generations ORDER BY key LIMIT 1"
        ).fetchone()
        return from_millis(row[0]) if row else None

    def refresh(self, known: Generation) -> Generation:
        """The generation as it stands now: the known one itself, if nothing has changed since."""
        row = self._connection.execute(
            "SELECT revision, sealed_revision FROM generations WHERE key = ?", (known.key,)
        ).fetchone()
        if row == (known.revision, known.sealed_revision):
            return known
        assert known.key is not None
        fresh = self.load_key(known.key)
        assert fresh is not None  # rows are never deleted
        return fresh

    def save(self, before: Generation | None, after: Generation) -> Generation:
        """Writes what changed since `before`, if anything did, as the next revision.

        The answer has its key and its slots' numbers.
        """
        if after == before:
            return after
        revision = after.revision + 1
        key = self._write(before, after, revision)
        numbered = tuple(
            slots.save(self._connection, key, before.slot(slot.index) if before else None, slot)
            for slot in after.slots
        )
        return replace(after, key=key, revision=revision, slots=numbered)

    def seal(self, key: int, revision: int) -> None:
        """Notes that the manifest in the bucket shows this revision."""
        self._connection.execute(
            "UPDATE generations SET sealed_revision = max(sealed_revision, ?) WHERE key = ?",
            (revision, key),
        )

    def count_by_state(self) -> dict[tuple[str, str], int]:
        """How many generations each (provider, state) has."""
        rows = self._connection.execute(
            "SELECT provider, state, count(*) FROM generations GROUP BY 1, 2"
        )
        return {(provider, state): count for provider, state, count in rows}

    def count_slots_by_state(self) -> dict[str, int]:
        """How many slots stand in each state."""
        # Nearly all are archived, and to count all is quick where to count some of them is not.
        (archived,) = self._connection.execute("SELECT count(*) FROM slots").fetchone()
        counts = {}
        for state in SlotState:
            if state is not SlotState.ARCHIVED:
                (count,) = self._connection.execute(
                    "SELECT count(*) FROM slots WHERE state = ?", (state.value,)
                ).fetchone()
                counts[state.value] = count
                archived -= count
        counts[SlotState.ARCHIVED.value] = archived
        return {state: count for state, count in counts.items() if count}

    def _write(self, before: Generation | None, after: Generation, revision: int) -> int:
        """Writes the one row, or of a known one the columns that changed; the answer is its key."""
        row = to_row(after, revision)
        if before is None:
            (key,) = self._connection.execute(
                f"INSERT INTO generations ({COLUMNS}) VALUES ({_PLACES}) RETURNING key", row
            ).fetchone()
            return int(key)
        assert before.key is not None
        known = zip(_NAMES, to_row(before, before.revision), row, strict=True)
        changed = {name: new for name, old, new in known if new != old}
        assigned = ",".join(f"{name}=?" for name in changed)
        self._connection.execute(
            f"UPDATE generations SET {assigned} WHERE key = ?", (*changed.values(), before.key)
        )
        return before.key

    def _load(self, where: str, values: tuple[Any, ...]) -> Generation | None:
        row = self._connection.execute(
            f"SELECT key, {COLUMNS} FROM generations WHERE {where}", values
        ).fetchone()
        return _from_row(self._connection, row) if row else None


def to_row(generation: Generation, revision: int) -> tuple[Any, ...]:
    """The values of `COLUMNS`."""
    return (
        generation.provider,
        generation.id,
        generation.state.value,
        generation.service,
        _encode_params(generation.params),
        *failure_to_row(generation.failure),
        int(generation.moderated),
        int(generation.canceled),
        generation.track_id,
        generation.cost,
        to_millis(generation.created_at),
        to_millis(generation.completed_at),
        to_millis(generation.first_heard_at),
        generation.account,
        to_millis(generation.hinted_at),
        revision,
        generation.sealed_revision,
    )


@lru_cache(maxsize=16)  # a generation's are written again and again, and rarely change
def _encode_params(params: GenerationParams) -> str:
    values = ((name, getattr(params, name)) for name in _PARAMS)
    said = {name: value for name, value in values if value is not None}
    return msgspec.json.encode(said).decode()


def _from_row(connection: Connection, row: tuple[Any, ...]) -> Generation:
    key, provider, generation_id, state, service, params, *failure = row[:9]
    moderated, canceled, track_id, cost, *times, account, hinted_at, revision, sealed = row[9:]
    created_at, completed_at, first_heard_at = times
    return Generation(
        key=key,
        provider=provider,
        id=generation_id,
        account=account,
        state=GenerationState(state),
        failure=failure_from_row(*failure),
        moderated=bool(moderated),
        canceled=bool(canceled),
        service=service,
        params=_decode_params(params),
        track_id=track_id,
        cost=cost,
        created_at=from_millis(created_at),
        completed_at=from_millis(completed_at),
        first_heard_at=from_millis(first_heard_at),
        hinted_at=from_millis(hinted_at),
        revision=revision,
        sealed_revision=sealed,
        slots=slots.load(connection, key),
    )
