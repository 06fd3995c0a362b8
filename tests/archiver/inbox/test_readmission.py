"""Out of the quarantine: once, as of its arrival, and never lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from archiver.errors import InboxUnavailableError
from archiver.inbox import NewDelivery, Recorded
from archiver.inbox.quarantine import Quarantine, Rejected
from archiver.inbox.quarantined import Quarantined
from archiver.inbox.readmission import Readmission
from archiver.inbox.sqlite import SqliteInbox, SqliteInboxReader
from archiver.models import Heard
from tests.clocks import NOON

REJECTED = Rejected(
    source="doitong",
    path_token="",
    received_at=NOON - timedelta(hours=9),
    peer="192.0.2.7",
    reason="the signature matches none of our secrets",
    headers=((b"X-Doitong-Signature", b"sha256=00"),),
    body=b"{}",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """A receiving process with requests in its quarantine, `count` of them."""

    folder: Path
    inbox: SqliteInbox
    quarantined: Quarantined
    readmission: Readmission

    def stored(self) -> list[bytes]:
        """What its inbox holds."""
        return [it.body or b"" for it in SqliteInboxReader(self.path).after(0, limit=999)]

    @property
    def path(self) -> Path:
        return self.folder / "receive.db"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """With 120 requests, each another."""
    async with AsyncExitStack() as stack:
        quarantine = Quarantine(tmp_path / "quarantine.db")
        await quarantine.start()
        stack.push_async_callback(quarantine.close)
        for number in range(120):
            quarantine.offer(replace(REJECTED, body=b"%d" % number))
        await quarantine.let_go([])  # a commit after theirs
        inbox = SqliteInbox(tmp_path / "receive.db")
        await inbox.start()
        stack.push_async_callback(inbox.close)
        quarantined = Quarantined(tmp_path / "quarantine.db")
        readmission = Readmission(quarantined=quarantined, quarantine=quarantine, inbox=inbox)
        yield House(folder=tmp_path, inbox=inbox, quarantined=quarantined, readmission=readmission)


async def test_what_was_verified_is_taken_in_as_it_came(house: House) -> None:
    """At a new place, with the time of its arrival; and it leaves the quarantine."""
    house.quarantined.mark({3: "2026-11"})
    assert await house.readmission.step() == 1
    assert await house.readmission.step() == 0
    (delivery,) = SqliteInboxReader(house.path).after(0, limit=9)
    assert (delivery.source, delivery.body, delivery.heard) == ("doitong", b"2", Heard.PUSHED)
    assert (delivery.received_at, delivery.peer) == (REJECTED.received_at, "192.0.2.7")
    assert delivery.headers == REJECTED.headers
    assert delivery.verified_by == "2026-11, out of quarantine"
    assert house.quarantined.get(3) is None


async def test_the_provider_sending_it_once_more_is_a_duplicate(house: House) -> None:
    """Whichever comes first, the inbox has it once."""
    pushed = NewDelivery(
        source="doitong", heard=Heard.PUSHED, received_at=NOON, verified_by="2026-11", body=b"0"
    )
    assert await house.inbox.append(pushed) is Recorded.STORED
    house.quarantined.mark({1: "2026-11", 2: "2026-11"})
    assert await house.readmission.step() == 2
    assert await house.inbox.append(replace(pushed, body=b"1")) is Recorded.DUPLICATE
    assert house.stored() == [b"0", b"1"]
    assert house.quarantined.waiting() == 0


async def test_many_are_taken_in_by_and_by(house: House) -> None:
    """All of them, each once, until told to stop."""
    house.quarantined.mark(dict.fromkeys(range(1, 111), "a"))
    stop = asyncio.Event()
    running = asyncio.create_task(house.readmission.run(stop))
    while house.quarantined.waiting():
        await asyncio.sleep(0)
    stop.set()
    await running
    assert sorted(house.stored(), key=int) == [b"%d" % number for number in range(110)]
    assert house.quarantined.newest() == 120


async def test_what_cannot_be_stored_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken out that is not safe elsewhere, and trying again is enough."""

    async def refuse(delivery: NewDelivery) -> Recorded:
        raise InboxUnavailableError("the disk is full")

    house.quarantined.mark({1: "a"})
    with monkeypatch.context() as patched:
        patched.setattr(SqliteInbox, "append", lambda _, delivery: refuse(delivery))
        with pytest.raises(InboxUnavailableError):
            await house.readmission.step()
    assert house.quarantined.waiting() == 1
    assert await house.readmission.step() == 1
    assert house.stored() == [b"0"]
