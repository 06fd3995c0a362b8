"""The one room that knows the SQLite driver: which it is, how a file is opened, who may write.

The driver is `pysqlite3`, whose wheel carries a SQLite without the WAL-reset bug; sqlite-utils
picks up the same one by itself. Two SQLite libraries on one file would defeat each other's locks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from archiver.errors import ConfigError

if TYPE_CHECKING:
    import sqlite3
else:
    try:
        import pysqlite3 as sqlite3
    except ImportError:
        import sqlite3

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


def require_safe_version(*, allow_unsafe: bool) -> str:
    """The SQLite version, refused if it may corrupt the archive.

    Raises ConfigError with the way out; `allow_unsafe` is the operator's explicit word.
    """
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= SAFE_VERSION or allow_unsafe:
        return version
    raise ConfigError(
        f"SQLite {version} can corrupt a database in WAL mode (fixed in 3.51.3). "
        "Install a newer one (`pip install pysqlite3`, or a newer Python), or accept the risk "
        "with `allow_unsafe_sqlite = true` under [catalog]."
    )


def open_writer(path: Path, *, synchronous: str = "FULL") -> Connection:
    """A connection for the one thread that writes `path`: WAL, manual transactions.

    `FULL` makes a commit survive a power cut; anything less has been seen to lose acknowledged
    rows. The file and its folder are made if missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(path.resolve().as_uri())
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    connection.execute("PRAGMA journal_size_limit=67108864")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


def open_reader(path: Path) -> Connection:
    """A connection that cannot write; it sees each commit of the writer at once."""
    connection = _connect(f"{path.resolve().as_uri()}?mode=ro")
    connection.execute("PRAGMA query_only=ON")
    return connection


def _connect(uri: str) -> Connection:
    # isolation_level=None: transactions are ours to begin; threads: handed over, never shared.
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=600,
    )
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cache_size=-32768")
    return connection


def data_version(connection: Connection) -> int:
    """A number that changes whenever another connection has committed to the file."""
    version: int = connection.execute("PRAGMA data_version").fetchone()[0]
    return version
