"""Whoever guesses tokens has to wait, and nobody else has to wait for that."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, DummyCookieJar
from yarl import URL

from archiver import clock
from archiver.catalog.schema import migrate
from tests.receiver.roles_in_process import passing_on, serving
from tests.receiver.test_routes import SECRETS, TOKENS

MOST = 5
OWNER, STRANGER = "192.0.2.7", "198.51.100.9"
PATH = "/api/v1/assets"


class Clock:
    """Seconds that pass when the test says so."""

    seconds = 600.0


class Caller:
    """Somebody who reaches us through our proxy, which appends their address."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self.waits: list[str | None] = []

    async def shows(self, secret: str, address: str = "") -> int:
        """What a token is answered that comes from that address."""
        headers = {"Authorization": f"Bearer {secret}", "X-Forwarded-For": address}
        if not address:
            del headers["X-Forwarded-For"]
        return await self._ask(headers)

    async def logs_in(self, secret: str, address: str = OWNER) -> tuple[int, str]:
        """What a login is answered, and the pass that comes of it."""
        headers = {"X-Forwarded-For": address}
        async with self._session.post(
            "/login", data={"token": secret}, headers=headers, allow_redirects=False
        ) as answer:
            self.waits.append(answer.headers.get("Retry-After"))
            return answer.status, answer.headers.get("Set-Cookie", "").partition(";")[0]

    async def looks(self, cookie: str, address: str) -> int:
        """What a browser with a pass is answered."""
        return await self._ask({"Cookie": cookie, "X-Forwarded-For": address})

    async def _ask(self, headers: dict[str, str]) -> int:
        async with self._session.get(PATH, headers=headers) as answer:
            self.waits.append(answer.headers.get("Retry-After"))
            return answer.status


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time that the listener goes by."""
    passing = Clock()
    monkeypatch.setattr(clock, "monotonic", lambda: passing.seconds)
    return passing


@asynccontextmanager
async def calling(folder: Path, **listen: Any) -> AsyncIterator[Caller]:
    """A listener that puts up with few wrong tokens."""
    migrate(folder / "catalog.db")
    limits = {"failures_per_minute": MOST, **listen}
    async with (
        serving(folder, tokens=TOKENS, listen=limits) as role,
        ClientSession(role.url, cookie_jar=DummyCookieJar()) as session,
    ):
        yield Caller(session)


async def test_whoever_guesses_waits(
    tmp_path: Path, time: Clock, record_property: Callable[[str, object], None]
) -> None:
    """429 with the time; meanwhile no token of theirs is looked at, and then all is as before."""
    async with calling(tmp_path) as caller:
        tried = [await caller.shows("wrong", STRANGER) for _ in range(200)]
        assert tried == [401] * MOST + [429] * (200 - MOST)
        assert set(caller.waits[MOST:]) == {"60"}
        assert await caller.shows(SECRETS["admin"], STRANGER) == 429
        assert (await caller.logs_in(SECRETS["admin"], STRANGER))[0] == 429
        assert await caller.shows(SECRETS["read"], OWNER) == 200
        time.seconds += 60
        assert await caller.shows(SECRETS["read"], STRANGER) == 200
    record_property("dose", "200 guesses from one address")
    record_property("result", f"{MOST} looked at, the others 429, the owner let in")


async def test_guessing_at_the_form_is_guessing(tmp_path: Path, time: Clock) -> None:
    """Both count together; who has logged in already stays in, for a pass cannot be guessed."""
    async with calling(tmp_path) as caller:
        _, cookie = await caller.logs_in(SECRETS["read"])
        for _ in range(MOST - 1):
            assert (await caller.logs_in("wrong"))[0] == 401
        assert await caller.shows("wrong", OWNER) == 401
        assert (await caller.logs_in("wrong"))[0] == 429
        assert await caller.shows(SECRETS["read"], OWNER) == 429
        assert await caller.looks(cookie, OWNER) == 200


async def test_what_is_right_is_never_too_much(tmp_path: Path, time: Clock) -> None:
    """Nor is asking without any token, or with a pass that is no longer good."""
    async with calling(tmp_path) as caller:
        for _ in range(3 * MOST):
            assert await caller.shows(SECRETS["read"], OWNER) == 200
            assert await caller.shows(SECRETS["write"], OWNER) == 403
            assert await caller.looks("holdfast=1.00", OWNER) == 401


CLAIMS = {
    "another's address": f"{OWNER}, {STRANGER}",
    "a proxy's address": f"127.0.0.1, {STRANGER}",
    "no address": f"unknown, {STRANGER}",
    "a new one each time": "10.{0}.0.1, " + STRANGER,
    "IPv4 in IPv6": f"::ffff:{STRANGER}",
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
async def test_no_claim_evades_it_or_turns_it_on_others(
    tmp_path: Path, time: Clock, claim: str
) -> None:
    """Whatever a stranger writes into the header, what our own proxy appends is who it was."""
    async with calling(tmp_path) as caller:
        for number in range(MOST):
            assert await caller.shows("wrong", claim.format(number)) == 401
        assert await caller.shows("wrong", claim.format(99)) == 429
        assert await caller.shows("wrong", STRANGER) == 429
        assert await caller.shows(SECRETS["read"], OWNER) == 200
        assert await caller.shows(SECRETS["read"]) == 200


async def test_who_is_no_proxy_of_ours_claims_nothing(tmp_path: Path, time: Clock) -> None:
    """Then the header is nobody's word, and all of one peer's guesses are its own."""
    async with calling(tmp_path, trusted_proxies=[]) as caller:
        for number in range(MOST):
            assert await caller.shows("wrong", f"10.0.0.{number}") == 401
        assert await caller.shows("wrong", "10.0.1.1") == 429


async def test_a_whole_network_of_ipv6_is_one_caller(tmp_path: Path, time: Clock) -> None:
    """For whoever has one address of it has all; the next network is somebody else's."""
    async with calling(tmp_path) as caller:
        for number in range(MOST):
            assert await caller.shows("wrong", f"2001:db8:1:2:{number}::1") == 401
        assert await caller.shows("wrong", "2001:db8:1:2:ffff::1") == 429
        assert await caller.shows(SECRETS["read"], "2001:db8:1:3::1") == 200


