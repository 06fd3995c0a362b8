"""What is written to a PostgreSQL inbox in one commit, sent to the server in one go.

Dedupe is the insert itself: a unique index over (sha256 of the body, source, heard, path_token) of
all the database's inboxes. A delivery that another receiver is just committing is waited for, so a
duplicate is never told of what may still be undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from archiver.inbox import Recorded
from archiver.inbox.batch import Prove, Prune
from archiver.inbox.postgres_owner import Owned
from archiver.postgres import Connection, require_confirmed

CHANNEL = "holdfast_inbox"

# PostgreSQL takes no message beyond 1 GB, and a batch of large exchanges would be one.
_MAX_STATEMENT_BYTES = 32 << 20

# The target is named: a position that somebody else took is an error and never "a duplicate".
_INSERT = """
INSERT INTO deliveries (inbox, position, source, heard, path_token, received_at, peer, verified_by,
    sha256, headers, body)
SELECT ?, * FROM unnest(?::bigint[], ?::bytea[], ?::text[], ?::bytea[], ?::bigint[], ?::bytea[],
    ?::bytea[], ?::bytea[], ?::bytea[], ?::bytea[])
ON CONFLICT (sha256, sha256(path_token), source, heard) DO NOTHING
RETURNING position
"""
_PRUNE = """
UPDATE deliveries SET headers = NULL, body = NULL
WHERE inbox = ? AND position BETWEEN ? AND ? AND body IS NOT NULL
"""
_CONFIRM = "SELECT pg_logical_emit_message(true, 'holdfast', '')"
_TELL = f"""
SELECT max(position), pg_notify('{CHANNEL}', ? || ' ' || max(position)) FROM deliveries
WHERE inbox = ? HAVING max(position) > ?
"""

Key = tuple[bytes, bytes, bytes, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A delivery as the table has it."""

    source: bytes
    heard: str
    path_token: bytes
    received_at: int
    peer: bytes
    verified_by: bytes
    sha256: bytes
    headers: bytes
    body: bytes

    @property
    def key(self) -> Key:
        """By which it is known again; of the same order for every receiver."""
        return (self.sha256, sha256(self.path_token).digest(), self.source, self.heard)

    def values(self) -> tuple[object, ...]:
        """In the table's order."""
        return tuple(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Tell:
    """Stands in a batch for readers who have not been notified of the last deliveries yet."""


Item = Row | Prove | Prune | Tell


def write(owned: Owned, items: Sequence[Item], *, tell: bool) -> Sequence[Recorded]:
    """One durable commit for all of `items`, readers notified or not; what became of each.

    Raises Error: then nobody knows what became of them, and `owned` is of no more use.
    """
    keyed = [(item.key, item) for item in items if isinstance(item, Row)]
    rows = dict(reversed(keyed))  # of those that are the same, the first that came
    positions = {key: owned.last + n for n, key in enumerate(dict(keyed), 1)}
    connection = owned.connection
    with connection.raw.pipeline():
        connection.execute("BEGIN")
        # In the order of keys: two receivers with the same deliveries wait for one another only
        # in one direction. Nothing after this waits for anybody, or that would be in vain.
        inserted = [
            connection.execute(_INSERT, (owned.inbox, *_columns(positions, rows, piece)))
            for piece in _pieces(rows)
        ]
        for item in items:
            if isinstance(item, Prove):
                connection.execute(
                    "UPDATE inboxes SET proved_at = ? WHERE uuid = ?", (item.at, owned.inbox)
                )
            elif isinstance(item, Prune):
                connection.execute(_PRUNE, (owned.inbox, item.first, item.last))
        telling = (str(owned.inbox), owned.inbox, owned.told)
        told = [connection.execute(_TELL, telling)] if tell else []
        connection.execute("COMMIT")
    given = {position for cursor in inserted for (position,) in cursor.fetchall()}
    if rows and not given:
        _confirm(connection)
    require_confirmed(connection)
    owned.last = max(given, default=owned.last)
    owned.told = max((it[0] for cursor in told for it in cursor.fetchall()), default=owned.told)
    fresh = {key for key, position in positions.items() if position in given}
    outcomes = _outcomes([key for key, _ in keyed], fresh)
    return [next(outcomes) if isinstance(item, Row) else Recorded.STORED for item in items]


def _confirm(connection: Connection) -> None:
    """Waits until all that is to be seen is as safe as what is written.

    After a crash a server shows also commits that its synchronous standby has not heard of, and of
    a transaction that finds one and writes nothing itself it does not wait for the standby.
    """
    with connection.raw.pipeline():
        for statement in ("BEGIN", _CONFIRM, "COMMIT"):
            connection.execute(statement)


def _pieces(rows: dict[Key, Row]) -> Iterator[list[Key]]:
    """The keys in order, in as many parts as statements are to be."""
    piece: list[Key] = []
    size_bytes = 0
    for key in sorted(rows):
        size_bytes += len(rows[key].body) + len(rows[key].headers)
        if piece and size_bytes > _MAX_STATEMENT_BYTES:
            yield piece
            piece, size_bytes = [], len(rows[key].body) + len(rows[key].headers)
        piece.append(key)
    if piece:
        yield piece


def _columns(
    positions: dict[Key, int], rows: dict[Key, Row], keys: Sequence[Key]
) -> list[list[object]]:
    table = [(positions[key], *rows[key].values()) for key in keys]
    return [list(column) for column in zip(*table, strict=True)]


def _outcomes(keys: Sequence[Key], fresh: set[Key]) -> Iterator[Recorded]:
    for key in keys:
        yield Recorded.STORED if key in fresh else Recorded.DUPLICATE
        fresh.discard(key)
