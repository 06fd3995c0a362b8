"""Migrating: from nothing, again, and by several at once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_utils import Database

from archiver.catalog import Tables
from archiver.catalog.schema import catalog, migrate
from archiver.sqlite import Connection, open_reader, open_writer
from archiver.work import JobKind, WantedJob
from tests.clocks import NOON

TABLES = {
    "generations", "slots", "links", "assets", "jobs", "texts",
    "inbox_positions", "observations", "unparsed", "replays", "heartbeats", "balances",
    "cards", "card_values", "previews", "fixity", "audits", "notices", "wanted_events",
}  # fmt: skip

MIGRATING = """
import sys
from pathlib import Path
from archiver.catalog.schema import migrate
print("ready", flush=True)
sys.stdin.read(1)
migrate(Path(sys.argv[1]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "catalog.db"


def schema(path: Path) -> list[tuple[str, str]]:
    """Every object's name and definition."""
    reader = open_reader(path)
    try:
        return reader.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    finally:
        reader.close()


def names(connection: Connection, kind: str) -> set[str]:
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = ?", (kind,))
    return {name for (name,) in rows}


def test_a_catalog_is_made_from_nothing(path: Path) -> None:
    """Folder, file and every table."""
    migrate(path)
    reader = open_reader(path)
    assert names(reader, "table") >= TABLES
    assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    reader.close()


def test_every_table_is_strict(path: Path) -> None:
    """A value of the wrong type is refused where it is written, not found where it is read."""
    migrate(path)
    definitions = {name: sql for name, sql in schema(path) if name in TABLES}
    loose = [name for name, sql in definitions.items() if not re.search(r"\)\s*STRICT\b", sql)]
    assert loose == []


def test_migrating_again_changes_nothing(path: Path) -> None:
    """Every start migrates; only the first one after an upgrade has something to do."""
    migrate(path)
    before = schema(path), path.read_bytes()
    migrate(path)
    assert before == (schema(path), path.read_bytes())


def test_what_is_already_there_stays(path: Path) -> None:
    """A catalog of an older release keeps its rows and gets what is new."""
    connection = open_writer(_folder(path))
    catalog.apply(Database(connection, execute_plugins=False), stop_before="002_search")
    assert "texts" not in names(connection, "table")
    connection.execute("INSERT INTO heartbeats VALUES ('archive', 1)")
    connection.close()
    migrate(path)
    reader = open_reader(path)
    assert names(reader, "table") >= TABLES
    assert reader.execute("SELECT * FROM heartbeats").fetchall() == [("archive", 1)]
    reader.close()


def test_what_waited_for_a_renderer_is_offered_to_one(path: Path) -> None:
    """A catalog from before there were renderers holds what they are to draw."""
    connection = open_writer(_folder(path))
    catalog.apply(Database(connection, execute_plugins=False), stop_before="005_render")
    for kind, reason in (("render", "no renderer"), ("fetch", "no renderer"), ("render", "other")):
        connection.execute(
            "INSERT INTO jobs (kind, subject, target, state, reason, host, wanted_at)"
            " VALUES (?, ?, '', 'held', ?, '', 0)",
            (kind, len(reason), reason),
        )
    connection.close()
    migrate(path)
    reader = open_reader(path)
    rows = reader.execute("SELECT kind, state, reason FROM jobs ORDER BY id").fetchall()
    reader.close()
    assert rows == [
        ("render", "available", ""),
        ("fetch", "held", "no renderer"),
        ("render", "held", "other"),
    ]


def test_what_was_archived_before_is_derived(path: Path) -> None:
    """The leading picture of each output, the newest first, and after whatever comes in now."""
    connection = open_writer(_folder(path))
    catalog.apply(Database(connection, execute_plugins=False), stop_before="008_previews")
    connection.execute(
        "INSERT INTO generations (key, provider, id, state, params, moderated, first_heard_at,"
        " revision, sealed_revision) VALUES (1, 'doitong', '1', 'succeeded', '{}', 0, 0, 1, 1)"
    )
    archived = (
        (1, "", {"provider": ("aa", "image/png")}),
        (2, "", {"fallback": ("bb", "image/png"), "provider": ("cc", "image/jpeg")}),
        (3, "", {"fallback": ("dd", "image/png")}),
        (4, "", {"provider": ("ee", "video/mp4")}),
        (5, "init_image", {"provider": ("ff", "image/png")}),
        (6, "", {}),
    )
    for number, role, assets in archived:
        connection.execute(
            "INSERT INTO slots (number, generation, slot_index, state, reason, role)"
            " VALUES (?, 1, ?, 'archived', '', ?)",
            (number, number, role),
        )
        for origin, (digest, media_type) in assets.items():
            connection.execute(
                "INSERT INTO assets (slot, origin, sha256, blob_key, size_bytes, media_type,"
                " archived_at) VALUES (?, ?, ?, '', 1, ?, 0)",
                (number, origin, bytes.fromhex(digest), media_type),
            )
    connection.close()
    migrate(path)
    connection = open_writer(path)
    jobs = Tables(connection).jobs
    jobs.want([WantedJob(kind=JobKind.DERIVE, subject=7, target="12")], now=NOON)
    claimed = jobs.claim(JobKind.DERIVE, limit=9, worker="w", lease_seconds=9, now=NOON)
    connection.close()
    assert [(job.subject, job.target) for job in claimed] == [
        (7, "12"), (3, "dd"), (2, "cc"), (1, "aa"),
    ]  # fmt: skip


def test_a_step_that_fails_leaves_nothing_of_itself(path: Path) -> None:
    """Half a migration would be neither the old schema nor the new one."""
    connection = open_writer(_folder(path))
    connection.execute("CREATE TABLE jobs_running (x)")  # in the way of the first step's last
    with pytest.raises(Exception, match="jobs_running"):
        migrate(path)
    assert not names(connection, "table") & TABLES
    connection.execute("DROP TABLE jobs_running")
    connection.close()
    migrate(path)
    assert {name for name, _ in schema(path)} >= TABLES


def test_two_processes_may_migrate_at_once(path: Path) -> None:
    """Whoever comes second waits and finds the work done."""
    command = [sys.executable, "-c", MIGRATING, str(path)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("!")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=30)
    assert [process.returncode for process in both] == [0, 0]
    assert {name for name, _ in schema(path)} >= TABLES
    reader = open_reader(path)
    (applied,) = reader.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()
    reader.close()
    assert applied == len(catalog.pending(Database(memory=True)))


def _folder(path: Path) -> Path:
    path.parent.mkdir()
    return path
