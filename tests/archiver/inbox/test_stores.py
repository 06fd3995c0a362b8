"""Both stores of inboxes keep the contract; files are told from servers by the URL."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from archiver.catalog.postgres_migrations import migrate as migrate_on_server
from archiver.catalog.schema import migrate
from archiver.errors import ConfigError, InboxUnavailableError
from archiver.inbox.lately import lately
from archiver.inbox.stores import InboxStore, inbox_store, role_of
from tests.archiver.postgres_server import PostgresServer, running
from tests.clocks import NOON
from tests.contracts.inbox import WEBHOOK
from tests.contracts.inbox_store import DAY, InboxStoreContract, Place, heard, kept
from tests.inboxes import inboxes_in


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running() as server:
        yield server


@pytest.fixture
def shared(server: PostgresServer, tmp_path: Path) -> Place:
    """A database that the nodes of an archive share."""
    url = server.new_database()
    return Place(where=url, folder=tmp_path / "inbox", migrate=lambda: migrate_on_server(url))


class TestFiles(InboxStoreContract):
    """A file to an inbox."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        """A folder that is not there yet."""
        path = tmp_path / "catalog.db"
        return Place(where=path, folder=tmp_path / "inbox", migrate=lambda: migrate(path))


class TestServer(InboxStoreContract):
    """Many inboxes in one database."""

    @pytest.fixture
    def place(self, shared: Place) -> Place:
        """A database that is as empty as it was made."""
        return shared


async def test_inboxes_on_a_server_are_those_of_all_nodes(shared: Place) -> None:
    """Each writes its own, and all read all."""
    one, two = shared.store("one"), shared.store("two")
    await heard(one, WEBHOOK)
    await heard(two, replace(WEBHOOK, body=b"2"), replace(WEBHOOK, body=b"3"))
    await heard(two, role="web")
    assert one.names() == two.names() == ["receive@one", "receive@two", "web@two"]
    assert [role_of(name) for name in one.names()] == ["receive", "receive", "web"]
    assert [len(kept(one, name)) for name in one.names()] == [1, 2, 0]
    with closing(one.leaves("receive@one")) as leaves:
        assert leaves.newest() == 1
        assert leaves.knows("doitong", "", b"3")
    found = lately(one, since=NOON - DAY, reached=lambda _: 0)
    assert [it.count for it in found.found] == [1, 2]


async def test_leaves_of_many_inboxes_share_a_connection(shared: Place) -> None:
    """Which is made again after a fault, and by whoever goes on when another has let go."""
    store = shared.store()
    names = [await heard(store, replace(WEBHOOK, body=b"%d" % n), role=f"r{n}") for n in range(3)]
    leaves = [store.leaves(name) for name in names]
    assert len({id(it._questions.connection) for it in leaves}) == 1
    leaves[0]._questions.connection.raw.close()
    assert [it.newest() for it in leaves] == [1, 1, 1]
    leaves[0].close()
    assert leaves[1].newest() == 1
    leaves[1].close()


QUESTIONS: dict[str, Callable[[InboxStore], object]] = {
    "names": lambda store: store.names(),
    "reader": lambda store: store.reader("receive@here"),
    "leaves": lambda store: store.leaves("receive@here"),
    "added up": lambda store: store.added_up(
        "receive@here", since=NOON, reached=lambda _: 0, rows=1
    ),
    "orders": lambda store: store.orders("receive"),
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_a_server_that_cannot_be_reached_shows_nothing(tmp_path: Path, what: str) -> None:
    """Neither URL nor password, in no log's whole story either."""
    password = "hu" + "sh"  # for the lines of this test are in the story
    url = f"postgresql://me:{password}@/gone?host={tmp_path}"
    store = inbox_store(url, folder=tmp_path, node="here")
    with pytest.raises(InboxUnavailableError, match="cannot be read") as caught:
        QUESTIONS[what](store)
    story = "".join(traceback.format_exception(caught.value))
    assert password not in story
    assert str(tmp_path) not in story


def test_what_was_lately_says_that_the_list_cannot_be_read(tmp_path: Path) -> None:
    """It is a line of a report, and keeps nobody from the rest of it."""
    store = inbox_store(f"postgresql:///gone?host={tmp_path}", folder=tmp_path, node="here")
    found = lately(store, since=NOON, reached=lambda _: 0)
    assert (found.found, found.exact) == ((), False)
    (sentence,) = found.unreadable
    assert "see that the PostgreSQL server is well" in sentence


async def test_one_file_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    """It is said which; the quarantine is no inbox."""
    store = inboxes_in(tmp_path)
    await heard(store, WEBHOOK)
    (tmp_path / "broken.db").write_bytes(b"this is no database at all" * 100)
    (tmp_path / "quarantine.db").write_bytes(b"neither is this")
    found = lately(store, since=NOON - DAY, reached=lambda _: 0)
    assert [one.count for one in found.found] == [1]
    [sentence] = found.unreadable
    assert sentence.startswith(f"the inbox {tmp_path}/broken.db cannot be read")


def test_who_has_no_driver_is_told_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra, and who has files needs none."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("archiver.drivers.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'holdfast\[postgres\]'"):
        inbox_store("postgresql:///catalog", folder=tmp_path, node="here")
    assert inboxes_in(tmp_path).names() == []
