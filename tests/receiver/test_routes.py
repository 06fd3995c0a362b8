"""Every route of every listener, and the least that whoever asks must show."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, DummyCookieJar, web
from aiohttp.typedefs import Handler

from archiver import clock
from archiver.catalog.schema import migrate
from receiver.accounts import open_accounts
from receiver.listener import listening
from receiver.passes import Passes
from receiver.roles import web as web_role
from receiver.settings import Token
from tests.archiver.disks import everything_on_disk
from tests.receiver.roles_in_process import Role, passing_on, receiving, serving

SECRETS = {name: f"{name}-0123456789abcdef" for name in ("read", "write", "worker", "admin")}
TOKENS = {
    name: {"sha256": sha256(secret.encode()).hexdigest(), "scopes": [name]}
    for name, secret in SECRETS.items()
}
READER, NOBODY = Token(**TOKENS["read"]), Token(sha256="0" * 64)

# A new route has to be given a line here: "open" to anybody, or the scope it takes.
ROUTES = {
    ("GET", "/healthz"): "open",
    ("GET", "/readyz"): "open",
    ("GET", "/login"): "open",
    ("POST", "/login"): "open",
    ("POST", "/logout"): "open",
    ("GET", "/static/{name}"): "open",
    ("GET", "/"): "read",
    ("GET", "/parts/cells"): "read",
    ("GET", "/parts/facets"): "read",
    ("GET", "/assets/{number}"): "read",
    ("GET", "/assets/{number}/similar"): "read",
    ("GET", "/openapi.json"): "read",
    ("GET", "/metrics"): "read",
    ("GET", "/api/v1/assets"): "read",
    ("GET", "/api/v1/assets/{number}"): "read",
    ("GET", "/api/v1/assets/{number}/content"): "read",
    ("GET", "/api/v1/assets/{number}/similar"): "read",
    ("GET", "/api/v1/assets/{number}/thumbnail"): "read",
    ("GET", "/api/v1/export"): "read",
    ("GET", "/api/v1/facets"): "read",
    ("GET", "/api/v1/generations/{provider}/{id}"): "read",
    ("PUT", "/api/v1/generations/{provider}/{id}"): "write",
    ("POST", "/api/v1/jobs/claim"): "worker",
    ("POST", "/api/v1/jobs/{id}/complete"): "worker",
    ("POST", "/api/v1/jobs/{id}/fail"): "worker",
    ("POST", "/api/v1/jobs/{id}/heartbeat"): "worker",
    ("POST", "/api/v1/jobs/{id}/upload"): "worker",
    ("PUT", "/api/v1/jobs/{id}/content"): "worker",
    ("GET", "/api/v1/jobs/{id}/pictures/{key}"): "worker",
}
GUARDED = {route: scope for route, scope in ROUTES.items() if scope != "open"}
VALUES = {"number": "1", "id": "7", "provider": "doitong", "key": "blobs/a", "name": "gallery.js"}
REFUSED = {401, 403}


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> list[web.Application]:
    """The applications of the private listeners that are started from now on."""
    served: list[web.Application] = []

    def noting(app: web.Application, *args: Any, **limits: Any) -> Any:
        served.append(app)
        return listening(app, *args, **limits)

    monkeypatch.setattr(web_role, "listening", noting)
    return served


class Asker:
    """Asks one listener, and counts."""

    def __init__(self, role: Role, session: ClientSession) -> None:
        self.role = role
        self.count = 0
        self._session = session

    async def status(self, way: tuple[str, str], *, query: str = "", **headers: str) -> int:
        """What a route of the table answers, or any path."""
        method, path = way[0], way[1].format(**VALUES) + query
        self.count += 1
        async with self._session.request(
            method, path, data=None if method == "GET" else b"{}", headers=headers
        ) as answer:
            await answer.read()
            return answer.status


@asynccontextmanager
async def asking(folder: Path, **tables: Any) -> AsyncIterator[Asker]:
    """Somebody who speaks with a private listener over an empty archive."""
    migrate(folder / "catalog.db")
    async with (
        serving(folder, **{"tokens": TOKENS, **tables}) as role,
        ClientSession(role.url, cookie_jar=DummyCookieJar()) as session,
    ):
        yield Asker(role, session)


def of(app: web.Application) -> Iterator[tuple[str, str]]:
    """The routes of an application, HEAD as its GET."""
    for route in app.router.routes():
        assert route.resource is not None
        if route.method != "HEAD":
            yield route.method, route.resource.canonical


def strangers(folder: Path, way: tuple[str, str]) -> dict[str, dict[str, str]]:
    """What must not open a route: nothing, what is wrong, and what is somebody else's."""
    secret = SECRETS[GUARDED[way]]
    mine, other = open_accounts(folder), open_accounts(folder / "another archive")
    tokens = {"reader": READER, "nobody": NOBODY}
    passes = Passes(mine.derived_key("passes of browsers"), tokens, now=clock.now)
    foreign = Passes(other.derived_key("passes of browsers"), tokens, now=clock.now)
    return {
        "nothing": {},
        "a wrong token": {"Authorization": "Bearer wrong"},
        "a token that was taken out": {"Authorization": "Bearer revoked-0123456789"},
        "its digest": {"Authorization": f"Bearer {sha256(secret.encode()).hexdigest()}"},
        "another scheme": {"Authorization": f"Basic {secret}"},
        "a token as a pass": {"Cookie": f"holdfast={secret}"},
        "a pass of another archive": {"Cookie": f"holdfast={foreign.issue(READER)}"},
        "a pass of a token that was taken out": {"Cookie": f"holdfast={passes.issue(NOBODY)}"},
        "a header of our own making": {"X-Api-Key": secret, "X-Forwarded-User": "admin"},
    }


