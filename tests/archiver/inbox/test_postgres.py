"""The PostgreSQL inbox keeps the contract, and survives what servers and networks meet."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import count

import psycopg
import pytest

import archiver.inbox.postgres as driver_room
from archiver.clock import monotonic
from archiver.errors import InboxUnavailableError
from archiver.inbox import InboxReader
from archiver.inbox.postgres import PostgresInbox
from archiver.inbox.postgres_batch import CHANNEL
from archiver.inbox.postgres_reader import PostgresInboxReader, inbox_names
from archiver.postgres import connect, opened, said
from tests.archiver.postgres_server import PostgresServer, running
from tests.contracts.inbox import (
    DUPLICATE,
    MANY,
    STORED,
    WEBHOOK,
    InboxAtWork,
    InboxContract,
    InboxDriver,
    bodies,
    outcomes,
    webhook,
)

NAME = "receive@here"
# A test that waits longer than this has failed.
PATIENCE_SECONDS = 30
NEVER_SECONDS = 1e9

# Fails at COMMIT, when everything before it has succeeded.
BREAK = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''broken''; END';
CREATE CONSTRAINT TRIGGER broken AFTER INSERT OR UPDATE ON deliveries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail();
CREATE CONSTRAINT TRIGGER broken AFTER INSERT OR UPDATE ON inboxes
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail();
"""
MEND = "DROP FUNCTION fail CASCADE"

# So that batches of two receivers overlap for certain.
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
    AS 'BEGIN PERFORM pg_sleep(0.002); RETURN NEW; END';
CREATE TRIGGER slow BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION slow();
"""


class PostgresDriver:
    """An inbox in a database, by the name of its owner."""

    def __init__(self, url: str, name: str = NAME) -> None:
        self._url = url
        self._name = name

    @asynccontextmanager
    async def open(self) -> AsyncIterator[InboxAtWork]:
        inbox = PostgresInbox(self._url, self._name)
        await inbox.start()
        yield inbox
        await inbox.close()

    @contextmanager
    def reader(self) -> Iterator[InboxReader]:
        # Exact about changes, which notifications alone cannot be.
        reader = PostgresInboxReader(self._url, self._name, look_seconds=0)
        yield reader
        reader.close()

    @contextmanager
    def broken(self) -> Iterator[None]:
        typed(self._url, BREAK)
        yield
        typed(self._url, MEND)

    def commits(self) -> int:
        """The number of the next transaction: one that writes takes one."""
        ((number,),) = typed(self._url, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
        return int(number)


def typed(url: str, sql: str) -> list[tuple]:
    """What an operator gets who types that in psql."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running() as server:
        yield server


@pytest.fixture
def url(server: PostgresServer) -> str:
    """A database of the test's own."""
    return server.new_database()


class TestPostgresInbox(InboxContract):
    """Every promise of the contract, on a server."""

    @pytest.fixture
    def driver(self, url: str) -> InboxDriver:
        """An inbox that is not there yet."""
        return PostgresDriver(url)


@asynccontextmanager
async def at_work(url: str, *names: str) -> AsyncIterator[list[PostgresInbox]]:
    """The writers of these inboxes, started all at once."""
    inboxes = [PostgresInbox(url, name) for name in names]
    try:
        await asyncio.gather(*(inbox.start() for inbox in inboxes))
        yield inboxes
    finally:
        for inbox in inboxes:
            await inbox.close()


async def comes_true(condition: Callable[[], bool]) -> bool:
    """Whether it does before patience ends."""
    end = monotonic() + PATIENCE_SECONDS
    while monotonic() < end:
        if condition():
            return True
        await asyncio.sleep(0.005)
    return False


async def insist(inbox: PostgresInbox, number: int) -> int:
    """Delivers until it is acknowledged, as senders do; how often it was refused."""
    for refused in count():
        try:
            await inbox.append(webhook(number))
        except InboxUnavailableError:
            assert refused < 1000
            await asyncio.sleep(0.01)
        else:
            return refused
    raise AssertionError


def kill_backends(url: str) -> int:
    """Ends all of holdfast's sessions in a database; how many there were."""
    return len(
        typed(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'holdfast'",
        )
    )


def told(error: BaseException) -> str:
    """All that a log can show of an error."""
    return "".join(traceback.format_exception(error))


