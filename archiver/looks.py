"""Pictures that look alike, found among the hashes of all that there are, held in memory.

A million of them are 16 MB, and comparing one with each takes a millisecond, which is less than any
index on disk takes for as great a distance.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from archiver.catalog import Tables
from archiver.phash import Array, distances

# Pictures of one origin, made smaller, brighter or more compressed, differ in few bits of 64.
DISTANCE = 10
MAX_DISTANCE = 32

_PORTION = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A slot whose picture looks like another, and in how many bits it does not."""

    number: int
    distance: int


class Looks:
    """An index that reads what is new at every question; one for all threads of a process.

    Rows are only ever added to it: of pictures that are gone it knows by the cards that they have
    no more.
    """

    def __init__(self) -> None:
        self._reading = threading.Lock()
        self._ids: Array = np.empty(1024, np.int64)
        self._hashes: Array = np.empty(1024, np.uint64)
        self._count = 0
        self._last = 0

    def similar(
        self, tables: Tables, sha256: bytes, phash: int, *, distance: int, limit: int
    ) -> list[Look]:
        """The slots whose pictures look like that one, the most alike first, then the newest.

        Of slots with the same bytes there is the newest, and none of those with its own.
        """
        found: list[Look] = []
        for bits, ids in self.near(tables, phash, distance=distance):
            shown = tables.previews.shown(ids, but=sha256)
            found += [Look(number=shown[id_], distance=bits) for id_ in ids if id_ in shown]
            if len(found) >= limit:
                break
        return found[:limit]

    def near(self, tables: Tables, phash: int, *, distance: int) -> Iterator[tuple[int, list[int]]]:
        """In portions of one distance each, `(distance, ids of previews)`, in that same order."""
        all_ids, hashes = self._read(tables)
        bits = distances(hashes, phash)
        (near,) = np.nonzero(bits <= distance)
        ids, bits = all_ids[near[::-1]], bits[near[::-1]]
        for equal in range(distance + 1):
            alike = ids[bits == equal]
            for start in range(0, len(alike), _PORTION):
                yield equal, alike[start : start + _PORTION].tolist()

    def _read(self, tables: Tables) -> tuple[Array, Array]:
        """All ids and hashes that there are; what was read once is never written again."""
        with self._reading:
            new = chain.from_iterable(tables.previews.hashes(above=self._last))
            self._add(np.fromiter(new, np.int64).reshape(-1, 2))
            return self._ids[: self._count], self._hashes[: self._count]

    def _add(self, rows: Array) -> None:
        if not len(rows):
            return
        count = self._count + len(rows)
        if count > len(self._ids):
            room = count + count // 8
            self._ids = np.resize(self._ids, room)
            self._hashes = np.resize(self._hashes, room)
        self._ids[self._count : count] = rows[:, 0]
        self._hashes[self._count : count] = rows[:, 1].view(np.uint64)
        self._count, self._last = count, int(rows[-1, 0])
