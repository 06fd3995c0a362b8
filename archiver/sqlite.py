"""The one room that knows the SQLite driver: which it is, how a file is opened, who may write.

The driver is `pysqlite3`, whose wheel carries a SQLite without the WAL-reset bug; sqlite-utils
picks up the same one by itself. Two SQLite libraries on one file would defeat each other's locks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.durable import make_folder
from archiver.errors import ConfigError

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import pysqlite3 as sqlite3
    except ImportError:
        import sqlite3

VERSION = sqlite3.sqlite_version
Connection = sqlite3.Connection
Error = sqlite3.Error
# Faults of one statement's data, not of the disk: they say nothing about the statements beside it.
# InterfaceError is the older drivers' word, pysqlite3's too, for a value that cannot be bound.
DATA_FAULTS = (
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
)

# sqlite.org/wal.html#walresetbug: 3.7.0 to 3.51.2 can corrupt a database in WAL mode.
SAFE_VERSION = (3, 51, 3)

# A reader or another role's short transaction never takes longer than this to get out of the way.
BUSY_SECONDS = 5.0

# A write-ahead log longer than this is shortened; SQLite begins to at 4,000 pages, 16 MB.
LONG_LOG_BYTES = 64 << 20
# What shortening it may cost those who wait for their commit meanwhile.
_SHORTEN_MILLISECONDS = 50


def require_safe_version(*, allow_unsafe: bool) -> str:
    """The SQLite version, refused if it may corrupt the archive.

    Raises ConfigError with the way out; `allow_unsafe` is the operator's explicit word.
    """
    if sqlite3.sqlite_version_info >= SAFE_VERSION or allow_unsafe:
        return VERSION
    raise ConfigError(
        f"SQLite {VERSION} can corrupt a database in WAL mode (fixed in 3.51.3). "
        "Install a newer one (`pip install pysqlite3`, or a newer Python), or accept the risk "
        "with `allow_unsafe_sqlite = true` under [catalog]."
    )


def open_writer(
    path: Path,
    *,
    synchronous: str = "FULL",
    busy_seconds: float | None = None,
    create: bool = True,
) -> Connection:
    """A connection for the one thread that writes `path`: WAL, manual transactions.

    `FULL` makes a commit survive a power cut; anything less has been seen to lose acknowledged
    rows. The file and its folder are made if missing, unless not to `create` them: then it is an
    Error. A lock of somebody else's is waited for `busy_seconds`, by default BUSY_SECONDS.
    """
    if create:
        make_folder(path.parent)
    mode = "rwc" if create else "rw"
    connection = _connect(f"{path.resolve().as_uri()}?mode={mode}", busy_seconds)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute(f"PRAGMA journal_size_limit={LONG_LOG_BYTES}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=FAST")  # what a row said before is overwritten
    return connection


def open_reader(path: Path) -> Connection:
    """A connection that cannot write; it sees each commit of the writer at once."""
    connection = _connect(f"{path.resolve().as_uri()}?mode=ro")
    connection.execute("PRAGMA query_only=ON")
    return connection


class File:
    """A database file as `writer` wants one; `connect` opens it for writing."""

    error = Error

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self.connect = connect

    def begin_anew(self, connection: Connection) -> None:
        """See `begin_log_anew`."""
        begin_log_anew(connection)

    def look_after(self, connection: Connection) -> None:
        """See `shorten_log`."""
        shorten_log(connection)

    def finish(self, connection: Connection) -> None:
        """Empties the log; where a reader keeps it, the next opener reads it all the same."""
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self, connection: Connection) -> None:
        """Lets the file go."""
        connection.close()


def copy(source: Path, target: Path) -> None:
    """A copy of a database as of one moment, while others write it: one file, without a log.

    Nobody waits for it. `target` is made, and is an empty file at most. Raises Error.
    """
    reader = open_reader(source)
    try:
        copied = _connect(f"{target.resolve().as_uri()}?mode=rwc")
        try:
            reader.backup(copied)  # in one step, so that no writer can make it begin anew
            copied.execute("PRAGMA journal_mode=DELETE")
        finally:
            copied.close()
    finally:
        reader.close()


@contextmanager
def undisturbed(path: Path) -> Iterator[None]:
    """Leaves a database and its log byte for byte as they are, whoever looks at it meanwhile.

    A connection that may write empties the log when it is the last to be closed; a reader is later.
    Raises Error.
    """
    with closing(open_reader(path)) as reader:
        reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        yield


def damage(path: Path) -> str:
    """What is wrong with a database's file, in SQLite's words; "" if it is whole."""
    try:
        with undisturbed(path), closing(_connect(f"{path.resolve().as_uri()}?mode=rw")) as database:
            said = [text for (text,) in database.execute("PRAGMA quick_check(3)")]
    except Error as error:
        return str(error)
    return "" if said == ["ok"] else "; ".join(said)


def begin_log_anew(connection: Connection) -> None:
    """Moves the write-ahead log into the database and empties it, or raises Error.

    To be done after a fault and before the next commit: what an fsync failed to write the kernel
    may still show and never write, and a commit that stands behind it in the log would be lost
    with it in a power cut ("Can Applications Recover from fsync Failures?", USENIX ATC 2020).
    """
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("a reader keeps the log from being begun anew")


def shorten_log(connection: Connection, *, longer_than: int | None = None) -> None:
    """Empties a log that has grown long, unless a reader holds it for more than a moment.

    Without `longer_than` it is long beyond what such logs keep of the disk. SQLite's own
    checkpoints never wait, so that readers without a pause let a log grow for ever.
    """
    _, _, file = connection.execute("PRAGMA database_list").fetchone()
    if log_bytes(Path(file)) <= (LONG_LOG_BYTES if longer_than is None else longer_than):
        return
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout={_SHORTEN_MILLISECONDS}")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout={patience}")


def log_bytes(path: Path) -> int:
    """The size of a database's write-ahead log, 0 if it has none."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _connect(uri: str, busy_seconds: float | None = None) -> Connection:
    # isolation_level=None: transactions are ours to begin; threads: handed over, never shared.
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=BUSY_SECONDS if busy_seconds is None else busy_seconds,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=600,
    )
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cache_size=-32768")
    return connection


def is_damage(error: Exception) -> bool:
    """Whether it says that the file is no database or a broken one, not that it cannot be had."""
    return type(error) is sqlite3.DatabaseError


def data_version(connection: Connection) -> int:
    """A number that changes whenever another connection has committed to the file."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
