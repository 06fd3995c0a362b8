"""What was found, as cells of a grid: thumbnails, and cards for what has none to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from archiver.cards import Card
from archiver.lifecycle import FLAGGED
from archiver.models import Origin
from archiver.previews import Preview
from archiver.search import Hit

# Width to height in hundredths. Beyond, a cell would be a thread; its picture is cut to it.
LEAST_RATIO, GREATEST_RATIO = 40, 320
_RATIO_OF_VIDEO = 178
# Words want some width, and no more than they fill.
_RATIOS_OF_CARDS = (90, 160)

# About what a screen shows first; these do not wait until they are scrolled to.
_EAGER = 18
_MOST_TEXT = 160
_MOST_CARD_TEXT = 400


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One slot in a grid; without a `thumbnail` words stand in its place: `state` and `reason`.

    `ratio` is width to height in hundredths, `width` and `height` are the thumbnail's, in pixels;
    `text` is the prompt, cut; `eager`: it is on the first screen.
    """

    number: int
    ratio: int
    text: str
    thumbnail: str | None = None
    width: int | None = None
    height: int | None = None
    eager: bool = False
    drawn: bool = False
    state: str = ""
    reason: str = ""


def cells(
    hits: Iterable[Hit], previews: Mapping[bytes, Preview], *, eager: bool = False
) -> list[Cell]:
    """The hits in their order; `eager`: they are the first on a page."""
    return [_cell(hit, previews, eager=eager and place < _EAGER) for place, hit in enumerate(hits)]


def not_shown(card: Card) -> str | None:
    """Why a picture stands behind words though it is there; None if it does not.

    What we drew is never shown then (`lifecycle.withheld`), what the provider delivered to whoever
    opens it.
    """
    if card.origin is Origin.FALLBACK and card.flagged:
        return FLAGGED
    return "moderated by the provider" if card.moderated and card.origin is not None else None


def ratio_of(width: int | None, height: int | None, media_type: str | None = None) -> int:
    """Width to height in hundredths, within bounds; where nobody knows, a square's or a film's."""
    if not (width and height):
        return _RATIO_OF_VIDEO if (media_type or "").startswith("video/") else 100
    return min(max(round(100 * width / height), LEAST_RATIO), GREATEST_RATIO)


def cut(text: str, most: int) -> str:
    """Text on one line, of at most so many characters."""
    flat = " ".join(text[: 2 * most].split())
    return flat if len(flat) <= most and len(text) <= 2 * most else f"{flat[: most - 1]}…"


def _cell(hit: Hit, previews: Mapping[bytes, Preview], *, eager: bool) -> Cell:
    card = hit.card
    preview = previews.get(card.sha256) if card.sha256 is not None else None
    ratio = ratio_of(card.width, card.height, card.media_type)
    drawn = card.origin is Origin.FALLBACK
    if preview is not None and not preview.reason and not_shown(card) is None:
        return Cell(
            number=card.number,
            ratio=ratio,
            text=cut(hit.prompt or "", _MOST_TEXT),
            thumbnail=_thumbnail(card),
            width=preview.width,
            height=preview.height,
            eager=eager,
            drawn=drawn,
        )
    state, reason = _words(card, preview)
    least, greatest = _RATIOS_OF_CARDS
    return Cell(
        number=card.number,
        ratio=min(max(ratio, least), greatest),
        text=cut(hit.prompt or "", _MOST_CARD_TEXT),
        drawn=drawn,
        state=state,
        reason=reason,
    )


def _words(card: Card, preview: Preview | None) -> tuple[str, str]:
    """What a card has for a title, and why there is no picture on it."""
    hidden = not_shown(card)
    if card.media_type is None:
        return card.state, card.reason
    if hidden is not None:
        return "not shown", hidden
    kind, _, name = card.media_type.partition("/")
    if kind != "image":
        return f"{kind}, {name}", ""
    return name, preview.reason if preview is not None else "no thumbnail yet"


def _thumbnail(card: Card) -> str:
    """Its address holds the digest: an original that comes later has another thumbnail."""
    assert card.sha256 is not None
    return f"/api/v1/assets/{card.number}/thumbnail?v={card.sha256.hex()[:12]}"
