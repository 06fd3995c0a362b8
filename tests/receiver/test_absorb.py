"""Absorbing: each delivery takes effect exactly once, in any order, and none stops another."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from archiver import sqlite
from archiver.catalog import Catalog
from archiver.catalog.schema import migrate
from archiver.errors import CatalogUnavailableError, LedElsewhereError, UnreadableError
from archiver.inbox import NewDelivery
from archiver.models import DeliveryRef, GenerationState, Heard, Observation
from archiver.moments import to_millis
from archiver.sqlite import open_reader, open_writer
from archiver.tombstone import Tombstone, name_digest
from receiver import absorb as room
from receiver.absorb import MAX_ODD_STATUSES, Absorb, OddStatuses
from receiver.exchange import Exchange, encode
from receiver.inboxes import Inboxes
from receiver.providers import PROVIDERS
from tests.archiver.disks import commits, everything_on_disk, locked
from tests.archiver.heard import hear, hearing
from tests.clocks import NOON, FrozenClock
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import FRESH_URL, URL, delivery, record, request, webhook

# A test that waits longer than this has failed.
PATIENCE_SECONDS = 20


@dataclass(kw_only=True)
class Archive:
    """A catalog beside a folder of inboxes."""

    folder: Path
    catalog: Catalog
    clock: FrozenClock = field(default_factory=FrozenClock)
    planned: int = 0

    @property
    def path(self) -> Path:
        return self.folder / "catalog.db"

    @property
    def receive(self) -> Path:
        """The inbox that most tests need."""
        return self.folder / "inbox" / "receive.db"

    @asynccontextmanager
    async def absorbing(self) -> AsyncIterator[Absorb]:
        """A process that begins to absorb, knowing only what is in the files."""

        def work_planned() -> None:
            self.planned += 1

        inboxes = Inboxes(inboxes_in(self.folder / "inbox"))
        yield Absorb(self.catalog, inboxes, now=self.clock, work_planned=work_planned)
        inboxes.close()

    async def absorb(self) -> int:
        """Absorbs all there is, as a process just started does; how many deliveries it was."""
        total = 0
        async with self.absorbing() as absorb:
            while absorbed := await absorb.step():
                total += absorbed
        return total

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        reader = open_reader(self.path)
        try:
            return reader.execute(sql).fetchall()
        finally:
            reader.close()

    def ids(self) -> list[str]:
        """The generations that are known, in the order in which they became so."""
        return [id_ for (id_,) in self.rows("SELECT id FROM generations ORDER BY key")]

    def unparsed(self) -> dict[int, str]:
        """Reasons by position."""
        return dict(self.rows("SELECT position, reason FROM unparsed ORDER BY position"))

    def position(self) -> int:
        ((position,),) = self.rows("SELECT position FROM inbox_positions")
        return int(position)

    async def ask_replay(self, *positions: int) -> None:
        ((inbox,),) = _read(self.receive, "SELECT uuid FROM inbox")
        refs = [DeliveryRef(inbox=inbox, position=position) for position in positions]
        await self.catalog.write(
            lambda tables: tables.deliveries.ask_replay(refs, now=self.clock())
        )


def _read(path: Path, sql: str) -> list[tuple[Any, ...]]:
    reader = open_reader(path)
    try:
        return reader.execute(sql).fetchall()
    finally:
        reader.close()


@asynccontextmanager
async def open_archive(folder: Path) -> AsyncIterator[Archive]:
    migrate(folder / "catalog.db")
    catalog = Catalog(folder / "catalog.db")
    await catalog.start()
    yield Archive(folder=folder, catalog=catalog)
    await catalog.close()


@pytest.fixture
async def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Archive]:
    """An empty archive whose catalog does not wait long for a lock."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    async with open_archive(tmp_path) as archive:
        yield archive


