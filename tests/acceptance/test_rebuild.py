"""The index is gone, and comes back from the bucket: with nothing running, and beside a service."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from click.testing import CliRunner, Result

from archiver.catalog import CatalogReader, Tables
from archiver.inbox import NewDelivery
from archiver.inbox.sqlite import SqliteInbox
from archiver.query import parse
from archiver.search import search
from archiver.sqlite import open_reader, open_writer
from receiver.absorb import Absorb
from receiver.cli import main
from receiver.inboxes import Inboxes
from receiver.roles.archive import INDEX_LOST
from receiver.simulator import Simulator
from tests.acceptance.test_spine import Told, submit
from tests.archiver.recovery.shelf import Shelf, picture, shelf_in
from tests.clocks import NOON
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import request, webhook
from tests.receiver.wire import ask
from tests.receiver.wire import webhook as posted
from tests.service import (
    SECRET,
    Service,
    eventually,
    from_simulator,
    holdfast,
    running,
    write_config,
)

# 5,000 in the long form: GENERATIONS=5000.
GENERATIONS = int(os.environ.get("GENERATIONS") or 200)

QUESTIONS = (
    "",
    "lighthouse",
    "灯塔 state:archived",
    "fox sort:bytes",
    "is:lost",
    "service:flux* -fox",
    "is:moderated OR state:dead",
    "archived:2026-11",
    "g17",
)


def deliveries(number: int) -> list[NewDelivery]:
    """What is heard of one generation: mostly its request and its success."""
    name, url = f"g{number}", f"https://cdn.doitong.com/{number}.png?Expires=1795348800&n=1"
    asked = request(name, f"a {('lighthouse', 'fox', '灯塔')[number % 3]} number {number}")
    if number % 10 == 7:
        return [asked, webhook(name, None, status="failed", error="The picture broke.")]
    if number % 10 == 8:
        return [asked, webhook(name, None, status="failed", error="Our content policy says no.")]
    if number % 10 == 9:
        return [webhook(name, None, status="failed", error="The picture broke.")]
    return [asked, webhook(name, url, seed=number)]


class Drill:
    """An archive that was filled the way a service fills it, and what an operator does with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config_file = write_config(folder)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[Shelf]:
        async with shelf_in(self.folder) as shelf:
            yield shelf

    async def fill(self, count: int) -> None:
        """Webhooks are heard, absorbed, archived and sealed, and most of them segmented."""
        inbox = SqliteInbox(self.folder / "inbox" / "receive.db")
        await inbox.start()
        heard = [delivery for number in range(count) for delivery in deliveries(number)]
        await asyncio.gather(*map(inbox.append, heard))
        await inbox.close()
        async with self.at_work() as shelf:
            await self.absorb(shelf)
            for number in range(count):
                if number % 10 < 7:
                    await shelf.save(f"g{number}", picture(f"g{number // 2}"))
                if number == count * 9 // 10:
                    await shelf.seal()
                    await shelf.segmenting.catch_up()
            await shelf.seal()

    async def absorb(self, shelf: Shelf) -> None:
        """All that the inboxes hold, as a role does that has just started."""
        inboxes = Inboxes(inboxes_in(self.folder / "inbox"))
        absorb = Absorb(shelf.catalog, inboxes, now=shelf.clock, work_planned=lambda: None)
        while await absorb.step():
            pass
        inboxes.close()

    def answers(self) -> dict[str, list[Any]]:
        """What is found by each question, whole cards in their order."""

        def found(tables: Tables, text: str) -> list[Any]:
            page = search(tables, parse(text, now=NOON), limit=10_000)
            return [(hit.card, hit.prompt) for hit in page.hits]

        reader = CatalogReader(self.folder / "catalog.db")
        with reader.view() as tables:
            answers = {text: found(tables, text) for text in QUESTIONS}
        reader.close()
        return answers

    def wanted(self) -> list[tuple[Any, ...]]:
        """The work that waits."""
        connection = open_reader(self.folder / "catalog.db")
        try:
            return connection.execute(
                "SELECT kind, state, count(*) FROM jobs WHERE state IN ('available', 'scheduled')"
                " GROUP BY 1, 2"
            ).fetchall()
        finally:
            connection.close()

    def holdfast(self, *words: str) -> Result:
        """A command, typed."""
        return CliRunner().invoke(main, ["--config", str(self.config_file), *words])


