"""The databases: the library that writes them, their logs, their rows, and who works on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from rich.filesize import decimal
from sqlite_utils.utils import sqlite3 as of_sqlite_utils  # type: ignore[attr-defined]

from archiver.catalog.deliveries import BACKUP
from archiver.catalog.health import troubles
from archiver.catalog.schema import steps
from archiver.inbox.sqlite import inbox_files
from archiver.sqlite import (
    SAFE_VERSION,
    VERSION,
    Connection,
    Error,
    damage,
    is_damage,
    log_bytes,
    open_writer,
    undisturbed,
)
from receiver.doctor.finding import Judged, fail, ok, warn
from receiver.doctor.index import RESTORE, is_lost, judge_lost
from receiver.doctor.patient import Patient
from receiver.settings import Backup

# What a log comes to that somebody holds open; SQLite begins each anew at 16 MB.
_LONG_LOG_BYTES = 256_000_000
# The archive role gives a sign of life every five seconds.
_PATIENCE_SECONDS = 30
_LATE = 1.5


def library(patient: Patient) -> Iterator[Judged]:
    """Whether SQLite may be trusted with a write-ahead log, and is the same for everybody here."""
    drivers = {
        "holdfast": _package(Connection.__module__),
        "sqlite-utils": of_sqlite_utils.__name__,
    }
    yield judge_library(VERSION, drivers, allowed=patient.config.catalog.allow_unsafe_sqlite)


def judge_library(version: str, drivers: Mapping[str, str], *, allowed: bool) -> Judged:
    """A version of SQLite, and by which driver each of its users has it."""
    said = f"SQLite {version}, by {drivers['holdfast']}"
    if len(set(drivers.values())) > 1:
        return fail(
            f"two libraries of SQLite write one file, {drivers}",
            "pip install pysqlite3, so that sqlite-utils takes it as well",
        )
    if tuple(map(int, version.split("."))) >= SAFE_VERSION:
        return ok(said)
    cure = "pip install pysqlite3, or a newer Python"
    harm = f"{said}, can corrupt a database in WAL mode (fixed in 3.51.3)"
    return warn(f"{harm}, which allow_unsafe_sqlite permits", cure) if allowed else fail(harm, cure)


def catalog(patient: Patient) -> Iterator[Judged]:
    """Whether there is an index, of this version, and it knows what the bucket holds."""
    if is_lost(patient):
        yield judge_lost(patient)
        return
    if patient.config.catalog.is_on_server:
        return  # which has a check of its own
    with patient.tables() as tables:
        applied = tables.connection.execute("SELECT name FROM _sqlite_migrations").fetchall()
    known = set(steps())
    names = {name for (name,) in applied}
    path = patient.config.catalog.path
    if newer := sorted(names - known):
        yield fail(
            f"{path} was written by a newer holdfast ({newer[-1]})", "install that version again"
        )
    elif older := sorted(known - names):
        yield warn(
            f"{path} is of an older holdfast (without {older[0]})",
            "start the service, which brings it up to date",
        )
    else:
        yield ok(f"{path} is of this version")


def service(patient: Patient) -> Iterator[Judged]:
    """Whether anybody does the work."""
    if not patient.has_archive:
        return
    with patient.tables() as tables:
        beat_at = tables.deliveries.last_beat_at("archive")
    seconds = (patient.now() - beat_at).total_seconds() if beat_at else None
    if seconds is None and is_lost(patient):
        return  # it waits for an index
    if seconds is not None and seconds <= _PATIENCE_SECONDS:
        yield ok(f"the archive role gave a sign of life {seconds:.0f} s ago")
    else:
        last = (
            "never gave a sign of life"
            if seconds is None
            else f"has been silent for {seconds:.0f} s"
        )
        yield warn(
            f"the archive role {last}, so nothing is fetched or absorbed",
            "start the service, or read its log",
        )


def logs(patient: Patient) -> Iterator[Judged]:
    """Whether somebody reads without end, so that a write-ahead log grows for ever."""
    catalog = patient.config.catalog
    own = () if catalog.is_on_server else (catalog.path,)
    paths = (*own, *sorted(catalog.inbox_folder.glob("*.db")))
    yield from judge_logs({path.name: log_bytes(path) for path in paths})


def judge_logs(sizes: Mapping[str, int]) -> Iterator[Judged]:
    """The write-ahead logs, in bytes by their database."""
    long = {name: size for name, size in sizes.items() if size > _LONG_LOG_BYTES}
    for name, size in long.items():
        yield warn(
            f"the log of {name} has grown to {decimal(size)}, as somebody reads without end",
            f"end the program that has it open: `fuser {name}`",
        )
    if not long:
        yield ok(f"the write-ahead logs come to {decimal(sum(sizes.values()))}")


def backup(patient: Patient) -> Iterator[Judged]:
    """Whether there is a backup, and as new as it should be; a server's is its operator's."""
    if not patient.has_archive or patient.config.catalog.is_on_server:
        return
    with patient.tables() as tables:
        beat_at = tables.deliveries.last_beat_at(BACKUP)
    age = (patient.now() - beat_at).total_seconds() if beat_at else None
    if age is None and is_lost(patient):
        return  # of what is empty none is to be taken
    yield judge_backup(age, patient.config.backup)


def judge_backup(age_seconds: float | None, settings: Backup) -> Judged:
    """The newest backup, if there is one."""
    if not settings.every_hours:
        return warn(
            "backup.every_hours is 0, so nothing is backed up", "set it, or type holdfast backup"
        )
    if age_seconds is None:
        return warn("there is no backup yet", "holdfast backup, or let the service run on")
    hours = age_seconds / 3600
    if hours > _LATE * settings.every_hours:
        return warn(
            f"the last backup is {hours:.0f} h old, and one is due every {settings.every_hours:g}",
            "read the log for `there is no new backup`, and mend what it names",
        )
    return ok(f"the last backup is {hours:.1f} h old")


def inboxes(patient: Patient) -> Iterator[Judged]:
    """Whether every inbox is whole; each is read from end to end."""
    for path in inbox_files(patient.config.catalog.inbox_folder):
        try:
            with undisturbed(path):
                said = damage(path)
        except Error as error:
            if not is_damage(error):
                yield _not_to_be_had(path, error)
                continue
            said = str(error)
        if said:
            yield fail(
                f"{path} is damaged ({said})",
                "stop the service, then holdfast restore; the catalog has what was absorbed",
            )
        else:
            yield ok(f"{path} is whole, {decimal(path.stat().st_size)}")


def integrity(patient: Patient) -> Iterator[Judged]:
    """Whether the catalog is whole and its search index in step; all of it is read."""
    if not patient.has_archive or patient.config.catalog.is_on_server:
        return
    path = patient.config.catalog.path
    if not path.stat().st_size:
        yield fail(f"{path} is empty", RESTORE)
        return
    try:
        # FTS5 wants a connection that may write; nothing is changed.
        with undisturbed(path), closing(open_writer(path, create=False)) as connection:
            found = list(troubles(connection))
    except Error as error:
        if is_damage(error):
            yield fail(f"{path} is damaged ({error})", RESTORE)
        else:
            yield _not_to_be_had(path, error)
        return
    for sentence in found:
        said, _, cure = sentence.rpartition(": ")
        yield fail(said, cure)
    if not found:
        yield ok(f"{path} is whole, and its search index in step")


def _not_to_be_had(path: Path, error: Error) -> Judged:
    return fail(
        f"{path} cannot be looked at ({error})",
        "see that its disk is well, has room and may be written, and that the file is its user's "
        "who types this; nothing says that it is damaged",
    )


def _package(module: str) -> str:
    return module.partition(".")[0]
