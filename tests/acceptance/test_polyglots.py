"""Pictures that are something else besides, in a real browser: they are shown, and never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from archiver.errors import FetchError
from archiver.models import Fault
from tests.acceptance.chromium import chromium
from tests.acceptance.markup import CANARY
from tests.acceptance.watched import watching
from tests.archiver.filled import filling
from tests.archiver.media_bodies import FTYP, GIF, JPEG, MP4, box, drawn, png_chunk
from tests.receiver.roles_in_process import serving

pytestmark = [pytest.mark.torture, pytest.mark.asyncio(loop_scope="session")]

RUN = f"fetch('{CANARY}')"
PAGE = f"<!doctype html><script>{RUN}</script>".encode()
PNG = drawn("PNG")
IHDR_END = 33

KEPT = {
    "a PNG before a page": PNG + PAGE,
    "a PNG with a page in its text": (
        PNG[:IHDR_END] + png_chunk(b"tEXt", b"Comment\0" + PAGE) + PNG[IHDR_END:]
    ),
    "a JPEG with a page in its comment": (
        JPEG[:2] + b"\xff\xfe" + (len(PAGE) + 2).to_bytes(2) + PAGE + JPEG[2:]
    ),
    "a GIF that is a script": GIF[:6] + b"/*" + GIF[8:] + b"*/=1;" + RUN.encode(),
    "a GIF before an archive": GIF + b"PK\x03\x04" + PAGE,
    "a film with a page in it": FTYP + box(b"free", PAGE) + MP4[len(FTYP) :],
}
REFUSED = {
    "a drawing with a script": f'<svg xmlns="http://www.w3.org/2000/svg" onload="{RUN}"/>'.encode(),
    "the same behind a declaration": b"<?xml version='1.0'?><svg onload='x'/>",
    "a page": PAGE,
    "a page behind blanks": b"\xef\xbb\xbf\r\n" + PAGE,
    "a document": b"%PDF-1.7 /OpenAction << /JS (app.alert) >>",
    "an archive": b"PK\x03\x04" + PAGE,
    "a page that says GIF": b"GIF89a" + PAGE,
    "a page that says JPEG": b"\xff\xd8\xff" + PAGE,
}
# As a page that has been taken over would use what is archived: it runs whatever is a script.
USED = """(address) => Promise.all(["script", "iframe", "object", "embed", "link"].map((tag) =>
  new Promise((done) => {
    const used = document.createElement(tag);
    used.onload = used.onerror = done;
    if (tag === "link") used.rel = "stylesheet";
    used[{ object: "data", link: "href" }[tag] ?? "src"] = address;
    document.body.append(used);
    setTimeout(done, 150);
  })))"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One for all tests."""
    async with chromium() as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of what is kept of them, in their order."""
    path = tmp_path_factory.mktemp("polyglots")
    async with filling(path) as archive:
        for name, body in KEPT.items():
            await archive.hear(name, f"*/={RUN}//")
            await archive.save(name, body)
    return path


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
async def test_what_a_browser_would_run_is_never_kept(tmp_path: Path, body: bytes) -> None:
    """Whatever a provider calls it: by its own bytes it is no picture."""
    async with filling(tmp_path) as archive:
        await archive.hear("one", "a fox")
        with pytest.raises(FetchError) as refused:
            await archive.save("one", body)
    assert refused.value.fault in (Fault.NOT_MEDIA, Fault.SHORT, Fault.TOO_LARGE)


async def test_a_picture_is_a_picture_wherever_it_is_put(
    browser: Browser, folder: Path, record_property: Callable[[str, object], None]
) -> None:
    """Opened by itself, as a script, a style, a frame or an object of our own page: nothing runs,
    nor does what the archive says of it."""
    addresses = [f"/api/v1/assets/{number}/content" for number in range(1, len(KEPT) + 1)]
    said = ["/api/v1/assets", "/api/v1/assets/1", "/openapi.json"]
    exports = [f"/api/v1/export?format={form}" for form in ("csv", "ndjson")]
    async with serving(folder) as role, watching(browser, role.url) as watched:
        for address in (*addresses, *said):
            response = await watched.page.goto(address)
            assert response is not None
            assert response.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'; sandbox" in response.headers["content-security-policy"]
        await watched.page.goto("/")
        for address in (*addresses, *said, *exports):
            await watched.page.evaluate(USED, address)
        assert watched.ran == []
    dose = f"{len(KEPT)} polyglots kept and {len(REFUSED)} refused, 6 ways each"
    record_property("dose", dose)
    record_property("result", "0 ran")


@pytest.mark.parametrize(
    ("place", "media_type"), [(1, "text/html"), (3, "text/html"), (4, "text/plain")]
)
async def test_without_what_we_say_of_it_it_would_run(
    browser: Browser,
    folder: Path,
    record_property: Callable[[str, object], None],
    place: int,
    media_type: str,
) -> None:
    """The same bytes, as a server would give them that goes by what it was told."""
    address, body = f"/api/v1/assets/{place}/content", [*KEPT.values()][place - 1]
    async with serving(folder) as role, watching(browser, role.url) as watched:
        await watched.page.route(
            f"**{address}", lambda it: it.fulfill(body=body, content_type=media_type)
        )
        await watched.page.goto("/")
        async with watched.page.expect_request(f"**{CANARY}"):
            if media_type == "text/html":
                await watched.page.goto(address, wait_until="commit")
            else:
                await watched.page.evaluate(USED, address)
        assert watched.ran
    record_property("control", f"as {media_type} it runs")
