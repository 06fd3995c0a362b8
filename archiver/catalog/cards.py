"""The table `cards`: one flat row to an output slot, for whatever is filtered, sorted and counted.

It says nothing that the other tables do not; `archiver.ledger` keeps it in step with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from archiver.cards import MAX_NUMBER, Card
from archiver.catalog.rows import in_portions
from archiver.database import Connection
from archiver.models import GenerationState, Origin, SlotState
from archiver.moments import from_millis, to_millis

COLUMNS = Card.__struct_fields__

# Their values are few, so that a range of them can be asked for as its values' tokens.
_OF_FEW_VALUES = ("width", "height", "steps", "guidance_scale")
# More than a plan makes use of.
_MOST_VALUES = 500

PUT = (
    f"INSERT INTO cards ({', '.join(COLUMNS)}) VALUES ({','.join('?' * len(COLUMNS))})"
    f" ON CONFLICT (number) DO UPDATE SET {', '.join(f'{it}=excluded.{it}' for it in COLUMNS[1:])}"
)

PUT_VALUE = "INSERT INTO card_values (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING"


class Cards:
    """The cards, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, cards: Sequence[Card]) -> None:
        """Writes some cards in place of those of the same numbers."""
        self._connection.executemany(PUT, map(to_row, cards))
        self._connection.executemany(PUT_VALUE, few_values(cards))

    def load(self, numbers: Sequence[int]) -> dict[int, tuple[Card, str | None]]:
        """The cards of those archive numbers that have one, each with its prompt as it was told."""
        found: dict[int, tuple[Card, str | None]] = {}
        shown = ", ".join(f"cards.{name}" for name in COLUMNS)
        for some in in_portions(numbers):
            rows = self._connection.execute(
                f"SELECT params, {shown} FROM cards"
                " JOIN slots ON slots.number = cards.number"
                " JOIN generations ON generations.key = slots.generation"
                f" WHERE cards.number IN ({','.join('?' * len(some))})",
                some,
            )
            for params, *row in rows:
                told = _decode_told(params)
                if row[_SEED] is None:
                    row[_SEED] = told.seed
                card = _card(row)
                found[card.number] = card, told.prompt
        return found

    def with_digest(self, sha256: bytes) -> list[int]:
        """The archive numbers of slots with those very bytes, the newest 1,000 of them first."""
        rows = self._connection.execute(
            "SELECT number FROM cards WHERE sha256 = ? ORDER BY number DESC LIMIT 1000",
            (sha256,),
        )
        return [number for (number,) in rows]

    def values(self) -> Mapping[str, Sequence[float]]:
        """Every value that there is, or was, of those columns that have few."""
        found = {}
        for column in _OF_FEW_VALUES:
            rows = self._connection.execute(
                "SELECT value FROM card_values WHERE name = ? ORDER BY value LIMIT ?",
                (column, _MOST_VALUES + 1),
            )
            values = [value for (value,) in rows]
            if len(values) <= _MOST_VALUES:
                found[column] = values
        return found

    def count_by(
        self, columns: Sequence[str], numbers: Sequence[int]
    ) -> Mapping[str, Mapping[str, int]]:
        """How often each value of these columns stands on the cards of those numbers."""
        counts: dict[str, Counter[Any]] = {column: Counter() for column in columns}
        for some in in_portions(numbers):
            rows = self._connection.execute(
                f"SELECT {', '.join(columns)} FROM cards"
                f" WHERE number IN ({','.join('?' * len(some))})",
                some,
            )
            for column, values in zip(columns, zip(*rows, strict=True), strict=False):
                counts[column].update(values)
        for column in columns:
            del counts[column][None]
        return counts

    def unindexed(self, *, above: int, limit: int) -> list[int]:
        """Keys of generations, ascending, of which some output slot has no card yet."""
        rows = self._connection.execute(
            "SELECT DISTINCT slots.generation FROM slots"
            " LEFT JOIN cards ON cards.number = slots.number"
            " WHERE cards.number IS NULL AND slots.role = '' AND slots.generation > ?"
            " ORDER BY 1 LIMIT ?",
            (above, limit),
        )
        return [key for (key,) in rows]


_MOMENTS = ("created_at", "completed_at", "archived_at", "first_heard_at")
_FLAGS = ("drawn", "flagged", "moderated", "damaged")

_SEED = COLUMNS.index("seed")


class _Told(msgspec.Struct):
    """Of the parameters what a card has not: the prompt, and a seed that fits no column."""

    prompt: str | None = None
    seed: int | None = None


_decode_told = msgspec.json.Decoder(_Told).decode

# What stands in a column otherwise than on a card, and how it is written and read.
_INTO: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_MOMENTS, to_millis),
    **dict.fromkeys(_FLAGS, int),
    **dict.fromkeys(("generation_state", "state", "origin"), lambda value: value and value.value),
    # A seed beyond is found by its token, and shown from the parameters (`_Told`).
    "seed": lambda seed: seed if seed is not None and abs(seed) <= MAX_NUMBER else None,
}
_OUT_OF: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_MOMENTS, from_millis),
    **dict.fromkeys(_FLAGS, bool),
    "seed": lambda seed: seed and int(seed),
    # Looked up, for an enumeration takes far longer to find a member of its own.
    "generation_state": {state.value: state for state in GenerationState}.__getitem__,
    "state": {state.value: state for state in SlotState}.__getitem__,
    "origin": {origin.value: origin for origin in Origin}.get,
}

_INTO_PLACES = tuple((COLUMNS.index(name), into) for name, into in _INTO.items())
_OUT_OF_PLACES = tuple((COLUMNS.index(name), out_of) for name, out_of in _OUT_OF.items())


def few_values(cards: Iterable[Card]) -> set[tuple[str, float]]:
    """The names and values that `PUT_VALUE` takes."""
    return {
        (column, value)
        for card in cards
        for column in _OF_FEW_VALUES
        if (value := getattr(card, column)) is not None
    }


def to_row(card: Card) -> list[Any]:
    """The values of `COLUMNS`."""
    row = list(msgspec.structs.astuple(card))
    for place, into in _INTO_PLACES:
        row[place] = into(row[place])
    return row


def _card(row: Sequence[Any]) -> Card:
    values = list(row)
    for place, out_of in _OUT_OF_PLACES:
        values[place] = out_of(values[place])
    return Card(**dict(zip(COLUMNS, values, strict=True)))
