"""The gallery over HTTP: what its pages say, and what they never do with what strangers wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from archiver import clock
from archiver.blobs.folder import FolderBlobs
from archiver.catalog import CatalogReader
from archiver.errors import BucketError
from archiver.looks import Looks
from archiver.models import (
    Failure,
    FailureClass,
    Generation,
    GenerationState,
    InputObservation,
    Rendering,
    SlotObservation,
)
from archiver.web import patience
from archiver.web.answers import problems
from archiver.web.error_pages import error_pages
from archiver.web.gallery import PAGE, Gallery
from archiver.web.origins import BucketOrigin
from archiver.web.rendering import Pages
from archiver.web.viewing import Viewing
from tests.archiver.web.pictures import FILM, Told, fill

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
DRAWN = Rendering(drawn_with="sdxl@46", software="diffusers 0.42.1", device="cpu", seed=42)
LOST = {"state": GenerationState.FAILED, "slots": ()}
MODERATED = Failure(failure_class=FailureClass.POLICY, message="content policy violation")
FOX = Told(prompt="a red fox")

MARKUP = [
    "<script>alert(1)</script>",
    "</script><script src=//evil.example></script>",
    '"><img src=x onerror=alert(1)>',
    "' onfocus='alert(1)' autofocus='",
    "</title></textarea></p></details><base href=//evil.example>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
]


@dataclass(slots=True)
class Element:
    """An element of a page, and all text within it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""


class Page(HTMLParser):
    """An answer, taken apart as a browser would."""

    def __init__(self, status: int, headers: Any, body: str) -> None:
        super().__init__()
        self.status, self.headers, self.body = status, headers, body
        self.elements = [Element("", {})]
        self._open = [*self.elements]
        self.feed(body)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by HTMLParser."""
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "link", "input", "img"):
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        """Called by HTMLParser; a page of ours closes what it has opened, and in that order."""
        assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        """Called by HTMLParser."""
        for element in self._open:
            element.text += data

    def all(self, tag: str, **wanted: str) -> list[Element]:
        """Elements of that name with these attributes; `class_` is one of an element's classes."""
        kind = wanted.pop("class_", None)
        return [
            it
            for it in self.elements
            if it.tag == tag
            and (kind is None or kind in it.attributes.get("class", "").split())
            and all(it.attributes.get(name) == value for name, value in wanted.items())
        ]

    def one(self, tag: str, **wanted: str) -> Element:
        """The only such element."""
        [found] = self.all(tag, **wanted)
        return found

    def link(self, text: str) -> str:
        """Where the link with that text leads."""
        [found] = [it for it in self.all("a") if it.text.strip() == text]
        return found.attributes["href"]

    @property
    def text(self) -> str:
        """All that can be read."""
        return " ".join(self.elements[0].text.split())

    @property
    def numbers(self) -> list[int]:
        """Of the pictures in its grids."""
        named = (it.attributes.get("data-number") for it in self.all("a"))
        return [int(number) for number in named if number is not None]


@dataclass(kw_only=True)
class House:
    """A gallery, what it is given, and how it is looked at."""

    folder: Path
    client: TestClient[web.Request, web.Application] | None = None
    requests: list[Generation] | None = None

    async def fill(self, *stories: Told) -> list[int]:
        """An archive of these; their numbers."""
        return await fill(self.folder, stories)

    async def page(self, path: str, *, method: str = "GET", **query: str) -> Page:
        """What a browser is shown."""
        assert self.client is not None
        url = URL(path).update_query(query)
        async with self.client.request(method, url, headers=BROWSER, allow_redirects=False) as it:
            return Page(it.status, it.headers, await it.text())


def as_request(generation: Generation) -> str | None:
    """What the gallery is given to word requests with."""
    if generation.params.prompt == "a bug":
        raise ZeroDivisionError
    return f'{{"prompt": "{generation.params.prompt}"}}' if generation.service else None


