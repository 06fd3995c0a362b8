"""Real faults of a disk and of its other users, and what is really written on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archiver.sqlite import Connection, open_writer

_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program's write transaction on a database, as long as the context lasts."""
    connection = open_writer(path)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def fill_disk(connection: Connection) -> None:
    """Writes until the database may grow no further: a true SQLITE_FULL, raised from here."""
    connection.execute("PRAGMA max_page_count = 1")  # no smaller than what is there already
    connection.execute("CREATE TABLE ballast (bytes BLOB)")
    for _ in range(1000):
        connection.execute("INSERT INTO ballast VALUES (zeroblob(65536))")


def commits(path: Path) -> int:
    """How many commits the write-ahead log of a database holds (sqlite.org/fileformat2.html §4)."""
    log = path.with_name(f"{path.name}-wal").read_bytes()
    page_bytes = int.from_bytes(log[8:12])
    salts = log[16:24]
    count = 0
    for start in range(_WAL_HEADER_BYTES, len(log), _FRAME_HEADER_BYTES + page_bytes):
        if log[start + 8 : start + 16] != salts:
            break  # left over from before the log was last begun anew
        count += log[start + 4 : start + 8] != bytes(4)
    return count


def everything_on_disk(path: Path) -> bytes:
    """The bytes of a database and of its log, used pages and freed ones."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))
