"""Links and forms of others in a real browser: nobody is led elsewhere, and nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Error, Page

from archiver.catalog.schema import migrate
from archiver.web import rendering
from receiver import login
from tests.acceptance.chromium import chromium
from tests.acceptance.watched import watching
from tests.receiver.roles_in_process import serving
from tests.receiver.test_routes import SECRETS, TOKENS

pytestmark = [pytest.mark.torture, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests."""
    async with chromium() as one:
        yield one


ELSEWHERE = [
    "//evil.example", "/\\evil.example", "/\t/evil.example", "https:evil.example",
    "/%09/evil.example", "/%5cevil.example", "/..//evil.example", "/.//evil.example",
    "javascript:fetch('/canary')", "//evil.example\\@127.0.0.1",
]  # fmt: skip


async def log_in(page: Page, name: str, form: str = "/login") -> None:
    """Types the token of that name into the form."""
    await page.goto(form)
    await page.fill("input[type=password]", SECRETS[name])
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda url: "/login" not in url)


async def test_nobody_is_led_elsewhere_by_logging_in(
    browser: Browser, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whatever a link to the form says where to go on: a browser stays with us."""
    migrate(tmp_path / "catalog.db")
    async with serving(tmp_path, tokens=TOKENS) as role, watching(browser, role.url) as watched:
        for leads_to in ELSEWHERE:
            await watched.page.context.clear_cookies()
            await log_in(watched.page, "read", f"/login?{urlencode({'next': leads_to})}")
            assert watched.page.url.startswith(f"{role.url}/"), leads_to
        assert watched.hosts == {urlsplit(role.url).netloc}
        assert watched.ran == []
    record_property("result", f"{len(ELSEWHERE)} ways out of the form: 0 lead elsewhere")


async def test_without_a_look_at_where_it_leads_one_would_be(
    browser: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """To whatever host a link names, once the policy does not keep forms with us either."""
    monkeypatch.setattr(login, "_local", lambda path: path)
    monkeypatch.setattr(rendering, "_POLICY", "")
    migrate(tmp_path / "catalog.db")
    async with serving(tmp_path, tokens=TOKENS) as role, watching(browser, role.url) as watched:
        stranger = f"localhost:{role.port}"  # which to a browser is another host
        await watched.page.goto(f"/login?{urlencode({'next': f'//{stranger}/healthz'})}")
        await watched.page.fill("input[type=password]", SECRETS["read"])
        async with watched.page.expect_request(f"http://{stranger}/healthz"):
            await watched.page.keyboard.press("Enter")
    record_property("control", "without a look at the path, and no policy, one is led there")


FORM = """(address) => {
  const form = document.createElement("form");
  form.method = "post"; form.action = address; form.enctype = "text/plain";
  form.innerHTML = `<input name='{"prompt":"' value='"}'>`;
  document.body.append(form);
  form.submit();
}"""


async def test_another_page_changes_nothing_with_our_pass(
    browser: Browser, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A page on another site posts its form, and fetches, with all that the browser has of ours."""
    migrate(tmp_path / "catalog.db")
    async with serving(tmp_path, tokens=TOKENS) as role, watching(browser, role.url) as watched:
        page, strange = watched.page, "http://localhost:9/"
        await log_in(page, "admin")
        await page.route(strange, lambda it: it.fulfill(body="", content_type="text/html"))
        for path in ("/logout", "/login", "/api/v1/jobs/claim", "/api/v1/assets"):
            await page.goto(strange)
            address = role.url + path
            async with page.expect_navigation(url=address) as told:
                await page.evaluate(FORM, address)
            answer = await told.value
            assert answer is not None
            assert answer.status in (401, 403, 405)
        await page.goto(strange)
        with pytest.raises(Error, match="Failed to fetch"):
            await page.evaluate(
                "url => fetch(url, {method: 'PUT', body: '{}', credentials: 'include'})",
                f"{role.url}/api/v1/generations/doitong/abc",
            )
        assert role.stored() == []
        await page.goto(f"{role.url}/")
        assert "/login" not in page.url  # still logged in
    record_property("result", "5 requests of another page: 0 did anything")
