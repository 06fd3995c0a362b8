"""Everything that is known of a slot, in words: for the page that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from archiver.cards import card_of
from archiver.models import Asset, Failure, Generation, Link, Origin, Slot

# A value of a field → the query that finds all that have it, None if there is none.
Query = Callable[[str, str], str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """A name and what is known by it.

    `query` finds all of which it is true, too; `number` is that of another slot's page.
    """

    name: str
    value: str
    query: str | None = None
    number: int | None = None
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """Facts that belong together; never none."""

    title: str
    facts: tuple[Fact, ...]


_ORIGIN_TITLES = {Origin.PROVIDER: "The provider's picture", Origin.FALLBACK: "Drawn here"}
_SHOWN_ELSEWHERE = {"prompt", "negative_prompt", "width", "height"}
_FIELDS = {"model", "version", "scheduler", "seed", "steps"}
_NAMES = {
    "loras": "LoRAs",
    "lora_strengths": "LoRA strengths",
    "vae": "VAE",
    "tomesd": "token merging",
    "karras_sigmas": "Karras sigmas",
}


def sections(
    generation: Generation, slot: Slot, story: Mapping[str, Any], query: Query
) -> list[Section]:
    """All facts, the ones that are looked for most first; `story` is `generation_story`'s."""
    [told] = [it for it in story["slots"] if it["number"] == slot.number]
    groups = [
        ("Asked for", _asked(generation, slot, query)),
        ("What became of it", _outcome(generation, slot, told)),
        *((_ORIGIN_TITLES[asset.origin], _file(asset, query)) for asset in slot.assets),
        ("Where it comes from", _source(generation, slot, query)),
        ("What was heard", _heard(story)),
        ("What was done", _done(story, told)),
    ]
    found = (Section(title=title, facts=tuple(facts)) for title, facts in groups)
    return [section for section in found if section.facts]


def size_text(size_bytes: int) -> str:
    """Bytes for people, and to the last one."""
    size, unit = float(size_bytes), "bytes"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    exact = f"{size_bytes:,} bytes"
    return exact if unit == "bytes" else f"{size:.3g} {unit} ({exact})"


def moment_text(moment: datetime) -> str:
    """A moment to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _asked(generation: Generation, slot: Slot, query: Query) -> Iterator[Fact]:
    params = generation.params
    yield Fact(
        name="provider",
        value=generation.provider,
        query=query("provider", generation.provider),
    )
    if generation.service:
        yield Fact(
            name="service", value=generation.service, query=query("service", generation.service)
        )
    if params.width and params.height:
        asset, shown = slot.leading_asset, f"{params.width} × {params.height}"
        # What is found by its size is found by that of its picture, once there is one.
        found = asset is None or (asset.width, asset.height) == (params.width, params.height)
        size = query("size", f"{params.width}x{params.height}") if found else None
        yield Fact(name="size", value=shown, query=size)
    for name, value in asdict(params).items():
        if value is None or name in _SHOWN_ELSEWHERE:
            continue
        text = _text(value)
        asked = query(name, text) if name in _FIELDS else None
        yield Fact(name=_NAMES.get(name, name.replace("_", " ")), value=text, query=asked)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _outcome(generation: Generation, slot: Slot, told: Mapping[str, Any]) -> Iterator[Fact]:
    yield Fact(name="state", value=f"{slot.state}: {told['drawing'] or slot.reason}")
    if slot.failure is not None:
        yield Fact(name="failure", value=_why(slot.failure))
    if slot.undrawn is not None:
        final = ", and will not be tried again by itself" if slot.undrawn.final else ""
        yield Fact(name="not drawn", value=f"{slot.undrawn.reason}{final}")
    ended = f": {_why(generation.failure)}" if generation.failure else ""
    yield Fact(name="generation", value=f"{generation.state}{ended}")
    if generation.moderated:
        yield Fact(name="moderated", value="yes, by the provider")
    if generation.canceled:
        yield Fact(name="canceled", value="yes, by its user")
    if generation.cost is not None:
        yield Fact(name="cost", value=_cost(generation, slot, generation.cost))
    yield from _moments(
        ("created", generation.created_at),
        ("completed", generation.completed_at),
        ("first heard of", generation.first_heard_at),
    )


def _cost(generation: Generation, slot: Slot, whole: float) -> str:
    """In the provider's unit; of several pictures also what one of them cost."""
    each = card_of(generation, slot).cost_micros
    if each is None or each >= whole * 1_000_000:
        return f"{whole:g}"
    return f"{whole:g}, or {each / 1_000_000:g} a picture"


def _file(asset: Asset, query: Query) -> Iterator[Fact]:
    yield Fact(name="type", value=asset.media_type, query=query("type", asset.media_type))
    if asset.width and asset.height:
        yield Fact(name="pixels", value=f"{asset.width} × {asset.height}")
    yield Fact(name="size", value=size_text(asset.size_bytes))
    digest = asset.sha256.hex()
    yield Fact(name="SHA-256", value=digest, query=query("sha256", digest))
    yield Fact(name="in the bucket", value=asset.blob_key)
    yield from _moments(("archived", asset.archived_at))
    drawn = asset.rendering
    if drawn is None:
        return
    yield Fact(name="drawn with", value=drawn.drawn_with)
    yield Fact(name="drawn by", value=f"{drawn.software}, on {drawn.device}")
    yield Fact(name="seed", value=str(drawn.seed))
    if drawn.flagged:
        yield Fact(name="flagged", value="the safety checker saw something: kept, but not shown")
    yield from (Fact(name="note", value=note) for note in drawn.notes)


def _source(generation: Generation, slot: Slot, query: Query) -> Iterator[Fact]:
    yield Fact(name="generation", value=generation.id, query=query("job", generation.id))
    yield Fact(name="slot", value=slot.role or str(slot.index))
    if generation.track_id:
        yield Fact(
            name="track id", value=generation.track_id, query=query("track", generation.track_id)
        )
    if generation.account:
        yield Fact(name="account", value=generation.account)
    yield from map(_link, slot.links)
    for other in generation.slots:
        if other.index != slot.index and bool(other.role) is not bool(slot.role):
            name = other.role or f"slot {other.index}"
            yield Fact(name=name, value=f"{other.state}: {other.reason}", number=other.number)


def _link(link: Link) -> Fact:
    lost = f"; lost: {_why(link.failure)}" if link.failure else ""
    return Fact(name="link", value=f"{link.location} until {moment_text(link.expires_at)}{lost}")


def _heard(story: Mapping[str, Any]) -> Iterator[Fact]:
    for told in story["deliveries"]:
        at = datetime.fromisoformat(told["received_at"])
        place = f"{told['inbox']}, position {told['position']}"
        yield Fact(name=told["heard"], value=f"{told['state']} ({place})", at=at)


def _done(story: Mapping[str, Any], told: Mapping[str, Any]) -> Iterator[Fact]:
    for job in (*told["jobs"], *story["jobs"]):
        tried = f", {job['attempts']} attempts" if job["attempts"] else ""
        later = f", next try {job['next_try_at']}" if job["next_try_at"] else ""
        reason = f": {job['reason']}" if job["reason"] else ""
        yield Fact(name=job["kind"], value=f"{job['state']}{tried}{later}{reason}")


def _moments(*named: tuple[str, datetime | None]) -> Iterator[Fact]:
    for name, moment in named:
        if moment is not None:
            yield Fact(name=name, value="", at=moment)


def _why(failure: Failure) -> str:
    said = failure.message or failure.code
    return f"{failure.failure_class}: {said}" if said else failure.failure_class
