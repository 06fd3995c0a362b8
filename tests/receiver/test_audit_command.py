"""`holdfast audit` as an operator types it."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archiver import clock
from archiver.catalog import Catalog, Tables
from archiver.catalog.schema import migrate
from archiver.ledger import keep
from archiver.lifecycle import archive as archived
from receiver import absorb
from receiver.cli import main
from receiver.commands import audit as room
from receiver.inboxes import Inboxes
from tests.archiver.origin import Origin, answer, serve_origin
from tests.archiver.recovery.stock import asset_of, content, delete, flip, pieces, stock, truncate
from tests.clocks import NOON
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import record, webhook

COUNT = 12
# Whoever is not stopped by then has not heard of it.
PATIENCE_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Hall:
    """An archive of a dozen objects without links, and what is typed at it."""

    folder: Path

    def place(self, index: int) -> Path:
        asset = asset_of(content(index), at=NOON)
        return self.folder / "bucket" / asset.blob_key

    def type(self, *arguments: str, **environ: str) -> Result:
        command = ["--config", str(self.folder / "holdfast.toml"), *arguments]
        return CliRunner().invoke(main, command, env=environ)

    def json(self, *arguments: str) -> tuple[list[Any], Any]:
        """What an audit tells with `--json`: its findings, and the summary."""
        told = self.type("audit", *arguments, "--json")
        *findings, summary = map(json.loads, told.stdout.splitlines())
        return findings, summary


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stocked")
    made = pieces(COUNT, "https://cdn.doitong.com", at=NOON)
    stock(folder / "catalog.db", folder / "bucket", made, heard_at=NOON.replace(year=2025))
    return folder


@pytest.fixture
def hall(stocked: Path, tmp_path: Path) -> Hall:
    folder = tmp_path / "archive"
    shutil.copytree(stocked, folder)
    (folder / "holdfast.toml").write_text(
        f'[catalog]\nurl = "sqlite:///{folder}/catalog.db"\n'
        f'[bucket]\nurl = "file://{folder}/bucket"\n'
    )
    return Hall(folder)


def test_all_is_well(hall: Hall) -> None:
    """Exit code 0, nothing on stdout, and how much that was."""
    told = hall.type("audit", "--deep", "--bandwidth", "20MB")
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr == "12 objects looked at: nothing is amiss\n"


def test_damage_is_told_object_by_object(hall: Hall) -> None:
    """Whose it is, what is amiss, and what can be done; exit code 3."""
    flip(hall.place(2))
    delete(hall.place(4))
    told = hall.type("audit", "--deep")
    assert told.exit_code == 3
    assert told.stderr == "12 objects looked at: 1 missing, 1 damaged\n"
    rows = dict(line.split(maxsplit=1) for line in told.stdout.splitlines()[1:])
    assert rows.keys() == {"3", "5"}
    assert rows["3"].split()[:2] == ["doitong/g2", "damaged"]
    assert rows["5"].split()[:2] == ["doitong/g4", "missing"]
    key = asset_of(content(4), at=NOON).blob_key
    assert f"bring {key} back from an older version or a copy of the bucket" in rows["5"]
    findings, summary = hall.json("--deep")
    assert sorted((it["outcome"], it["slots"][0]["number"]) for it in findings) == [
        ("damaged", 3),
        ("missing", 5),
    ]
    assert (summary["checked"], summary["damaged"], summary["missing"]) == (COUNT, 1, 1)
    assert (summary["finished"], summary["audit"]["how"]) == (True, "bytes")


def test_what_was_found_is_told_elsewhere(hall: Hall) -> None:
    """By a search, by the story of the slot, and by the status."""
    flip(hall.place(2))
    assert hall.type("audit", "--deep").exit_code == 3
    assert "doitong/g2" in hall.type("search", "is:damaged").stdout
    shown = hall.type("show", "3").stdout
    assert "audited" in shown
    assert "damaged: its bytes are not what they were" in shown
    assert "damaged" not in hall.type("show", "4").stdout
    assert "1 damaged" in hall.type("status").stdout
    status = json.loads(hall.type("status", "--json").stdout)
    assert status["audit"]["amiss"] == {"damaged": 1}
    assert (status["audit"]["last"]["how"], status["audit"]["last"]["checked"]) == ("bytes", COUNT)


def test_a_sample_and_a_plan(hall: Hall) -> None:
    """`--dry-run` says how much it would be, and looks at nothing."""
    plan = hall.type("audit", "--deep", "--bandwidth", "1kB", "--dry-run")
    assert (plan.exit_code, plan.stdout.splitlines()[0]) == (
        0,
        "12 of 12 objects would be looked at",
    )
    assert "2.2 kB be read, in 2 s at least" in plan.stdout
    told = json.loads(hall.type("audit", "--sample", "25%", "--dry-run", "--json").stdout)
    assert (told["objects"], told["of"], told["dry_run"]) == (3, 12, True)
    assert json.loads(hall.type("status", "--json").stdout)["audit"]["last"] is None
    _, summary = hall.json("--sample", "25%")
    assert summary["checked"] == 3


@pytest.mark.parametrize(
    "wrong", [("--sample", "0%"), ("--sample", "x"), ("--bandwidth", "fast"), ("--bandwidth", "0")]
)
def test_wrong_usage(hall: Hall, wrong: tuple[str, str]) -> None:
    """Is told as such, before anything is looked at."""
    assert hall.type("audit", *wrong).exit_code == 2


def test_a_bucket_that_is_not_there(hall: Hall) -> None:
    """Nothing is marked, exit code 1, and how to go on."""
    (hall.folder / "bucket").rename(hall.folder / "elsewhere")
    told = hall.type("audit", "--deep", "--sample", "50%")
    assert told.exit_code == 1
    assert "the bucket has no object at all" in told.stderr
    assert "audit --sample 50% --deep --resume" in told.stderr
    assert "nothing found" in hall.type("search", "is:damaged").stderr


def test_ctrl_c_says_how_to_go_on(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was looked at is kept, and typing what it says does the rest."""
    monkeypatch.setitem(room._PORTION, "head", 4)
    looked_at = 0

    async def interrupted(*arguments: Any) -> Any:
        nonlocal looked_at
        looked_at += 1
        if looked_at > 8:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(PATIENCE_SECONDS)
        return await real(*arguments)

    real = room.look
    monkeypatch.setattr(room, "look", interrupted)
    # Whoever ran in this process before may have left it deaf.
    was = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        told = hall.type("audit")
    finally:
        signal.signal(signal.SIGINT, was)
    assert told.exit_code == 1
    assert "8 objects looked at so far" in told.stderr
    assert "stopped\nto go on: holdfast --config" in told.stderr
    monkeypatch.setattr(room, "look", real)
    again = told.stderr.splitlines()[-1].split("holdfast.toml ")[1].split()
    assert again == ["audit", "--resume"]
    _, summary = hall.json("--resume")
    assert (summary["checked"], summary["finished"]) == (COUNT, True)


