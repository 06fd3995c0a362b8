"""Logging in: who may look at pages with a browser, and what their pass is not good for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType

import pytest
from aiohttp import ClientSession, DummyCookieJar

from archiver.catalog.schema import migrate
from receiver.passes import LIFETIME, Passes
from receiver.settings import Token
from tests.archiver.disks import everything_on_disk
from tests.receiver.roles_in_process import Role, serving

TOKENS = {
    name: {"sha256": sha256(f"{name}-secret".encode()).hexdigest(), "scopes": scopes}
    for name, scopes in {"reader": ["read"], "writer": ["write"], "chief": ["admin"]}.items()
}
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What a browser would be answered."""

    status: int
    headers: Mapping[str, str]
    body: str
    cookies: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Visitor:
    """A browser, as far as it says what it is."""

    role: Role
    session: ClientSession

    async def ask(
        self, method: str, path: str, form: Mapping[str, str] | bytes | None = None, **headers: str
    ) -> Said:
        """One request; `Sec_Fetch_Site` is `Sec-Fetch-Site`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, path, data=form, headers={**BROWSER, **named}, allow_redirects=False
        ) as answer:
            return Said(
                status=answer.status,
                headers=answer.headers,
                body=await answer.text(),
                cookies=answer.headers.getall("Set-Cookie", []),
            )

    async def enter(self, name: str = "reader", **form: str) -> str:
        """Logs in; the cookie that a browser would send from then on."""
        said = await self.ask("POST", "/login", {"token": f"{name}-secret", **form})
        assert said.status == 303
        return said.cookies[0].partition(";")[0]


@asynccontextmanager
async def visiting(folder: Path, **tables: object) -> AsyncIterator[Visitor]:
    """The private listener over an empty archive."""
    migrate(folder / "catalog.db")
    async with (
        serving(folder, **tables) as role,
        ClientSession(role.url, cookie_jar=DummyCookieJar()) as session,
    ):
        yield Visitor(role=role, session=session)


@pytest.fixture
async def visitor(tmp_path: Path) -> AsyncIterator[Visitor]:
    """Where there are tokens."""
    async with visiting(tmp_path, tokens=TOKENS) as one:
        yield one


async def test_a_page_leads_to_the_form_and_back(visitor: Visitor) -> None:
    """Whoever has no pass is asked for a token, and then sees what was asked for."""
    sent = await visitor.ask("GET", "/?q=fox+snow")
    assert (sent.status, sent.headers["Location"]) == (302, "/login?next=/?q%3Dfox%2Bsnow")
    form = await visitor.ask("GET", sent.headers["Location"])
    assert (form.status, 'value="/?q=fox+snow"' in form.body) == (200, True)
    said = await visitor.ask(
        "POST", "/login", {"token": " reader-secret\n", "next": "/?q=fox+snow"}
    )
    assert (said.status, said.headers["Location"]) == (303, "/?q=fox+snow")
    cookie = said.cookies[0].partition(";")[0]
    shown = await visitor.ask("GET", "/?q=fox+snow", Cookie=cookie)
    assert (shown.status, "Log out" in shown.body) == (200, True)
    assert (await visitor.ask("HEAD", "/", Cookie=cookie)).status == 200


async def test_a_pass_is_kept_from_scripts_and_others(visitor: Visitor) -> None:
    """And where the browser spoke TLS, from every wire without; the token is nowhere."""
    for origin, secure in (("http", False), ("https", True)):
        host = visitor.role.url.partition("://")[2]
        said = await visitor.ask(
            "POST", "/login", {"token": "reader-secret"}, Origin=f"{origin}://{host}"
        )
        _, *marks = said.cookies[0].split("; ")
        assert {"HttpOnly", "Path=/", "SameSite=Strict"} <= set(marks)
        assert ("Secure" in marks) is secure
        assert "reader" not in said.cookies[0]
    assert b"reader-secret" not in everything_on_disk(visitor.role.inbox)


@pytest.mark.parametrize(
    ("token", "status", "why"),
    [
        ("", 401, "There is no such token."),
        ("wrong", 401, "There is no such token."),
        (TOKENS["reader"]["sha256"], 401, "There is no such token."),
        ("writer-secret", 403, "This token lacks the scope read."),
    ],
)
async def test_a_token_that_does_not_do_is_told(
    visitor: Visitor, token: str, status: int, why: str
) -> None:
    """In the form, which keeps where to go, and not what was typed."""
    said = await visitor.ask("POST", "/login", {"token": token, "next": "/assets/7"})
    assert (said.status, why in said.body, said.cookies) == (status, True, [])
    assert 'value="/assets/7"' in said.body
    assert not token or token not in said.body


ELSEWHERE = ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "x"]


@pytest.mark.parametrize("leads_to", [*ELSEWHERE, "", "javascript:alert(1)", "/\r\nX: y", "/é"])
async def test_nobody_is_led_elsewhere(visitor: Visitor, leads_to: str) -> None:
    """What is no path of ours leads to the first page."""
    said = await visitor.ask("POST", "/login", {"token": "reader-secret", "next": leads_to})
    assert (said.status, said.headers["Location"]) == (303, "/")


WRITES = [
    ("PUT", "/api/v1/generations/doitong/abc"),
    ("POST", "/api/v1/jobs/claim"),
    ("GET", "/api/v1/jobs/7/pictures/blobs/a?fence=1"),
    ("DELETE", "/"),
]


@pytest.mark.parametrize("name", ["reader", "chief"])
async def test_a_pass_opens_reading_only(visitor: Visitor, name: str) -> None:
    """Whatever its token may: a browser could be made to send it."""
    cookie = await visitor.enter(name)
    assert (await visitor.ask("GET", "/api/v1/assets", Cookie=cookie)).status == 200
    for method, path in WRITES:
        assert (await visitor.ask(method, path, Cookie=cookie)).status == 401, path
    assert visitor.role.stored() == []


async def test_a_token_is_judged_before_a_pass(visitor: Visitor) -> None:
    """Who shows a wrong one is not let in by a cookie."""
    cookie = await visitor.enter()
    wrong = await visitor.ask("GET", "/api/v1/assets", Cookie=cookie, Authorization="Bearer wrong")
    assert wrong.status == 401


async def test_the_api_is_not_led_to_a_form(visitor: Visitor) -> None:
    """Whatever it accepts; nor is who asks for no page."""
    for path, accepts in (("/api/v1/assets", BROWSER["Accept"]), ("/", "*/*"), ("/metrics", "")):
        said = await visitor.ask("GET", path, Accept=accepts)
        assert (said.status, said.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert said.headers["Content-Type"].startswith("application/problem+json")


async def test_a_part_of_a_page_asks_for_the_whole_again(visitor: Visitor) -> None:
    """A form in the place of a thumbnail would be of no use."""
    said = await visitor.ask("GET", "/parts/cells", HX_Request="true")
    assert (said.status, said.headers["HX-Refresh"]) == (401, "true")


@pytest.mark.parametrize("path", ["/login", "/logout"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_pages_of_others_log_nobody_in_or_out(
    visitor: Visitor, path: str, headers: dict[str, str]
) -> None:
    """403, and no cookie is changed."""
    said = await visitor.ask("POST", path, {"token": "reader-secret"}, **headers)
    assert (said.status, said.cookies) == (403, [])


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/x-www-form-urlencoded; charset=punycode", b"a*150000-a*150", 401),
        ("application/x-www-form-urlencoded; charset=nonsense", b"token=%ff\xff", 401),
        ("application/x-www-form-urlencoded", b"token=" + b"x" * 20_000, 413),
        ("application/x-www-form-urlencoded", b"a=1&" * 9, 400),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--", 415),
        ("text/plain", b"token=reader-secret", 415),
    ],
)
async def test_what_no_form_sends_is_refused(
    visitor: Visitor, content_type: str, body: bytes, status: int
) -> None:
    """Cheaply, and never as a bug: anybody may send it."""
    said = await visitor.ask("POST", "/login", body, Content_Type=content_type)
    assert said.status == status


async def test_a_pass_shows_nothing_in_pages_of_others(visitor: Visitor) -> None:
    """Not even those of a neighbour, to whom browsers send the cookie as well."""
    cookie = await visitor.enter()
    for path in ("/api/v1/assets", "/"):
        strange = {"Cookie": cookie, "Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"}
        assert (await visitor.ask("GET", path, **strange)).status == 403
        led = {**strange, "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
        assert (await visitor.ask("GET", path, **led)).status == 200


async def test_logging_out_takes_the_pass_away(visitor: Visitor) -> None:
    """And all that the browser has kept; it leads to the form."""
    said = await visitor.ask("POST", "/logout", {}, Cookie=await visitor.enter())
    assert (said.status, said.headers["Location"]) == (303, "/login")
    assert "Max-Age=0" in said.cookies[0]
    assert said.headers["Clear-Site-Data"] == '"cache", "storage"'


async def test_a_link_from_elsewhere_is_tried_again_by_our_own_page(visitor: Visitor) -> None:
    """A browser keeps the pass back from it, and gives it when our page asks for itself."""
    said = await visitor.ask("GET", "/assets/7", Sec_Fetch_Site="cross-site")
    assert (said.status, said.headers["Refresh"]) == (401, "0")
    again = await visitor.ask("GET", "/assets/7", Sec_Fetch_Site="same-origin")
    assert again.status == 302


async def test_static_files_and_the_form_need_no_pass(visitor: Visitor) -> None:
    """The form would be bare without; of the archive nothing is in them."""
    form = await visitor.ask("GET", "/login")
    address = form.body.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert (await visitor.ask("GET", address)).status == 200
    assert (await visitor.ask("GET", "/static/../api/v1/assets")).status == 401


async def test_a_refusal_is_a_page_too(visitor: Visitor) -> None:
    """For a browser whose token may not read."""
    said = await visitor.ask("GET", "/", Authorization="Bearer writer-secret")
    assert (said.status, "lacks the scope read" in said.body) == (403, True)
    assert said.headers["Content-Type"].startswith("text/html")


async def test_without_tokens_there_is_nothing_to_log_in_to(tmp_path: Path) -> None:
    """Pages are shown, and neither form nor button is there."""
    async with visiting(tmp_path) as visitor:
        shown = await visitor.ask("GET", "/")
        assert (shown.status, "Log out" in shown.body) == (200, False)
        assert (await visitor.ask("GET", "/login")).status == 404


class TestPasses:
    """What a pass proves."""

    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    tokens = MappingProxyType(
        {name: Token(sha256=TOKENS[name]["sha256"]) for name in ("reader", "chief")}
    )

    def passes(
        self, key: bytes = b"key", later: timedelta = timedelta(), **tokens: Token
    ) -> Passes:
        """As they are told then, of these tokens."""
        return Passes(key, tokens or self.tokens, now=lambda: self.now + later)

    def test_a_pass_is_of_the_token_it_was_made_of(self) -> None:
        """And of no other."""
        for token in self.tokens.values():
            assert self.passes().token_of(self.passes().issue(token)) is token

    def test_a_pass_ends(self) -> None:
        """After its lifetime, and at once with its token or with the archive's key."""
        shown = self.passes().issue(self.tokens["reader"])
        last = LIFETIME - timedelta(seconds=1)
        assert self.passes(later=last).token_of(shown)
        assert self.passes(later=LIFETIME).token_of(shown) is None
        assert self.passes(chief=self.tokens["chief"]).token_of(shown) is None
        assert self.passes(b"another").token_of(shown) is None

    def test_nobody_lengthens_a_pass(self) -> None:
        """Every character of it is proved."""
        shown = self.passes().issue(self.tokens["reader"])
        until, _, mac = shown.partition(".")
        changed = "0" if mac[-1] != "0" else "1"
        for forged in (
            f"{int(until) + 1}.{mac}", f"{until}.{mac[:-1]}{changed}", f"0{shown}", f"{shown} ",
            until, mac, "", f"{until}.", f"²{shown}", f"{'9' * 400}.{mac}",
        ):  # fmt: skip
            assert self.passes().token_of(forged) is None
