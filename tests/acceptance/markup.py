"""An archive in which every text that a provider may say is markup that would like to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from archiver import clock
from archiver.drawing import drawn_from
from archiver.keys import thumb_key
from archiver.ledger import keep
from archiver.lifecycle import lose_link, refuse
from archiver.models import (
    Failure,
    FailureClass,
    GenerationParams,
    GenerationState,
    InputObservation,
    Observation,
    Origin,
    Rendering,
    SlotObservation,
    Undrawn,
)
from archiver.previews import Preview
from tests.archiver.filled import Archive, filling
from tests.archiver.media_bodies import JPEG, WEBP

# Whatever runs asks for the one, whatever is only taken for markup for the other.
CANARY, LED = "/canary", "/led"
_RUN = f"fetch('{CANARY}')"

MARKUP = (
    f"<script>{_RUN}</script>",
    f"</script><script>{_RUN}</script>",
    f'"><img src=x onerror="{_RUN}">',
    f"' autofocus tabindex=1 onfocus={_RUN} x='",
    f'" autofocus tabindex=1 onfocus={_RUN} x="',
    f"</title></textarea></pre></p></details></bdi></a><svg/onload={_RUN}>",
    f'<iframe srcdoc="<script>parent.{_RUN}</script>"></iframe>',
    f"javascript:{_RUN}",
    f'<b hx-get="{LED}" hx-trigger="load" hx-on:load="{_RUN}">x</b>',
    f"{{{{ 7 * 7 }}}}{{% raw %}}${{7*7}}<%= 7 * 7 %><script>{_RUN}</script>",
    f"[x](javascript:{_RUN}) ![x]({LED}) <!--[if IE]><script>{_RUN}</script><![endif]-->",
    f"\u202e\u2066\x1b[2J\x08\x7f\u2028<img src={LED}>",
    f'<noscript><p title="</noscript><img src=x onerror={_RUN}>">',
    f'<meta http-equiv=refresh content="0;url={LED}"><base href=//evil.example>',
    f"+ADw-script+AD4-{_RUN}+ADw-/script+AD4- \u00bcscript\u00be{_RUN}\u00bc/script\u00be",
    f"<math><mtext></p><style><img src=x onerror={_RUN}></style><form action={LED}><button>",
)
# Several at once, which get in each other's way no more than they would by themselves; the last
# leads a browser away.
GROUPS = tuple(" ".join(MARKUP[begin::4]) for begin in (0, 2, 3, 1))
# Of whatever kind, a field of these is said or made by whoever generated.
SAID_BY = (GenerationParams, Observation, Failure, Rendering, Undrawn)
_OURS = {"provider", "generation_id", "target", "odd_status"}


def texts(kind: type, markup: str) -> dict[str, Any]:
    """Every field of a kind that is text, with its own name and the markup in it."""
    return {
        field.name: f"{field.name} {markup}"
        for field in fields(kind)
        if str(field.type).startswith("str") and field.name not in _OURS
    }


def field_count() -> int:
    """How many fields are attacked; a prompt alone is one."""
    return sum(len(texts(kind, "")) for kind in SAID_BY) + len(("id", "link", "input", "note"))


def _failure(markup: str) -> Failure:
    return Failure(failure_class=FailureClass.RENDERABLE, **texts(Failure, markup))


def _said(markup: str) -> Mapping[str, Any]:
    """What is observed of a generation, all of it."""
    url = "https://cdn.example.org/"
    return {
        **texts(Observation, markup),
        "params": GenerationParams(**texts(GenerationParams, markup)),
        "slots": (SlotObservation(index=0, url=f"{url}link/{markup}"),),
        "inputs": (InputObservation(role="init_image", url=f"{url}input/{markup}"),),
    }


async def fill(folder: Path) -> list[int]:
    """An archive with a picture and a loss for each group, and then a picture for each markup;
    their numbers."""
    numbers = []
    async with filling(folder) as archive:
        for place, markup in enumerate(GROUPS):
            numbers.append(await _drawn(archive, f"id {place} {markup}", markup, place))
            numbers.append(await _lost(archive, f"lost {place} {markup}", markup))
        for place, markup in enumerate(MARKUP):
            numbers.append(await _bare(archive, f"{markup} {place}", markup, place))
    return numbers


async def _drawn(archive: Archive, name: str, markup: str, place: int) -> int:
    """A picture that was drawn here, with a thumbnail, and all that may stand beside it."""
    number = await archive.hear(name, markup, **_said(markup))
    rendering = Rendering(**texts(Rendering, markup), seed=place, notes=(f"note {markup}",))
    body = JPEG[:-2] + b"%d" % place + b"\xff\xd9"
    asset = await archive.save(name, body, Origin.FALLBACK, rendering)
    key = thumb_key(asset.sha256)
    await archive.store.blobs.put(key, WEBP, media_type="image/webp", metadata={})
    alike = (place // 2) * 0x9E3779B97F4A7C15 % 2**63 ^ place % 2  # two each
    preview = Preview(phash=alike, width=23, height=14)
    await archive.catalog.write(lambda tables: tables.previews.put(asset.sha256, preview))
    return number


async def _bare(archive: Archive, name: str, markup: str, place: int) -> int:
    """Only the markup, with nothing before it, and a picture of which no thumbnail can be made."""
    params = GenerationParams(prompt=markup, model=markup, version=markup, scheduler=markup)
    number = await archive.hear(name, markup, params=params, service=markup, track_id=markup)
    asset = await archive.save(name, JPEG[:-2] + b"bare %d" % place + b"\xff\xd9")
    preview = Preview(reason=markup)
    await archive.catalog.write(lambda tables: tables.previews.put(asset.sha256, preview))
    return number


async def _lost(archive: Archive, name: str, markup: str) -> int:
    """A generation that failed, whose link was lost, and that a renderer has refused."""
    failed = {"state": GenerationState.FAILED, "failure": _failure(markup)}
    number = await archive.hear(name, markup, **{**_said(markup), **failed})

    def refused(tables: Any) -> None:
        before = tables.generations.load("doitong", name)
        [link] = before.slots[0].links
        after = lose_link(before, 0, link.url_sha256, _failure(markup))
        undrawn = Undrawn(**texts(Undrawn, markup), target=drawn_from(after), final=True)
        keep(tables, before, refuse(after, 0, undrawn), now=clock.now())

    await archive.catalog.write(refused)
    return number