@asynccontextmanager
async def opened(folder: Path, blobs: FolderBlobs) -> AsyncIterator[House]:
    """A gallery over whatever archive there is in `folder`, or will be."""
    reader, pages, origin = CatalogReader(folder / "catalog.db"), Pages(), BucketOrigin(blobs)
    app = web.Application(middlewares=[error_pages(pages), problems])
    viewing = Viewing(reader, pages, origin, Looks(), as_request=as_request, now=clock.now)
    gallery = Gallery(reader, pages, origin, now=clock.now)
    app.add_routes([*gallery.routes(), *viewing.routes(), *pages.routes()])
    async with TestServer(app) as server, TestClient(server) as client:
        yield House(folder=folder, client=client)
    reader.close()


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A gallery over a local folder."""
    async with opened(tmp_path, FolderBlobs(tmp_path / "bucket")) as one:
        yield one


def is_harmless(page: Page) -> bool:
    """Whether it has no more in it than our own templates have."""
    handlers = [name for it in page.elements for name in it.attributes if name.startswith("on")]
    styles = [it for it in page.elements if "style" in it.attributes or it.tag in ("style", "base")]
    scripts = [it.attributes.get("src", "") for it in page.all("script")]
    links = [it.attributes.get("href", "/") for it in page.elements]
    sources = [it.attributes.get("src", "/") for it in page.elements]
    inside = all(link.startswith(("/", "#")) and link[:2] != "//" for link in (*links, *sources))
    ours = all(source.startswith("/static/") for source in scripts)
    return not handlers and not styles and ours and inside


@pytest.mark.parametrize("markup", MARKUP)
async def test_markup_of_others_is_words(house: House, markup: str) -> None:
    """Whoever wrote a prompt, a model's name or a link that leads here writes no page of ours."""
    said = {"service": markup, "track_id": markup}
    lost = {**said, **LOST, "failure": replace(MODERATED, message=markup)}
    params = {"negative_prompt": markup, "model": markup, "scheduler": markup, "version": markup}
    await house.fill(
        Told(prompt=markup, params=params, said=said),
        Told(prompt=markup, params=params, said=lost, size=None),
    )
    paths = ("/", "/parts/facets", "/parts/cells", "/assets/1", "/assets/2", f"/assets/{10**9}")
    pages = [await house.page(path, facets="1", similar="1") for path in paths]
    pages += [await house.page("/", q=q) for q in (markup, f"steps:{markup}", f"stesp:{markup}")]
    pages.append(await house.page("/assets/1", q=markup))
    assert all(map(is_harmless, pages))
    for page in pages[:2] + pages[3:5]:
        assert " ".join(markup.split()) in page.text
    assert pages[0].all("img")[0].attributes["alt"] == markup


async def test_a_long_prompt_is_short_in_the_grid_and_whole_on_its_page(house: House) -> None:
    """Ten thousand characters, with their line breaks."""
    prompt = "\n".join(["a lighthouse in a storm, " * 4] * 100)
    assert len(prompt) > 10_000
    await house.fill(Told(prompt=prompt), Told(prompt=prompt, size=None, said=LOST))
    grid = await house.page("/")
    assert len(grid.body) < 20_000
    assert len(grid.all("img")[0].attributes["alt"]) <= 160
    detail = await house.page("/assets/1")
    assert detail.one("p", id="prompt").text == prompt


async def test_words_run_as_their_script_does(house: House) -> None:
    """Wherever a stranger's words stand, their first letter decides the direction."""
    await house.fill(
        Told(prompt="قلعة قديمة فوق تلة", params={"negative_prompt": "ضبابي"}),
        Told(prompt="طائر", size=None, said=LOST),
    )
    grid, detail = await house.page("/", q="steps:قلعة"), await house.page("/assets/1")
    assert grid.one("p", class_="place").attributes["dir"] == "auto"
    assert {it.attributes["dir"] for it in detail.all("p", class_="prompt")} == {"auto"}
    cells = await house.page("/")
    assert {it.attributes["dir"] for it in cells.all("span", class_="words")} == {"auto"}
    assert cells.one("span", class_="caption").attributes["dir"] == "auto"
    assert cells.one("input", id="q").attributes["dir"] == "auto"


async def test_an_empty_archive_says_so(house: House) -> None:
    """And what fills it; a search that finds nothing is another matter."""
    await house.fill()
    empty, nothing = await house.page("/", facets="1"), await house.page("/", q="fox")
    assert (empty.status, nothing.status) == (200, 200)
    assert "The archive is empty." in empty.text
    assert "Nothing in the archive is like this." in nothing.text
    assert "0 results" in nothing.text


