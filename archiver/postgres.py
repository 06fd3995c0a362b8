"""The one room that knows the PostgreSQL driver, which is psycopg: how a server is spoken to.

A connection here takes the statements that SQLite's takes (`dialect`), so that all tables are
written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.string import StrDumperUnknown

from archiver import database
from archiver.dialect import to_postgres
from archiver.postgres_hosts import Place, found_first, is_several

Error = psycopg.Error
_DATA_FAULTS = (psycopg.IntegrityError, psycopg.DataError)
# Somebody else's lock was waited for in vain.
LockTaken = psycopg.errors.LockNotAvailable

CONNECT_SECONDS = 5
# Of several servers one may be gone, and the others are to be asked soon; less no driver takes.
CONNECT_EACH_SECONDS = 2
# Nothing that the service does takes so long; what is stuck is to fail and be tried again.
STATEMENT_SECONDS = 30
# Somebody else's row or table is waited for so long, as SQLite's lock is.
LOCK_SECONDS = 5
# Of a host that has vanished the kernel hears nothing at all.
_SILENT_SECONDS = 10

# Where in the server a commit waits.
_WAITS_FOR_STANDBY = "SyncRepWaitForLSN"

# PostgreSQL's text has no U+0000; this is the sign by which it is drawn.
_NUL, _DRAWN_NUL = "\0", "\u2400"

# What the library may be quoted with. Its sentences in full can hold the whole URL, password and
# all, so none is shown that is not here.
_HARMLESS = (
    "the URL cannot be read",
    "the transaction was given up before its end",
    "the wait for the standby was cancelled",
    "Connection refused",
    "Connection reset by peer",
    "connection timeout expired",
    "timeout expired",
    "Connection timed out",
    "No such file or directory",
    "No route to host",
    "Network is unreachable",
    "Name or service not known",
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "too many clients already",
    "remaining connection slots are reserved",
    "the database system is starting up",
    "the database system is shutting down",
    "the database system is in recovery mode",
    "the database system is not yet accepting connections",
    "certificate verify failed",
    "session is read-only",
    "server closed the connection unexpectedly",
    "the connection is lost",
    "the connection is closed",
)


class Closable(Protocol):
    """What can be let go."""

    def close(self) -> None:
        """Lets it go."""
        ...


Opened = TypeVar("Opened", bound=Closable)

# Which server a URL of several led to, for as long as the process lasts.
_found: dict[str, Place] = {}


class Connection:
    """What `sqlite.Connection` is to the tables, for as long as the server and the network last."""

    def __init__(self, raw: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.raw = raw
        # Whether a commit was given out that its synchronous standby has not confirmed.
        self.is_doubtful = False
        raw.add_notice_handler(self._hear)

    def execute(
        self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        """Carries out one statement."""
        return self.raw.execute(to_postgres(sql), values)

    def executemany(
        self, sql: str, rows: Iterable[Sequence[Any]]
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        """Carries out one statement for each row, all of them sent at once."""
        cursor = self.raw.cursor()
        cursor.executemany(to_postgres(sql), rows)
        return cursor

    def close(self) -> None:
        """Lets the server go; whatever was not committed is undone there."""
        self.raw.close()

    def _hear(self, told: psycopg.errors.Diagnostic) -> None:
        """Whoever cancels a commit that waits for the standby gets a warning, and the commit.

        The warning has no code of its own, and its words are in the server's language.
        """
        self.is_doubtful |= told.source_function == _WAITS_FOR_STANDBY


def connect(
    url: str, *, writes: bool = True, statement_seconds: float = STATEMENT_SECONDS
) -> Connection:
    """A connection whose transactions are the caller's to begin; raises Error.

    Of several servers that the URL may name it is the one that takes writes, also for who only
    reads: a standby knows less, and notifies nobody. Durability is the server's: what it says of
    `synchronous_commit`, but never less than `on`. The URL's own `options` stay. No pooler that
    shares sessions may stand in between: locks and notifications belong to a session.
    """
    settings = {
        "statement_timeout": f"{statement_seconds:.3f}s",
        "lock_timeout": f"{LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{STATEMENT_SECONDS}s",
        "timezone": "UTC",
        "jit": "off",  # which would take longer to compile than our questions take
        # The server, too, is to notice a vanished host: what its session holds is waited for.
        "tcp_keepalives_idle": f"{_SILENT_SECONDS}s",
        "tcp_keepalives_interval": "2s",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": f"{_SILENT_SECONDS}s",
        # What is read after a turn was waited for is as of then, not as of before.
        "default_transaction_isolation": "read\\ committed",
        "default_transaction_read_only": "off" if writes else "on",
    }
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    parameters = _parameters(url)
    several = is_several(parameters)
    raw = psycopg.connect(
        make_conninfo(url, **found_first(parameters, _found.get(url))),
        autocommit=True,
        connect_timeout=CONNECT_EACH_SECONDS if several else CONNECT_SECONDS,
        application_name="holdfast",
        target_session_attrs="read-write" if writes else "primary",
        keepalives_idle=_SILENT_SECONDS,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=_SILENT_SECONDS * 1000,
        options=f"{parameters.get('options') or ''} {ours}",
    )
    if several:
        _found[url] = raw.info.host, str(raw.info.port)
    adapters = raw.adapters
    adapters.register_dumper(str, _TextDumper)
    adapters.register_loader("numeric", _NumberLoader)
    if writes:
        _require_durable(raw)
    return Connection(raw)


def _parameters(url: str) -> dict[str, Any]:
    """What the operator has put into the URL."""
    try:
        return dict(conninfo_to_dict(url))
    except psycopg.ProgrammingError:
        # Its own words quote the URL, password and all.
        raise psycopg.OperationalError("the URL cannot be read") from None


def is_data_fault(error: Exception) -> bool:
    """Whether it is one of a statement's data, as in `sqlite`, and says nothing of those beside it.

    Of the driver's own it is what comes from no server: a value that it cannot send.
    """
    if isinstance(error, psycopg.ProgrammingError):
        return error.sqlstate is None
    return isinstance(error, _DATA_FAULTS)


def commit(connection: database.Connection) -> None:
    """Makes a transaction durable; raises Error also where the server has given it up before."""
    assert isinstance(connection, Connection)
    told = connection.execute("COMMIT").statusmessage
    if told != "COMMIT":
        raise psycopg.OperationalError("the transaction was given up before its end")


def require_confirmed(connection: Connection) -> None:
    """Raises Error if a commit of this connection stands which a failover may still undo."""
    if connection.is_doubtful:
        raise psycopg.OperationalError("the wait for the standby was cancelled")


class Server(Generic[Opened]):
    """A database as `writer` wants one; `connect` opens it for writing.

    It looks after itself: its log is the server's, and after a fault a new connection is enough.
    """

    error = Error

    def __init__(self, connect: Callable[[], Opened]) -> None:
        self.connect = connect

    def begin_anew(self, connection: Opened) -> None:
        """Nothing is to be done."""

    def look_after(self, connection: Opened) -> None:
        """Nothing is to be done."""

    def finish(self, connection: Opened) -> None:
        """Nothing is to be done."""

    def close(self, connection: Opened) -> None:
        """Lets the server go."""
        connection.close()


def said(error: Exception) -> str:
    """What an error says that anyone may read: never a value out of a row, never the URL.

    Text in full does not do: its DETAIL shows rows, and a fault of connecting may show the URL.
    """
    if not isinstance(error, Error):
        return type(error).__name__
    primary = error.diag.message_primary
    # That a value cannot be read is said by showing it.
    if primary and not isinstance(error, psycopg.DataError):
        return primary
    text = str(error)
    return next((words for words in _HARMLESS if words in text), type(error).__name__)


@contextmanager
def opened(url: str, *, writes: bool = True) -> Iterator[Connection]:
    """A connection for a while."""
    connection = connect(url, writes=writes)
    try:
        yield connection
    finally:
        connection.close()


def _require_durable(raw: psycopg.Connection[tuple[Any, ...]]) -> None:
    try:
        raw.execute(
            "SELECT set_config('synchronous_commit', 'on', false)"
            " WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write')"
        )
    except BaseException:
        raw.close()
        raise


class _TextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer | None:
        """Text as PostgreSQL can hold it."""
        return super().dump(obj.replace(_NUL, _DRAWN_NUL) if _NUL in obj else obj)


class _NumberLoader(Loader):
    def load(self, data: Any) -> int | float:
        """A sum of whole numbers, which is as large as it likes, as a whole number."""
        text = str(data, "ascii") if data is not None else "0"
        return float(text) if "." in text else int(text)
