"""Telling: a real receiver that verifies with the library, and every way in which it may fail."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from archiver import clock as house_clock
from archiver import notify as room
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.jobs import JobRow
from archiver.egress import Egress, EgressPolicy
from archiver.ledger import keep
from archiver.lifecycle import archive
from archiver.log import logger
from archiver.models import Generation
from archiver.notices import Event
from archiver.notify import Notify
from archiver.orders import ORDERS
from archiver.standard_webhooks import key_of, signed_headers
from archiver.work import Job, JobKind, JobState
from archiver.worker import Settled
from tests.archiver.heard import DELIVERED, PLAIN_URL, asset, failed, hear, hearing
from tests.archiver.origin import serve_origin
from tests.clocks import FrozenClock

OLD, NEW = (f"whsec_{b64encode(bytes([n]) * 32).decode()}" for n in (1, 2))
SAFE = archive(DELIVERED, 0, asset())


@dataclass
class Receiver:
    """An operator's own software: what it heard and believed, and what it answers."""

    secret: str = OLD
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""
    heard: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    port: int = 0

    async def handle(self, request: web.Request) -> web.Response:
        try:
            message = Webhook(self.secret).verify(await request.read(), dict(request.headers))
        except WebhookVerificationError:
            return web.Response(status=401)
        self.heard.append(message)
        self.ids.append(request.headers["webhook-id"])
        assert request.headers["Content-Type"] == "application/json"
        return web.Response(status=self.status, headers=self.headers, body=self.answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """On a port of its own."""
    receiver = Receiver()
    server = web.Server(receiver.handle)
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.port = runner.addresses[0][1]
    yield receiver
    await runner.cleanup()


@dataclass
class Telling:
    """A catalog with something to tell, and the performer between it and the receiver."""

    catalog: Catalog
    reader: CatalogReader
    clock: FrozenClock
    notify: Notify

    async def keep(self, before: Generation | None, after: Generation) -> Generation:
        return await self.catalog.write(lambda it: keep(it, before, after, now=self.clock()))

    async def claim(self) -> Job:
        def work(tables: Tables) -> list[Job]:
            tables.jobs.promote(now=self.clock())
            tables.jobs.recover(now=self.clock())
            return tables.jobs.claim(
                JobKind.NOTIFY, limit=1, worker="w", lease_seconds=30, now=self.clock()
            )

        (job,) = await self.catalog.write(work)
        return job

    async def order(self, name: str, subject: int) -> str:
        """A person's word about the job of a notice."""

        def work(tables: Tables) -> str:
            (number,) = tables.connection.execute(
                "SELECT id FROM jobs WHERE kind = 'notify' AND subject = ?", (subject,)
            ).fetchone()
            return ORDERS[name](tables, number, now=self.clock())

        return await self.catalog.write(work)

    async def perform(self) -> Settled:
        """One job, and what it came to."""
        settled = await self.catalog.write(await self.notify.perform(await self.claim()))
        logger().info(settled.outcome, **settled.says)  # as the worker does
        return settled

    async def row(self, subject: int = 1) -> JobRow:
        row = await self.catalog.write(lambda it: it.jobs.of(JobKind.NOTIFY, subject))
        assert row is not None
        return row


@asynccontextmanager
async def telling(
    catalog: Catalog, reader: CatalogReader, url: str, *secrets: str, **policy: Any
) -> AsyncIterator[Telling]:
    """The clock begins now, for receivers believe no message that is older than minutes."""
    clock = FrozenClock(house_clock.now())
    terms = {
        "table": "notify",
        "allow_http": True,
        "allow_ports": frozenset({int(url.rpartition(":")[2].partition("/")[0])}),
        "allow_networks": (ip_network("127.0.0.1"),),
        **policy,
    }
    async with Egress(EgressPolicy(**terms)) as egress:
        notify = Notify(
            egress=egress,
            catalog=reader,
            url=url,
            keys=tuple(map(key_of, secrets or (OLD,))),
            gallery_url="",
            now=clock,
            random=lambda: 0.5,
        )
        await catalog.write(lambda it: it.notices.want(tuple(Event)))
        yield Telling(catalog, reader, clock, notify)


@pytest.fixture
async def desk(
    catalog: Catalog, reader: CatalogReader, receiver: Receiver
) -> AsyncIterator[Telling]:
    async with telling(catalog, reader, receiver.url) as desk:
        yield desk


async def test_a_message_arrives_and_is_believed(desk: Telling, receiver: Receiver) -> None:
    """With its number in the archive; nothing is left to do."""
    safe = await desk.keep(None, SAFE)
    assert (await desk.perform()).outcome == "told"
    (message,) = receiver.heard
    assert message["type"] == "generation.safe"
    assert message["data"]["id"] == "abc"
    assert message["data"]["slots"][0]["number"] == safe.slots[0].number
    assert (await desk.row()).state is JobState.COMPLETED


async def test_while_a_secret_is_exchanged_both_sign(
    catalog: Catalog, reader: CatalogReader, receiver: Receiver
) -> None:
    """A receiver that knows either believes; once the old one is gone, only the new one does."""
    async with telling(catalog, reader, receiver.url, OLD, NEW) as desk:
        for number, secret in enumerate((OLD, NEW)):
            receiver.secret = secret
            await desk.keep(None, replace(SAFE, id=str(number)))
            assert (await desk.perform()).outcome == "told"
        desk.notify.keys = (key_of(NEW),)
        receiver.secret = OLD
        await desk.keep(None, replace(SAFE, id="2"))
        assert (await desk.perform()).outcome == "retry"
        assert (await desk.row(3)).reason == "127.0.0.1 answered 401"
    assert len(receiver.heard) == 2


async def test_a_crash_between_commit_and_sending_loses_nothing(
    desk: Telling, receiver: Receiver
) -> None:
    """Whoever held the lease is dead; another sends it, under the id that a receiver knows it by
    if it was on its way already."""
    await desk.keep(None, SAFE)
    unsettled = await desk.claim()
    await desk.notify.perform(unsettled)
    desk.clock.advance(seconds=31)
    assert (await desk.perform()).outcome == "told"
    assert len(receiver.heard) == 2
    assert len(set(receiver.ids)) == 1
    assert receiver.heard[0] == receiver.heard[1]


class TestRefusals:
    """A receiver that does not take it."""

    @pytest.mark.parametrize("status", [302, 400, 401, 404, 500, 503])
    async def test_is_asked_again(self, desk: Telling, receiver: Receiver, status: int) -> None:
        """Seconds later, then minutes, then hours; no redirect is followed."""
        receiver.status, receiver.headers = status, {"Location": receiver.url}
        await desk.keep(None, SAFE)
        assert (await desk.perform()).outcome == "retry"
        row = await desk.row()
        assert (row.state, row.reason) == (
            JobState.SCHEDULED,
            f"127.0.0.1 answered {status}",
        )
        assert row.run_at is not None
        assert timedelta(seconds=5) <= row.run_at - desk.clock() < timedelta(seconds=7)
        assert len(receiver.heard) == 1

    @pytest.mark.parametrize("status", [429, 503])
    @pytest.mark.parametrize(("said", "waited"), [("1200", 1200), ("1", 5.5), ("999999", 3600)])
    async def test_may_say_when(
        self, desk: Telling, receiver: Receiver, status: int, said: str, waited: float
    ) -> None:
        """Its Retry-After is kept to, up to an hour, but it is never asked sooner than else."""
        receiver.status, receiver.headers = status, {"Retry-After": said}
        await desk.keep(None, SAFE)
        await desk.perform()
        row = await desk.row()
        assert row.run_at is not None
        assert (row.run_at - desk.clock()).total_seconds() == pytest.approx(waited, abs=0.01)

    async def test_for_a_day_are_the_end(
        self, desk: Telling, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A dead letter, with the reason; until a person has it sent again."""
        monkeypatch.setattr(room, "signed_headers", _signed_now)
        receiver.status = 500
        await desk.keep(None, SAFE)
        began_at, tries = desk.clock(), 0
        while True:
            settled = await desk.perform()
            tries += 1
            row = await desk.row()
            if row.run_at is None:
                break
            desk.clock.at = row.run_at
        assert settled.outcome == "not told"
        assert row.state is JobState.DISCARDED
        assert row.reason == f"given up after {tries} tries: 127.0.0.1 answered 500"
        assert tries == len(receiver.heard) == 8
        passed = desk.clock() - began_at
        assert timedelta(hours=24) < passed < timedelta(hours=36)

    async def test_for_ever_end_it_all(self, desk: Telling, receiver: Receiver) -> None:
        """After 410 Gone nothing more is sent, and what would have been says why."""
        receiver.status = 410
        for number in range(2):
            await desk.keep(None, replace(SAFE, id=str(number)))
            assert (await desk.perform()).outcome == "not told"
        reason = "127.0.0.1 answered 410: it wants no more messages; see to notify.url"
        rows = [await desk.row(1), await desk.row(2)]
        assert {(row.state, row.reason) for row in rows} == {(JobState.DISCARDED, reason)}
        assert len(receiver.heard) == 1

    async def test_for_ever_end_with_a_person_s_word(
        self, desk: Telling, receiver: Receiver
    ) -> None:
        """Once it is mended, what is ordered is sent; and once that is taken, all that is new."""
        receiver.status = 500
        await desk.keep(None, replace(SAFE, id="waiting"))
        assert (await desk.perform()).outcome == "retry"
        receiver.status = 410
        await desk.keep(None, replace(SAFE, id="refused"))
        assert (await desk.perform()).outcome == "not told"
        receiver.status = 204
        desk.clock.advance(seconds=1)
        await desk.keep(None, replace(SAFE, id="newer"))
        assert (await desk.perform()).outcome == "not told"
        desk.clock.advance(seconds=1)
        for number in (1, 2):
            assert await desk.order("retry", number) == ""
            assert (await desk.perform()).outcome == "told"
        await desk.keep(None, replace(SAFE, id="newest"))
        assert (await desk.perform()).outcome == "told"
        heard = [it["data"]["id"] for it in receiver.heard]
        assert heard == ["waiting", "refused", "waiting", "refused", "newest"]

    async def test_may_be_repeated(self, desk: Telling, receiver: Receiver) -> None:
        """A person was too early: of all that was ordered then, the first is sent alone."""
        receiver.status = 410
        for number in (1, 2):
            await desk.keep(None, replace(SAFE, id=str(number)))
            await desk.perform()
        desk.clock.advance(seconds=1)
        for number in (1, 2):
            assert await desk.order("retry", number) == ""
        desk.clock.advance(seconds=1)
        for _ in range(2):
            assert (await desk.perform()).outcome == "not told"
        assert [it["data"]["id"] for it in receiver.heard] == ["1", "1"]

    async def test_in_many_words_are_not_listened_to(
        self, desk: Telling, receiver: Receiver
    ) -> None:
        """Of its answer only the head is read."""
        receiver.status, receiver.answer = 200, bytes(1 << 24)
        await desk.keep(None, SAFE)
        assert (await desk.perform()).outcome == "told"

    async def test_by_silence_are_cut_short(self, catalog: Catalog, reader: CatalogReader) -> None:
        """Whoever takes the message and says nothing."""
        async with serve_origin() as silent:
            silent.answers["/"] = lambda _: asyncio.Event().wait()
            url = silent.url("/")
            async with telling(catalog, reader, url, total_seconds=0.05) as desk:
                await desk.keep(None, SAFE)
                assert (await desk.perform()).outcome == "retry"
                assert "no good answer from 127.0.0.1" in (await desk.row()).reason


def _signed_now(keys: Any, *, message_id: str, at: Any, body: bytes) -> dict[str, str]:
    """As of the machine's own time, by which the library judges."""
    return signed_headers(keys, message_id=message_id, at=house_clock.now(), body=body)


@pytest.mark.parametrize(
    ("policy", "setting"),
    [
        ({"allow_networks": ()}, "add its network to notify.allow_cidrs"),
        ({"allow_http": False}, "notify.allow_http = true would permit it"),
    ],
)
async def test_nothing_inside_is_reached_unless_that_is_said(
    catalog: Catalog,
    reader: CatalogReader,
    receiver: Receiver,
    policy: dict[str, Any],
    setting: str,
) -> None:
    """The guard of all that goes out holds here too, and names the setting of this table."""
    async with telling(catalog, reader, receiver.url, **policy) as desk:
        await desk.keep(None, SAFE)
        assert (await desk.perform()).outcome == "retry"
        assert setting in (await desk.row()).reason
    assert receiver.heard == []


class TestOvertaken:
    """A generation that goes on before anybody was told."""

    async def test_is_told_only_as_it_stands(self, desk: Telling, receiver: Receiver) -> None:
        """Lost while the receiver was down, and saved meanwhile: it hears of the latter alone."""
        lost = await desk.keep(None, hear(failed()))
        receiver.status = 500
        assert (await desk.perform()).outcome == "retry"
        linked = await desk.keep(lost, hear(hearing(url=PLAIN_URL), known=lost))
        await desk.keep(linked, archive(linked, 0, asset()))
        receiver.status = 204
        desk.clock.advance(seconds=10)
        assert {(await desk.perform()).outcome for _ in range(2)} == {"overtaken", "told"}
        assert [it["type"] for it in receiver.heard] == ["generation.lost", "generation.safe"]
        assert (await desk.row()).state is JobState.CANCELLED

    async def test_and_back_is_not_forgotten(self, desk: Telling, receiver: Receiver) -> None:
        """What was so, is not for a moment, and is so again when that is settled: it is sent."""
        lost = await desk.keep(None, hear(failed()))
        linked = await desk.keep(lost, hear(hearing(url=PLAIN_URL), known=lost))
        settle = await desk.notify.perform(await desk.claim())
        await desk.keep(linked, replace(lost, revision=linked.revision))
        assert (await desk.catalog.write(settle)).outcome == "retry"
        assert receiver.heard == []
        assert (await desk.perform()).outcome == "told"
