"""The driver: how files are opened, and which faults are whose."""

from __future__ import annotations

from pathlib import Path

import pytest

from archiver import sqlite
from archiver.errors import ConfigError
from archiver.sqlite import (
    DATA_FAULTS,
    Connection,
    Error,
    begin_log_anew,
    data_version,
    log_bytes,
    open_reader,
    open_writer,
    require_safe_version,
    shorten_log,
)
from tests.archiver.disks import fill_disk, locked


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "what? 50% #1.db"


def table(path: Path) -> Connection:
    """A writer of a file with one strict table."""
    connection = open_writer(path)
    connection.execute("CREATE TABLE things (name TEXT UNIQUE NOT NULL, size INTEGER) STRICT")
    return connection


def test_the_installed_sqlite_is_safe() -> None:
    """The driver that is installed carries no bug that corrupts a database in WAL mode."""
    assert require_safe_version(allow_unsafe=False).startswith("3.")


def test_an_unsafe_sqlite_is_refused_unless_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal says what to type; the operator's explicit word goes before it."""
    monkeypatch.setattr(sqlite, "SAFE_VERSION", (99, 0, 0))
    with pytest.raises(ConfigError, match=r"pip install pysqlite3.*allow_unsafe_sqlite = true"):
        require_safe_version(allow_unsafe=False)
    assert require_safe_version(allow_unsafe=True)


@pytest.mark.parametrize(
    ("pragma", "expected"),
    [
        ("journal_mode", "wal"),
        ("synchronous", 2),  # FULL
        ("foreign_keys", 1),
        ("cell_size_check", 1),
        ("trusted_schema", 0),
        ("wal_autocheckpoint", 4000),
        ("journal_size_limit", 64 << 20),
    ],
)
def test_a_writer_is_durable_and_distrustful(path: Path, pragma: str, expected: object) -> None:
    """A commit survives a power cut, and a damaged file harms nobody."""
    connection = open_writer(path)
    assert expected == connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    connection.close()


def test_a_writer_makes_its_file_and_folder_whatever_they_are_called(path: Path) -> None:
    """A name is a name: nothing in it is taken for a parameter of a URI."""
    open_writer(path).close()
    assert [path] == list(path.parent.iterdir())


def test_a_writer_may_be_told_to_make_nothing(path: Path) -> None:
    """Who only adds to a file of another's does not begin an empty one in its place."""
    with pytest.raises(Error):
        open_writer(path, create=False)
    assert not path.parent.exists()
    table(path).close()
    connection = open_writer(path, create=False)
    connection.execute("INSERT INTO things VALUES ('one', 1)")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_a_reader_sees_each_commit_at_once_and_cannot_write(path: Path) -> None:
    """Reading needs no ceremony, and nobody writes by mistake."""
    writer = table(path)
    reader = open_reader(path)
    writer.execute("INSERT INTO things VALUES ('one', 1)")
    assert reader.execute("SELECT name FROM things").fetchall() == [("one",)]
    with pytest.raises(Error, match="readonly"):
        reader.execute("DELETE FROM things")
    reader.close()
    writer.close()


def test_a_reader_opens_a_file_at_rest(path: Path) -> None:
    """A file whose writer has gone is as readable as before, and a missing one is not made."""
    table(path).close()
    reader = open_reader(path)
    assert reader.execute("SELECT * FROM things").fetchall() == []
    reader.close()
    missing = path.with_name("missing.db")
    with pytest.raises(Error, match="unable to open"):
        open_reader(missing)
    assert not missing.exists()


def test_the_data_version_changes_with_other_peoples_commits_only(path: Path) -> None:
    """Asking whether there is something new costs no query and gives no false alarm."""
    writer = table(path)
    reader = open_reader(path)
    before = data_version(reader)
    assert before == data_version(reader)
    writer.execute("INSERT INTO things VALUES ('one', 1)")
    assert before != data_version(reader)
    own = data_version(writer)
    writer.execute("INSERT INTO things VALUES ('two', 2)")
    assert own == data_version(writer)
    reader.close()
    writer.close()


@pytest.mark.parametrize(
    ("name", "size"),
    [("known", 1), (None, 1), ("new", "no number"), (b"bytes", 1), ({"a": 1}, 1), (["a"], 1)],
    ids=["repeated", "missing", "wrong type", "bytes as text", "a mapping", "a list"],
)
def test_bad_values_are_faults_of_the_data(path: Path, name: object, size: object) -> None:
    """What one statement's values do wrong is never taken for a fault of the disk."""
    connection = table(path)
    connection.execute("INSERT INTO things VALUES ('known', 1)")
    with pytest.raises(DATA_FAULTS):
        connection.execute("INSERT INTO things VALUES (?, ?)", (name, size))
    connection.close()


def test_a_full_or_busy_disk_is_no_fault_of_the_data(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk or another program does is a fault that says nothing of the values."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    connection = table(path)
    for trouble, words in ((fill_disk, "full"), (_write_while_locked, "locked")):
        with pytest.raises(Error, match=words) as caught:
            trouble(connection)
        assert not isinstance(caught.value, DATA_FAULTS)
    connection.close()


def _write_while_locked(connection: Connection) -> None:
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    with locked(path):
        connection.execute("INSERT INTO things VALUES ('one', 1)")


def test_a_log_is_begun_anew_with_everything_in_the_database(path: Path) -> None:
    """What was committed is kept, and nothing of it is in the log any more."""
    writer = table(path)
    writer.execute("INSERT INTO things VALUES ('a', 1)")
    assert log_bytes(path) > 0
    begin_log_anew(writer)
    assert log_bytes(path) == 0
    assert writer.execute("SELECT name FROM things").fetchall() == [("a",)]
    writer.close()
    assert log_bytes(path) == 0


def test_a_log_that_is_being_read_is_not_begun_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error, never a silent half of the work; once the reader is gone it is done."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    writer = table(path)
    reader = open_reader(path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM things").fetchall()
    writer.execute("INSERT INTO things VALUES ('a', 1)")
    with pytest.raises(Error, match="a reader keeps the log"):
        begin_log_anew(writer)
    reader.execute("COMMIT")
    begin_log_anew(writer)
    assert log_bytes(path) == 0
    reader.close()
    writer.close()


def test_a_long_log_is_shortened_and_a_short_one_left(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader is waited for a moment only, and patience is afterwards what it was."""
    writer = table(path)
    writer.execute("INSERT INTO things VALUES ('a', 1)")
    long = log_bytes(path)
    shorten_log(writer)
    assert long == log_bytes(path)
    monkeypatch.setattr(sqlite, "LONG_LOG_BYTES", long - 1)
    reader = open_reader(path)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM things").fetchall()
    writer.execute("INSERT INTO things VALUES ('b', 1)")
    shorten_log(writer)
    assert log_bytes(path) > long
    reader.execute("COMMIT")
    shorten_log(writer)
    assert log_bytes(path) == 0
    assert writer.execute("PRAGMA busy_timeout").fetchone() == (5000,)
    reader.close()
    writer.close()
