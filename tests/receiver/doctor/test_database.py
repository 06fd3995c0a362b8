"""The databases, judged and looked at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from archiver.catalog.deliveries import BACKUP
from archiver.moments import to_millis
from archiver.sqlite import Error, open_writer
from receiver.doctor import database
from receiver.doctor.database import judge_backup, judge_library, judge_logs
from receiver.doctor.finding import Verdict
from receiver.settings import Backup
from tests.clocks import NOON
from tests.receiver.deliveries import delivery, record
from tests.receiver.doctor.patients import archive, patient, verdicts

SAME = {"holdfast": "pysqlite3", "sqlite-utils": "pysqlite3"}
TWO = {"holdfast": "pysqlite3", "sqlite-utils": "sqlite3"}


@pytest.mark.parametrize(
    ("version", "drivers", "allowed", "verdict"),
    [
        ("3.51.3", SAME, False, Verdict.OK),
        ("3.51.2", SAME, False, Verdict.FAIL),
        ("3.51.2", SAME, True, Verdict.WARN),
        ("3.9.9", SAME, False, Verdict.FAIL),
        ("3.53.0", TWO, False, Verdict.FAIL),
    ],
)
def test_a_sqlite_that_may_be_trusted(
    version: str, drivers: dict[str, str], allowed: bool, verdict: Verdict
) -> None:
    """Old ones corrupt, and two in one process defeat each other's locks."""
    assert judge_library(version, drivers, allowed=allowed).verdict is verdict


def test_the_library_of_this_process_is_safe(tmp_path: Path) -> None:
    """Or these tests would prove nothing."""
    assert verdicts(database.library(patient(tmp_path))) == [Verdict.OK]


def test_a_catalog_of_another_version(tmp_path: Path) -> None:
    """An older one is brought up to date by the service; a newer one wants its own version."""
    known = patient(tmp_path)
    path = archive(tmp_path)
    assert verdicts(database.catalog(known)) == [Verdict.OK]
    archive(tmp_path, "UPDATE _sqlite_migrations SET name = '999_later' WHERE id = 1")
    [newer] = database.catalog(known)
    path.unlink()
    archive(tmp_path, "DELETE FROM _sqlite_migrations WHERE name LIKE '013%'")
    [older] = database.catalog(known)
    assert (newer.verdict, older.verdict) == (Verdict.FAIL, Verdict.WARN)
    assert "(999_later)" in newer.sentence
    assert "(without 013_overview)" in older.sentence


@pytest.mark.parametrize(("seconds", "verdict"), [(30, Verdict.OK), (31, Verdict.WARN)])
def test_whether_somebody_works_on_it(tmp_path: Path, seconds: int, verdict: Verdict) -> None:
    """By the sign of life that the archive role gives."""
    beat_at = to_millis(NOON) - 1000 * seconds
    archive(tmp_path, f"INSERT INTO heartbeats VALUES ('archive', {beat_at})")
    assert verdicts(database.service(patient(tmp_path))) == [verdict]


def test_a_service_that_never_ran(tmp_path: Path) -> None:
    """Has given no sign of life at all."""
    archive(tmp_path)
    [judged] = database.service(patient(tmp_path))
    assert "never gave a sign of life" in judged.sentence


def test_logs_that_grow(tmp_path: Path) -> None:
    """Each that is too long is named; else they are added up."""
    assert verdicts(judge_logs({"a.db": 256_000_001, "b.db": 10, "c.db": 2**30})) == [
        Verdict.WARN, Verdict.WARN,
    ]  # fmt: skip
    [well] = judge_logs({"a.db": 256_000_000, "b.db": 1_000_000})
    assert (well.verdict, "257.0 MB" in well.sentence) == (Verdict.OK, True)
    archive(tmp_path)
    assert verdicts(database.logs(patient(tmp_path))) == [Verdict.OK]


