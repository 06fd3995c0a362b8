"""What every driver of the inbox promises.

A driver's test class inherits `InboxContract` and overrides the fixture `driver`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from archiver.errors import InboxUnavailableError
from archiver.inbox import InboxReader, InboxWriter, NewDelivery, Recorded
from archiver.models import Heard
from tests.clocks import NOON

STORED, DUPLICATE = Recorded.STORED, Recorded.DUPLICATE
MANY = 3000

WEBHOOK = NewDelivery(
    source="doitong",
    heard=Heard.PUSHED,
    path_token="",
    received_at=NOON,
    peer="192.0.2.7",
    verified_by="2026-11",
    headers=((b"Content-Type", b"application/json"), (b"X-Doitong-Signature", b"sha256=00")),
    body=b'{"id":"1"}',
)

ODD = {
    "no body": replace(WEBHOOK, body=b""),
    "every byte": replace(WEBHOOK, body=bytes(range(256))),
    "a large body": replace(WEBHOOK, body=b"\0" * (1 << 20)),
    "no headers": replace(WEBHOOK, headers=()),
    "headers repeated, in odd case, in no charset": replace(
        WEBHOOK, headers=((b"X-a", b"2"), (b"x-A", b"1"), (b"X-a", b""), (b"B", b"\xff\xfe"))
    ),
    "text of every script": replace(WEBHOOK, path_token="Ünï/码 🐱", peer="::1%eth0", source="数"),
    "zeros in text": replace(WEBHOOK, path_token="a\0b"),
    "remembered": replace(WEBHOOK, heard=Heard.REMEMBERED, path_token="generation-1"),
    "long ago": replace(WEBHOOK, received_at=datetime(1969, 7, 20, 20, 17, 40, tzinfo=UTC)),
}


class InboxAtWork(InboxWriter, Protocol):
    """A writer that can be told to end."""

    async def close(self) -> None:
        """Commits what waits and lets go."""


class InboxDriver(Protocol):
    """One inbox of a driver, as often opened, read and broken as a test needs."""

    def open(self) -> AbstractAsyncContextManager[InboxAtWork]:
        """The inbox's writer, until the context ends or it is closed."""

    def reader(self) -> AbstractContextManager[InboxReader]:
        """A fresh reader of the same inbox."""

    def broken(self) -> AbstractContextManager[None]:
        """No commit succeeds as long as the context lasts."""

    def commits(self) -> int:
        """A number that grows by one with every commit of the open writer."""


def webhook(number: int) -> NewDelivery:
    """The one webhook of that number."""
    return replace(WEBHOOK, body=b'{"id":"%d"}' % number)


def bodies(driver: InboxDriver, *, after: int = 0) -> list[bytes | None]:
    """What a fresh reader finds."""
    with driver.reader() as reader:
        return [delivery.body for delivery in reader.after(after, limit=MANY)]


async def outcomes(*waiting: Any) -> list[object]:
    """Results in order, and errors as their classes."""
    done = await asyncio.gather(*waiting, return_exceptions=True)
    return [type(it) if isinstance(it, BaseException) else it for it in done]


