"""The tables `tombstones` and `erasures`: what was forgotten, and what of it is still to vanish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from archiver.catalog.rows import in_portions
from archiver.database import Connection
from archiver.moments import from_millis, to_millis
from archiver.tombstone import Tombstone, name_digest

# How a whole generation is told from one that has only lost some slots.
WHOLE = None


class Tombstones:
    """What must not come back, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, tombstone: Tombstone) -> None:
        """Notes a tombstone; from here on nothing that is heard of what it means is taken in."""
        self._connection.execute(
            "INSERT INTO tombstones VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING",
            (
                tombstone.key,
                tombstone.name_sha256,
                tombstone.index,
                to_millis(tombstone.forgotten_at),
                tombstone.reason,
            ),
        )

    def all(self) -> list[Tombstone]:
        """All that are known, but for the archive numbers, which only the bucket keeps."""
        rows = self._connection.execute(
            "SELECT name_sha256, slot_index, forgotten_at, reason FROM tombstones ORDER BY key"
        )
        return [
            Tombstone(
                name_sha256=name_sha256,
                index=index,
                numbers=(),
                forgotten_at=from_millis(forgotten_at),
                reason=reason,
            )
            for name_sha256, index, forgotten_at, reason in rows
        ]

    def keys(self) -> set[str]:
        """The keys of all that are known."""
        return {tombstone.key for tombstone in self.all()}

    def of(
        self, names: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], frozenset[int | None]]:
        """Of those `(provider, id)` that have lost something: the slots' indexes, or WHOLE."""
        if not self._connection.execute("SELECT 1 FROM tombstones LIMIT 1").fetchone():
            return {}
        named = {name_digest(*name): name for name in names}
        found: dict[tuple[str, str], frozenset[int | None]] = {}
        for some in in_portions([*named]):
            rows = self._connection.execute(
                "SELECT name_sha256, slot_index FROM tombstones"
                f" WHERE name_sha256 IN ({','.join('?' * len(some))})",
                some,
            )
            for digest, index in rows:
                name = named[digest]
                found[name] = found.get(name, frozenset()) | {index}
        return found

    def erase(self, keys: Sequence[str]) -> None:
        """Notes objects that are to vanish from the bucket."""
        self._connection.executemany(
            "INSERT INTO erasures VALUES (?) ON CONFLICT DO NOTHING", [(key,) for key in keys]
        )

    def erasures(self, *, limit: int) -> list[str]:
        """Objects that are still to vanish."""
        rows = self._connection.execute("SELECT key FROM erasures ORDER BY key LIMIT ?", (limit,))
        return [key for (key,) in rows]

    def erased(self, keys: Sequence[str]) -> None:
        """Strikes objects off."""
        self._connection.executemany("DELETE FROM erasures WHERE key = ?", [(key,) for key in keys])
