"""`holdfast deliveries` as an operator types it: what was heard, and what became of it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archiver.clock import now
from archiver.inbox import NewDelivery
from archiver.inbox.quarantine import Quarantine, Rejected
from archiver.inbox.readmission import OUT_OF_QUARANTINE
from archiver.inbox.sqlite import SqliteInboxReader
from archiver.models import Heard
from archiver.sqlite import open_writer
from receiver.cli import main
from receiver.exchange import Exchange, encode
from tests.receiver.deliveries import URL, delivery, record, request, webhook
from tests.receiver.test_absorb import Archive, open_archive
from tests.service import write_config

NOW = now()
EARLIER = [NOW - timedelta(hours=hours) for hours in range(12)]


def at(hours: int, heard: NewDelivery) -> NewDelivery:
    """The same, heard so many hours ago."""
    return replace(heard, received_at=EARLIER[hours])


EXCHANGE = Exchange(
    method="GET",
    path="/api/v1/tasks/t1",
    status=200,
    answer=b'{"output": {"task_id": "t1", "task_status": "RUNNING"}}',
    account="7f",
)
POLLED = delivery(encode(EXCHANGE), source="dashscope", heard=Heard.POLLED, verified_by="poll")
REJECTED = Rejected(
    source="doitong",
    path_token="",
    received_at=EARLIER[4],
    peer="192.0.2.7",
    reason="no signature header",
    headers=((b"X-A", b"b"),),
    body=b"{}",
)


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    """Two inboxes and a quarantine; all but the last delivery of each inbox is absorbed."""
    write_config(tmp_path)
    inbox = tmp_path / "inbox"
    async with open_archive(tmp_path) as archive:
        pushed = (at(9, webhook("a")), at(7, delivery(b"not JSON")), at(5, webhook("a", extra=1)))
        await record(inbox / "receive.db", *pushed)
        await record(inbox / "web.db", at(8, request("a", "a fox")), at(6, POLLED))
        await archive.absorb()
        await record(inbox / "receive.db", at(3, webhook("b")))
        await record(inbox / "web.db", at(2, request("c", "a wolf")))
        quarantine = Quarantine(inbox / "quarantine.db")
        await quarantine.start()
        quarantine.offer(REJECTED)
        await quarantine.close()
        yield archive


async def typed(archive: Archive, *arguments: str) -> Result:
    """A command run to its end, beside a catalog that is in use."""
    given = ["--config", str(archive.folder / "holdfast.toml"), "deliveries", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, main, given)


async def told(archive: Archive, *arguments: str) -> Any:
    """What it prints with `--json`."""
    done = await typed(archive, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


async def names(archive: Archive, *arguments: str) -> list[str]:
    """The names of what is listed, in its order."""
    return [line["id"] for line in (await told(archive, "list", *arguments))["deliveries"]]


LISTS: dict[str, tuple[list[str], list[str]]] = {
    "everything": (
        [],
        ["web:3", "receive:4", "receive:3", "web:2", "receive:2", "web:1", "receive:1"],
    ),
    "absorbed": (["--state=absorbed"], ["receive:3", "web:2", "web:1", "receive:1"]),
    "unparsed": (["--state=unparsed"], ["receive:2"]),
    "backlog": (["--state=backlog"], ["web:3", "receive:4"]),
    "quarantined": (["--state=quarantined"], ["quarantine:1"]),
    "of a provider": (["--source=dashscope"], ["web:2"]),
    "of late": (["--since=5h"], ["web:3", "receive:4"]),
    "of a generation": (["--generation=doitong/a"], ["receive:3", "web:1", "receive:1"]),
    "nothing": (["--generation=doitong/a", "--since=1h"], []),
    "nothing again": (["--state=quarantined", "--source=modelslab"], []),
}


@pytest.mark.parametrize(("arguments", "expected"), LISTS.values(), ids=LISTS)
async def test_deliveries_are_listed_the_newest_first(
    archive: Archive, arguments: list[str], expected: list[str]
) -> None:
    """From all inboxes as they were heard, by every filter, in pages of any size."""
    assert await names(archive, *arguments) == expected
    for limit in (1, 2, 3):
        found, cursor = [], None
        while True:
            more = ("--cursor", cursor) if cursor else ()
            page = await told(archive, "list", *arguments, "--limit", str(limit), *more)
            found += [line["id"] for line in page["deliveries"]]
            cursor = page["cursor"]
            if cursor is None:
                break
        assert found == expected


async def test_what_is_heard_meanwhile_shifts_no_page(archive: Archive) -> None:
    """A list goes on where it was, however long somebody looked at it."""
    first = await told(archive, "list", "--limit", "2")
    await record(archive.folder / "inbox" / "receive.db", webhook("d"), webhook("e"))
    await record(archive.folder / "inbox" / "gateway.db", POLLED)
    rest = (await told(archive, "list", "--cursor", first["cursor"]))["deliveries"]
    assert [line["id"] for line in rest] == LISTS["everything"][1][2:]


async def test_what_came_out_of_the_quarantine_hides_nothing(archive: Archive) -> None:
    """It was heard long before what stands beneath it, which is as new as ever."""
    late = delivery(b"{}", verified_by=f"2026-11{OUT_OF_QUARANTINE}", received_at=EARLIER[11])
    await record(archive.receive, late)
    assert await names(archive, "--since=5h") == ["web:3", "receive:4"]
    assert (await names(archive))[0] == "receive:5"


async def test_a_delivery_is_shown_as_it_was_heard(archive: Archive) -> None:
    """Headers, the body as a document, and whom it spoke of; raw, byte for byte."""
    shown = await told(archive, "show", "receive:1")
    assert (shown["state"], shown["body"]["url"]) == ("absorbed", URL)
    assert shown["generations"] == [{"provider": "doitong", "id": "a", "state": "succeeded"}]
    assert (await typed(archive, "show", "receive:1", "--raw")).stdout_bytes == webhook("a").body
    uuid = shown["inbox"]
    assert await told(archive, "show", f"{uuid[:8].upper()}:1") == shown
    unread = await told(archive, "show", "receive:2")
    assert (unread["state"], unread["body"]) == ("unparsed", "not JSON")
    assert "not JSON" in unread["reason"]


async def test_an_exchange_is_shown_as_what_was_said(archive: Archive) -> None:
    """And not as the form in which it is kept."""
    shown = (await told(archive, "show", "web:2"))["body"]
    assert (shown["method"], shown["path"], shown["account"]) == ("GET", "/api/v1/tasks/t1", "7f")
    assert shown["answer"]["output"]["task_status"] == "RUNNING"
    assert (await typed(archive, "show", "web:2", "--raw")).stdout_bytes == encode(EXCHANGE)


async def test_a_refused_request_is_shown_with_the_reason(archive: Archive) -> None:
    """By its own number."""
    shown = await told(archive, "show", "quarantine:1")
    assert (shown["state"], shown["reason"]) == ("quarantined", "no signature header")
    assert (shown["headers"], shown["body"]) == ([["X-A", "b"]], {})


async def test_no_text_of_a_strangers_steers_the_terminal(archive: Archive) -> None:
    """Neither in the list, nor in a body, nor in a header."""
    wild = "\x1b[31m\u202e\x9b"
    headers = ((b"X-Wild", wild.encode()),)
    await record(archive.receive, delivery(json.dumps({"a": wild}).encode(), headers=headers))
    await record(archive.receive, delivery(b"\xff\x1b[31m"))
    for arguments in (("list",), ("show", "receive:5"), ("show", "receive:6")):
        shown = (await typed(archive, *arguments)).stdout
        assert not {"\x1b", "\u202e", "\x9b"} & set(shown)
    body = (await told(archive, "show", "receive:6"))["body"]
    assert base64.b64decode(body["base64"]) == b"\xff\x1b[31m"


@pytest.mark.parametrize("name", ["receive:99", "nowhere:1", "receive", "17", "quarantine:9", ""])
async def test_a_name_of_nothing_says_what_names_are_like(archive: Archive, name: str) -> None:
    """With the inboxes that there are."""
    done = await typed(archive, "show", name)
    assert done.exit_code == 1
    assert "say INBOX:POSITION" in done.stderr
    assert "receive, web, quarantine" in done.stderr


def replays(archive: Archive) -> list[str]:
    """What waits to be absorbed once more."""
    paths = [archive.receive, archive.receive.with_name("web.db")]
    names = {SqliteInboxReader(path).uuid: path.stem for path in paths}
    rows = archive.rows("SELECT inbox, position FROM replays ORDER BY id")
    return [f"{names[inbox]}:{position}" for inbox, position in rows]


async def test_deliveries_are_absorbed_once_more(archive: Archive) -> None:
    """Counted first, agreed to, asked for once however often it is typed, and then done."""
    bulk = ("replay", "--state", "unparsed")
    assert await told(archive, *bulk, "--dry-run") == {
        "found": {"doitong unparsed": 1},
        "replayed": 0,
        "dry_run": True,
    }
    refused = await typed(archive, *bulk)
    assert (refused.exit_code, "say --yes" in refused.stderr) == (1, True)
    assert replays(archive) == []
    for _ in range(2):
        assert (await told(archive, *bulk, "--yes"))["replayed"] == 1
    assert replays(archive) == ["receive:2"]
    assert (await told(archive, "show", "receive:2"))["is_about_to_be_absorbed_again"]

    assert (await told(archive, "replay", "receive:1", "web:2"))["replayed"] == 2
    assert replays(archive) == ["receive:2", "web:2", "receive:1"]
    assert await archive.absorb() == 3 + 2  # and the backlog
    assert replays(archive) == []
    assert list(archive.unparsed()) == [2]


async def test_what_cannot_be_read_again_is_not_asked_for(archive: Archive) -> None:
    """A pruned body would only be set aside as unreadable; the backlog is absorbed anyway."""
    writer = open_writer(archive.receive)
    writer.execute("UPDATE deliveries SET body = NULL WHERE position = 1")
    writer.close()
    outcome = await told(archive, "replay", "--source", "doitong", "--yes")
    assert outcome["found"] == {
        "doitong absorbed": 2,
        "doitong backlog": 2,
        "doitong pruned": 1,
        "doitong unparsed": 1,
    }
    assert outcome["replayed"] == 3
    assert sorted(replays(archive)) == ["receive:2", "receive:3", "web:1"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("receive:1", "--state", "unparsed"),
        ("--state", "quarantined"),
        ("--state", "backlog"),
        ("--since", "yesterday"),
    ],
)
async def test_what_makes_no_sense_is_wrong_usage(
    archive: Archive, arguments: tuple[str, ...]
) -> None:
    """And nothing is asked for."""
    assert (await typed(archive, "replay", *arguments, "--yes")).exit_code == 2
    assert replays(archive) == []