async def test_a_redelivery_to_another_receiver_is_a_duplicate(url: str) -> None:
    """A balancer sends it to whom it likes; it is kept once, where it came first."""
    async with at_work(url, "receive@one", "receive@two") as (one, two):
        assert await one.append(WEBHOOK) is STORED
        assert await two.append(replace(WEBHOOK, peer="198.51.100.9")) is DUPLICATE
        assert await two.append(webhook(2)) is STORED
    assert bodies(PostgresDriver(url, "receive@one")) == [WEBHOOK.body]
    assert bodies(PostgresDriver(url, "receive@two")) == [webhook(2).body]


async def test_receivers_of_the_same_deliveries_at_once_agree(url: str) -> None:
    """Overlapping batches in opposite orders wait for one another, and never in a circle."""
    numbers = range(100)
    async with at_work(url, "receive@one", "receive@two", "receive@three") as inboxes:
        typed(url, SLOW)
        answers = await outcomes(
            *(inboxes[0].append(webhook(number)) for number in numbers),
            *(inboxes[1].append(webhook(number)) for number in reversed(numbers)),
            *(inboxes[2].append(webhook(number * 7 % 100)) for number in numbers),
        )
    assert Counter(answers) == {STORED: 100, DUPLICATE: 200}
    kept = [body for name in inbox_names(url) for body in bodies(PostgresDriver(url, name))]
    assert sorted(webhook(number).body for number in numbers) == sorted(kept)


async def test_nodes_that_start_at_once_make_the_tables_once(url: str) -> None:
    """None of them fails, and each has an inbox of its own."""
    names = [f"receive@{number}" for number in range(8)]
    assert inbox_names(url) == []
    async with at_work(url, *names) as inboxes:
        assert await outcomes(*(it.append(webhook(n)) for n, it in enumerate(inboxes))) == (
            [STORED] * 8
        )
    assert inbox_names(url) == names
    assert typed(url, "SELECT count(DISTINCT uuid) FROM inboxes") == [(8,)]


async def test_nothing_appears_before_a_position_that_was_read(url: str) -> None:
    """Many writers, deliveries that several of them get, killed sessions, a reader at all heels."""
    names = [f"receive@{number}" for number in range(4)]
    written = threading.Event()

    def follow() -> dict[str, list[tuple[int, bytes | None]]]:
        readers = {name: PostgresInboxReader(url, name) for name in names}
        read: dict[str, list[tuple[int, bytes | None]]] = {name: [] for name in names}
        last_look = False
        while not last_look:
            last_look = written.is_set()
            for name, reader in readers.items():
                position = read[name][-1][0] if read[name] else 0
                page = reader.after(position, limit=MANY)
                read[name] += [(it.ref.position, it.body) for it in page]
        for reader in readers.values():
            reader.close()
        return read

    async with at_work(url, *names) as inboxes:
        following = asyncio.create_task(asyncio.to_thread(follow))
        for start in range(0, 600, 20):
            # A third of what each gets another one gets too.
            await asyncio.gather(
                *(
                    insist(inbox, (start + n) if n % 3 == 0 else (start + n) + which * 1000)
                    for which, inbox in enumerate(inboxes)
                    for n in range(20)
                )
            )
            if start in (200, 400):
                await asyncio.to_thread(kill_backends, url)
        written.set()
        read = await following
    for name in names:
        positions = [position for position, _ in read[name]]
        assert sorted(set(positions)) == positions
        assert [body for _, body in read[name]] == bodies(PostgresDriver(url, name))
    everything = Counter(body for name in names for _, body in read[name])
    shared = sum(1 for number in range(600) if number % 20 % 3 == 0)
    assert len(everything) == shared + 4 * (600 - shared)
    assert set(everything.values()) == {1}


async def test_a_killed_session_is_followed_by_another(url: str) -> None:
    """One batch is refused, and the next one goes on in the same inbox at the next position."""
    async with at_work(url, NAME) as (inbox,):
        await inbox.append(webhook(1))
        assert kill_backends(url) == 1
        with pytest.raises(InboxUnavailableError, match="the sender should try again"):
            await inbox.append(webhook(2))
        assert await inbox.append(webhook(2)) is STORED
    assert bodies(PostgresDriver(url)) == [webhook(1).body, webhook(2).body]


