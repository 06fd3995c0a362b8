"""The gallery in a real browser: with keys and without scripts, by day and night, on a phone."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from archiver.blobs.opening import open_blob_store
from archiver.catalog.schema import migrate
from archiver.models import Failure, FailureClass, GenerationState, Rendering
from tests.acceptance.chromium import PHONE, Visit, chromium, shot
from tests.archiver.moto_server import make_bucket, serve_moto
from tests.archiver.web.pictures import FILM, SIZES, Told, fill
from tests.receiver.roles_in_process import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT = 125
LONG = "\n".join(["A lighthouse in a storm, oil on canvas, waves breaking on black rocks."] * 145)
PROMPTS = [
    "A lighthouse in a storm, oil on canvas, dramatic light",
    "cyberpunk 少女 in neon rain, cinematic lighting, masterpiece",
    "雨夜的街道，霓虹灯倒映在水面上，电影光效",
    "A red fox curled up in fresh snow, golden hour",
    "แมวน้ำในเมืองกลางคืน แสงสี",
    "قلعة قديمة فوق تلة خضراء عند الغروب",
    "</a><script>alert('tea & biscuits')</script><img src=x onerror=alert(1)>",
    "portrait of an old sailor, deep wrinkles, film grain",
]
LOST = {"state": GenerationState.FAILED, "slots": ()}
DRAWN = Rendering(
    drawn_with="stabilityai/sdxl@46216598",
    software="diffusers 0.42.1",
    device="cpu",
    seed=42,
    notes=("the weights are a substitute for flux-pro",),
)
# By archive number.
ODD = {
    3: Told(prompt=LONG, params={"negative_prompt": "blurry"}, said={"service": "flux-pro"}),
    COUNT - 2: Told(prompt="a running horse", body=(FILM, "video/mp4"), preview=None),
    COUNT - 5: Told(prompt="a drawn fox", rendering=DRAWN, said=LOST),
    COUNT - 7: Told(
        prompt="something moderated",
        size=None,
        said={**LOST, "failure": Failure(failure_class=FailureClass.POLICY, message="policy")},
    ),
    COUNT - 9: Told(prompt="drawn, and flagged", rendering=DRAWN, said=LOST, preview=None),
}
TOKEN = {"sha256": sha256(b"read-secret").hexdigest(), "scopes": ["read"]}


def stories() -> Iterator[Told]:
    """Pictures of all shapes, and a few that are none."""
    for number in range(1, COUNT + 1):
        wide, high = SIZES[number % len(SIZES)]
        yield ODD.get(number) or Told(
            prompt=PROMPTS[number % len(PROMPTS)],
            provider=("doitong", "modelslab", "dashscope")[number % 3],
            params={"model": "sdxl", "steps": 28, "seed": number},
            size=(wide * 120 // high, 120),
        )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests."""
    async with chromium() as one:
        yield one


@dataclass(frozen=True, kw_only=True, slots=True)
class Sites:
    """An archive, one that is empty, and one that wants a token."""

    full: str
    empty: str
    guarded: str
    bucket: Path


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sites(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sites]:
    """Served by the role `web`, as ever."""
    full, empty, guarded = map(tmp_path_factory.mktemp, ("full", "empty", "guarded"))
    await fill(full, stories())
    await fill(guarded, [Told(prompt="a red fox")])
    migrate(empty / "catalog.db")
    async with (
        serving(full) as one,
        serving(empty) as two,
        serving(guarded, tokens={"reader": TOKEN}) as three,
    ):
        yield Sites(full=one.url, empty=two.url, guarded=three.url, bucket=full / "bucket")


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, sites: Sites) -> AsyncIterator[Visit]:
    """Somebody who looks at the full archive; nothing may go wrong in the browser meanwhile."""
    one = Visit(browser=browser, url=sites.full)
    yield one
    await one.end()
    assert one.wrong == []


async def numbers(page: Page) -> list[int]:
    """Of the pictures in the grid, in its order."""
    found = "all => all.map(it => Number(it.dataset.number))"
    return list(await page.eval_on_selector_all("#grid a[data-number]", found))


async def focused(page: Page) -> int:
    """The number of the picture that has the focus."""
    return int(await page.evaluate("document.activeElement.dataset.number ?? 0"))


