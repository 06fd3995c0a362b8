"""Filling a catalog that nobody uses yet, as fast as it goes: indexes and words come last.

Rows are made elsewhere, in other processes if need be (`Rows`), and only written here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from archiver.cards import Card
from archiver.catalog import assets, cards, generations, links, slots
from archiver.catalog.jobs import Jobs
from archiver.catalog.rows import in_portions
from archiver.catalog.texts import Texts, Words
from archiver.database import Connection
from archiver.models import Generation
from archiver.moments import to_millis
from archiver.previews import Preview
from archiver.work import WantedJob

_GENERATION = (
    f"INSERT INTO generations (key, {generations.COLUMNS}, segmented_revision)"
    f" VALUES ({','.join('?' * (len(generations.COLUMNS.split(', ')) + 2))})"
)
_PREVIEW = (
    "INSERT OR IGNORE INTO previews (sha256, phash, width, height, reason) VALUES (?,?,?,?,?)"
)

# The newest first, after all that comes in meanwhile; the provider's own picture leads.
_DERIVE_ALL = """
INSERT OR IGNORE INTO jobs (kind, subject, target, state, reason, host, wanted_at, deadline_at)
SELECT 'derive', number, lower(hex(sha256)), 'available', '', '', ?, 253402300799000
FROM cards WHERE media_type LIKE 'image/%' AND sha256 NOT IN (SELECT sha256 FROM previews)
ORDER BY number DESC
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """The rows of some generations, ready to be written."""

    generations: list[tuple[Any, ...]] = field(default_factory=list)
    slots: list[tuple[Any, ...]] = field(default_factory=list)
    links: list[tuple[Any, ...]] = field(default_factory=list)
    assets: list[tuple[Any, ...]] = field(default_factory=list)
    cards: list[list[Any]] = field(default_factory=list)
    values: set[tuple[str, float]] = field(default_factory=set)
    words: list[Words] = field(default_factory=list)
    previews: list[tuple[Any, ...]] = field(default_factory=list)
    jobs: list[WantedJob] = field(default_factory=list)

    def add(self, generation: Generation, *, segmented_revision: int) -> None:
        """The rows of one generation, that has its key and its numbers."""
        key = generation.key
        assert key is not None
        row = generations.to_row(generation, generation.revision)
        self.generations.append((key, *row, segmented_revision))
        for slot in generation.slots:
            assert slot.number is not None
            self.slots.append(slots.to_row(slot.number, key, slot))
            self.links.extend(links.to_row(slot.number, link) for link in slot.links)
            self.assets.extend(assets.to_row(slot.number, asset) for asset in slot.assets)

    def index(self, shown: Sequence[Card], words: Iterable[Words]) -> None:
        """Some cards, and the words by which they are found."""
        self.cards.extend(map(cards.to_row, shown))
        self.values.update(cards.few_values(shown))
        self.words.extend(words)

    def preview(self, sha256: bytes, preview: Preview) -> None:
        """What was derived of a picture."""
        self.previews.append((sha256, preview.phash, preview.width, preview.height, preview.reason))

    @property
    def numbers(self) -> list[int]:
        """The archive numbers of all its slots."""
        return [row[0] for row in self.slots]


class Bulk:
    """The tables of a catalog that is being filled."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._put_off: list[str] = []

    def begin(self) -> None:
        """Does without indexes, triggers and safety until `end`; what fails is thrown away."""
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute("PRAGMA cache_size=-262144")
        rows = self._connection.execute(
            "SELECT type, name, sql FROM sqlite_schema"
            " WHERE type IN ('index', 'trigger') AND sql IS NOT NULL"
        ).fetchall()
        for kind, name, sql in rows:
            self._put_off.append(sql)
            self._connection.execute(f"DROP {kind} {name}")

    def insert(self, rows: Rows, *, now: datetime) -> None:
        """Writes rows that collide with none that are there."""
        write = self._connection.executemany
        self._connection.execute("BEGIN")
        write(_GENERATION, rows.generations)
        write(slots.INSERT, rows.slots)
        write(links.PUT, rows.links)
        write(assets.INSERT, rows.assets)
        write(cards.PUT, rows.cards)
        write(cards.PUT_VALUE, rows.values)
        write(
            "INSERT INTO texts (number, prompt, neg, about, facets) VALUES (?,?,?,?,?)", rows.words
        )
        write(_PREVIEW, rows.previews)
        Jobs(self._connection).want(rows.jobs, now=now)
        self._connection.execute("COMMIT")

    def taken(self, numbers: Sequence[int]) -> dict[int, int]:
        """Those of the archive numbers that are given, with the key of their generation."""
        found: dict[int, int] = {}
        for some in in_portions(numbers):
            found |= dict(
                self._connection.execute(
                    "SELECT number, generation FROM slots"
                    f" WHERE number IN ({','.join('?' * len(some))})",
                    some,
                )
            )
        return found

    def unsealed(self, key: int, *, sealed_revision: int) -> None:
        """Notes that the manifest in the bucket does not show what the catalog says."""
        self._connection.execute(
            "UPDATE generations SET sealed_revision = ? WHERE key = ?", (sealed_revision, key)
        )

    def highest_number(self) -> int:
        """The highest archive number that was ever given; 0 if none was."""
        (highest,) = self._connection.execute(
            "SELECT max((SELECT ifnull(max(number), 0) FROM slots),"
            " (SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'slots'))"
        ).fetchone()
        return int(highest)

    def next_number(self) -> int:
        """An archive number that was never given."""
        number = self.highest_number() + 1
        self.numbers_begin_beyond(number)
        return number

    def next_key(self) -> int:
        """A key that no generation has."""
        (highest,) = self._connection.execute(
            "SELECT ifnull(max(key), 0) FROM generations"
        ).fetchone()
        return int(highest) + 1

    def numbers_begin_beyond(self, number: int) -> None:
        """No archive number up to this one is given again."""
        self._connection.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'slots', 0"
            " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'slots')"
        )
        self._connection.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'slots'", (number,)
        )

    def end(self, *, now: datetime) -> None:
        """Plans what is to be derived, and makes what was put off; durable once it is closed."""
        self._connection.execute(_DERIVE_ALL, (to_millis(now),))
        for sql in self._put_off:
            self._connection.execute(sql)
        Texts(self._connection).rebuild()
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
