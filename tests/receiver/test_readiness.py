"""Signs of life: what is proved, how long a proof is good for, and the drain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from archiver import clock
from archiver.errors import HoldfastError
from archiver.moments import to_millis
from archiver.sqlite import open_reader
from receiver.readiness import PROOF_SECONDS, Readiness
from tests.receiver.roles_in_process import receiving
from tests.receiver.wire import (
    EXPECTING,
    ask,
    closed_to_newcomers,
    connected,
    head,
    length,
    signature,
)

Client = TestClient[web.Request, web.Application]


@dataclass
class Bench:
    """A readiness whose proofs are counted, by a clock that the test holds."""

    at: float = 1000.0
    proofs: int = 0
    trouble: str = ""
    readiness: Readiness = field(init=False)

    def __post_init__(self) -> None:
        self.readiness = Readiness(self.prove, monotonic=lambda: self.at)

    async def prove(self) -> None:
        self.proofs += 1
        if self.trouble:
            raise HoldfastError(self.trouble)


@pytest.fixture
def bench() -> Bench:
    """A fresh one."""
    return Bench()


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[Client]:
    """Whoever asks it."""
    app = web.Application()
    app.add_routes(bench.readiness.routes())
    async with TestClient(TestServer(app)) as speaking:
        yield speaking


async def asked(client: Client, path: str) -> tuple[int, str, str | None]:
    """Status, text and Retry-After."""
    async with client.get(path) as answer:
        return answer.status, (await answer.text()).strip(), answer.headers.get("Retry-After")


async def test_ready_is_proved_and_not_presumed(bench: Bench, client: Client) -> None:
    """The work is done once in small before anybody is told that it would be."""
    assert await asked(client, "/readyz") == (200, "ready", None)
    assert bench.proofs == 1


async def test_a_proof_is_good_for_a_second(bench: Bench, client: Client) -> None:
    """Who asks again at once costs the disk nothing; after PROOF_SECONDS it is proved anew."""
    for _ in range(5):
        assert await asked(client, "/readyz") == (200, "ready", None)
    assert bench.proofs == 1
    bench.at += PROOF_SECONDS - 0.01
    await asked(client, "/readyz")
    assert bench.proofs == 1
    bench.at += 0.01
    await asked(client, "/readyz")
    assert bench.proofs == 2


async def test_what_cannot_be_proved_is_not_ready_until_it_can(
    bench: Bench, client: Client
) -> None:
    """503 with the reason, asked anew each time, so that it is ready the moment it can be."""
    bench.trouble = "the disk is full"
    for _ in range(2):
        assert await asked(client, "/readyz") == (503, "not ready: the disk is full", "5")
    assert bench.proofs == 2
    bench.trouble = ""
    assert await asked(client, "/readyz") == (200, "ready", None)


async def test_who_drains_is_not_ready(bench: Bench, client: Client) -> None:
    """503 from the first moment of the drain, a fresh proof notwithstanding."""
    await asked(client, "/readyz")
    bench.readiness.drain()
    assert await asked(client, "/readyz") == (503, "draining", "5")
    assert bench.proofs == 1


async def test_it_lives_whatever_else_is_wrong(bench: Bench, client: Client) -> None:
    """`/healthz` asks nobody."""
    bench.trouble = "everything is on fire"
    bench.readiness.drain()
    assert await asked(client, "/healthz") == (200, "alive", None)
    assert bench.proofs == 0


READY = head(method=b"GET", path=b"/readyz")


async def test_a_role_that_is_ready_has_just_committed(tmp_path: Path) -> None:
    """Whether or not any webhook came: the proof is a commit of its own, no older than a second."""

    def proved_at() -> int:
        connection = open_reader(tmp_path / "inbox" / "receive.db")
        try:
            [(proved_at,)] = connection.execute("SELECT proved_at FROM inbox").fetchall()
        finally:
            connection.close()
        return int(proved_at)

    async with receiving(tmp_path) as role:
        assert proved_at() == 0
        asked_at = to_millis(clock.now())
        assert (await ask(role.port, READY)).status == 200
        assert proved_at() >= asked_at - PROOF_SECONDS * 1000


async def test_a_role_without_room_is_not_ready(tmp_path: Path) -> None:
    """It would refuse webhooks, so it says so before any is sent."""
    full = {"url": f"sqlite:///{tmp_path}/catalog.db", "min_free_bytes": 1 << 60}
    async with receiving(tmp_path, {"catalog": full}) as role:
        answer = await ask(role.port, READY)
        assert answer.status == 503
        assert b"catalog.min_free_bytes keeps" in answer.body


async def test_a_balancer_sees_the_drain_of_a_role(tmp_path: Path) -> None:
    """While a request is still under way, `/readyz` says on the connections there are that no
    new ones should be sent here."""
    body = b"the last webhook"
    begun = head(signature(body), length(body), EXPECTING)
    async with (
        receiving(tmp_path) as role,
        connected(role.port) as balancer,
        connected(role.port) as sender,
    ):
        assert (await balancer.ask(READY)).status == 200
        assert (await sender.ask(begun)).status == 100
        role.stop.set()
        await closed_to_newcomers(role.port)
        answer = await balancer.ask(READY)
        assert (answer.status, answer.body, answer.headers["retry-after"]) == (
            503,
            b"draining\n",
            "5",
        )
        last = await sender.ask(body)
        assert (last.status, last.headers["connection"]) == (202, "close")