class InboxContract:
    """The suite; each test is one promise of `archiver.inbox`."""

    @pytest.fixture
    def driver(self) -> InboxDriver:
        """The inbox that is tested."""
        raise NotImplementedError

    @pytest.fixture
    async def inbox(self, driver: InboxDriver) -> AsyncIterator[InboxAtWork]:
        """Its writer, at work."""
        async with driver.open() as inbox:
            yield inbox

    async def test_what_is_appended_is_durable_at_once(
        self, driver: InboxDriver, inbox: InboxAtWork
    ) -> None:
        """When `append` returns, a stranger can already read the delivery."""
        for number in range(3):
            assert await inbox.append(webhook(number)) is STORED
            assert webhook(number).body == bodies(driver)[-1]

    @pytest.mark.parametrize("odd", ODD)
    async def test_a_delivery_is_kept_as_it_was_heard(
        self, driver: InboxDriver, inbox: InboxAtWork, odd: str
    ) -> None:
        """Every field comes back byte for byte, headers in their order and case."""
        await inbox.append(ODD[odd])
        with driver.reader() as reader:
            (kept,) = reader.after(0, limit=9)
            heard = {name: getattr(kept, name) for name in NewDelivery.__slots__}
            assert ODD[odd] == NewDelivery(**heard)
            assert kept == reader.get(kept.ref.position)
            assert reader.uuid == kept.ref.inbox

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({}, DUPLICATE),
            ({"headers": ()}, DUPLICATE),
            ({"peer": "198.51.100.9"}, DUPLICATE),
            ({"verified_by": "2026-10"}, DUPLICATE),
            ({"received_at": datetime(2030, 1, 1, tzinfo=UTC)}, DUPLICATE),
            ({"body": b'{"id":"1"} '}, STORED),
            ({"source": "modelslab"}, STORED),
            ({"path_token": "token"}, STORED),
            ({"heard": Heard.REMEMBERED}, STORED),
        ],
    )
    @pytest.mark.parametrize("moment", ["later", "in the same commit", "after reopening"])
    async def test_the_same_delivery_is_stored_once(
        self, driver: InboxDriver, change: dict[str, Any], expected: Recorded, moment: str
    ) -> None:
        """A duplicate has the same source, way of hearing, path token and body; nothing else."""
        other = replace(WEBHOOK, **change)
        async with driver.open() as inbox:
            if moment == "in the same commit":
                answers = await outcomes(inbox.append(WEBHOOK), inbox.append(other))
            else:
                answers = [await inbox.append(WEBHOOK)]
            if moment == "later":
                answers.append(await inbox.append(other))
        if moment == "after reopening":
            async with driver.open() as inbox:
                answers.append(await inbox.append(other))
        assert [STORED, expected] == answers
        assert len(bodies(driver)) == (2 if expected is STORED else 1)

    async def test_one_batch_may_bring_new_and_old_in_any_mixture(
        self, driver: InboxDriver, inbox: InboxAtWork
    ) -> None:
        """In a crowd each sender gets its own answer."""
        await inbox.append(webhook(1))
        numbers = [0, 1, 2, 2, 0, 3, 1, 4, 4, 4]
        answers = await outcomes(*(inbox.append(webhook(number)) for number in numbers))
        new = [STORED, DUPLICATE, STORED, DUPLICATE, DUPLICATE]
        assert answers == [*new, STORED, DUPLICATE, STORED, DUPLICATE, DUPLICATE]
        assert [webhook(number).body for number in (1, 0, 2, 3, 4)] == bodies(driver)

    async def test_deliveries_are_read_in_order_page_by_page(
        self, driver: InboxDriver, inbox: InboxAtWork
    ) -> None:
        """`after` goes on where the last page ended, never further than its limit."""
        for number in range(7):
            await inbox.append(webhook(number))
        with driver.reader() as reader:
            pages, position = [], 0
            for _ in range(4):
                page = reader.after(position, limit=3)
                pages.append([delivery.body for delivery in page])
                position = page[-1].ref.position if page else position
        expected = [webhook(number).body for number in range(7)]
        assert [expected[:3], expected[3:6], expected[6:], []] == pages

    async def test_positions_go_on_after_reopening(self, driver: InboxDriver) -> None:
        """An inbox is one log for all its life, under one name."""
        names, positions = set(), []
        for number in range(3):
            async with driver.open() as inbox:
                await inbox.append(webhook(number))
            with driver.reader() as reader:
                names.add(reader.uuid)
                positions.append(reader.after(0, limit=9)[-1].ref.position)
        assert len(names) == 1
        assert sorted(set(positions)) == positions

    async def test_a_position_that_holds_nothing_gives_none(
        self, driver: InboxDriver, inbox: InboxAtWork
    ) -> None:
        """Asking for what is not there is no error."""
        await inbox.append(WEBHOOK)
        with driver.reader() as reader:
            (delivery,) = reader.after(0, limit=9)
            assert reader.get(delivery.ref.position + 1) is None
            assert reader.after(delivery.ref.position, limit=9) == []

    async def test_a_change_is_told_once(self, driver: InboxDriver, inbox: InboxAtWork) -> None:
        """`changed` is true at first and after each append, and false in between."""
        with driver.reader() as reader:
            told = [reader.changed(), reader.changed()]
            for number in range(2):
                await inbox.append(webhook(number))
                told += [reader.changed(), reader.changed(), reader.changed()]
        assert told == [True, False, *[True, False, False] * 2]

    async def test_thousands_at_once_share_a_few_commits(
        self, driver: InboxDriver, inbox: InboxAtWork
    ) -> None:
        """A burst costs far fewer commits than deliveries, and each sender its own answer."""
        before = driver.commits()
        answers = await outcomes(*(inbox.append(webhook(number)) for number in range(MANY)))
        assert answers == [STORED] * MANY
        assert [webhook(number).body for number in range(MANY)] == bodies(driver)
        assert driver.commits() - before < MANY / 50

    async def test_a_reader_at_the_heels_of_the_writer_misses_nothing(
        self, driver: InboxDriver, inbox: InboxAtWork
    ) -> None:
        """No delivery ever appears before a position that was already read."""

        written = threading.Event()

        def follow() -> list[bytes | None]:
            read: list[bytes | None] = []
            position, last_look = 0, False
            with driver.reader() as reader:
                while not last_look:
                    last_look = written.is_set()
                    for delivery in reader.after(position, limit=MANY):
                        assert delivery.ref.position > position
                        position = delivery.ref.position
                        read.append(delivery.body)
            return read

        following = asyncio.create_task(asyncio.to_thread(follow))
        for start in range(0, MANY, 50):
            await asyncio.gather(*(inbox.append(webhook(start + n)) for n in range(50)))
        written.set()
        assert [webhook(number).body for number in range(MANY)] == await following

    async def test_a_failed_commit_refuses_everyone_in_it(
        self, driver: InboxDriver, inbox: InboxAtWork
    ) -> None:
        """Nobody is told that a delivery is safe when it is not; the next commit just works."""
        await inbox.append(webhook(0))
        waiting = [inbox.append(webhook(number)) for number in (1, 0, 2)]
        with driver.broken():
            assert [InboxUnavailableError] * 3 == await outcomes(*waiting)
            assert [webhook(0).body] == bodies(driver)
        assert await outcomes(*(inbox.append(webhook(n)) for n in (2, 0))) == [STORED, DUPLICATE]
        assert [webhook(0).body, webhook(2).body] == bodies(driver)

    async def test_a_refusal_says_what_to_do(self, driver: InboxDriver, inbox: InboxAtWork) -> None:
        """The sentence names the fault's owner and shows nothing of the delivery."""
        with driver.broken(), pytest.raises(InboxUnavailableError) as caught:
            await inbox.append(replace(WEBHOOK, body=b"hush", path_token="hush"))
        assert "the sender should try again" in str(caught.value)
        assert "hush" not in str(caught.value)

    async def test_a_proof_is_a_commit_and_no_delivery(
        self, driver: InboxDriver, inbox: InboxAtWork
    ) -> None:
        """`prove` shows that a commit still succeeds, alone or among deliveries, or raises."""
        before = driver.commits()
        await inbox.prove(NOON)
        assert driver.commits() == before + 1
        answers = await outcomes(
            inbox.append(webhook(1)), inbox.prove(NOON), inbox.append(webhook(1))
        )
        assert answers == [STORED, None, DUPLICATE]
        with driver.broken(), pytest.raises(InboxUnavailableError):
            await inbox.prove(NOON)
        assert [webhook(1).body] == bodies(driver)

    async def test_closing_commits_all_that_waits(self, driver: InboxDriver) -> None:
        """What was handed over before the end is stored; what comes after is refused."""
        async with driver.open() as inbox:
            waiting = [asyncio.ensure_future(inbox.append(webhook(n))) for n in range(1000)]
            await asyncio.sleep(0)  # each has handed its delivery over
            await inbox.close()
            assert await outcomes(*waiting) == [STORED] * 1000
            assert await outcomes(inbox.append(webhook(-1))) == [InboxUnavailableError]
        assert [webhook(number).body for number in range(1000)] == bodies(driver)

    async def test_a_sender_that_went_away_changes_nothing(
        self, driver: InboxDriver, inbox: InboxAtWork
    ) -> None:
        """A delivery whose sender hung up is stored like any other."""
        gone = asyncio.ensure_future(inbox.append(webhook(1)))
        await asyncio.sleep(0)
        gone.cancel()
        assert await inbox.append(webhook(2)) is STORED
        assert [webhook(1).body, webhook(2).body] == bodies(driver)
