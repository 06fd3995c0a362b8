"""A catalog that is being made beside the one in use, out of what the bucket says.

Archive numbers are promised for ever, so they are kept as manifests have them. Should two
generations claim one, as they may where an archive has gone on without its index, the one that was
heard of first keeps it, and the other is given a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from archiver.catalog import Tables
from archiver.catalog.bulk import Bulk, Rows
from archiver.catalog.deliveries import BACKUP
from archiver.catalog.schema import migrate
from archiver.durable import sync
from archiver.keys import manifest_key
from archiver.models import Generation
from archiver.recovery.preparing import Found, Prepared, add, short
from archiver.sqlite import open_writer
from archiver.tombstone import Tombstone

# The role under whose name a catalog says since when the bucket was read for it.
REBUILD = "rebuild"

_PORTION = 5000

Renumbered = Callable[[Generation, int, int], None]


class NewCatalog:
    """Fills a file of its own; every method blocks."""

    def __init__(self, path: Path, *, now: datetime) -> None:
        """Begins the file anew; `now` is when the bucket begins to be read."""
        self.path = path
        self._now = now
        discard(path)
        migrate(path)
        path.with_suffix(".lock").unlink()  # its own, which nobody else wants
        self._connection = open_writer(path, create=False)
        self._tables = Tables(self._connection)
        self._tables.deliveries.beat(REBUILD, now=now)
        self._bulk = Bulk(self._connection)
        self._bulk.begin()
        self._next_key = 1
        self._homeless: dict[tuple[str, str], Found] = {}

    def reserve(self, count: int) -> int:
        """Sets keys aside for so many generations; the first of them."""
        first, self._next_key = self._next_key, self._next_key + count
        return first

    def take(self, prepared: Prepared) -> bool:
        """Writes rows, unless one of their archive numbers is given already: then nothing."""
        numbers = prepared.rows.numbers
        if len(set(numbers)) < len(numbers) or self._bulk.taken(numbers):
            return False
        self._bulk.insert(prepared.rows, now=self._now)
        return True

    def put(self, found: Found) -> bool:
        """Writes one generation in place of what is known of it, unless that is newer."""
        name = found.generation.provider, found.generation.id
        known = self._tables.generations.load(*name)
        if known is not None:
            if known.revision > found.generation.revision:
                if not found.of_segment:
                    # Its manifest is older than its segment, and has to be written again.
                    self._unseal(known, found.generation.revision)
                return False
            if replace(known, key=None) == replace(found.generation, key=None):
                return True  # only its MD5 was not to be known
            self._tables.forgetting.generation(known)
        self._insert(found)
        return True

    def unseal(self, keys: Collection[bytes]) -> int:
        """Notes that the manifests of these keys (`short`) are not there, so that they are written.

        The answer is how many of them the catalog knows.
        """
        count, last = 0, 0
        while some := self._tables.generations.names(above=last, limit=_PORTION):
            for key, provider, generation_id in some:
                if short(manifest_key(provider, generation_id)) in keys:
                    self._unseal(self._require(key), 0)
                    count += 1
            last = some[-1][0]
        return count

    def bury(self, tombstones: Sequence[Tombstone], erasures: Sequence[str]) -> None:
        """Notes what was forgotten, and what of it still lies in the bucket."""
        for tombstone in tombstones:
            self._tables.tombstones.put(tombstone)
            self._bulk.numbers_begin_beyond(max(tombstone.numbers, default=0))
        self._tables.tombstones.erase(erasures)

    def backed_up(self, at: datetime) -> None:
        """Notes when the newest backup in the bucket was taken."""
        self._tables.deliveries.beat(BACKUP, now=at)

    def blob_keys(self) -> Iterator[str]:
        """The keys of all assets' objects, each once, in the order of their bytes."""
        rows = self._connection.execute("SELECT DISTINCT blob_key FROM assets ORDER BY 1")
        return (key for (key,) in rows)

    def count(self) -> int:
        """How many generations there are."""
        return sum(self._tables.generations.count_by_state().values())

    def house(self, renumbered: Renumbered) -> None:
        """Gives new numbers where two claimed one.

        `renumbered` is told of each slot's generation, its old number and its new one.
        """
        homeless, self._homeless = self._homeless, {}
        for found in sorted(homeless.values(), key=lambda it: _seniority(it.generation)):
            generation = self._with_new_numbers(found.generation, renumbered)
            self._insert(replace(found, generation=generation, altered=True))

    def finish(self) -> None:
        """Makes the indexes and closes the file."""
        self._bulk.end(now=self._now)
        self.close()

    def close(self) -> None:
        """Lets the file go; it is durable."""
        self._connection.close()
        sync(self.path)

    def _insert(self, found: Found) -> None:
        """Writes one, or keeps it for later if another has a better claim to its numbers."""
        numbers = [slot.number for slot in found.generation.slots if slot.number is not None]
        rivals = {self._require(key) for key in self._bulk.taken(numbers).values()}
        if any(_seniority(rival) <= _seniority(found.generation) for rival in rivals):
            self._put_up(found)
            return
        for rival in rivals:
            self._tables.forgetting.generation(rival)
            self._put_up(Found(generation=rival, key=""))
        rows = Rows()
        keyed = replace(found.generation, key=self.reserve(1))
        add(rows, replace(found, generation=keyed))
        self._bulk.insert(rows, now=self._now)
        self._homeless.pop((keyed.provider, keyed.id), None)

    def _put_up(self, found: Found) -> None:
        name = found.generation.provider, found.generation.id
        known = self._homeless.get(name)
        if known is None or known.generation.revision <= found.generation.revision:
            self._homeless[name] = found

    def _require(self, key: int) -> Generation:
        known = self._tables.generations.load_key(key)
        assert known is not None  # one of its slots was just seen
        return known

    def _with_new_numbers(self, generation: Generation, renumbered: Renumbered) -> Generation:
        """The next revision, whose slots have numbers that nobody has."""
        numbers = [slot.number for slot in generation.slots if slot.number is not None]
        taken = self._bulk.taken(numbers)
        slots = []
        for slot in generation.slots:
            if slot.number in taken:
                number = self._bulk.next_number()
                renumbered(generation, slot.number, number)
                slot = replace(slot, number=number)
            slots.append(slot)
        return replace(generation, slots=tuple(slots), revision=generation.revision + 1)

    def _unseal(self, known: Generation, sealed_revision: int) -> None:
        assert known.key is not None
        self._bulk.unsealed(known.key, sealed_revision=sealed_revision)
        rows = Rows()
        add(rows, Found(generation=self._require(known.key), key=""))
        self._bulk.insert(Rows(jobs=rows.jobs), now=self._now)


def _seniority(generation: Generation) -> tuple[datetime, str, str]:
    """Whoever was heard of first has the better claim."""
    return generation.first_heard_at, generation.provider, generation.id


def discard(path: Path) -> None:
    """Removes a file that nobody uses, and what SQLite keeps beside it."""
    for end in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + end).unlink(missing_ok=True)