async def living(folder: Path, origin: Origin) -> None:
    """Generations heard of by webhooks, their links alive, their objects in the bucket."""
    webhooks = [webhook(f"living {it}", origin.url(f"/{it}.png")) for it in range(100, 103)]
    await record(folder / "inbox" / "receive.db", *webhooks)
    migrate(folder / "catalog.db")
    catalog, inboxes = Catalog(folder / "catalog.db"), Inboxes(inboxes_in(folder / "inbox"))
    await catalog.start()
    absorbing = absorb.Absorb(catalog, inboxes, now=clock.now, work_planned=lambda: None)
    while await absorbing.step():
        pass

    def save(tables: Tables) -> None:
        for index in range(100, 103):
            known = tables.generations.load("doitong", f"living {index}")
            assert known is not None
            asset = asset_of(content(index), at=clock.now())
            keep(tables, known, archived(known, 0, asset), now=clock.now())
            place = folder / "bucket" / asset.blob_key
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content(index))

    await catalog.write(save)
    await catalog.close()
    inboxes.close()


async def test_what_is_lost_comes_back_by_its_link(hall: Hall) -> None:
    """Found in the inbox, fetched through the guard, put in its place; the next audit is silent."""
    async with serve_origin() as origin:
        await living(hall.folder, origin)
        for harm, index in zip((flip, truncate, delete), range(100, 103), strict=True):
            harm(hall.place(index))
            origin.answers[f"/{index}.png"] = answer(body=content(index))
        flip(hall.place(0))
        settings = {
            "HOLDFAST_EGRESS__ALLOW_HTTP": "true",
            "HOLDFAST_EGRESS__ALLOW_PORTS": f"[{origin.port}]",
            "HOLDFAST_EGRESS__ALLOW_CIDRS": '["127.0.0.0/8"]',
            "HOLDFAST_PROVIDERS__DOITONG__DOWNLOAD_HOSTS": '["127.0.0.1"]',
        }
        told = await asyncio.to_thread(hall.type, "audit", "--deep", **settings)
    assert told.exit_code == 3
    assert told.stderr == "15 objects looked at: 1 damaged, 3 amiss and mended\n"
    assert [hall.place(index).read_bytes() for index in range(100, 103)] == [
        content(index) for index in range(100, 103)
    ]
    findings, _ = await asyncio.to_thread(hall.json, "--deep")
    assert [finding["slots"][0]["id"] for finding in findings] == ["g0"]
