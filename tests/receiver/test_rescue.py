"""`holdfast rescue` as an operator types it, before any service does what it orders."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archiver.catalog import Tables
from archiver.catalog.orders import JobFilter
from archiver.catalog.schema import migrate
from archiver.clock import now
from archiver.inbox.quarantine import Quarantine, Rejected
from archiver.inbox.quarantined import Quarantined
from archiver.keys import blob_key
from archiver.ledger import keep
from archiver.lifecycle import lose_link
from archiver.models import Delivery, DeliveryRef, Heard
from archiver.orders import hold
from archiver.sqlite import open_writer
from archiver.work import JobKind, JobState
from receiver.cli import main
from receiver.rescue import exit_code
from receiver.signatures import DOITONG_HEADER, sign
from tests.archiver.heard import DEAD, OPERATOR, RENDERABLE, hear, hearing
from tests.archiver.recovery.stock import delete, pieces, stock
from tests.receiver.deliveries import delivery, record
from tests.receiver.test_jobs_command import known
from tests.service import SECRET, write_config

MISSING = replace(RENDERABLE, code="missing")
BODY = b'{"id":"refused","status":"completed"}'


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Of everything that is not safe one or two; its folder."""
    asyncio.run(_hear(tmp_path))
    migrate(tmp_path / "catalog.db")
    connection = open_writer(tmp_path / "catalog.db")
    connection.execute("BEGIN")
    tables = Tables(connection)
    long_ago = now() - timedelta(hours=9)
    for name, hours, failure in (
        ("held", 5, OPERATOR),
        ("given up", 2, MISSING),
        ("dead", -1, DEAD),
        ("paused", 1, None),
        ("lapsed", 3, None),
    ):
        before = keep(tables, None, known(name, timedelta(hours=hours)), now=now())
        (job,) = tables.jobs.claim(
            JobKind.FETCH, limit=1, worker="w", lease_seconds=9, now=long_ago
        )
        if name == "lapsed":
            continue
        tables.jobs.finish(job, JobState.HELD, reason="because", now=now())
        if failure is None:
            assert hold(tables, job.id, now=now()) == ""
        else:
            digest = bytes.fromhex(job.target)
            keep(tables, before, lose_link(before, 0, digest, failure), now=now())
    keep(tables, None, hear(hearing(slots=())), now=now())
    unread = Delivery(
        ref=DeliveryRef(inbox=_uuid(tmp_path), position=1),
        source="doitong",
        heard=Heard.PUSHED,
        path_token="",
        received_at=now(),
        peer="",
        verified_by="a",
        headers=(),
        body=b"not JSON",
    )
    tables.deliveries.unparsed(unread, "not JSON")
    tables.deliveries.advance(unread.ref.inbox, 1)
    connection.execute("COMMIT")
    connection.close()
    write_config(tmp_path)
    return tmp_path


async def _hear(folder: Path) -> None:
    inbox = folder / "inbox"
    await record(inbox / "receive.db", delivery(b"not JSON"), delivery(b"{}"))
    quarantine = Quarantine(inbox / "quarantine.db")
    await quarantine.start()
    for secret in (SECRET, "a guess"):
        headers = ((DOITONG_HEADER.encode(), sign(secret, BODY).encode()),)
        quarantine.offer(
            Rejected(
                source="doitong",
                path_token="",
                received_at=now(),
                peer="192.0.2.7",
                reason="because",
                headers=headers,
                body=BODY,
            )
        )
    await quarantine.close()


def _uuid(folder: Path) -> str:
    connection = open_writer(folder / "inbox" / "receive.db")
    try:
        return str(connection.execute("SELECT uuid FROM inbox").fetchone()[0])
    finally:
        connection.close()


def typed(folder: Path, *arguments: str) -> Result:
    """The command run to its end."""
    given = ["--config", str(folder / "holdfast.toml"), "rescue", *arguments]
    return CliRunner().invoke(main, given)