async def scroll_down(page: Page, *, until: int = 0) -> None:
    """As somebody does who looks at all down to that picture, and no faster than it comes."""
    there = """() => {
      const more = document.querySelector("li.more");
      return !more || more.getBoundingClientRect().top - innerHeight > 2000;
    }"""
    while await page.evaluate("scrollY + innerHeight < document.body.scrollHeight - 5"):
        await page.wait_for_function(there)
        if until in await numbers(page):
            return
        await page.evaluate("scrollBy(0, 1500)")


async def test_scrolling_brings_everything(visit: Visit) -> None:
    """Each picture once, newest first, and nothing jumps."""
    page = await visit.page()
    await expect(page.locator("#count")).to_have_text(f"{COUNT} results")
    assert len(await numbers(page)) == 60
    await scroll_down(page)
    assert await numbers(page) == [*range(COUNT, 0, -1)]
    assert await page.evaluate("shifted") < 0.0002


@pytest.mark.parametrize("way", ["Back", "Escape"])
async def test_back_is_where_one_was(visit: Visit, way: str) -> None:
    """All that was loaded, the place, the picture that was looked at; and what comes after it."""
    page, number = await visit.page("/?q=-qwerty"), COUNT - 80
    await scroll_down(page, until=number)
    seen = page.locator(f'#grid a[data-number="{number}"]')
    await seen.scroll_into_view_if_needed()
    y, loaded = await page.evaluate("scrollY"), len(await numbers(page))
    assert (y > 1000, loaded > 60) == (True, True)
    await seen.click()
    await expect(page).to_have_url(re.compile(f"/assets/{number}"))
    await (page.go_back() if way == "Back" else page.keyboard.press("Escape"))
    await expect(page).to_have_url(re.compile("/[?]q=-qwerty$"))
    await page.wait_for_function(f"() => document.activeElement.dataset.number === '{number}'")
    assert len(await numbers(page)) >= loaded
    assert abs(await page.evaluate("scrollY") - y) < 5
    await expect(page.locator("#count")).to_have_text(f"{COUNT} results")
    await scroll_down(page)
    assert await numbers(page) == [*range(COUNT, 0, -1)]


async def test_keys_lead_through_the_grid(visit: Visit) -> None:
    """To the box and out of it, from picture to picture, in and back."""
    page = await visit.page()
    keys = page.keyboard
    await keys.press("/")
    await expect(page.locator("#q")).to_be_focused()
    await keys.type("? c /")
    await expect(page.locator("#q")).to_have_value("? c /")
    await keys.press("Escape")
    assert await focused(page) == COUNT
    await keys.press("ArrowRight")
    await keys.press("ArrowRight")
    await keys.press("ArrowLeft")
    assert await focused(page) == COUNT - 1
    above = await page.evaluate("document.activeElement.getBoundingClientRect().toJSON()")
    await keys.press("ArrowDown")
    below = await page.evaluate("document.activeElement.getBoundingClientRect().toJSON()")
    assert below["top"] >= above["bottom"]
    assert below["left"] < above["right"]
    assert below["right"] > above["left"]
    await page.evaluate("scrollTo(0, document.body.scrollHeight)")
    await expect(page.locator("#grid a[data-number]")).to_have_count(120)
    await expect(page.locator('#grid a[data-number]:not([tabindex="-1"])')).to_have_count(1)
    await shot(page, "grid-keys")
    await keys.press("ArrowUp")
    assert await focused(page) == COUNT - 1
    await keys.press("Tab")  # out of the grid, for one picture of it is in the order of tabs
    assert await focused(page) == 0
    await keys.press("Shift+Tab")
    await keys.press("Enter")
    await page.wait_for_url(f"**/assets/{COUNT - 1}")
    await keys.press("ArrowRight")
    await page.wait_for_url(f"**/assets/{COUNT - 2}")
    await keys.press("ArrowLeft")
    await page.wait_for_url(f"**/assets/{COUNT - 1}")
    await keys.press("Escape")
    await page.wait_for_url("**/")
    await page.wait_for_function(f"() => document.activeElement.dataset.number === '{COUNT - 1}'")