async def test_a_session_that_the_network_left_behind_is_ended(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hangs in its COMMIT when the network fails: its writer ends it before it writes again."""
    sockets: list[int] = []

    def noted(url: str):
        connection = connect(url)
        sockets.append(connection.raw.pgconn.socket)
        return connection

    monkeypatch.setattr(driver_room, "connect", noted)
    async with at_work(url, NAME) as (inbox,):
        # Longer than a lock is waited for, and in a COMMIT that nothing but a signal ends.
        typed(
            url,
            "CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql"
            " AS 'BEGIN PERFORM pg_sleep(25); RETURN NULL; END';"
            "CREATE CONSTRAINT TRIGGER hang AFTER INSERT ON deliveries DEFERRABLE INITIALLY"
            ' DEFERRED FOR EACH ROW WHEN (NEW.body = \'{"id":"1"}\') EXECUTE FUNCTION hang();',
        )
        hanging = asyncio.ensure_future(inbox.append(webhook(1)))
        stuck = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        assert await comes_true(lambda: typed(url, stuck) != [])
        with socket.socket(fileno=os.dup(sockets[0])) as network:
            network.shutdown(socket.SHUT_RDWR)
        assert await outcomes(hanging) == [InboxUnavailableError]
        assert await outcomes(inbox.append(webhook(2))) == [STORED]
        assert typed(url, stuck) == []
        typed(url, "DROP FUNCTION hang CASCADE")
        assert await inbox.append(webhook(1)) is STORED
    assert bodies(PostgresDriver(url)) == [webhook(2).body, webhook(1).body]


async def test_a_second_writer_of_the_same_name_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told whose the inbox is and what to type; the first goes on as if nothing were."""
    monkeypatch.setattr("archiver.postgres.LOCK_SECONDS", 0.2)
    twin = PostgresInbox(url, NAME)
    async with at_work(url, NAME) as (inbox,):
        with pytest.raises(InboxUnavailableError, match="in use by another process") as caught:
            await twin.start()
        assert "from the server's own host" in str(caught.value)
        assert await inbox.append(webhook(1)) is STORED
        typed(url, str(caught.value).rpartition(" with: ")[2])
        assert await outcomes(inbox.append(webhook(2))) == [InboxUnavailableError]
    await twin.start()
    assert await twin.append(webhook(2)) is STORED
    await twin.close()
    assert bodies(PostgresDriver(url)) == [webhook(1).body, webhook(2).body]


async def test_a_position_that_is_taken_is_no_duplicate(url: str) -> None:
    """Whoever took it: the delivery is refused, and not told to be here already."""
    async with at_work(url, NAME) as (inbox,):
        await inbox.append(webhook(1))
        typed(
            url,
            "INSERT INTO deliveries SELECT inbox, 2, source, heard, path_token, received_at, peer,"
            " verified_by, sha256('x'), headers, 'x' FROM deliveries",
        )
        assert await outcomes(inbox.append(webhook(2))) == [InboxUnavailableError]
        assert await inbox.append(webhook(2)) is STORED
    assert bodies(PostgresDriver(url)) == [webhook(1).body, b"x", webhook(2).body]


async def test_a_commit_whose_answer_was_lost_is_refused_and_then_a_duplicate(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether it stands: the sender comes again, and it is there once."""
    write, lost = driver_room.write, []

    def loses_one(owned, items, *, tell):
        done = write(owned, items, tell=tell)
        if not lost:
            lost.append(done)
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return done

    monkeypatch.setattr(driver_room, "write", loses_one)
    async with at_work(url, NAME) as (inbox,):
        with pytest.raises(InboxUnavailableError, match="server closed the connection"):
            await inbox.append(WEBHOOK)
        assert await inbox.append(WEBHOOK) is DUPLICATE
    assert bodies(PostgresDriver(url)) == [WEBHOOK.body]


async def test_a_server_that_crashes_loses_nothing_acknowledged(
    url: str, server: PostgresServer
) -> None:
    """Deliveries are refused meanwhile; writer and reader go on by themselves."""
    restarting: asyncio.Task[None] | None = None
    refused, after_the_crash, number = 0, 0, 0
    async with at_work(url, NAME) as (inbox,):
        reader = PostgresInboxReader(url, NAME)
        while after_the_crash < 20:
            refused += await insist(inbox, number)
            if number == 20:
                restarting = asyncio.create_task(asyncio.to_thread(restart, server))
            after_the_crash += restarting is not None and restarting.done()
            number += 1
        assert restarting is not None
        await restarting
        assert reader.changed()
        kept = [it.body for it in reader.after(0, limit=MANY)]
        reader.close()
    assert refused > 0
    assert kept == [webhook(it).body for it in range(number)]


def restart(server: PostgresServer) -> None:
    """As if it had crashed: nothing is told to anybody, and the log is read again."""
    server.stop()
    server.start()


async def test_an_error_shows_nothing_of_a_delivery(url: str) -> None:
    """The server's own words would show the whole row."""
    secretive = replace(WEBHOOK, body=b"hush", path_token="hush")
    async with at_work(url, NAME) as (inbox,):
        typed(url, "ALTER TABLE deliveries ADD CONSTRAINT short CHECK (length(body) > 99)")
        with pytest.raises(InboxUnavailableError, match='constraint "short"') as caught:
            await inbox.append(secretive)
    for secret in ("hush", b"hush".hex(), "Failing row"):
        assert secret not in told(caught.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://holdfast:sesame@127.0.0.1:1/holdfast", "Connection refused"),
        ("postgresql://holdfast:sesame@[127.0.0.1/holdfast", "the URL cannot be read"),
        ("postgresql://holdfast:ses ame@127.0.0.1:1/x?sesame", "the URL cannot be read"),
        ("postgresql://holdfast:x@sesame:1/holdfast", "not known|OperationalError"),
    ],
)
async def test_a_password_is_never_shown(address: str, words: str) -> None:
    """Also not of a URL that cannot be read."""
    inbox = PostgresInbox(address, NAME)
    with pytest.raises(InboxUnavailableError, match=words) as writing:
        await inbox.start()
    with pytest.raises(InboxUnavailableError, match=words) as reading:
        PostgresInboxReader(address, NAME)
    with pytest.raises(InboxUnavailableError, match=words) as listing:
        inbox_names(address)
    for caught in (writing, reading, listing):
        assert "sesame" not in told(caught.value)
    assert "sesame" not in repr(inbox)


def test_a_value_that_cannot_be_read_is_not_said(url: str) -> None:
    """Some errors quote in their first line what they are about."""
    for sql in ("SELECT 'hush'::integer", "SELECT 'hush'::json"):
        with pytest.raises(psycopg.DataError, match="hush") as caught:
            typed(url, sql)
        assert "hush" not in said(caught.value)
    assert said(ValueError("hush")) == "ValueError"


def test_a_commit_is_durable_however_the_database_is_set(url: str) -> None:
    """What is acknowledged is on the disk; what is stricter than that stays."""
    database = typed(url, "SELECT current_database()")[0][0]
    found = []
    for setting in ("off", "local", "on", "remote_apply"):
        typed(url, f'ALTER DATABASE "{database}" SET synchronous_commit = {setting}')
        with opened(url) as connection:
            found += connection.execute("SHOW synchronous_commit").fetchall()
    assert found == [("on",), ("on",), ("on",), ("remote_apply",)]


async def test_a_path_may_be_longer_than_an_index_allows(url: str) -> None:
    """A stranger chose it, and it is no reason to refuse its neighbours."""
    long = os.urandom(8000).hex()
    async with at_work(url, NAME) as (inbox,):
        answers = await outcomes(
            *(inbox.append(replace(WEBHOOK, path_token=it)) for it in (long, long + "1", long))
        )
    assert answers == [STORED, STORED, DUPLICATE]


async def test_what_no_statement_can_hold_goes_in_several(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One commit all the same, in order of arrival."""
    monkeypatch.setattr("archiver.inbox.postgres_batch._MAX_STATEMENT_BYTES", 150)
    async with at_work(url, NAME) as (inbox,):
        await inbox.append(webhook(3))
        driver = PostgresDriver(url)
        before = driver.commits()
        answers = await outcomes(*(inbox.append(webhook(number)) for number in [*range(9), 4]))
        assert driver.commits() == before + 1
    assert answers == [STORED] * 3 + [DUPLICATE] + [STORED] * 5 + [DUPLICATE]
    assert bodies(driver) == [webhook(number).body for number in (3, 0, 1, 2, 4, 5, 6, 7, 8)]


async def test_what_is_pruned_is_gone_and_still_known(url: str) -> None:
    """Bodies and headers go, and the key by which a duplicate is known stays."""
    async with at_work(url, NAME) as (inbox,):
        for number in range(5):
            await inbox.append(webhook(number))
        reader = PostgresInboxReader(url, NAME)
        pruning = [inbox.prune(2, 3), inbox.append(webhook(5)), inbox.append(webhook(1))]
        assert await outcomes(*pruning) == [None, STORED, DUPLICATE]
        later = WEBHOOK.received_at + timedelta(seconds=1)
        leaves = reader.bodies(above=1, upto=4, before=later, limit=9)
        assert leaves == [(2, False), (3, False), (4, True)]
        assert reader.bodies(above=3, upto=9, before=WEBHOOK.received_at, limit=1) == [(4, False)]
        assert [reader.has_bodies(2, 3), reader.has_bodies(3, 4)] == [False, True]
        assert [reader.count_after(it) for it in (0, 2, 6, 99)] == [6, 4, 0, 0]
        assert reader.last_position() == 6
        (pruned,) = reader.after(1, limit=1)
        assert (pruned.body, pruned.headers, pruned.peer) == (None, (), WEBHOOK.peer)
        reader.close()


async def test_pruning_and_redeliveries_never_wait_in_a_circle(url: str) -> None:
    """One prunes what another is just sent again: neither is refused."""
    numbers = range(60)
    async with at_work(url, "receive@one", "receive@two") as (one, two):
        await asyncio.gather(*(one.append(webhook(number)) for number in numbers))
        typed(url, SLOW)
        for turn in range(1, 6):
            answers = await outcomes(
                one.prune(turn * 10 - 9, turn * 10),
                *(one.append(webhook(number + turn * 100)) for number in numbers),
                *(two.append(webhook(number + turn * 100)) for number in reversed(numbers)),
                *(two.append(webhook(number)) for number in numbers),
            )
            assert Counter(answers) == {None: 1, STORED: 60, DUPLICATE: 120}


async def test_a_notification_alone_tells_of_every_change(url: str) -> None:
    """The last of a burst, too, and what its writer left behind when it ended."""
    read: list[bytes | None] = []
    async with at_work(url, NAME) as (inbox,):
        with closing(PostgresInboxReader(url, NAME, look_seconds=NEVER_SECONDS)) as reader:

            def all_read(numbers: int) -> Callable[[], bool]:
                def look() -> bool:
                    if reader.changed():
                        read.extend(it.body for it in reader.after(len(read), limit=MANY))
                    return len(read) == numbers

                return look

            assert [reader.changed(), reader.changed()] == [True, False]
            for number in range(40):
                await inbox.append(webhook(number))
                all_read(0)()  # so that the last one is not read by another one's notification
            assert await comes_true(all_read(40))
            kill_backends(url)
            for number in range(40, 80):
                await insist(inbox, number)
            assert await comes_true(all_read(80))
            await inbox.append(webhook(80))
            await inbox.append(webhook(81))
            await inbox.close()
            assert await comes_true(all_read(82))
    assert read == [webhook(number).body for number in range(82)]


async def test_readers_are_woken_twenty_times_a_second_at_most(url: str) -> None:
    """Commits that notify go one after the other through the whole server."""
    async with at_work(url, NAME) as (inbox,):
        with psycopg.connect(url, autocommit=True) as listener:
            listener.execute(f"LISTEN {CHANNEL}".encode())
            began = monotonic()
            for number in range(300):
                await inbox.append(webhook(number))
            await inbox.close()
            took_seconds = monotonic() - began
            notes = [note.payload.split() for note in listener.notifies(timeout=0.5)]
    positions = [int(position) for _, position in notes]
    assert sorted(set(positions)) == positions
    assert positions[-1] == 300
    assert len(positions) <= took_seconds / driver_room.TELL_SECONDS + 2


async def test_an_inbox_that_is_still_being_made_cannot_be_read_yet(url: str) -> None:
    """A reader that comes too early is told to come again."""
    with pytest.raises(InboxUnavailableError, match='"inboxes" does not exist'):
        PostgresInboxReader(url, NAME)
    async with at_work(url, "receive@elsewhere"):
        pass
    with pytest.raises(InboxUnavailableError, match="still being made"):
        PostgresInboxReader(url, NAME)