@pytest.mark.parametrize(
    ("hours", "every_hours", "verdict"),
    [
        (1, 24, Verdict.OK),
        (36, 24, Verdict.OK),
        (37, 24, Verdict.WARN),
        (None, 24, Verdict.WARN),
        (1, 0, Verdict.WARN),
    ],
)
def test_how_old_the_backup_is(hours: float | None, every_hours: float, verdict: Verdict) -> None:
    """Half of the time between two may pass beyond it."""
    age_seconds = None if hours is None else hours * 3600
    assert judge_backup(age_seconds, Backup(every_hours=every_hours)).verdict is verdict


def test_the_backup_of_an_archive(tmp_path: Path) -> None:
    """Is known by what the heartbeats say."""
    archive(tmp_path, f"INSERT INTO heartbeats VALUES ('{BACKUP}', {to_millis(NOON)})")
    assert verdicts(database.backup(patient(tmp_path))) == [Verdict.OK]


async def test_inboxes_that_are_damaged(tmp_path: Path) -> None:
    """Each is read from end to end, and named."""
    archive(tmp_path)
    for name in ("archive", "receive"):
        body = b"x" * 3000
        heard = (delivery(body + b"%d" % it) for it in range(9))
        await record(tmp_path / "inbox" / f"{name}.db", *heard)
    assert verdicts(database.inboxes(patient(tmp_path))) == [Verdict.OK] * 2
    path = tmp_path / "inbox" / "receive.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 8192 + path.read_bytes()[12288:])
    well, ill = database.inboxes(patient(tmp_path))
    assert (well.verdict, ill.verdict) == (Verdict.OK, Verdict.FAIL)
    assert str(path) in ill.sentence


def test_a_catalog_that_is_none(tmp_path: Path) -> None:
    """What was written over is told with how to get it back."""
    archive(tmp_path).write_bytes(b"this is no database at all" * 400)
    [judged] = database.integrity(patient(tmp_path))
    assert (judged.verdict, "holdfast restore" in judged.cure) == (Verdict.FAIL, True)


def test_what_cannot_be_had_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody restores a backup over a catalog, or an inbox, whose disk is only read-only."""
    archive(tmp_path)
    (tmp_path / "inbox" / "receive.db").touch()

    def closed(path: Path) -> NoReturn:
        raise Error("unable to open database file")

    monkeypatch.setattr(database, "undisturbed", closed)
    for check in (database.integrity, database.inboxes):
        [judged] = check(patient(tmp_path))
        assert (judged.verdict, "restore" in judged.cure) == (Verdict.FAIL, False)
        assert "(unable to open database file)" in judged.sentence


def test_every_trouble_of_a_catalog_is_a_failure(tmp_path: Path) -> None:
    """With its own cure."""
    archive(tmp_path)
    assert verdicts(database.integrity(patient(tmp_path))) == [Verdict.OK]
    archive(tmp_path, "DROP TRIGGER texts_au", "DROP TRIGGER texts_ai")
    [judged] = database.integrity(patient(tmp_path))
    assert judged.verdict is Verdict.FAIL
    assert judged.sentence.startswith("the triggers texts_ai, texts_au are gone")
    assert judged.cure.startswith("stop the service, then holdfast restore")


async def test_what_a_crash_left_is_left_as_it_is(tmp_path: Path) -> None:
    """Whoever looks closely changes nothing, for it may have to be looked at closer still."""
    living, dead = tmp_path / "living", tmp_path / "dead"
    (living / "inbox").mkdir(parents=True)
    archive(living)
    writers = [open_writer(living / name) for name in ("catalog.db", "inbox/receive.db")]
    for writer in writers:
        writer.execute("CREATE TABLE noted (it)")
    shutil.copytree(living, dead)
    for writer in writers:
        writer.close()
    (dead / "inbox" / "web.db").touch()
    left = contents(dead)
    assert sum(name.endswith("-wal") for name in left) == 2

    assert verdicts(database.integrity(patient(dead))) == [Verdict.OK]
    assert verdicts(database.inboxes(patient(dead))) == [Verdict.OK, Verdict.OK]
    assert contents(dead) == left

    (dead / "catalog.db").write_bytes(b"")
    (dead / "catalog.db-wal").unlink()
    assert verdicts(database.integrity(patient(dead))) == [Verdict.FAIL]
    assert (dead / "catalog.db").read_bytes() == b""


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, but for what is shared memory."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".db-shm")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