async def test_keys_are_told(visit: Visit) -> None:
    """By `?`, and by a button."""
    page = await visit.page()
    sheet = page.get_by_role("dialog", name="Keys")
    await page.keyboard.press("?")
    await expect(sheet).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(sheet).to_be_hidden()
    await page.get_by_role("button", name="Keys").click()
    await expect(sheet).to_be_visible()


async def test_what_is_copied_is_whole(visit: Visit) -> None:
    """The prompt with its line breaks, from either page; the request; the address."""
    allowed = {"permissions": ["clipboard-read", "clipboard-write"]}
    page = await visit.page("/?q=id:3", **allowed)

    async def copied(told: str) -> str:
        await expect(page.get_by_role("status")).to_have_text(told)
        return str(await page.evaluate("navigator.clipboard.readText()"))

    await page.locator('#grid a[data-number="3"]').focus()
    await page.keyboard.press("c")
    assert await copied("Prompt copied") == LONG
    await page.goto("/assets/3?q=fox")
    await page.get_by_role("button", name="Copy request").click()
    request = json.loads(await copied("Request copied"))
    assert request["variables"]["input"]["input"] == {"text": LONG}
    await page.get_by_role("button", name="Copy prompt").click()
    assert await copied("Prompt copied") == LONG
    await page.get_by_role("link", name="Permalink").click()
    assert await copied("Link copied") == f"{visit.url}/assets/3"


async def test_choices_and_the_box_work_with_scripts(visit: Visit) -> None:
    """What came later leads on as if it had been there."""
    page = await visit.page("/?q=fox")
    await page.get_by_role("link", name="modelslab").click()
    await expect(page.locator("#q")).to_have_value("fox provider:modelslab")
    await page.get_by_role("link", name="modelslab").click()
    await expect(page.locator("#q")).to_have_value("fox")
    await page.fill("#q", "fox steps:many")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("steps: takes a number")
    await expect(page.locator("#q")).to_be_focused()
    assert await page.evaluate("document.activeElement.selectionStart") == 10


async def test_similar_pictures_come_by_themselves(visit: Visit) -> None:
    """Below the picture, and each leads on."""
    page = await visit.page("/assets/14")
    await page.locator(".similar").scroll_into_view_if_needed()
    await expect(page.locator(".similar a[data-number]")).to_have_count(3)
    await page.locator(".similar a[data-number]").first.click()
    await page.wait_for_url(re.compile("/assets/1[356]$"))


async def test_everything_works_without_scripts(visit: Visit) -> None:
    """Older pages, counts, choices, one picture and those like it."""
    page = await visit.page("/?q=-qwerty", java_script_enabled=False)
    await page.get_by_role("link", name="Older").click()
    await expect(page.locator("#grid a").first).to_have_attribute("data-number", f"{COUNT - 60}")
    await page.get_by_role("link", name="To the first page").click()
    await page.get_by_role("link", name="Count and narrow down").click()
    await expect(page.locator("#count")).to_have_text(f"{COUNT} results")
    await page.get_by_role("link", name="dashscope").click()
    await expect(page.locator("#q")).to_have_value("-qwerty provider:dashscope")
    await page.get_by_text("How to search").click()
    await expect(page.get_by_text("a phrase;")).to_be_visible()
    await page.goto("/assets/14")
    await page.get_by_role("link", name="Look for them").click()
    await expect(page.locator(".similar a[data-number]")).to_have_count(3)
    await expect(page.get_by_role("button", name="Copy prompt")).to_be_hidden()


PAGES = {
    "grid": f"/?q=id:>{COUNT - 30}",
    "one": f"/assets/{COUNT}?q=fox",
    "drawn": f"/assets/{COUNT - 5}",
    "held": f"/assets/{COUNT - 7}",
    "long": "/assets/3",
    "mistake": "/?q=少女 steps:many",
    "missing": "/assets/999999",
}
# What differs by night are colours alone.
BY_NIGHT = ("grid", "one", "held", "mistake", "login")
CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_pages_can_be_read_by_everybody(visit: Visit, sites: Sites, theme: str) -> None:
    """axe finds nothing against WCAG A and AA, whatever the page and the theme."""
    page = await visit.page("/healthz", color_scheme=theme)
    paths = {**PAGES, "empty": f"{sites.empty}/", "login": f"{sites.guarded}/login"}
    for name in paths if theme == "light" else BY_NIGHT:
        await page.goto(paths[name])
        await shot(page, f"{name}-{theme}", whole=True)
        if name == "grid":
            await page.get_by_text("How to search").click()
            await page.locator("#grid a").first.focus()
        found = await Axe().run(page, options=CONTRAST if theme == "dark" else None)
        assert found.violations_count == 0, (name, found.generate_report())


