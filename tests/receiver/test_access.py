"""Who may use the private listener."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from archiver.catalog.schema import migrate
from archiver.errors import ConfigError
from receiver.access import require_tokens
from receiver.settings import Token
from tests.receiver.roles_in_process import Role, serving
from tests.receiver.wire import Answer, ask, head, length

SECRETS = {
    "reader": b"read-secret",
    "writer": b"write-secret",
    "worker": b"work-secret",
    "chief": b"chief-secret",
}
SCOPES = {
    "reader": ["read"],
    "writer": ["write"],
    "worker": ["worker"],
    "chief": ["admin"],
    "nobody": [],
}
BODY = b'{"prompt": "a red fox", "worker": "a host"}'
READ = "GET", "/api/v1/assets"
WRITE = "PUT", "/api/v1/generations/doitong/abc"
OPEN = "GET", "/healthz"
WORK = "POST", "/api/v1/jobs/claim"
BEAT = "POST", "/api/v1/jobs/7/heartbeat"
SEND = "PUT", "/api/v1/jobs/7/content?fence=1"
LOOK = "GET", "/api/v1/jobs/7/pictures/blobs/sha256/00/00.png?fence=1"


def digest(secret: bytes) -> str:
    """What the configuration holds of a token."""
    return sha256(secret).hexdigest()


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Role]:
    """The private listener with a token of each kind, over an empty archive."""
    migrate(tmp_path / "catalog.db")
    tokens = {
        name: {"sha256": digest(secret), "scopes": SCOPES[name]} for name, secret in SECRETS.items()
    }
    tokens["chief"]["sha256"] = digest(SECRETS["chief"]).upper()
    tokens["nobody"] = {"sha256": digest(b"nobody"), "scopes": []}
    async with serving(tmp_path, tokens=tokens) as role:
        yield role


@pytest.fixture
async def unguarded(tmp_path: Path) -> AsyncIterator[Role]:
    """The private listener on loopback without any token."""
    migrate(tmp_path / "catalog.db")
    async with serving(tmp_path) as role:
        yield role


async def asked(
    role: Role, way: tuple[str, str], *headers: tuple[bytes, bytes], host: bytes = b"127.0.0.1"
) -> Answer:
    """One request, with this Host and these headers."""
    method, path = way
    wire = head(length(BODY), *headers, method=method.encode(), path=path.encode()) + BODY
    return await ask(role.port, wire.replace(b"Host: 127.0.0.1", b"Host: " + host))


def bearer(secret: bytes, scheme: bytes = b"Bearer") -> tuple[bytes, bytes]:
    """The header that shows a token (RFC 6750 §2.1)."""
    return b"Authorization", scheme + b" " + secret


SHOWN = {
    "a reader reads": (b"read-secret", READ, 200),
    "a reader may not write": (b"read-secret", WRITE, 403),
    "a writer writes": (b"write-secret", WRITE, 202),
    "a writer may not read": (b"write-secret", READ, 403),
    "the chief reads": (b"chief-secret", READ, 200),
    "the chief writes": (b"chief-secret", WRITE, 202),
    "no scope, nothing": (b"nobody", READ, 403),
    "a worker works": (b"work-secret", WORK, 204),
    "a worker keeps its lease": (b"work-secret", BEAT, 400),
    "a worker sends": (b"work-secret", SEND, 409),
    "a worker looks at inputs": (b"work-secret", LOOK, 409),
    "a worker may not read": (b"work-secret", READ, 403),
    "a worker may not write": (b"work-secret", WRITE, 403),
    "nor look at counts": (b"work-secret", ("GET", "/metrics"), 403),
    "a reader may not look at inputs": (b"read-secret", LOOK, 403),
    "not in disguise either": (b"read-secret", ("GET", LOOK[1].replace("jobs", "j%6fbs")), 403),
    "a writer may not work": (b"write-secret", WORK, 403),
    "a writer may not send": (b"write-secret", SEND, 403),
    "the chief works": (b"chief-secret", WORK, 204),
    "no token, no work": (b"wrong", WORK, 401),
    "metrics are for readers": (b"write-secret", ("GET", "/metrics"), 403),
    "what is not there is not told to strangers": (b"wrong", ("GET", "/nowhere"), 401),
    "nor to whom it is not for": (b"write-secret", ("GET", "/nowhere"), 403),
    "a wrong token": (b"wrong", READ, 401),
    "an empty token": (b"", READ, 401),
    "a digest is no token": (digest(b"read-secret").encode(), READ, 401),
    "a byte beyond ASCII": (b"read-secret\xe9", READ, 401),
    "only bytes beyond ASCII": (b"\xff\xfe", READ, 401),
}


@pytest.mark.parametrize(("secret", "way", "status"), SHOWN.values(), ids=SHOWN)
async def test_a_token_permits_its_scopes_and_no_more(
    guarded: Role, secret: bytes, way: tuple[str, str], status: int
) -> None:
    """401 for no token of ours, 403 for one that lacks the scope."""
    assert (await asked(guarded, way, bearer(secret))).status == status


@pytest.mark.parametrize("way", [READ, WRITE, ("GET", "/metrics"), ("GET", "/nowhere")])
async def test_without_a_token_nothing_is_told(guarded: Role, way: tuple[str, str]) -> None:
    """401 names the way to show one, on loopback too once there are tokens."""
    answer = await asked(guarded, way)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert (await asked(guarded, way, bearer(b"read-secret", b"Basic"))).status == 401
    assert guarded.stored() == []


async def test_schemes_know_no_case(guarded: Role) -> None:
    """`bearer` is as good (RFC 9110 §11.1)."""
    assert (await asked(guarded, READ, bearer(b"read-secret", b"bearer"))).status == 200


async def test_signs_of_life_need_no_token(guarded: Role) -> None:
    """A balancer has none, and learns nothing but that."""
    for path in ("/healthz", "/readyz"):
        assert (await asked(guarded, ("GET", path))).status == 200


async def test_a_token_is_worth_the_same_under_any_name(guarded: Role) -> None:
    """Who shows one has proved enough, whatever name he calls us by."""
    answer = await asked(guarded, READ, bearer(b"read-secret"), host=b"archive.example.org")
    assert answer.status == 200


OURS = [b"127.0.0.1", b"127.0.0.1:8081", b"localhost", b"LOCALHOST:1", b"[::1]", b"[::1]:8081"]
FOREIGN = [b"evil.example", b"localhost.evil.example", b"127.0.0.1.evil.example", b"", b"[", b"a b"]
FOREIGN += [b"127.0.0.1:99999", b"localhost:port", b"\xe9", b"[::2]", b"0.0.0.0", b"127.0.0.1:-1"]


@pytest.mark.parametrize("host", OURS)
async def test_on_loopback_anybody_may_ask(unguarded: Role, host: bytes) -> None:
    """Without tokens, whoever is on this machine reads and writes."""
    assert (await asked(unguarded, READ, host=host)).status == 200
    assert (await asked(unguarded, WRITE, host=host)).status == 202


@pytest.mark.parametrize("host", FOREIGN)
async def test_on_loopback_no_page_may_speak_for_us(unguarded: Role, host: bytes) -> None:
    """A browser that was led here by a foreign name (DNS rebinding) says so in Host: 403."""
    assert (await asked(unguarded, READ, host=host)).status == 403
    assert (await asked(unguarded, WRITE, host=host)).status == 403
    assert (await asked(unguarded, OPEN, host=host)).status == 200
    assert unguarded.stored() == []


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "example.org", ""])
def test_a_listener_that_others_can_reach_needs_tokens(host: str) -> None:
    """Refused at the start, with what to type; with any token it may stand anywhere."""
    with pytest.raises(ConfigError, match=r"add \[tokens\.NAME\]"):
        require_tokens(host, {})
    require_tokens(host, {"reader": Token(sha256=digest(b"read-secret"))})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_listener_on_loopback_needs_none(host: str) -> None:
    """Nobody else can reach it."""
    require_tokens(host, {})


PAGES = {
    "another's page": (b"Origin", b"https://evil.example"),
    "one of another port": (b"Origin", b"http://127.0.0.1:9"),
    "one of nobody's": (b"Origin", b"null"),
    "what a browser says of it": (b"Sec-Fetch-Site", b"cross-site"),
    "a neighbour's": (b"Sec-Fetch-Site", b"same-site"),
}


@pytest.mark.parametrize("header", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("way", [WORK, SEND, WRITE])
async def test_pages_of_others_change_nothing(
    unguarded: Role, way: tuple[str, str], header: tuple[bytes, bytes]
) -> None:
    """A browser sends them from the operator's own machine, without asking first."""
    assert (await asked(unguarded, way, header)).status == 403
    assert unguarded.stored() == []


async def test_our_own_pages_may(unguarded: Role) -> None:
    """And a link from elsewhere may lead here, for it changes nothing."""
    host = b"127.0.0.1:%d" % unguarded.port
    ours = (b"Origin", b"http://" + host), (b"Sec-Fetch-Site", b"same-origin")
    assert (await asked(unguarded, WORK, *ours, host=host)).status == 204
    led = (b"Sec-Fetch-Mode", b"navigate"), (b"Sec-Fetch-Dest", b"document")
    strange = (b"Sec-Fetch-Site", b"cross-site")
    assert (await asked(unguarded, READ, strange, *led)).status == 200


@pytest.mark.parametrize("dest", [b"image", b"iframe", b"empty"])
async def test_pages_of_others_show_nothing_of_ours(unguarded: Role, dest: bytes) -> None:
    """Nor do they find out by it which pictures there are."""
    mode = b"navigate" if dest == b"iframe" else b"no-cors"
    said = (b"Sec-Fetch-Mode", mode), (b"Sec-Fetch-Dest", dest), (b"Sec-Fetch-Site", b"cross-site")
    answer = await asked(unguarded, READ, *said)
    assert answer.status == 403
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"