class FakeProvider:
    """A provider whose parser does with a body whatever its table says."""

    name = "fake"
    link_lifetime = timedelta(hours=1)

    def __init__(self) -> None:
        self.says: dict[bytes, Exception | tuple[Observation, ...]] = {}

    def parse(self, heard: Heard, path_token: str, body: bytes) -> tuple[Observation, ...]:
        said = self.says[body]
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeProvider:
    fake = FakeProvider()
    monkeypatch.setitem(PROVIDERS, fake.name, fake)
    return fake


def observation(generation_id: str, **fields: Any) -> Observation:
    given = {"provider": "fake", "state": GenerationState.RUNNING, **fields}
    return Observation(generation_id=generation_id, **given)


# Taking effect ------------------------------------------------------------------------------------


async def test_what_was_heard_becomes_known_and_planned(archive: Archive) -> None:
    """A generation, its story and the fetch of its link, and the worker is told."""
    await record(archive.receive, webhook("1"))
    assert await archive.absorb() == 1
    assert archive.rows("SELECT id, state, revision FROM generations") == [("1", "succeeded", 1)]
    assert archive.rows("SELECT position, heard, state FROM observations") == [
        (1, "pushed", "succeeded")
    ]
    assert archive.rows("SELECT kind, state, host FROM jobs") == [
        ("fetch", "available", "cdn.doitong.com")
    ]
    assert archive.planned == 1


async def test_nothing_new_is_nothing_done(archive: Archive) -> None:
    """An idle look writes nothing and wakes nobody."""
    await record(archive.receive, webhook("1"))
    async with archive.absorbing() as absorb:
        assert [await absorb.step() for _ in range(3)] == [1, 0, 0]
        before = commits(archive.path)
        assert await absorb.step() == 0
    assert commits(archive.path) == before
    assert archive.planned == 1


async def test_many_deliveries_are_a_few_commits(archive: Archive) -> None:
    """Deliveries are taken in batches, in order, each batch in one commit."""
    ids = [f"{number:03}" for number in range(450)]
    await record(archive.receive, *map(webhook, ids))
    async with archive.absorbing() as absorb:
        steps = [await absorb.step() for _ in range(2)]
        before = commits(archive.path)
        steps += [await absorb.step() for _ in range(2)]
        assert commits(archive.path) == before + 1
    assert steps == [200, 200, 50, 0]
    assert ids == archive.ids()


async def test_several_inboxes_are_absorbed_side_by_side(archive: Archive) -> None:
    """Each has its own position; what several say of one generation is merged."""
    await record(archive.receive, webhook("1"), webhook("2"))
    await record(archive.folder / "inbox" / "web.db", request("1", "a cat"))
    async with archive.absorbing() as absorb:
        assert await absorb.step() == 3
        await record(archive.folder / "inbox" / "gateway.db", request("2", "a dog"))
        assert await absorb.step() == 1
    prompts = archive.rows("SELECT id, params ->> 'prompt', revision FROM generations ORDER BY id")
    assert prompts == [("1", "a cat", 2), ("2", "a dog", 2)]
    assert archive.rows("SELECT position FROM inbox_positions ORDER BY 1") == [(1,), (1,), (2,)]


async def test_what_a_batch_says_of_one_generation_is_one_change(archive: Archive) -> None:
    """However often it is heard of: one revision, numbers in the order of hearing, every story."""
    unready = webhook("1", None, status="processing")
    await record(archive.receive, unready, webhook("2"), webhook("1"), request("1", "a cat"))
    assert await archive.absorb() == 4
    assert archive.rows(
        "SELECT id, state, params ->> 'prompt', revision FROM generations ORDER BY key"
    ) == [("1", "succeeded", "a cat", 1), ("2", "succeeded", None, 1)]
    assert archive.rows("SELECT position, state FROM observations ORDER BY position") == [
        (1, "running"),
        (2, "succeeded"),
        (3, "succeeded"),
        (4, "queued"),
    ]
    assert archive.rows("SELECT number, prompt FROM texts") == [(1, "a cat"), (2, "")]