@pytest.mark.parametrize(
    ("query", "at", "position"),
    [
        ("fox steps:many", "m", 10),
        ("🦊 少女 steps:many", "m", 12),
        ("is:", None, 0),
        ("id:x", "x", 3),
    ],
)
async def test_a_mistake_is_pointed_at(
    house: House, query: str, at: str | None, position: int
) -> None:
    """400 with what was typed, the very character, and where the box's cursor is to go."""
    await house.fill()
    page = await house.page("/", q=query)
    if at is None:
        assert page.status == 200
        return
    box = page.one("input", id="q")
    assert (page.status, box.attributes["value"]) == (400, query)
    assert box.attributes["aria-invalid"] == "true"
    assert page.one("div", id=box.attributes["aria-describedby"]).attributes["role"] == "alert"
    assert page.one("mark").text.startswith(at)
    assert int(box.attributes["data-position"]) == position


async def test_a_mistake_at_the_end_of_a_long_text_is_seen(house: House) -> None:
    """As much is shown as is read at a glance."""
    await house.fill()
    page = await house.page("/", q=f"{'fox ' * 200}steps:many{' wolf' * 200}")
    shown = page.one("p", class_="place").text
    assert "steps:many" in shown
    assert (shown[0], shown[-1], len(shown)) == ("…", "…", 67)


async def test_what_may_not_be_meant_is_hinted_at(house: House) -> None:
    """The search is carried out all the same."""
    await house.fill(FOX)
    page = await house.page("/", q="porvider:doitong fox")
    assert page.status == 200
    assert "did you mean provider:?" in page.text
    assert page.one("mark").text.startswith("p")


POLICY = (
    "default-src 'none'; img-src 'self'; media-src 'self'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@pytest.mark.parametrize("path", ["/", "/?q=steps:many", "/assets/1", "/nowhere", "/parts/cells"])
async def test_every_page_is_strict(house: House, path: str) -> None:
    """Nothing is loaded but from us, nothing runs that stands in a page, nobody frames it."""
    await house.fill(FOX)
    page = await house.page(path)
    assert page.headers["Content-Security-Policy"] == POLICY
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"


class Presigning(FolderBlobs):
    """A bucket as S3 is one, whose credentials come late."""

    ready = False

    async def presigned_url(self, key: str, **_given: Any) -> str | None:
        """See BlobStore."""
        if not self.ready:
            raise BucketError("no credentials")
        return f"https://archive.s3.example.org:9000/{key}?X-Amz-Signature=hush"


async def test_pictures_may_come_from_the_bucket(tmp_path: Path) -> None:
    """Content is redirected there; the page names that origin, and nothing of the signed address,
    as soon as it can be known."""
    blobs = Presigning(tmp_path / "bucket")
    async with opened(tmp_path, blobs) as house:
        await house.fill(FOX)
        assert (await house.page("/")).headers["Content-Security-Policy"] == POLICY
        blobs.ready = True
        for path in ("/", "/assets/1"):
            policy = (await house.page(path)).headers["Content-Security-Policy"]
            bucket = "'self' https://archive.s3.example.org:9000;"
            assert f"img-src {bucket} media-src {bucket} script-src 'self';" in policy
            assert "hush" not in policy


async def test_static_files_are_named_by_their_content(house: House) -> None:
    """So they may be kept for ever; no other name is found."""
    await house.fill()
    page = await house.page("/")
    addresses = [it.attributes["src"] for it in page.all("script")]
    addresses += [it.attributes["href"] for it in page.all("link")]
    assert len(addresses) == 4
    for address in addresses:
        file = await house.page(address)
        assert file.status == 200
        assert file.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert file.headers["X-Content-Type-Options"] == "nosniff"
    missing = ["gallery.css", "gallery.000000000000.css", "..%2frendering.py", "htmx-LICENSE.txt"]
    assert [(await house.page(f"/static/{name}")).status for name in missing] == [404] * 4


async def test_a_style_is_there_for_every_ratio(house: House) -> None:
    """No element has a style of its own, so what a cell is wide must be a class."""
    await house.fill(*(Told(prompt="fox", size=(side, 60)) for side in (3, 40, 60, 107, 600)))
    page = await house.page("/")
    ratios = [it.attributes["class"].split()[1] for it in page.all("li", class_="cell")]
    assert ratios == ["r320", "r178", "r100", "r67", "r40"]
    styles = (await house.page(page.one("link", rel="stylesheet").attributes["href"])).body
    assert all(f".{ratio}{{--r:{int(ratio[1:]) / 100}}}" in styles for ratio in ratios)


async def test_what_is_missing_is_a_page(house: House) -> None:
    """For a browser; whoever asks for anything else has a problem document."""
    await house.fill()
    for path in ("/assets/7", "/nowhere", "/assets/x"):
        page = await house.page(path)
        assert (page.status, page.one("h1").text) == (404, "Nothing is here")
    assert house.client is not None
    for path, headers in (("/assets/7", {}), ("/api/v1/nothing", BROWSER)):
        async with house.client.get(path, headers=headers) as answer:
            assert answer.content_type == "application/problem+json"


async def test_our_own_trouble_is_a_page(house: House) -> None:
    """503 while there is no catalog, with when to come again; 500 for a bug, without its words."""
    early = await house.page("/")
    assert (early.status, early.headers["Retry-After"]) == (503, "5")
    assert early.one("h1").text == "Not now"
    await house.fill(Told(prompt="a bug"))
    broken = await house.page("/assets/1")
    assert (broken.status, broken.one("h1").text) == (500, "Something went wrong")
    assert "Traceback" not in broken.body


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 19])
async def test_a_place_that_cannot_be_is_a_page(house: House, cursor: str) -> None:
    """400, and the way back."""
    await house.fill()
    page = await house.page("/", cursor=cursor)
    assert (page.status, page.link("To the archive")) == (400, "/")