async def test_a_phone_shows_all_of_it(visit: Visit) -> None:
    """No page is wider than it; the choices come up when asked for."""
    page = await visit.page(**PHONE)
    choice = page.get_by_role("link", name="modelslab")
    await expect(choice).to_be_hidden()
    await page.get_by_role("button", name="Narrow down").tap()
    await shot(page, "choices-phone")
    await choice.tap()
    await expect(page.locator("#q")).to_have_value("provider:modelslab")
    for name in ("grid", "long", "mistake", "drawn"):
        await page.goto(PAGES[name])
        await shot(page, f"{name}-phone")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


async def test_nothing_moves_by_itself(visit: Visit) -> None:
    """While thumbnails, choices and similar pictures come."""
    page = await visit.page()
    later = {"/": "#facets h2", "/assets/14": ".similar a", "/assets/3": "main", "/?q=is:": "main"}
    for path, last in later.items():
        await page.goto(path)
        await page.locator(last).first.scroll_into_view_if_needed()
        await page.evaluate("new Promise(requestAnimationFrame)")
        assert await page.evaluate("shifted") < 0.0002, path


async def test_a_thumbnail_that_fails_leaves_its_words(visit: Visit, sites: Sites) -> None:
    """In the same place and of the same size."""
    page = await visit.page("/?q=id:77")
    size = "Object.values(document.querySelector('.cell').getBoundingClientRect().toJSON())"
    as_it_was = await page.evaluate(size)
    await page.route("**/thumbnail?*", lambda route: route.fulfill(status=404))
    await page.reload()
    await expect(page.locator(".cell.failed")).to_have_count(1)
    assert await page.evaluate(size) == as_it_was
    await shot(page, "failed")
    [gone] = visit.wrong
    assert gone.startswith("404")
    visit.wrong.clear()


async def test_a_token_opens_the_gallery(browser: Browser, sites: Sites) -> None:
    """Asked for once, wherever one wants to go, also by a link from elsewhere; and left again."""
    one = Visit(browser=browser, url=sites.guarded)
    page = await one.page("/assets/1?q=fox")
    await page.fill("input[type=password]", "wrong")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("There is no such token.")
    await page.fill("input[type=password]", "read-secret")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/assets/1?q=fox")
    await page.wait_for_function("() => document.querySelector('img.full').naturalWidth === 480")
    elsewhere = sites.empty.replace("127.0.0.1", "localhost")
    await page.goto(f"{elsewhere}/")
    await page.evaluate(f"location = '{sites.guarded}/assets/1'")
    await expect(page.locator("main.asset")).to_be_visible()
    await page.get_by_role("button", name="Log out").click()
    await page.wait_for_url("**/login")
    await page.goto("/")
    await expect(page).to_have_url(f"{sites.guarded}/login?next=/")
    assert one.wrong == []
    await one.end()


async def test_pictures_come_from_a_bucket_elsewhere(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A strict page shows what S3 gives: it names that origin, and no other."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SKTESTSECRET")
    with serve_moto() as endpoint:
        bucket = {"url": f"s3://{make_bucket(endpoint, 'pictures')}", "endpoint": endpoint}
        blobs = open_blob_store(bucket["url"], endpoint=endpoint, region="us-east-1")
        await fill(tmp_path, [Told(prompt="a red fox")], blobs)
        await blobs.close()
        async with serving(tmp_path, bucket={**bucket, "region": "us-east-1"}) as role:
            one = Visit(browser=browser, url=role.url)
            for path, width in (("/", 320), ("/assets/1", 480)):
                page = await one.page(path)
                shown = f"() => document.querySelector('img').naturalWidth === {width}"
                await page.wait_for_function(shown)
            assert one.wrong == []
            await one.end()