async def test_without_a_limit_guessing_goes_on(
    tmp_path: Path, time: Clock, record_property: Callable[[str, object], None]
) -> None:
    """As the configuration may have it."""
    async with calling(tmp_path, failures_per_minute=0) as caller:
        assert [await caller.shows("wrong", STRANGER) for _ in range(200)] == [401] * 200
    record_property("control", "without the limit 200 guesses are looked at")


async def test_tokens_in_the_paths_of_the_gateway_are_not_guessed_either(
    tmp_path: Path, time: Clock
) -> None:
    """429 says that it is ours; whoever needs no token goes on."""
    gateway = {"clients": {"studio": TOKENS["read"]["sha256"]}}
    api = {"base_url": "http://127.0.0.1:1", "gateway": True}
    tables = {"gateway": gateway, "providers": {"doitong": api}}
    async with (
        passing_on(tmp_path, listen={"failures_per_minute": MOST}, **tables) as role,
        ClientSession(role.url) as session,
    ):

        async def asked(way: str, address: str = STRANGER) -> tuple[int, str | None]:
            url = URL(f"{role.url}/gateway/{way}/graphql", encoded=True)
            async with session.get(url, headers={"X-Forwarded-For": address}) as answer:
                return answer.status, answer.headers.get("Retry-After")

        wrong, right = "wrong/doitong", f"{SECRETS['read']}/doitong"
        assert await asked(right) == (502, None)  # let through, to a provider that is not there
        for _ in range(MOST):
            assert await asked(wrong) == (404, None)
        for way in (wrong, right):
            assert await asked(way) == (429, "60")
        assert await asked(right, OWNER) == (502, None)
        assert await asked("doitong", "127.0.0.1") == (502, None)
