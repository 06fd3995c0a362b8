"""`holdfast forget`: by hand without a service, and beside one that goes on hearing of it."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from archiver.inbox.sqlite import SqliteInboxReader
from archiver.models import Delivery
from archiver.sqlite import open_reader
from tests.acceptance.test_rebuild import Drill, deliveries
from tests.archiver.recovery.shelf import asset_of, picture
from tests.receiver.wire import ask
from tests.receiver.wire import webhook as posted
from tests.service import SECRET, eventually, holdfast, running


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of ten generations; g0 and g1 show the same picture."""
    folder = tmp_path_factory.mktemp("filled")
    asyncio.run(Drill(folder).fill(10))
    return folder


@pytest.fixture
def drill(filled: Path, tmp_path: Path) -> Drill:
    """A copy of it."""
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    return Drill(tmp_path)


def heard(folder: Path) -> list[Delivery]:
    """What the inbox holds: of each generation its request and its webhook, but of the last."""
    reader = SqliteInboxReader(folder / "inbox" / "receive.db")
    try:
        return [*reader.after(0, limit=100)]
    finally:
        reader.close()


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = open_reader(folder / "catalog.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def test_a_dry_run_lists_all_and_changes_nothing(drill: Drill) -> None:
    """Counts first, then each object and each delivery; for machines the same as one object."""
    before = heard(drill.folder)
    shown = await asyncio.to_thread(drill.holdfast, "forget", "doitong/g0", "--dry-run")
    assert shown.exit_code == 0, shown.output
    blob = asset_of(picture("g0")).blob_key
    for line in (
        "manifests/doitong/", "manifests/segments/000000000000-…", f"{blob} stays",
        "position 1", "position 2",
    ):  # fmt: skip
        assert line in shown.stdout
    told = await asyncio.to_thread(
        drill.holdfast, "forget", "doitong/g0", "doitong/g1", "--dry-run", "--json"
    )
    planned = json.loads(told.stdout)
    assert (planned["generations"], planned["pictures"], planned["shared"]) == (2, 1, [])
    assert len(planned["deliveries"]) == 4
    assert heard(drill.folder) == before
    assert rows(drill.folder, "SELECT * FROM tombstones") == []


async def test_without_a_service_it_is_done_at_once(drill: Drill) -> None:
    """By any of its names; what it said is taken out of the inbox, and its neighbours stay."""
    unsure = await asyncio.to_thread(drill.holdfast, "forget", "doitong/g0")
    assert (unsure.exit_code, "say --yes" in unsure.stderr) == (1, True)
    words = ("forget", "doitong/g0", "--yes", "--reason", "takedown-7")
    for _ in range(2):  # the second time there is nothing left to do
        done = await asyncio.to_thread(drill.holdfast, *words)
        assert done.exit_code == 0, done.output
        assert "Backups that were taken before still hold it" in done.stderr
        bodies = [delivery.body is None for delivery in heard(drill.folder)]
        assert bodies == [True, True] + [False] * (len(bodies) - 2)
    assert rows(drill.folder, "SELECT reason FROM tombstones") == [("takedown-7",)]
    assert rows(drill.folder, "SELECT * FROM prunings") == []
    digest = asset_of(picture("g1")).sha256.hex()
    picture_gone = await asyncio.to_thread(drill.holdfast, "forget", f"sha256:{digest}", "--yes")
    assert picture_gone.exit_code == 0, picture_gone.output
    states = [state for (state,) in rows(drill.folder, "SELECT state FROM slots ORDER BY number")]
    assert states[:4] == ["archived", "dead", "dead", "archived"]
    assert [*(drill.folder / "bucket").rglob(f"{digest}*")] == []
    slot = await asyncio.to_thread(drill.holdfast, "forget", "5", "--yes")
    assert slot.exit_code == 0, slot.output
    assert rows(drill.folder, "SELECT state FROM slots WHERE number = 5") == [("dead",)]
    checked = await asyncio.to_thread(drill.holdfast, "rebuild", "--check")
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["doitong/nobody"], 1, "nothing is known of 'doitong/nobody'"),
        (["999"], 1, "nothing is known of '999'"),
        (["sha256:00ff"], 1, "at least 16 digits"),
        (["sha256:xyz"], 1, "nothing is known of"),
        (["doitong/g0", "--reason", "it shows my face"], 2, "is no code"),
        ([], 2, "Missing argument"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    drill: Drill, words: list[str], code: int, why: str
) -> None:
    """Before anything is changed, with what to type."""
    refused = await asyncio.to_thread(drill.holdfast, "forget", *words, "--yes")
    assert (refused.exit_code, why in refused.stderr) == (code, True), refused.output
    assert rows(drill.folder, "SELECT * FROM tombstones") == []


async def test_beside_a_service_it_stays_forgotten(drill: Drill) -> None:
    """The roles take the bodies out of their own inboxes; what the provider sends again is
    acknowledged, and not taken in."""
    [_, again] = deliveries(0)
    with running(drill.folder, roles=["receive", "archive", "web"]) as service:
        done = await asyncio.to_thread(
            holdfast, service.config_file, "forget", "doitong/g0", "--yes"
        )
        assert done.returncode == 0, done.stderr
        assert [it.body for it in heard(drill.folder)][:2] == [None, None]
        answers = [
            await ask(service.public, posted(body, secret=SECRET))
            for body in (again.body.replace(b"n=1", b"n=2"), b'{"id": "g99", "status": "queued"}')
        ]
        assert [answer.status for answer in answers] == [202, 202]

        async def known(name: str) -> bool | None:
            url = f"http://127.0.0.1:{service.private}/api/v1/generations/doitong/{name}"
            async with ClientSession() as session, session.get(url) as answer:
                return True if answer.status == 200 else None

        await eventually(lambda: known("g99"))
        assert await known("g0") is None
        assert "Traceback" not in service.log
    assert rows(drill.folder, "SELECT ready FROM prunings") in ([(0,)], [(1,)], [])