async def test_a_redelivery_changes_nothing(archive: Archive) -> None:
    """The same words again, written otherwise, neither raise a revision nor want a job anew."""
    await record(archive.receive, webhook("1"))
    await archive.absorb()
    tables = ("generations", "slots", "links", "jobs", "texts")
    before = [archive.rows(f"SELECT * FROM {table}") for table in tables]
    await record(archive.receive, delivery(webhook("1").body + b" "))
    assert await archive.absorb() == 1
    assert before == [archive.rows(f"SELECT * FROM {table}") for table in tables]
    assert len(archive.rows("SELECT * FROM observations")) == 2


async def test_nothing_written_opens_a_picture(archive: Archive) -> None:
    """The full URL of a link stays in its inbox."""
    failed = webhook("2", None, status="failed", error={"message": f"no {URL} for you"})
    await record(archive.receive, webhook("1"), failed, delivery(b'{"url": "' + URL.encode()))
    await archive.absorb()
    assert b"hush" in everything_on_disk(archive.receive)
    assert b"hush" not in everything_on_disk(archive.path)


# Exactly once -------------------------------------------------------------------------------------


async def test_a_failed_commit_has_no_effect_and_is_made_up_for(archive: Archive) -> None:
    """Neither the effect nor the position is kept without the other."""
    await record(archive.receive, webhook("1"), webhook("2"))
    async with archive.absorbing() as absorb:
        with locked(archive.path), pytest.raises(CatalogUnavailableError):
            await absorb.step()
        assert (archive.ids(), archive.planned) == ([], 0)
        assert archive.rows("SELECT * FROM inbox_positions") == []
    # The process dies here; the next one knows only what is in the files.
    assert await archive.absorb() == 2
    assert archive.rows("SELECT id, revision FROM generations") == [("1", 1), ("2", 1)]


async def test_the_same_process_goes_on_after_an_outage(archive: Archive) -> None:
    """What could not be committed is read again, at once and in order."""
    async with archive.absorbing() as absorb:
        await absorb.step()
        for generation_id in ("1", "2"):
            await record(archive.receive, webhook(generation_id))
            with locked(archive.path), pytest.raises(CatalogUnavailableError):
                await absorb.step()
            assert await absorb.step() == 1
    assert archive.rows("SELECT id, revision FROM generations") == [("1", 1), ("2", 1)]


