"""What is kept of answers, by whom, and that asking alone changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import ClientSession, DummyCookieJar
from multidict import CIMultiDict

from archiver import clock
from receiver.accounts import open_accounts
from receiver.passes import Passes
from receiver.settings import Token
from tests.archiver.web.pictures import Told, fill
from tests.receiver.roles_in_process import serving
from tests.receiver.test_routes import GUARDED, ROUTES, SECRETS, TOKENS, VALUES

ADMIN = {"Authorization": f"Bearer {SECRETS['admin']}"}
READS = [path for (method, path), scope in ROUTES.items() if method == "GET" and scope == "read"]
PAGE = "text/html,*/*;q=0.8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """One answer; of a header that came twice, both."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Reader:
    """Somebody who asks an archive of one picture."""

    def __init__(self, session: ClientSession, folder: Path) -> None:
        self._session = session
        self.folder = folder

    async def ask(self, path: str, method: str = "GET", **headers: str) -> Said:
        """One answer; `If_None_Match` is `If-None-Match`."""
        url = path.format(**{**VALUES, "id": "do-00000"})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(
            method, url, headers=named, allow_redirects=False
        ) as answer:
            told = answer.headers
            joined = CIMultiDict((name, ", ".join(told.getall(name))) for name in told)
            return Said(status=answer.status, headers=joined, body=await answer.read())

    def rows(self) -> list[str]:
        """All that the catalog holds."""
        connection = sqlite3.connect(f"file:{self.folder / 'catalog.db'}?mode=ro", uri=True)
        try:
            return list(connection.iterdump())
        finally:
            connection.close()


@pytest.fixture
async def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reader]:
    """Who asks without redirects, and keeps no cookies."""
    (tmp_path / "metrics").mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "metrics"))
    await fill(tmp_path, [Told(prompt="a red fox")])
    async with (
        serving(tmp_path, tokens=TOKENS) as role,
        ClientSession(role.url, cookie_jar=DummyCookieJar()) as session,
    ):
        yield Reader(session, tmp_path)


@pytest.mark.parametrize("shown", [ADMIN, {}, {"Authorization": "Bearer wrong"}])
async def test_nobody_keeps_it_for_somebody_else(reader: Reader, shown: dict[str, str]) -> None:
    """No answer of a guarded route may be kept by a proxy, nor be shown again unasked."""
    for path in READS:
        for accept in (PAGE, "*/*"):
            said = await reader.ask(path, Accept=accept, **shown)
            kept = said.headers["Cache-Control"]
            assert kept in ("no-store", "private, no-cache"), (path, kept)
            assert "Authorization, Cookie" in said.headers["Vary"], path
            assert said.headers["X-Content-Type-Options"] == "nosniff", path
            assert "default-src 'none'" in said.headers["Content-Security-Policy"], path


async def test_what_is_not_modified_is_told_to_nobody_else(
    reader: Reader, record_property: Callable[[str, object], None]
) -> None:
    """A tag that somebody has overheard, or any, opens nothing and betrays nothing."""
    tagged = 0
    for path in READS:
        tag = (await reader.ask(path, **ADMIN)).headers.get("ETag")
        for said in filter(None, (tag, "*")):
            known = await reader.ask(path, If_None_Match=said, **ADMIN)
            assert known.status == (304 if tag else 200), path
            for shown in ({}, {"Authorization": f"Bearer {SECRETS['write']}"}):
                refused = await reader.ask(path, If_None_Match=said, **shown)
                assert refused.status in (401, 403), path
                assert "ETag" not in refused.headers
        tagged += tag is not None
    assert tagged >= 7
    record_property("result", f"{len(READS)} routes, {tagged} with tags: nothing for a stranger")


async def test_asking_changes_nothing(reader: Reader) -> None:
    """So no link, picture or prefetch does anything, whoever wrote it."""
    before = reader.rows()
    for path in (route for method, route in ROUTES if method == "GET"):
        for method in ("GET", "HEAD"):
            assert (await reader.ask(path, method, **ADMIN)).status < 500
    assert reader.rows() == before


ELSEWHERE = [
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin"},  # a script of ours could be made to, if there were one
]


@pytest.mark.parametrize("said", ELSEWHERE)
async def test_a_pass_changes_nothing_whoever_sends_it(
    reader: Reader, said: dict[str, str]
) -> None:
    """A browser sends it along with whatever form another's page has filled in."""
    key = open_accounts(reader.folder).derived_key("passes of browsers")
    tokens = {name: Token(**table) for name, table in TOKENS.items()}
    shown = Passes(key, tokens, now=clock.now).issue(tokens["admin"])
    assert (await reader.ask("/", Cookie=f"holdfast={shown}")).status == 200
    before = reader.rows()
    for (method, path), scope in GUARDED.items():
        if scope != "read":
            answer = await reader.ask(path, method, Cookie=f"holdfast={shown}", **said)
            assert answer.status == 401, path
    assert reader.rows() == before