async def test_links_lead_through_everything_once(house: House) -> None:
    """Without JavaScript, and back to the beginning."""
    numbers = await house.fill(*[Told(prompt="fox", size=None, said=LOST)] * (2 * PAGE + 7))
    page, seen = await house.page("/"), []
    while True:
        seen += page.numbers
        further = [it.attributes["href"] for it in page.all("a") if it.text == "Older"]
        if not further:
            break
        page = await house.page(further[0])
        assert page.link("← To the first page") == "/"
    assert seen == numbers[::-1]


async def test_parts_of_the_grid_are_what_pages_of_it_are(house: House) -> None:
    """What comes while one scrolls is what the link would have led to."""
    lost = Told(prompt="fox", size=None, said=LOST)
    await house.fill(*[lost] * (PAGE - 20), *[FOX] * 23)
    first = await house.page("/", q="fox")
    more = first.one("li", class_="more")
    part, page = await house.page(more.attributes["hx-get"]), await house.page(first.link("Older"))
    assert part.numbers == page.numbers == [3, 2, 1]
    assert part.all("html") == []
    eager = [it.attributes["loading"] for it in first.all("img")]
    assert eager.index("lazy") == eager.count("eager") == 18


async def test_choices_narrow_down_and_widen_again(house: House) -> None:
    """Counted, as links; what is chosen already is marked, and its link takes it away."""
    await house.fill(
        Told(prompt="fox", said={"service": "two words"}),
        Told(prompt="fox", said={"service": "flux-pro"}),
        Told(prompt="fox OR hen", provider="modelslab", size=None, said=LOST),
    )
    page = await house.page("/", q="fox OR hen", facets="1")
    assert "3 results" in page.text
    chosen = await house.page(page.link("two words"))
    assert chosen.one("input", id="q").attributes["value"] == 'service:"two words" (fox OR hen)'
    assert chosen.numbers == [1]
    part = await house.page("/parts/facets", q="fox service:flux-pro")
    assert part.one("a", **{"aria-current": "true"}).attributes["href"] == "/?q=fox"
    assert part.one("p", id="count").text == "1 result"
    narrowed = await house.page(page.link("held"))
    assert narrowed.numbers == [3]


async def test_orders_are_links_too(house: House) -> None:
    """The order is part of the query, and so of the address."""
    await house.fill(FOX, FOX)
    page = await house.page("/", q="fox sort:largest")
    assert page.status == 400
    page = await house.page("/", q="fox sort:oldest")
    assert page.numbers == [1, 2]
    assert page.link("newest") == "/?q=fox"
    assert page.one("a", **{"aria-current": "true"}).text == "oldest"
    assert (await house.page(page.link("largest"))).status == 200