async def test_where_another_node_leads_nobody_else_absorbs(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for: whoever started this begins anew, by standing by."""
    monkeypatch.setattr(archive.catalog, "write", led_elsewhere)
    async with archive.absorbing() as absorb, asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(LedElsewhereError):
            await absorb.run(asyncio.Event())


async def led_elsewhere(_: Any) -> None:
    """What a catalog says that another node leads."""
    raise LedElsewhereError("another node has it")


async def test_after_an_outage_another_may_have_gone_on(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where an inbox was absorbed to is asked again, and nothing takes effect twice."""
    monkeypatch.setattr(room, "UNAVAILABLE_SECONDS", 0.001)
    await record(archive.receive, webhook("a"))
    async with archive.absorbing() as absorb:
        assert await absorb.step() == 1
        await record(archive.receive, webhook("b"))
        stop = asyncio.Event()
        with locked(archive.path), capture_logs() as logs:
            running = asyncio.create_task(absorb.run(stop))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not logs:
                    await asyncio.sleep(0)
            stop.set()
            await running
        await archive.absorb()
        assert await absorb.step() == 0


async def test_what_took_effect_takes_none_again(archive: Archive) -> None:
    """A process started anew goes on where the last commit ended."""
    await record(archive.receive, webhook("1"))
    assert [await archive.absorb(), await archive.absorb()] == [1, 0]
    await record(archive.receive, webhook("2"))
    assert await archive.absorb() == 1
    assert archive.position() == 2


# Culprits -----------------------------------------------------------------------------------------

UNREADABLE = {
    "not JSON": (delivery(b"<html>"), "not JSON"),
    "not an object": (delivery(b"[1]"), "not an object"),
    "nothing": (delivery(b""), "not JSON"),
    "no generation": (delivery(b'{"status": "completed"}'), "names no generation"),
    "not UTF-8": (delivery(b'{"id": "\xff"}'), "not JSON"),
    "an unknown source": (delivery(b"{}", source="nobody"), "no provider is called 'nobody'"),
    "an unknown encoding": (
        delivery(b"{}", headers=((b"Content-Encoding", b"br"),)),
        "not one we undo",
    ),
    "not what it is encoded as": (
        delivery(b"{ }", headers=((b"Content-Encoding", b"gzip"),)),
        "not gzip",
    ),
    "a bomb": (
        delivery(gzip.compress(b" " * (9 << 20)), headers=((b"content-encoding", b"gzip"),)),
        "inflates beyond",
    ),
    "a request without a prompt": (
        delivery(b"{}", heard=Heard.REMEMBERED, path_token="9"),
        "no prompt",
    ),
}  # fmt: skip


async def test_what_is_not_understood_is_set_aside(archive: Archive) -> None:
    """It is kept with its reason, in the very commit that the others take effect in."""
    await record(
        archive.receive, webhook("1"), *(it for it, _ in UNREADABLE.values()), webhook("2")
    )
    before = commits(archive.path)
    assert await archive.absorb() == len(UNREADABLE) + 2
    assert commits(archive.path) == before + 1
    assert archive.ids() == ["1", "2"]
    said = archive.unparsed()
    assert list(said) == list(range(2, len(UNREADABLE) + 2))
    for reason, (_, expected) in zip(said.values(), UNREADABLE.values(), strict=True):
        assert expected in reason
    assert archive.position() == len(UNREADABLE) + 2


UNMERGEABLE: dict[str, dict[str, Any]] = {
    "an integer that SQLite cannot hold": {"cost": 10**30},
    "a value of no column's type": {"track_id": {"a": 1}},
    "text that is none": {"service": "\ud800"},
    "a moment without a zone": {"created_at": datetime(2026, 11, 21)},  # noqa: DTZ001
    "a provider that nobody knows": {"provider": "nobody"},
}


@pytest.mark.parametrize("culprit", UNMERGEABLE)
async def test_what_cannot_be_merged_is_set_aside(
    archive: Archive, fake: FakeProvider, culprit: str
) -> None:
    """A rule that parsing could not see is broken by one and kept by the others."""
    fake.says = {
        b"good": (observation("1"),),
        b"culprit": (observation("2"), observation("3", **UNMERGEABLE[culprit])),
        b"good too": (observation("4"),),
    }
    await record(archive.receive, *(delivery(body, source="fake") for body in fake.says))
    assert await archive.absorb() == 3
    assert archive.ids() == ["1", "4"]
    assert list(archive.unparsed()) == [2]
    assert archive.position() == 3
    assert await archive.absorb() == 0


@pytest.mark.parametrize(
    "bug", [KeyError(URL), RecursionError(), ValueError(f"what is {URL}?"), AssertionError()]
)
async def test_a_parser_with_a_bug_stops_nobody(
    archive: Archive, fake: FakeProvider, bug: Exception
) -> None:
    """Whatever a parser raises, its delivery waits for the fix and the others go through."""
    fake.says = {b"bug": bug, b"good": (observation("1"),)}
    await record(archive.receive, *(delivery(body, source="fake") for body in fake.says))
    assert await archive.absorb() == 2
    assert archive.ids() == ["1"]
    assert archive.unparsed()[1].startswith(f"a fault of the parser: {type(bug).__name__}")
    assert b"hush" not in everything_on_disk(archive.path)


async def test_a_bug_in_merging_tells_no_secret(archive: Archive, fake: FakeProvider) -> None:
    """The reason is a URL without its query, as in every other row."""
    fake.says = {b"": (observation("1", provider=URL),)}
    await record(archive.receive, delivery(b"", source="fake"))
    await archive.absorb()
    assert "cdn.doitong.com" in archive.unparsed()[1]
    assert b"hush" not in everything_on_disk(archive.path)


async def test_what_is_of_no_concern_passes(archive: Archive, fake: FakeProvider) -> None:
    """A delivery that says nothing to us is absorbed, and nothing is set aside."""
    fake.says = {b"": ()}
    await record(archive.receive, delivery(b"", source="fake"))
    assert await archive.absorb() == 1
    assert (archive.ids(), archive.unparsed(), archive.position()) == ([], {}, 1)


# Replays ------------------------------------------------------------------------------------------


async def test_a_replay_after_the_fix_clears_what_was_set_aside(
    archive: Archive, fake: FakeProvider
) -> None:
    """Once the parser understands it, the old delivery takes effect after all."""
    fake.says = {b"": UnreadableError("not yet")}
    await record(archive.receive, delivery(b"", source="fake"), webhook("2"))
    await archive.absorb()
    assert archive.unparsed() == {1: "not yet"}
    fake.says = {b"": (observation("1"),)}
    await archive.ask_replay(1)
    assert await archive.absorb() == 1
    assert (archive.ids(), archive.unparsed(), archive.position()) == (["2", "1"], {}, 2)
    assert archive.rows("SELECT * FROM replays") == []


async def test_what_is_understood_and_says_nothing_is_no_longer_set_aside(
    archive: Archive, fake: FakeProvider
) -> None:
    """Of no concern to us is an answer, too."""
    fake.says = {b"": UnreadableError("not yet")}
    await record(archive.receive, delivery(b"", source="fake"))
    await archive.absorb()
    fake.says = {b"": ()}
    await archive.ask_replay(1)
    await archive.absorb()
    assert (archive.ids(), archive.unparsed()) == ([], {})


async def test_a_replay_of_what_is_known_changes_nothing(archive: Archive) -> None:
    """Asked for twice or for a delivery that is gone, a replay is done and struck off."""
    await record(archive.receive, webhook("1"), delivery(b"not JSON"))
    await archive.absorb()
    tables = ("generations", "slots", "links", "observations", "unparsed", "inbox_positions")
    before = [archive.rows(f"SELECT * FROM {table}") for table in tables]
    await archive.ask_replay(1, 1, 2, 99)
    assert await archive.absorb() == 4
    assert before == [archive.rows(f"SELECT * FROM {table}") for table in tables]
    assert archive.rows("SELECT * FROM replays") == []


async def test_a_replay_skips_nothing_that_waits(archive: Archive) -> None:
    """A delivery asked for before its turn is absorbed first, and those before it all the same."""
    await record(archive.receive, *(webhook(str(number)) for number in range(1, 6)))
    await archive.ask_replay(4)
    assert await archive.absorb() == 6
    assert archive.ids() == ["4", "1", "2", "3", "5"]
    assert archive.position() == 5


async def test_a_replay_that_could_not_be_committed_is_still_asked_for(archive: Archive) -> None:
    """An outage neither loses a request nor strikes it off."""
    await record(archive.receive, webhook("1"))
    await archive.absorb()
    await archive.ask_replay(1)
    async with archive.absorbing() as absorb:
        with locked(archive.path), pytest.raises(CatalogUnavailableError):
            await absorb.step()
    assert len(archive.rows("SELECT * FROM replays")) == 1
    assert await archive.absorb() == 1


# Odd statuses -------------------------------------------------------------------------------------


def count_odd(provider: str) -> float:
    """What the metrics page says; it says so from the beginning."""
    OddStatuses()
    counted = REGISTRY.get_sample_value("holdfast_unknown_statuses_total", {"provider": provider})
    assert counted is not None
    return counted


async def test_a_status_that_nobody_knows_is_counted_and_named_once(archive: Archive) -> None:
    """It reads as running; words are named by provider, cut short, and open no door."""
    link, long = "https://cdn.doitong.com/?sig=hush", "x" * 2000
    words = ("polishing", "processing", "polishing", None, "", link, long)
    before = [count_odd(name) for name in PROVIDERS]
    await record(archive.receive, *(webhook(str(n), status=s) for n, s in enumerate(words)))
    with capture_logs() as lines:
        assert await archive.absorb() == len(words)
    assert [count_odd(name) for name in PROVIDERS] == [before[0] + 4, *before[1:]]
    named = [line["status"] for line in lines if line["event"].startswith("an unknown status")]
    assert named == ["polishing", "https://cdn.doitong.com/?…", "x" * 40]
    states = archive.rows("SELECT state FROM generations ORDER BY id")
    assert [state for (state,) in states] == [
        *("running", "running", "running"),
        *("succeeded", "succeeded"),  # without a word, a link is enough
        *("running", "running"),
    ]


async def test_what_could_not_be_committed_is_not_counted(archive: Archive) -> None:
    """Once it is absorbed after all, it is counted once."""
    before = count_odd("doitong")
    await record(archive.receive, webhook("1", status="polishing"))
    async with archive.absorbing() as absorb:
        with locked(archive.path), pytest.raises(CatalogUnavailableError):
            await absorb.step()
        assert count_odd("doitong") == before
        await absorb.step()
    assert count_odd("doitong") == before + 1


def test_no_flood_of_words_fills_the_memory_or_the_log() -> None:
    """All are counted, but only so many are remembered and named; each provider has its own."""
    odd, before = OddStatuses(), count_odd("doitong")
    heard = [observation("1", provider="doitong", odd_status=f"word {n}") for n in range(1000)]
    with capture_logs() as lines:
        odd.heard([observation("1", provider="modelslab", odd_status="word 0")])
        odd.heard(heard)
        odd.heard(heard)
    assert count_odd("doitong") == before + 2 * len(heard)
    assert len(lines) == MAX_ODD_STATUSES


def test_an_odd_word_changes_nothing_that_is_known() -> None:
    """It is for people alone."""
    assert hear(hearing(odd_status="polishing")) == hear(hearing())


# Credit -------------------------------------------------------------------------------------------


def refusal(available: float, *, account: str = "7f", **fields: Any) -> NewDelivery:
    """A submission that Doitong refused, for that account had too few credits."""
    said = {
        "code": "INSUFFICIENT_CREDITS",
        "creditsRequired": 100,
        "creditsAvailable": available,
    }
    exchange = Exchange(
        method="POST",
        path="/graphql",
        request=b'{"query": "mutation { generate { id } }"}',
        status=402,
        answer=json.dumps({"errors": [{"message": "no", "extensions": said}]}).encode(),
        account=account,
    )
    return delivery(encode(exchange), heard=fields.pop("heard", Heard.OVERHEARD), **fields)


async def test_the_newest_balance_of_each_account_is_kept(archive: Archive) -> None:
    """In whatever order they are heard, and again; it begins no generation."""
    hours = [NOON + timedelta(hours=hour) for hour in range(3)]
    await record(
        archive.receive,
        refusal(50, received_at=hours[1]),
        refusal(80, received_at=hours[0]),
        refusal(7, account="a0", heard=Heard.POLLED, received_at=hours[0]),
    )
    assert await archive.absorb() == 3
    await archive.ask_replay(2, 1)
    await archive.absorb()
    rows = "SELECT account, credits, required, heard_at FROM balances ORDER BY account"
    assert archive.rows(rows) == [
        ("7f", 50.0, 100.0, to_millis(hours[1])),
        ("a0", 7.0, 100.0, to_millis(hours[0])),
    ]
    await record(archive.receive, refusal(20, received_at=hours[2]))
    await archive.absorb()
    assert archive.rows(rows)[0] == ("7f", 20.0, 100.0, to_millis(hours[2]))
    assert (archive.ids(), archive.unparsed()) == ([], {})


async def test_a_webhook_says_nothing_of_credit(archive: Archive) -> None:
    """Only what the provider answered to a request does."""
    extensions = {"code": "INSUFFICIENT_CREDITS", "creditsRequired": 2, "creditsAvailable": 1}
    refused = webhook("1", None, status="failed", errors=[{"extensions": extensions}])
    await record(archive.receive, refused)
    await archive.absorb()
    assert archive.rows("SELECT failure_code FROM generations") == [("INSUFFICIENT_CREDITS",)]
    assert archive.rows("SELECT * FROM balances") == []


# Running ------------------------------------------------------------------------------------------


async def test_a_running_absorb_hears_what_comes(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New deliveries and new inboxes are found while it runs, an outage is waited out."""
    monkeypatch.setattr(room, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(room, "UNAVAILABLE_SECONDS", 0.001)
    planned: asyncio.Queue[None] = asyncio.Queue()
    stop = asyncio.Event()
    inboxes = Inboxes(inboxes_in(archive.folder / "inbox"))
    absorb = Absorb(
        archive.catalog,
        inboxes,
        now=archive.clock,
        work_planned=lambda: planned.put_nowait(None),
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        running = asyncio.create_task(absorb.run(stop))
        for name in ("receive", "web"):
            await record(archive.folder / "inbox" / f"{name}.db", webhook(name))
            await planned.get()
        with locked(archive.path):
            await record(archive.receive, webhook("late"))
        await planned.get()
        stop.set()
        await running
    inboxes.close()
    assert archive.ids() == ["receive", "web", "late"]


# Order --------------------------------------------------------------------------------------------

HEARD: tuple[NewDelivery, ...] = (
    request("1", "a cat", received_at=NOON + timedelta(minutes=3)),
    webhook("1", None, status="processing", createdAt="2026-11-21T11:58:00Z"),
    webhook("1", completedAt="2026-11-21T11:59:00.123456Z", creditCost=10),
    webhook("1", FRESH_URL, completedAt="2026-11-21T11:59:30Z", service="sd-xl"),
    webhook("1", None, status="failed", error={"message": "out of memory"}),
    webhook("2", None, status="failed", error={"message": "NSFW content"}),
    webhook("2", "https://cdn.doitong.com/unsigned.png"),
    webhook("3", None, status="canceled"),
    request("3", "a dog"),
    delivery(b"not JSON"),
)

# Every row without what is numbered or counted as it comes: keys, archive numbers, revisions. A
# job that was wanted for a while and then no longer leaves a row behind, which says only that.
SLOTS = "slots JOIN generations ON key = generation"
ROWS = (
    """SELECT generations.id, state, service, params, failure_class, failure_code,
              failure_message, moderated, track_id, cost, created_at, completed_at,
              first_heard_at FROM generations""",
    f"""SELECT generations.id, slot_index, slots.state, reason, slots.failure_class,
               slots.failure_message FROM {SLOTS}""",
    f"""SELECT generations.id, slot_index, url_sha256, location, host, expires_at, inbox, position,
               links.failure_class FROM {SLOTS} JOIN links ON number = slot""",
    f"SELECT generations.id, slot_index, prompt, neg, about FROM {SLOTS} JOIN texts USING (number)",
    f"""SELECT generations.id, slot_index, kind, target, jobs.state, jobs.reason, host, deadline_at
        FROM {SLOTS} JOIN jobs ON number = subject
        WHERE kind <> 'seal' AND jobs.state <> 'cancelled'""",
    """SELECT generations.id, jobs.state FROM jobs JOIN generations ON key = subject
       WHERE kind = 'seal' AND jobs.state <> 'cancelled'""",
    """SELECT generations.id, inbox, position, heard, observations.state, received_at
       FROM observations JOIN generations ON key = generation""",
    "SELECT * FROM unparsed",
    "SELECT * FROM inbox_positions",
)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """An inbox for each delivery, so that they can be absorbed in any order."""
    folder = tmp_path_factory.mktemp("heard")
    paths = [folder / f"{number}.db" for number in range(len(HEARD))]

    async def record_each() -> None:
        for path, one in zip(paths, HEARD, strict=True):
            await record(path, one)

    asyncio.run(record_each())
    return paths


async def absorbed(inboxes: list[Path]) -> list[list[tuple[Any, ...]]]:
    """What the catalog says once these inboxes are absorbed, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "inbox").mkdir()
        for place, path in enumerate(inboxes):
            shutil.copy(path, folder / "inbox" / f"{place:02}.db")
        async with open_archive(folder) as archive:
            await archive.absorb()
            return [sorted(archive.rows(sql), key=repr) for sql in ROWS]


@pytest.fixture(scope="module")
def expected(heard: list[Path]) -> list[list[tuple[Any, ...]]]:
    """What is known once everything was absorbed in the order of its writing."""
    rows = asyncio.run(absorbed(heard))
    assert all(rows)  # every kind of row is there to be compared
    return rows


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(order=st.permutations(range(len(HEARD))))
def test_any_order_ends_in_the_same_catalog(
    heard: list[Path], expected: list[list[tuple[Any, ...]]], order: list[int]
) -> None:
    """Whatever comes first, late or last, every row is the same in the end."""
    assert expected == asyncio.run(absorbed([heard[number] for number in order]))


async def test_what_is_forgotten_is_acknowledged_and_not_taken_in(archive: Archive) -> None:
    """A redelivery of a forgotten generation makes none of it, moves the position on, and is to be
    taken out of the inbox again; its neighbours are absorbed as ever."""
    gone = Tombstone(
        name_sha256=name_digest("doitong", "gone"),
        index=None,
        numbers=(1,),
        forgotten_at=NOON,
        reason="erasure",
    )
    await archive.catalog.write(lambda tables: tables.tombstones.put(gone))
    await record(archive.receive, webhook("gone"), webhook("other"))
    assert await archive.absorb() == 2
    assert (archive.ids(), archive.position(), archive.unparsed()) == (["other"], 2, {})
    ((inbox,),) = _read(archive.receive, "SELECT uuid FROM inbox")
    assert archive.rows("SELECT * FROM prunings") == [(inbox, 1, 1, 0)]


async def test_a_forgotten_slot_stays_empty(archive: Archive) -> None:
    """Whatever link a redelivery brings for it, nothing is fetched for it again."""
    await record(archive.receive, webhook("abc"))
    await archive.absorb()
    slot = Tombstone(
        name_sha256=name_digest("doitong", "abc"),
        index=0,
        numbers=(1,),
        forgotten_at=NOON,
        reason="erasure",
    )
    await archive.catalog.write(lambda tables: tables.tombstones.put(slot))
    await archive.catalog.write(lambda tables: tables.forgetting.slot(1))
    await record(archive.receive, webhook("abc", url=FRESH_URL))
    await archive.absorb()
    assert archive.rows("SELECT state, reason FROM slots") == [
        ("dead", "can neither be fetched nor drawn: it was forgotten")
    ]
    assert archive.rows("SELECT * FROM links") == []
    assert archive.rows("SELECT kind FROM jobs WHERE state = 'available'") == [("seal",)]


async def test_a_pruned_delivery_says_nothing(archive: Archive) -> None:
    """A new index that begins with the oldest delivery meets bodies that are gone: they were taken
    in long ago, and are nothing that anybody has to look after."""
    await record(archive.receive, webhook("old"), webhook("new"))
    connection = open_writer(archive.receive)
    connection.execute("UPDATE deliveries SET headers = NULL, body = NULL WHERE position = 1")
    connection.close()
    assert await archive.absorb() == 2
    assert (archive.ids(), archive.position(), archive.unparsed()) == (["new"], 2, {})
