"""All inboxes as one: found as they appear, read when they change, asked for what they hold."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from archiver.links import link
from archiver.models import DeliveryRef, Link
from archiver.sqlite import open_writer
from receiver.inboxes import Inboxes
from tests.clocks import NOON
from tests.inboxes import inboxes_in
from tests.receiver.deliveries import FRESH_URL, URL, delivery, record, webhook


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


@pytest.fixture
def inboxes(folder: Path) -> Iterator[Inboxes]:
    inboxes = Inboxes(inboxes_in(folder))
    yield inboxes
    inboxes.close()


def changed(inboxes: Inboxes) -> list[str]:
    """The inboxes to be read, each caught up with by asking."""
    found = list(inboxes.changed())
    for inbox in found:
        inboxes.caught_up(inbox)
    return [inbox.uuid for inbox in found]


def heard_in(inboxes: Inboxes, url: str = URL, position: int = 1) -> Link:
    """The link of a URL, heard in the first inbox there is."""
    inbox = next(inboxes.changed()).uuid
    return link(url, heard_in=DeliveryRef(inbox=inbox, position=position), expires_at=NOON)


async def test_an_inbox_is_found_when_it_appears(folder: Path, inboxes: Inboxes) -> None:
    """Nobody has to be told that a process has begun to hear."""
    assert changed(inboxes) == []
    await record(folder / "receive.db", webhook("1"))
    first = changed(inboxes)
    await record(folder / "web.db", webhook("2"))
    second = changed(inboxes)
    assert (len(first), len(second)) == (1, 1)
    assert first != second
    assert changed(inboxes) == []


async def test_a_file_that_is_being_made_is_passed_over(folder: Path, inboxes: Inboxes) -> None:
    """A half-made inbox stops nobody, and is found once it is whole; the quarantine never is."""
    open_writer(folder / "gateway.db").close()
    open_writer(folder / "quarantine.db").close()
    await record(folder / "receive.db", webhook("1"))
    assert len(changed(inboxes)) == 1
    await record(folder / "gateway.db", webhook("2"))
    assert len(changed(inboxes)) == 1


async def test_an_inbox_stays_changed_until_it_is_caught_up_with(
    folder: Path, inboxes: Inboxes
) -> None:
    """Being told of a change once is enough, however many batches it takes to read."""
    await record(folder / "receive.db", webhook("1"))
    (inbox,) = inboxes.changed()
    assert [it.uuid for it in inboxes.changed()] == [inbox.uuid]
    inboxes.caught_up(inbox)
    assert list(inboxes.changed()) == []
    await record(folder / "receive.db", webhook("2"))
    assert [it.uuid for it in inboxes.changed()] == [inbox.uuid]


async def test_a_delivery_is_found_wherever_it_lies(folder: Path, inboxes: Inboxes) -> None:
    """A reference names the inbox and the position; what is gone is None."""
    for name in ("receive", "web"):
        await record(folder / f"{name}.db", webhook(f"{name} 1"), webhook(f"{name} 2"))
    bodies = []
    for uuid in changed(inboxes):
        found = inboxes.get(DeliveryRef(inbox=uuid, position=2))
        assert found is not None
        bodies.append(found.body)
        assert inboxes.get(DeliveryRef(inbox=uuid, position=3)) is None
    assert [webhook("receive 2").body, webhook("web 2").body] == bodies
    assert inboxes.get(DeliveryRef(inbox="another archive's", position=1)) is None


async def test_the_backlog_is_what_lies_beyond_each_position(
    folder: Path, inboxes: Inboxes
) -> None:
    """Each inbox is counted from the position reached in it."""
    for name, count in (("receive", 5), ("web", 3)):
        await record(folder / f"{name}.db", *(webhook(str(number)) for number in range(count)))
    first, second = changed(inboxes)
    reached = {first: 4, second: 0}
    assert inboxes.backlog(lambda _: 0) == 8
    assert inboxes.backlog(reached.__getitem__) == 4


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_link_is_revealed_from_its_delivery(
    folder: Path, inboxes: Inboxes, encoding: str
) -> None:
    """The full URL is read again where it was heard, decoded as it was then."""
    body = webhook("1").body
    wire = gzip.compress(body) if encoding == "gzip" else body
    headers = ((b"Content-Encoding", encoding.encode()),)
    await record(folder / "receive.db", delivery(wire, headers=headers))
    assert inboxes.reveal(heard_in(inboxes)) == URL


async def test_a_link_that_is_no_longer_there_is_none(folder: Path, inboxes: Inboxes) -> None:
    """Not revealed: another URL, another delivery, one not understood, one pruned."""
    await record(folder / "receive.db", webhook("1"), delivery(b"not JSON"), webhook("2"))
    connection = open_writer(folder / "receive.db")
    connection.execute("UPDATE deliveries SET body = NULL WHERE position = 3")
    connection.close()
    known = heard_in(inboxes)
    elsewhere = replace(known, heard_in=DeliveryRef(inbox="elsewhere", position=1))
    gone = [
        heard_in(inboxes, FRESH_URL),
        *(heard_in(inboxes, position=position) for position in (2, 3, 4)),
        elsewhere,
    ]
    assert [inboxes.reveal(it) for it in (known, *gone)] == [URL, *[None] * 5]