async def test_a_search_that_takes_long_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found until then, and a link to the rest."""
    monkeypatch.setattr(patience, "SECONDS", -1.0)
    await house.fill(FOX, FOX)
    page = await house.page("/", q="bytes:>1GB")
    assert (page.status, page.numbers) == (200, [])
    further = await house.page(page.link("Still searching… go on"))
    assert "Nothing in the archive is like this." in further.text


async def test_what_has_no_thumbnail_has_words(house: House) -> None:
    """Why it did not come, or what it is."""
    await house.fill(
        Told(prompt="lost fox", size=None, said={**LOST, "failure": MODERATED}),
        Told(prompt="new fox", preview=None),
        Told(prompt="huge fox", preview="it has too many pixels"),
        Told(prompt="running fox", body=(FILM, "video/mp4"), preview=None),
        Told(prompt="bare fox", rendering=replace(DRAWN, flagged=True), said=LOST),
        Told(prompt="shy fox", said={"failure": MODERATED}),
        Told(prompt="drawn fox", rendering=DRAWN, said=LOST),
    )
    page = await house.page("/")
    cards = list(
        zip(
            [it.text.strip() for it in page.all("span", class_="words")],
            [it.text.strip() for it in page.all("span", class_="state")],
            [it.text.strip() for it in page.all("span", class_="reason")],
            strict=True,
        )
    )
    assert cards == [
        ("shy fox", "not shown", "moderated by the provider"),
        ("bare fox", "not shown", "flagged by the safety checker"),
        ("running fox", "video, mp4", ""),
        ("huge fox", "jpeg", "it has too many pixels"),
        ("new fox", "jpeg", "no thumbnail yet"),
        ("lost fox", "held", "moderation, never drawn: content policy violation"),
    ]
    assert [it.attributes["alt"] for it in page.all("img")] == ["drawn fox"]
    assert page.one("span", class_="badge").text == "drawn here"


async def test_a_page_shows_the_picture_or_why_not(house: House) -> None:
    """A picture, a film, one that is behind a word first, one that is kept back, and none."""
    await house.fill(
        FOX,
        Told(prompt="fox", body=(FILM, "video/mp4"), preview=None),
        Told(prompt="fox", said={"failure": MODERATED}),
        Told(prompt="fox", rendering=replace(DRAWN, flagged=True), said=LOST),
        Told(prompt=None, size=None, said=LOST),
    )
    picture, film, covered, kept_back, none = [
        await house.page(f"/assets/{number}") for number in range(1, 6)
    ]
    shown = picture.one("img", class_="full").attributes
    assert (shown["src"], shown["width"], shown["height"], shown["alt"]) == (
        "/api/v1/assets/1/content", "480", "320", "a red fox",
    )  # fmt: skip
    assert picture.one("a", download="doitong-do-00000-0.jpg").text == "Download"
    assert film.one("video").attributes["src"] == "/api/v1/assets/2/content"
    assert "controls" in film.one("video").attributes
    assert covered.one("details", class_="covered")
    assert covered.one("img", class_="full").attributes["loading"] == "lazy"
    for page, why in ((kept_back, "flagged by the safety checker"), (none, "lost, and no prompt")):
        assert page.all("img", class_="full") == []
        assert f"There is no picture to show: {why}" in page.text
        assert "Download" not in page.text
    assert "Nobody has told its prompt." in none.text


async def test_everything_known_is_told(house: House) -> None:
    """What was asked, what became of it, where it comes from; and never a link's query."""
    params = {
        "negative_prompt": "blurry", "model": "sdxl", "steps": 28, "seed": 2**63 - 1,
        "guidance_scale": 7.5, "scheduler": "Euler a", "karras_sigmas": True, "loras": "film,grain",
        "clip_skip": 2, "quality": "high", "version": "1.5",
    }  # fmt: skip
    said = {"cost": 20.0, "service": "flux-pro", "track_id": "order-17"}
    slots = tuple(SlotObservation(index=index, url=f"https://a.example/{index}?sig=hush")
                  for index in range(2))  # fmt: skip
    await house.fill(Told(prompt="a fox", params=params, said={**said, "slots": slots}))
    page = await house.page("/assets/1")
    for told in (
        "a fox", "blurry", "sdxl", "28", str(2**63 - 1), "7.5", "Euler a", "yes", "film,grain",
        "high", "1.5", "480 × 320", "20, or 10 a picture", "flux-pro", "order-17", "do-00000",
        "archived: the provider's picture is in the bucket", "2026-11-20 08:59:20 UTC",
        "2026-11-20 08:59:57 UTC", "2026-11-20 09:00:00 UTC", "2026-11-20 09:00:09 UTC",
        "image/jpeg", "SHA-256", "blobs/sha256/", "https://a.example/0 until", "seal",
    ):  # fmt: skip
        assert told in page.text, told
    assert "hush" not in page.body
    assert URL(page.link("Euler a")).query["q"] == 'scheduler:"Euler a"'
    assert page.numbers == [2]  # the other slot of its generation
    assert page.one("pre", id="request").text == '{"prompt": "a fox"}'
    drawn_page = await house.page("/assets/2")
    assert drawn_page.numbers == [1]


