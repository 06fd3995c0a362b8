"""The table `previews`: what was derived of each picture, by its digest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from archiver.catalog.rows import in_portions
from archiver.database import Connection
from archiver.previews import Preview


class Previews:
    """The previews, inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, sha256: bytes, preview: Preview) -> None:
        """Writes the preview of the picture with that digest, unless there is one."""
        self._connection.execute(
            "INSERT INTO previews (sha256, phash, width, height, reason)"
            " VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING",
            (sha256, preview.phash, preview.width, preview.height, preview.reason),
        )

    def forget_refusal(self, sha256: bytes) -> None:
        """Lets a picture that could not be derived be tried as if it never had been."""
        self._connection.execute(
            "DELETE FROM previews WHERE sha256 = ? AND reason <> ''", (sha256,)
        )

    def of(self, digests: Sequence[bytes]) -> Mapping[bytes, Preview]:
        """The previews of those pictures that have one."""
        found: dict[bytes, Preview] = {}
        for some in in_portions(digests):
            rows = self._connection.execute(
                "SELECT sha256, phash, width, height, reason FROM previews"
                f" WHERE sha256 IN ({','.join('?' * len(some))})",
                some,
            )
            found |= {
                sha256: Preview(phash=phash, width=width, height=height, reason=reason)
                for sha256, phash, width, height, reason in rows
            }
        return found

    def hashes(self, *, above: int) -> Iterable[tuple[int, int]]:
        """Every `(id, phash)` that there is of a greater id, ascending.

        Ids are never given twice, so whoever has read up to one has read all before it.
        """
        return self._connection.execute(
            "SELECT id, phash FROM previews WHERE id > ? AND phash IS NOT NULL ORDER BY id",
            (above,),
        )

    def shown(self, ids: Sequence[int], *, but: bytes) -> Mapping[int, int]:
        """The newest archive number that shows each of those pictures, if any still does.

        The picture with the digest `but` is left out.
        """
        found: dict[int, int] = {}
        for some in in_portions(ids):
            rows = self._connection.execute(
                "SELECT previews.id, max(number) FROM previews"
                " JOIN cards ON cards.sha256 = previews.sha256"
                f" WHERE previews.sha256 <> ? AND previews.id IN ({','.join('?' * len(some))})"
                " GROUP BY 1",
                (but, *some),
            )
            found |= dict(rows)
        return found