async def openings(asker: Asker, folder: Path) -> list[tuple[tuple[str, str], str]]:
    """The routes that somebody gets through who should not, and how."""
    open_to = []
    for way, scope in GUARDED.items():
        secret = SECRETS[scope]
        tried = {name: ("", headers) for name, headers in strangers(folder, way).items()}
        for name in ("token", "access_token", "api_key", "Authorization"):
            tried[f"?{name}="] = (f"?{name}={secret}", {})
        for other in SECRETS.keys() - {scope, "admin"}:
            tried[f"the scope {other}"] = ("", {"Authorization": f"Bearer {SECRETS[other]}"})
        for how, (query, headers) in tried.items():
            if await asker.status(way, query=query, **headers) not in REFUSED:
                open_to.append((way, how))
    return open_to


async def test_every_route_says_whom_it_is_for(tmp_path: Path, apps: list[web.Application]) -> None:
    """One that is not in the table is nobody's until somebody has thought of whose it is."""
    async with asking(tmp_path):
        assert sorted(of(apps[0])) == sorted(ROUTES)


async def test_no_route_opens_to_a_stranger(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whoever shows nothing, something wrong, or the right for something else, is refused."""
    async with asking(tmp_path) as asker:
        assert await openings(asker, tmp_path) == []
        assert asker.role.stored() == []
    dose = f"{len(GUARDED)} guarded routes of {len(ROUTES)}, {asker.count} ways in"
    record_property("dose", dose)
    record_property("result", "0 open")


async def test_every_route_opens_to_its_scope(tmp_path: Path) -> None:
    """And to an administrator; to a pass where it is for reading, and nowhere else."""
    async with asking(tmp_path) as asker:
        key = open_accounts(tmp_path).derived_key("passes of browsers")
        shown = Passes(key, {"reader": READER}, now=clock.now).issue(READER)
        for way, scope in GUARDED.items():
            for name in (scope, "admin"):
                headers = {"Authorization": f"Bearer {SECRETS[name]}"}
                assert await asker.status(way, **headers) not in REFUSED, (way, name)
            by_pass = await asker.status(way, Cookie=f"holdfast={shown}")
            assert (by_pass in REFUSED) is (scope != "read"), way
        for way in ROUTES.keys() - GUARDED.keys():
            assert await asker.status(way) != 403, way
    secrets = everything_on_disk(asker.role.inbox)
    assert not any(secret.encode() in secrets for secret in SECRETS.values())


async def test_without_the_guard_every_route_is_open(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """So that it is seen that the attack could get through."""

    @web.middleware
    async def nobody_minds(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await handler(request)

    monkeypatch.setattr(web_role, "guard", lambda *_: nobody_minds)
    async with asking(tmp_path) as asker:
        found = [way for way in GUARDED if await asker.status(way) not in REFUSED]
    assert found == [*GUARDED]
    record_property("control", f"without the guard {len(found)} open to nothing")


@pytest.mark.parametrize("way", GUARDED)
async def test_the_other_listeners_have_none_of_it(tmp_path: Path, way: tuple[str, str]) -> None:
    """Whoever reaches webhooks or the gateway finds nothing of the archive there."""
    headers = {"Authorization": f"Bearer {SECRETS['admin']}"}
    for listener in (receiving(tmp_path, {"tokens": TOKENS}), passing_on(tmp_path, tokens=TOKENS)):
        async with (
            listener as role,
            ClientSession(role.url) as session,
        ):
            assert await Asker(role, session).status(way, **headers) == 404