def told(folder: Path, *arguments: str, code: int) -> Any:
    """What it prints with `--json`."""
    done = typed(folder, *arguments, "--json")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def kinds(answer: Any) -> list[tuple[str, int, int]]:
    """(kind, count, ordered) of each step, in their order."""
    return [(it["kind"], it["count"], it["ordered"]) for it in answer["steps"]]


# The two that live and were given up die in two and in five hours.
PLAN = [
    ("fetch", 2, 2),
    ("fetch", 1, 0),
    ("ask", 1, 1),
    ("absorb", 1, 0),
    ("replay", 1, 1),
    ("reverify", 1, 1),
    ("lease", 1, 1),
    ("held", 1, 0),
    ("held", 1, 0),
    ("gone", 1, 0),
]


def test_a_dry_run_says_it_all_and_changes_nothing(archive: Path) -> None:
    """Most urgent first, with the first deadline; exit code 3, for something is gone for ever."""
    first = told(archive, "--dry-run", code=3)
    assert kinds(first) == PLAN
    assert told(archive, "--dry-run", code=3) == first
    shown = typed(archive, "--dry-run").stdout
    assert "doitong/given up" in shown


def test_nothing_is_ordered_that_nobody_agreed_to(archive: Path) -> None:
    """Without a terminal and without --yes."""
    done = typed(archive)
    assert (done.exit_code, "say --yes" in done.stderr) == (1, True)
    assert kinds(told(archive, "--dry-run", code=3)) == PLAN


def test_what_can_be_is_ordered_and_the_rest_is_said(archive: Path) -> None:
    """A person's hold stays; without a service nothing is waited for, and that is said."""
    course = told(archive, "--yes", code=3)
    assert (course["served"], course["ended"], course["saved"]) == (False, False, 0)
    assert course["not_done"] == {}
    assert _states(archive) == {
        "held": "available",
        "given up": "available",
        "lapsed": "available",
        "paused": "held",
        "dead": "held",
    }
    assert Quarantined(archive / "inbox" / "quarantine.db").waiting() == 1
    after = told(archive, "--dry-run", code=3)
    assert [step for step in kinds(after) if step[0] == "fetch"] == [("fetch", 3, 0)]
    assert "holdfast serve" in typed(archive, "--yes").stderr


def _states(folder: Path) -> dict[str, str]:
    """How the fetches stand, by generation."""
    connection = open_writer(folder / "catalog.db")
    try:
        lines = Tables(connection).orders.page(
            JobFilter(kinds=(JobKind.FETCH,)), below=None, limit=99
        )
        return {str(line.generation_id): line.state.value for line in lines}
    finally:
        connection.close()


def test_where_all_is_safe_there_is_nothing_to_do(tmp_path: Path) -> None:
    """Exit code 0, without a word to agree to."""
    migrate(tmp_path / "catalog.db")
    write_config(tmp_path)
    assert told(tmp_path, "--dry-run", code=0)["steps"] == []
    assert "everything is safe" in typed(tmp_path, "--dry-run").stderr
    assert exit_code(()) == 0


def test_the_bucket_is_listed_where_that_is_asked_for(tmp_path: Path) -> None:
    """What it lacks is marked if no link gives it any more; what nobody knows is counted."""
    made = pieces(4, "http://127.0.0.1", at=now())
    stock(tmp_path / "catalog.db", tmp_path / "bucket", made, heard_at=now() - timedelta(days=9))
    write_config(tmp_path)
    delete(tmp_path / "bucket" / made[0].asset.blob_key)
    stray = tmp_path / "bucket" / blob_key(bytes(32), "png")
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"anything")

    assert told(tmp_path, "--dry-run", code=0)["steps"] == []
    assert kinds(told(tmp_path, "--bucket", "--dry-run", code=1)) == [
        ("blob", 1, 1),
        ("held", 1, 0),
    ]
    course = told(tmp_path, "--bucket", "--yes", code=3)
    assert kinds(course) == [("held", 1, 0), ("gone", 1, 0)]
    assert kinds(told(tmp_path, "--dry-run", code=3)) == [("gone", 1, 0)]
