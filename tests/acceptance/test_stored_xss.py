"""Words of strangers in a real browser: on no page, in no answer, does any of them run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
import pytest_asyncio
from jinja2 import Environment
from playwright.async_api import Browser, Page, Request

from archiver.web import rendering
from tests.acceptance.chromium import chromium
from tests.acceptance.markup import CANARY, GROUPS, LED, MARKUP, SAID_BY, field_count, fill, texts
from tests.receiver.roles_in_process import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What no page of ours has in it.
STRANGE = """() => [...document.querySelectorAll("*")].filter((it) =>
  ["IFRAME", "OBJECT", "EMBED", "BASE", "MATH", "SVG", "STYLE"].includes(it.tagName.toUpperCase())
  || (it.tagName === "SCRIPT" && !it.src.startsWith(`${location.origin}/static/`))
  || (it.tagName === "META" && it.httpEquiv === "refresh")
  || (it.href && new URL(it.href).origin !== location.origin)
  || [...it.attributes].some(({ name }) => name.startsWith("on") || name === "style"
     || name === "srcdoc" || name.startsWith("hx-on"))
).map((it) => it.outerHTML.slice(0, 100))"""


@dataclass(kw_only=True, slots=True)
class Seen:
    """What came of looking at pages: what ran or led elsewhere, what the policy stopped, and what
    is not of ours."""

    pages: int = 0
    ran: list[str] = field(default_factory=list)
    led: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    words: str = ""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests."""
    async with chromium() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of nothing but attacks."""
    path = tmp_path_factory.mktemp("markup")
    await fill(path)
    return path


async def look(browser: Browser, url: str, paths: Iterable[str]) -> Seen:
    """Somebody who opens these pages, one after the other."""
    seen = Seen()
    context = await browser.new_context(base_url=url)
    page = await context.new_page()

    def asked(request: Request) -> None:
        told = urlsplit(request.url)
        foreign = told.netloc != urlsplit(url).netloc and told.scheme in ("http", "https")
        if told.path == CANARY:
            seen.ran.append(page.url)
        if foreign or told.path == LED:
            seen.led.append(f"{page.url}: {request.url}")

    def said(text: str) -> None:
        if "Content Security Policy" in text:
            seen.stopped.append(f"{page.url}: {text}")

    page.on("request", asked)
    page.on("console", lambda told: said(told.text))
    page.on("dialog", lambda told: asyncio.ensure_future(told.dismiss()))
    for path in paths:
        await page.goto(path, wait_until="load")
        if path == "/":
            await come_and_go(page)
        seen.pages += 1
        seen.strange += await page.evaluate(STRANGE)
        seen.words += await page.evaluate("document.body.innerText")
    await context.close()
    return seen


async def come_and_go(page: Page) -> None:
    """All that comes later, and the grid as it is put together again by Back."""
    await page.wait_for_selector("#facets h2", timeout=10_000, state="attached")
    await page.locator("#grid a[data-number]").first.click()
    await page.go_back()
    await page.wait_for_selector("#grid a[data-number]", state="attached")


def everywhere() -> list[str]:
    """Every page, with strangers' words in the archive and in the address."""
    slots = [f"/assets/{number}?similar=1" for number in range(1, 2 * len(GROUPS) + 3)]
    queries = [f"{asked}{markup}" for asked in ("steps:", "porvider:x ") for markup in GROUPS[:2]]
    typed = [f"/?{urlencode({'q': query})}" for query in queries]
    led = [f"/assets/1?{urlencode({'q': markup})}" for markup in GROUPS[:2]]
    wrong = [f"/{quote(MARKUP[0], safe='')}", f"/?cursor={quote(MARKUP[2])}"]
    parts = ["/parts/cells", "/?facets=1", "/api/v1/assets", "/api/v1/assets/1"]
    return ["/", *parts, *slots, *typed, *led, *wrong]


async def test_nothing_that_strangers_say_runs(
    browser: Browser, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every text of a provider's, on every page there is, is shown as what it is."""
    async with serving(folder) as role:
        seen = await look(browser, role.url, everywhere())
    assert (seen.ran, seen.led) == ([], [])
    assert seen.stopped == []  # the policy is for what should have been words before
    assert seen.strange == []
    names = {name for kind in SAID_BY for name in texts(kind, "")} - {"code", "loras", "vae"}
    assert [name for name in names if f"{name} {MARKUP[0]}" not in seen.words] == []
    dose = f"{field_count()} fields × {len(MARKUP)} markups, {seen.pages} pages in Chromium"
    record_property("dose", dose)
    record_property("result", "0 ran, 0 reached the policy")


def unescaping(**said: Any) -> Environment:
    """The templates, as if they took words for markup."""
    return Environment(**{**said, "autoescape": False})


@pytest.mark.torture
@pytest.mark.parametrize("with_policy", [True, False])
async def test_without_escaping_it_would(
    browser: Browser,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
    with_policy: bool,
) -> None:
    """With the policy no script runs, and it is seen that one would; without it all do."""
    monkeypatch.setattr(rendering, "Environment", unescaping)
    monkeypatch.setattr(rendering, "_environment", rendering._environment.__wrapped__)
    if not with_policy:
        monkeypatch.setattr(rendering, "_POLICY", "")
    paths = [f"/assets/{number}" for number in (1, 2, 3, 4)]
    async with serving(folder) as role:
        seen = await look(browser, role.url, paths)
    assert seen.strange
    assert bool(seen.stopped) is with_policy
    assert bool(seen.ran) is not with_policy
    if with_policy:
        record_property("control", f"unescaped: the policy stops {len(seen.stopped)}, 0 run")
    else:
        record_property("control", f"and without it {len(seen.ran)} run")
