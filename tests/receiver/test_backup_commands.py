"""`holdfast backup` and `holdfast restore` as an operator types them on a bad night."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archiver.catalog.schema import migrate
from archiver.recovery.backup import backups
from archiver.seal import put_manifest
from receiver.cli import main
from receiver.roles.premises import take
from tests.receiver.ruins import Ruins


@dataclass(frozen=True, slots=True)
class Desk:
    """An archive, and what is typed at it."""

    ruins: Ruins

    async def type(self, *arguments: str) -> Result:
        command = ["--config", str(self.ruins.folder.parent / "holdfast.toml"), *arguments]
        return await asyncio.to_thread(CliRunner().invoke, main, command)

    async def json(self, *arguments: str) -> Any:
        told = await self.type(*arguments, "--json")
        assert told.exit_code == 0, told.output
        return [json.loads(line) for line in told.stdout.splitlines()]


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    """Three generations known, two deliveries waiting, in two inboxes."""
    ruins = Ruins(folder=tmp_path / "archive", bucket=tmp_path / "bucket")
    (tmp_path / "holdfast.toml").write_text(
        f'[catalog]\nurl = "sqlite:///{ruins.catalog}"\nmin_free_bytes = 0\n'
        f'[bucket]\nurl = "file://{ruins.bucket}"\n[backup]\nkeep = 2\n'
    )
    await ruins.hear(count=3)
    await ruins.absorb()
    await ruins.hear("gateway", count=2)
    return Desk(ruins)


async def test_a_backup_by_hand(desk: Desk) -> None:
    """It is told what it holds, is in the list, and in the status; older ones go."""
    assert "there is no backup yet" in (await desk.type("backup", "--list")).stderr
    (plan,) = await desk.json("backup", "--dry-run")
    assert (plan["dry_run"], plan["removed"]) == (True, [])
    assert await backups(desk.ruins.blobs) == {}
    told = await desk.type("backup")
    assert told.exit_code == 0
    assert "3 generations and 2 inboxes" in told.stdout
    (listed,) = await desk.json("backup", "--list")
    names = [file["name"] for file in listed["files"]]
    assert names == ["catalog.db", "inbox/gateway.db", "inbox/receive.db"]
    (status,) = await desk.json("status")
    assert status["backup_seconds_ago"] < 60
    assert "3 generations and 2 inboxes" in (await desk.type("backup", "--list")).stdout
    again = await desk.type("backup")
    assert again.exit_code in (0, 1)  # in the very same second there is one already


async def test_a_restore_says_what_it_will_do(desk: Desk) -> None:
    """Nothing is done without a word, and nothing where nothing is to be done."""
    nothing = await desk.type("restore", "--dry-run")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert "there is no backup in the bucket" in nothing.stderr
    await desk.type("backup")
    kept = await desk.type("restore")
    assert kept.exit_code == 0
    assert "nothing was changed" in kept.stderr
    desk.ruins.lose(desk.ruins.catalog)
    (plan,) = await desk.json("restore", "--dry-run")
    assert [(step["file"], step["fate"]) for step in plan["steps"]] == [
        ("catalog.db", "restore"),
        ("inbox/gateway.db", "keep"),
        ("inbox/receive.db", "keep"),
    ]
    unsaid = await desk.type("restore")
    assert unsaid.exit_code == 1
    assert "say --yes if that is meant" in unsaid.stderr
    assert "there is none" in unsaid.stdout
    assert not desk.ruins.catalog.exists()
    done = await desk.type("restore", "--yes")
    assert done.exit_code == 0
    assert "accounts.key is not in backups" in done.stderr
    assert desk.ruins.known() == {"g0", "g1", "g2"}


async def test_a_restore_with_what_was_written_since(desk: Desk) -> None:
    """Catalog and inboxes are gone; the bucket tells of one generation more, and one less."""
    await desk.type("backup")
    later = Ruins(folder=desk.ruins.folder.parent / "later", bucket=desk.ruins.bucket, heard=10)
    await later.hear(count=1)
    await later.absorb()
    (found,) = later.generations()
    await put_manifest(desk.ruins.blobs, found, None)
    await desk.ruins.forget("g1")
    for path in (desk.ruins.catalog, *(desk.ruins.folder / "inbox").glob("*.db")):
        desk.ruins.lose(path)
    (told,) = await desk.json("restore", "--yes")
    assert told["caught_up"] == {"new": 1, "newer": 0, "forgotten": 1, "refused": {}}
    assert desk.ruins.known() == {"g0", "g2", "g10"}
    await desk.ruins.absorb()
    assert desk.ruins.known() == {"g0", "g2", "g3", "g4", "g10"}


async def test_an_index_that_is_lost_is_not_backed_up(desk: Desk) -> None:
    """An empty one would be the newest backup, and a restore would find everything there."""
    ruins = desk.ruins
    await desk.type("backup")
    for generation in ruins.generations():
        await put_manifest(ruins.blobs, generation, None)
    kept = await backups(ruins.blobs)
    ruins.lose(ruins.catalog)
    migrate(ruins.catalog)
    told = await desk.type("backup")
    assert told.exit_code == 1
    assert "the index is empty, and the bucket holds an archive" in told.stderr
    assert await backups(ruins.blobs) == kept
    assert (await desk.type("restore", "--yes")).exit_code == 0
    assert ruins.known() == {"g0", "g1", "g2"}


@pytest.mark.parametrize("command", ["restore", "rebuild"])
async def test_a_new_catalog_knows_when_the_last_backup_was_taken(desk: Desk, command: str) -> None:
    """No catalog has in it that the backup was taken in which it lies."""
    for generation in desk.ruins.generations():
        await put_manifest(desk.ruins.blobs, generation, None)
    await desk.type("backup")
    desk.ruins.lose(desk.ruins.catalog)
    done = await desk.type(command, "--yes")
    assert done.exit_code == 0, done.output
    (status,) = await desk.json("status")
    assert status["backup_seconds_ago"] < 60


async def test_a_restore_into_another_folder(desk: Desk, tmp_path: Path) -> None:
    """Beside a running service, of which nothing is touched; never into a folder with other
    things in it."""
    await desk.type("backup")
    before = desk.ruins.catalog.read_bytes()
    with take(desk.ruins.folder, "archive"):
        done = await desk.type("restore", "--into", str(tmp_path / "elsewhere"))
    assert done.exit_code == 0
    there = Ruins(folder=tmp_path / "elsewhere", bucket=desk.ruins.bucket)
    assert there.known() == {"g0", "g1", "g2"}
    assert len(there.told()) == 5
    assert desk.ruins.catalog.read_bytes() == before
    again = await desk.type("restore", "--into", str(tmp_path / "elsewhere"))
    assert (again.exit_code, "has other things in it" in again.stderr) == (1, True)


async def test_an_archive_in_use_is_not_restored(desk: Desk) -> None:
    """The service has to be stopped first."""
    await desk.type("backup")
    desk.ruins.lose(desk.ruins.catalog)
    with take(desk.ruins.folder, "receive"):
        told = await desk.type("restore", "--yes")
    assert told.exit_code == 1
    assert "a service already runs" in told.stderr
    assert not desk.ruins.catalog.exists()


async def test_an_older_backup_can_be_chosen(desk: Desk) -> None:
    """By a day or a moment; the newest up to then."""
    taken = []
    for _ in range(3):
        taken.append((await desk.ruins.back_up()).taken_at)
        desk.ruins.clock.advance(hours=30)
    desk.ruins.lose(desk.ruins.catalog)

    async def chosen(*arguments: str) -> str:
        (plan,) = await desk.json("restore", "--dry-run", *arguments)
        return str(plan["backup"])[:19]

    shown = [f"{at:%Y-%m-%dT%H:%M:%S}" for at in taken]
    assert await chosen() == shown[2]
    assert await chosen("--from", f"{taken[0]:%Y-%m-%d}") == shown[0]
    assert await chosen("--from", f"{taken[1]:%Y-%m-%dT%H:%M:%SZ}") == shown[1]
    older = await desk.type("restore", "--dry-run", "--from", "2020")
    assert "there is no backup as old as that" in older.stderr
    assert (await desk.type("restore", "--from", "yesterdayish")).exit_code == 2
