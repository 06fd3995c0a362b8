"""One slot as its page shows it: out of what is known, with nothing asked of anybody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from archiver.cards import card_of
from archiver.lifecycle import withheld
from archiver.models import Asset, Generation, Slot
from archiver.web.cells import Cell, cut, not_shown, ratio_of
from archiver.web.facts import Section, sections
from archiver.web.refining import condition

_MOST_TITLE = 90
_STRANGE = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """The picture itself: `ratio` is width to height in hundredths.

    `covered` says why it is behind a word first.
    """

    is_video: bool
    width: int | None
    height: int | None
    ratio: int
    file_name: str
    covered: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """All that a page says; without a `shown` picture it says why there is none: `absence`.

    `request` is what its provider would be asked for it again; the lists are of other slots.
    """

    number: int
    title: str
    provider: str
    state: str
    prompt: str
    negative_prompt: str
    shown: Shown | None
    absence: str
    request: str | None
    sections: list[Section]
    siblings: list[Cell]
    duplicates: list[Cell]


def view(
    generation: Generation,
    slot: Slot,
    *,
    story: Mapping[str, Any],
    request: str | None,
    siblings: list[Cell],
    duplicates: list[Cell],
    now: datetime,
) -> View:
    """The page of a slot; `story` is `archiver.story.generation_story`'s."""
    assert slot.number is not None
    asset, kept_back = slot.leading_asset, withheld(generation, slot)
    prompt = generation.params.prompt or ""
    return View(
        number=slot.number,
        title=cut(prompt, _MOST_TITLE) or f"Picture {slot.number}",
        provider=generation.provider,
        state=slot.state,
        prompt=prompt,
        negative_prompt=generation.params.negative_prompt or "",
        shown=_shown(generation, slot, asset) if asset and kept_back is None else None,
        absence=kept_back or slot.reason,
        request=request,
        sections=sections(
            generation, slot, story, lambda field, value: condition(field, value, now=now)
        ),
        siblings=siblings,
        duplicates=duplicates,
    )


def _shown(generation: Generation, slot: Slot, asset: Asset) -> Shown:
    extension = asset.blob_key.rpartition(".")[2]
    name = f"{generation.provider}-{generation.id}-{slot.role or slot.index}"
    return Shown(
        is_video=asset.media_type.startswith("video/"),
        width=asset.width,
        height=asset.height,
        ratio=ratio_of(asset.width, asset.height, asset.media_type),
        file_name=f"{_STRANGE.sub('-', name)[:100]}.{extension}",
        covered=not_shown(card_of(generation, slot)),
    )
