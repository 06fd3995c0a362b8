"""Two sides of one table held against each other, portion after portion in the order of its keys.

What has changed since is found by looking at every row, for no row says when it was changed; so
copying, copying what is new, and verifying are the same walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Key = tuple[Any, ...]
Row = tuple[Any, ...]

# Of each table, what is named one by one; the rest is counted.
_NAMED = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Portion:
    """The next rows by their keys; `upto` is the last key, None at the table's end."""

    rows: Mapping[Key, Row]
    upto: Key | None


class Pair(Protocol):
    """A table in a file, and what became of it on the server."""

    @property
    def name(self) -> str:
        """What an operator knows it by."""
        ...

    def count(self) -> int:
        """How many rows the file has."""
        ...

    def portion(self, after: Key | None) -> Portion:
        """The file's next rows beyond a key, as the server is to have them."""
        ...

    def seen(self, row: Row) -> Row:
        """What of a row is compared: its values, of large ones their digests."""
        ...

    def there(self, after: Key | None, upto: Key | None) -> Mapping[Key, Row]:
        """What the server has beyond one key and up to another, as `seen` has it."""
        ...

    def put(self, gone: Sequence[Key], rows: Sequence[Row]) -> None:
        """Takes some rows away there and then writes others, in one commit."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A row that is not the same on both sides."""

    table: str
    key: Key
    says: str


@dataclass(kw_only=True, slots=True)
class Tally:
    """What a walk over one table came to; `changed` of its rows were written or taken away, or
    differ if nothing was to be changed. The first of them are named."""

    table: str
    rows: int = 0
    changed: int = 0
    named: list[Difference] = field(default_factory=list)


def walk(
    pair: Pair,
    *,
    mends: bool,
    told: Callable[[int], None] = lambda rows: None,
    hashed: Callable[[bytes], object] = lambda row: None,
) -> Tally:
    """Walks over a table, and makes the server's side what the file's is if it `mends`.

    `told` hears of each portion's rows, `hashed` is given each row of the file as bytes.
    """
    tally = Tally(table=pair.name)
    for after, portion in portions_of(pair):
        ours = {key: pair.seen(row) for key, row in portion.rows.items()}
        there = pair.there(after, portion.upto)
        gone = [key for key in there if key not in ours]
        wanted = [key for key, row in ours.items() if there.get(key) != row]
        if mends and (gone or wanted):
            changed = [key for key in wanted if key in there]
            pair.put([*gone, *changed], [portion.rows[key] for key in wanted])
        else:
            _name(tally, gone, wanted, there)
        for row in ours.values():
            hashed(as_bytes(pair, row))
        tally.rows += len(ours)
        tally.changed += len(gone) + len(wanted)
        told(len(ours))
    return tally


def portions_of(pair: Pair) -> Iterator[tuple[Key | None, Portion]]:
    """All of a table in the file, each portion with the key that it begins beyond."""
    after: Key | None = None
    while True:
        portion = pair.portion(after)
        yield after, portion
        after = portion.upto
        if after is None:
            return


def as_bytes(pair: Pair, seen: Row) -> bytes:
    """What of a row is compared, for a digest."""
    return repr((pair.name, seen)).encode(errors="surrogatepass")


def _name(
    tally: Tally, gone: Sequence[Key], wanted: Sequence[Key], there: Mapping[Key, Row]
) -> None:
    for key in gone:
        _add(tally, key, "is on the server alone")
    for key in wanted:
        _add(tally, key, "differs" if key in there else "is missing on the server")


def _add(tally: Tally, key: Key, says: str) -> None:
    if len(tally.named) < _NAMED:
        tally.named.append(Difference(table=tally.table, key=key, says=says))
