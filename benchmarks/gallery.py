"""How long a browser takes to show the first page of a large archive, on this machine.

    python -m benchmarks.gallery [--pictures 100000] [--rounds 15] [--folder DIR]

The archive is that of `benchmarks.search`, and its newest pictures have thumbnails. A visit is one
of a running Chromium with an empty cache: from the click to the end of loading, and on until every
thumbnail that is on the screen is decoded. Between each two the very same page is visited as files
of Python's own `http.server`, so that what a busy machine does to a browser can be told from what
the gallery does. With `--folder` the archive is kept and used again.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from archiver.blobs.folder import FolderBlobs
from archiver.cards import Card
from archiver.catalog import Tables, assets
from archiver.keys import blob_key, thumb_key
from archiver.models import Asset, Origin
from archiver.previews import MEDIA_TYPE, Preview
from archiver.sqlite import open_writer
from benchmarks.harness import free_port, holdfast, median, print_table, python, serving
from benchmarks.search import fill

SHOWN = 300
SIDE = 320
VIEWPORT = {"width": 1280, "height": 800}

# Kept by the page itself, so that what asks for it takes no part of the time.
WATCH = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
addEventListener("load", async () => {
  window.loaded = performance.now();
  const onScreen = (image) => image.getBoundingClientRect().top < innerHeight;
  const images = [...document.images].filter(onScreen);
  await Promise.all(images.map((image) => image.decode()));
  window.images = images.length;
  window.complete = performance.now();
});
"""


class Visit(NamedTuple):
    """Milliseconds until all was loaded, and shown; how much moved; thumbnails on the screen."""

    loaded: float
    complete: float
    shifted: float
    images: int


def thumbnail(card: Card, chosen: random.Random) -> Image.Image:
    """Blurred noise of the card's shape, about as many bytes as a photograph."""
    width, height = card.width or SIDE, card.height or SIDE
    scale = SIDE / max(width, height)
    size = round(width * scale), round(height * scale)
    coarse = Image.frombytes("RGB", (48, 48), chosen.randbytes(48 * 48 * 3))
    return coarse.resize(size, Image.Resampling.BICUBIC)


async def show(folder: Path) -> float:
    """Gives the newest slots that should have a picture one; the thumbnails' average KB."""
    connection = open_writer(folder / "catalog.db", synchronous="NORMAL")
    tables, blobs, chosen = Tables(connection), FolderBlobs(folder / "bucket"), random.Random(1)
    [last] = connection.execute("SELECT max(number) FROM cards").fetchone()
    found = tables.cards.load(range(last - SHOWN, last + 1)).values()
    sizes = []
    connection.execute("BEGIN IMMEDIATE")
    for card in (card for card, _ in found if card.sha256 is not None):
        picture, file = thumbnail(card, chosen), BytesIO()
        picture.save(file, "WEBP", quality=80)
        sizes.append(file.tell())
        assert card.sha256 is not None
        await blobs.put(thumb_key(card.sha256), file.getvalue(), media_type=MEDIA_TYPE, metadata={})
        preview = Preview(phash=card.number, width=picture.width, height=picture.height)
        tables.previews.put(card.sha256, preview)
        assets.add(connection, card.number, asset(card, card.sha256))
    connection.execute("COMMIT")
    connection.close()
    return sum(sizes) / len(sizes) / 1000


def asset(card: Card, sha256: bytes) -> Asset:
    """The picture of a card, as far as a thumbnail is concerned."""
    assert card.archived_at is not None
    return Asset(
        origin=Origin.PROVIDER,
        sha256=sha256,
        blob_key=blob_key(sha256, "png"),
        size_bytes=card.size_bytes or 0,
        media_type="image/png",
        width=card.width,
        height=card.height,
        archived_at=card.archived_at,
    )


def copy(url: str, folder: Path) -> None:
    """The very page, and all that it asks for, as files."""
    with urllib.request.urlopen(url) as answer:
        text = answer.read().decode()
    (folder / "index.html").write_text(text)
    for path in set(re.findall('(?:src|hx-get|href)="/((?:static|api|parts)/[^"]*)"', text)):
        file = folder / path.partition("?")[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(f"{url}{path}") as answer:
            file.write_bytes(answer.read())


@contextmanager
def browsing() -> Iterator[Browser]:
    """Chromium, with nothing in its cache."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("chromium is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def visit(browser: Browser, url: str) -> Visit:
    """What the page keeps of itself, once the count has come too."""
    context = browser.new_context(viewport=VIEWPORT)
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(f"{url}healthz")  # so that the start of a process for the site is no part of it
    page.goto(url)
    page.wait_for_function("() => window.complete && document.querySelector('#count').textContent")
    seen = Visit(*page.evaluate("[loaded, complete, shifted, images]"))
    context.close()
    return seen


def measure(url: str, rounds: int, folder: Path) -> dict[str, list[Visit]]:
    """Visits to the gallery, and in each round one to the same page as files."""
    port, folder = free_port(), folder / "files"
    folder.mkdir()
    copy(url, folder)
    urls = {"the gallery": url, "the same as files": f"http://127.0.0.1:{port}/"}
    files = [python(), "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with serving(files, port, environ={}, folder=folder), browsing() as browser:
        for name in urls:
            visit(browser, urls[name])  # which counts for nothing
        seen: dict[str, list[Visit]] = {name: [] for name in urls}
        for _ in range(rounds):
            for name in urls:
                seen[name].append(visit(browser, urls[name]))
    return seen


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        if not (folder / "catalog.db").exists():
            fill(folder / "catalog.db", given.pictures)
            print(f"thumbnails of {asyncio.run(show(folder)):.0f} KB on average")
        port = free_port()
        settings = {
            "HOLDFAST_CATALOG__URL": f"sqlite:///{folder.absolute()}/catalog.db",
            "HOLDFAST_BUCKET__URL": (folder.absolute() / "bucket").as_uri(),
            "HOLDFAST_PROVIDERS__DOITONG__SECRETS": '{ a = "whsec_0123456789abcdef" }',
        }
        command = [holdfast(), "serve", "--role", "web", "--private", f"127.0.0.1:{port}"]
        with serving(command, port, environ=settings, folder=folder):
            seen = measure(f"http://127.0.0.1:{port}/", given.rounds, Path(name))
    floor = [it.complete for it in seen["the same as files"]]
    rows = [
        (
            name,
            f"{median([it.loaded for it in visits]):.0f}",
            f"{median([it.complete for it in visits]):.0f}",
            f"{min(it.complete for it in visits):.0f}",
            f"{median([it.complete / own for it, own in zip(visits, floor, strict=True)]):.2f}x",
            f"{max(it.shifted for it in visits):.4f}",
            f"{visits[0].images}",
        )
        for name, visits in seen.items()
    ]
    columns = (
        "page",
        "loaded",
        "all shown",
        "at best",
        "of the files",
        "layout shift",
        "on the screen",
    )
    title = f"the first page of {given.pictures:,} pictures, median of {given.rounds}, ms"
    print_table(title, columns, rows)


if __name__ == "__main__":
    main()