async def test_pictures_that_were_asked_with_are_led_to(house: House) -> None:
    """They are no results, but have pages, too."""
    inputs = (InputObservation(role="init_image", url="https://a.example/i.png?sig=hush"),)
    await house.fill(Told(prompt="fox", said={"inputs": inputs}))
    [number] = (await house.page("/")).numbers
    page = await house.page(f"/assets/{number}")
    given = await house.page(page.link("linked: a link is known and being fetched"))
    assert (given.status, "init_image" in given.text) == (200, True)
    back = given.link("archived: the provider's picture is in the bucket")
    assert back == f"/assets/{number}"


async def test_a_drawing_says_how_it_was_drawn(house: House) -> None:
    """With what, from which seed, and what could not be honoured."""
    notes = ("the weights are a substitute", "no seed was heard")
    await house.fill(Told(prompt="fox", rendering=replace(DRAWN, notes=notes), said=LOST))
    page = await house.page("/assets/1")
    for told in ("Drawn here", "sdxl@46", "diffusers 0.42.1, on cpu", "42", *notes):
        assert told in page.text, told
    assert page.all("pre", id="request") == []  # nobody knows how it would be asked for


async def test_pictures_alike_and_the_very_same(house: House) -> None:
    """By looks, later or by a link; by bytes, at once."""
    same = (b"the same bytes", "image/png")
    await house.fill(*[FOX] * 4, *[Told(prompt="fox", body=same, preview="no")] * 2)
    page = await house.page("/assets/1", q="fox")
    assert page.all("div", **{"hx-get": "/assets/1/similar"})
    alike = await house.page(page.link("Look for them"))
    part = await house.page("/assets/1/similar")
    assert (sorted(alike.numbers), sorted(part.numbers)) == ([2, 3, 4], [2, 3, 4])
    assert (await house.page("/assets/5")).numbers == [6]
    assert "There is none that looks like this" in (await house.page("/assets/5/similar")).text
    assert (await house.page("/assets/99/similar")).numbers == []


async def test_neighbours_are_those_of_the_search(house: House) -> None:
    """One way and the other, in the order that was asked for."""
    await house.fill(FOX, Told(prompt="hen"), FOX, FOX)
    middle = await house.page("/assets/3", q="fox")
    assert middle.link("← Previous") == "/assets/4?q=fox"
    assert middle.link("Next →") == "/assets/1?q=fox"
    assert middle.link("Back to the search") == "/?q=fox"
    turned = await house.page("/assets/3", q="fox sort:oldest")
    assert turned.link("Next →").startswith("/assets/4?")
    assert (await house.page("/assets/1")).link("← Previous") == "/assets/2"
    for q in ("sort:bytes", "steps:many"):
        assert (await house.page("/assets/3", q=q)).status == 200


@pytest.mark.parametrize("q", ["%ff%fe", "%00", "%ed%a0%80", "%F0%9F", "a%0Ab", "q" * 5000, "%2B"])
async def test_no_query_is_our_fault(house: House, q: str) -> None:
    """Whatever bytes an address holds."""
    await house.fill(FOX)
    assert house.client is not None
    for path in ("/", "/parts/facets", "/parts/cells", "/assets/1"):
        url = URL(f"{path}?q={q}&facets=1", encoded=True)
        async with house.client.get(url, headers=BROWSER) as answer:
            assert answer.status in (200, 400)


@pytest.mark.parametrize("path", ["/", "/assets/1", "/assets/7", "/parts/facets"])
async def test_head_says_what_get_would(house: House, path: str) -> None:
    """The same, and no body."""
    await house.fill(FOX)
    asked, got = await house.page(path, method="HEAD"), await house.page(path)
    assert (asked.status, asked.body) == (got.status, "")
    for header in ("Content-Type", "Content-Length", "Content-Security-Policy"):
        assert asked.headers[header] == got.headers[header]


async def test_a_size_that_was_asked_for_leads_to_what_has_it(house: House) -> None:
    """A picture that came otherwise is found by the size that it has."""
    params = {"width": 60, "height": 60}
    same, other = await house.fill(
        Told(prompt="fox", params=params, size=(60, 60)),
        Told(prompt="fox", params=params, size=(30, 30)),
    )
    for number, link in ((same, "/?q=size%3A60x60"), (other, None)):
        page = await house.page(f"/assets/{number}")
        found = [it.attributes["href"] for it in page.all("a") if it.text == "60 × 60"]
        assert found == ([] if link is None else [link])