async def test_an_index_that_was_deleted_comes_back(tmp_path: Path) -> None:
    """Drill: the index file is gone; `rebuild` makes it again, `rebuild --check` finds no
    difference, every search answers the same; and once the inboxes are absorbed once more, still
    so, with nothing to fetch and nothing to seal."""
    drill = Drill(tmp_path)
    await drill.fill(GENERATIONS)
    before = drill.answers()
    assert len(before[""]) == GENERATIONS
    assert [text for text, found in before.items() if not found] == []
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"catalog.db{end}").unlink(missing_ok=True)

    made = await asyncio.to_thread(drill.holdfast, "rebuild")
    assert (made.exit_code, made.stdout) == (0, ""), made.output
    assert "the new index is in its place" in made.stderr
    assert drill.answers() == before
    for _ in range(2):
        checked = await asyncio.to_thread(drill.holdfast, "rebuild", "--check", "--json")
        assert checked.exit_code == 0, checked.output
        assert "no generation differs" in checked.stderr
        summary = json.loads(checked.stdout)
        assert (summary["kind"], summary["generations"]) == ("summary", GENERATIONS)
        async with drill.at_work() as shelf:
            await drill.absorb(shelf)
        assert drill.answers() == before
    archived = GENERATIONS * 7 // 10
    assert drill.wanted() == [
        ("derive", "available", archived),
        ("render", "available", GENERATIONS // 10),
    ]


def test_what_differs_is_said_by_line_and_exit_code(tmp_path: Path) -> None:
    """3: the index says something else than the bucket, or the bucket has lost something."""
    drill = Drill(tmp_path)
    asyncio.run(drill.fill(10))
    connection = open_writer(tmp_path / "catalog.db")
    connection.execute("UPDATE slots SET state = 'dead' WHERE number = 1")
    connection.close()
    differs = drill.holdfast("rebuild", "--check")
    assert (differs.exit_code, differs.stdout) == (
        3,
        "different: doitong/g0: not the same: slot 0 state\n",
    )
    assert [path.name for path in tmp_path.glob("catalog.db.*")] == []
    refused = drill.holdfast("rebuild")
    assert refused.exit_code == 1
    assert "say --yes to replace the index" in refused.stderr
    replaced = drill.holdfast("rebuild", "--yes")
    assert replaced.exit_code == 0, replaced.output
    assert "the old one is" in replaced.stderr
    assert drill.holdfast("rebuild", "--check").exit_code == 0
    assert len([*tmp_path.glob("catalog-*.db")]) == 1


def test_a_bucket_that_is_all_but_empty_is_not_believed(tmp_path: Path) -> None:
    """The index stays where the new one would know less than half; but for whoever says so."""
    drill = Drill(tmp_path)
    asyncio.run(drill.fill(10))
    before = (tmp_path / "catalog.db").read_bytes()
    (tmp_path / "bucket").rename(tmp_path / "away")
    checked = drill.holdfast("rebuild", "--check")
    assert (checked.exit_code, "see first that bucket.url" in checked.stderr) == (3, True)
    refused = drill.holdfast("rebuild", "--yes")
    assert refused.exit_code == 1
    assert "know 0 generations, and the present one knows 10" in refused.stderr
    assert "is its disk mounted? --believe-empty" in refused.stderr
    assert (tmp_path / "catalog.db").read_bytes() == before
    believed = drill.holdfast("rebuild", "--yes", "--believe-empty")
    assert believed.exit_code == 0, believed.output
    assert drill.answers()[""] == []


def test_a_new_index_may_be_made_beside(tmp_path: Path) -> None:
    """Into a file of its own, and nothing is switched; never over one that is there."""
    drill = Drill(tmp_path)
    asyncio.run(drill.fill(10))
    before = (tmp_path / "catalog.db").read_bytes()
    into = tmp_path / "elsewhere.db"
    assert drill.holdfast("rebuild", "--into", str(into)).exit_code == 0
    assert (tmp_path / "catalog.db").read_bytes() == before
    connection = open_reader(into)
    assert connection.execute("SELECT count(*) FROM generations").fetchone() == (10,)
    connection.close()
    again = drill.holdfast("rebuild", "--into", str(into))
    assert (again.exit_code, "not there yet" in again.stderr) == (2, True)
    unsigned = drill.holdfast("rebuild", "--check", "--require-signed")
    assert (unsigned.exit_code, "nobody's signature is trusted" in unsigned.stderr) == (1, True)


async def test_beside_a_service_nothing_is_missed(tmp_path: Path) -> None:
    """A service that finds its index gone takes webhooks in and absorbs none, for it would give
    numbers twice. Once the index is rebuilt the service puts it in its place by itself: every
    webhook was acknowledged meanwhile, old pictures have their old numbers, and new ones go on."""
    drill = Drill(tmp_path)
    await drill.fill(10)
    before = drill.answers()
    for end in ("", "-wal", "-shm"):
        (tmp_path / f"catalog.db{end}").unlink(missing_ok=True)
    async with (
        Simulator(SECRET.encode(), drawing_seconds=0) as simulator,
        ClientSession() as client,
    ):
        with running(tmp_path, egress=from_simulator(simulator.base_url)) as service:
            await asyncio.to_thread(service.logged, INDEX_LOST)
            stop, answers = asyncio.Event(), []
            posting = asyncio.create_task(_post(service, stop, answers))
            done = await asyncio.to_thread(holdfast, service.config_file, "rebuild")
            assert done.returncode == 0, done.stderr
            assert "the running service puts it in its place" in done.stderr
            await eventually(lambda: _absorbed(service, "posted-0"))
            new = await _archive(client, simulator, service)
            stop.set()
            await posting
            assert await asyncio.to_thread(service.stop) == 0
    assert set(answers) == {202}
    assert "Traceback" not in service.log
    after = drill.answers()
    for text in ("lighthouse", "灯塔 state:archived", "is:moderated OR state:dead"):
        assert after[text] == before[text]
    assert after[""][-10:] == before[""]
    assert new["slots"][0]["number"] > 10
    connection = open_reader(tmp_path / "catalog.db")
    fetched = connection.execute("SELECT count(*) FROM jobs WHERE kind = 'fetch'").fetchone()
    connection.close()
    assert fetched == (1,)  # the new one's alone


async def _archive(client: ClientSession, simulator: Simulator, service: Service) -> dict[str, Any]:
    """A picture from its request to its manifest; its story."""
    told = Told(prompt="a new fox", faults=frozenset(), remembered=False)
    name = await submit(client, simulator, service, told)

    async def sealed() -> dict[str, Any] | None:
        story = await _story(service, name)
        return story if story and story["sealed_revision"] == story["revision"] else None

    return await eventually(sealed)


async def _story(service: Service, name: str) -> dict[str, Any]:
    """What the service knows of a generation; nothing while the role is started again."""
    url = f"http://127.0.0.1:{service.private}/api/v1/generations/doitong/{name}"
    try:
        async with ClientSession() as session, session.get(url) as answer:
            return dict(await answer.json()) if answer.status == 200 else {}
    except OSError:
        return {}


async def _absorbed(service: Service, name: str) -> bool | None:
    return True if await _story(service, name) else None


async def _post(service: Service, stop: asyncio.Event, answers: list[int]) -> None:
    """Webhooks without a pause, as a provider sends them that knows nothing of all this."""
    number = 0
    while not stop.is_set():
        body = b'{"id": "posted-%d", "status": "processing"}' % number
        answers.append((await ask(service.public, posted(body, secret=SECRET))).status)
        number += 1
        await asyncio.sleep(0.02)
