"""What follows from what is known: the law of generations and slots.

Law 1: everything that decides a state lives in this room; the others only carry it out.
Law 2: a slot's state is no history but a reading of its facts: the first row of `SLOT_LAW` that
holds. So a redelivery with a fresher link is a rescue by itself, even of a dead slot.

How observations are joined is `merging`, what work follows `planning`, and what a failed job does
next `retries`; the README's diagram is drawn from here by `diagram`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from archiver.drawing import drawn_from
from archiver.joins import worst
from archiver.models import (
    Asset,
    Failure,
    FailureClass,
    Generation,
    GenerationState,
    Link,
    Origin,
    Slot,
    SlotState,
    Undrawn,
)

GENERATION_RANK = {state: rank for rank, state in enumerate(GenerationState)}

NO_RENDERER = "no renderer"
NOT_DRAWN = "not drawn"
FLAGGED = "flagged by the safety checker"

# A provider whose links die as fast as it signs them has nothing behind them.
MAX_LOST_LINKS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """All that a slot's state depends on."""

    original: bool = False
    drawn: bool = False
    flagged: bool = False
    live_link: bool = False
    askable: bool = False
    failure_class: FailureClass | None = None
    drawable: bool = False
    undrawn: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotRule:
    """One row of the law: when the facts are so, the slot stands so, because."""

    when: Callable[[Facts], bool]
    state: SlotState
    because: str


SLOT_LAW: tuple[SlotRule, ...] = (
    SlotRule(
        when=lambda facts: facts.original,
        state=SlotState.ARCHIVED,
        because="the provider's picture is in the bucket",
    ),
    SlotRule(
        when=lambda facts: facts.drawn and facts.flagged,
        state=SlotState.HELD,
        because=FLAGGED,
    ),
    SlotRule(
        when=lambda facts: facts.drawn,
        state=SlotState.RENDERED,
        because="drawn by the fallback renderer",
    ),
    SlotRule(
        when=lambda facts: facts.live_link,
        state=SlotState.LINKED,
        because="a link is known and being fetched",
    ),
    SlotRule(
        when=lambda facts: facts.askable,
        state=SlotState.EXPECTED,
        because="its link is lost, and the provider is asked for another",
    ),
    SlotRule(
        when=lambda facts: facts.failure_class in (None, FailureClass.TRANSIENT),
        state=SlotState.EXPECTED,
        because="waiting for the provider",
    ),
    SlotRule(
        when=lambda facts: facts.failure_class is FailureClass.POLICY,
        state=SlotState.HELD,
        because="moderation, never drawn",
    ),
    SlotRule(
        when=lambda facts: facts.failure_class is FailureClass.OPERATOR,
        state=SlotState.HELD,
        because="needs the operator",
    ),
    SlotRule(
        when=lambda facts: facts.failure_class is FailureClass.DEAD,
        state=SlotState.DEAD,
        because="can neither be fetched nor drawn",
    ),
    SlotRule(
        when=lambda facts: facts.drawable and facts.undrawn,
        state=SlotState.HELD,
        because=NOT_DRAWN,
    ),
    SlotRule(
        when=lambda facts: facts.drawable,
        state=SlotState.HELD,
        because=NO_RENDERER,
    ),
    SlotRule(
        when=lambda _: True,
        state=SlotState.DEAD,
        because="lost, and no prompt is known to draw it from",
    ),
)

_WITHOUT_PICTURE = frozenset({SlotState.HELD, SlotState.DEAD})

SETTLED = frozenset({SlotState.ARCHIVED, SlotState.RENDERED, SlotState.HELD, SlotState.DEAD})

_MAY_BE_BETTER = frozenset({FailureClass.TRANSIENT, FailureClass.RENDERABLE})

# What a provider has yet to speak its last word on.
# The code of the failure of what is lost because nothing more was heard of it.
SILENT = "silent"

UNDER_WAY = frozenset({GenerationState.QUEUED, GenerationState.RUNNING})

_DELIVERED = frozenset({GenerationState.PARTIAL, GenerationState.SUCCEEDED})

# A provider's final word that no picture will come; anything less may still bring one.
_LOST_FOR = {
    GenerationState.LOST: Failure(failure_class=FailureClass.RENDERABLE),
    GenerationState.FAILED: Failure(failure_class=FailureClass.RENDERABLE),
}

# Whatever else is heard, the user wanted no more of it.
_CANCELED = Failure(failure_class=FailureClass.DEAD, message="canceled at the provider")

_NEVER_LINKED = Failure(
    failure_class=FailureClass.RENDERABLE, message="the provider gave no link to it"
)


def settle(generation: Generation, slots: Iterable[Slot] | None = None) -> Generation:
    """The generation with `slots`, or its own, the state of each read off its facts."""
    given = generation.slots if slots is None else slots
    settled = tuple(_settle_slot(generation, slot) for slot in given)
    return generation if settled == generation.slots else replace(generation, slots=settled)


def _settle_slot(generation: Generation, slot: Slot) -> Slot:
    failure = loss(generation, slot)
    live_link = leading_link(slot) is not None
    refused = refusal(generation, slot)
    facts = Facts(
        original=any(asset.origin is Origin.PROVIDER for asset in slot.assets),
        drawn=any(asset.origin is Origin.FALLBACK for asset in slot.assets),
        flagged=any(asset.rendering and asset.rendering.flagged for asset in slot.assets),
        live_link=live_link,
        askable=not live_link and is_askable(generation, slot),
        failure_class=failure.failure_class if failure else None,
        drawable=bool((generation.params.prompt or "").strip()) and not slot.role,
        undrawn=refused is not None,
    )
    rule = next(rule for rule in SLOT_LAW if rule.when(facts))
    why = _why(rule, failure, refused)
    reason = f"{rule.because}: {why}" if why else rule.because
    if (slot.state, slot.reason) == (rule.state, reason):
        return slot
    return replace(slot, state=rule.state, reason=reason)


def _why(rule: SlotRule, failure: Failure | None, refused: Undrawn | None) -> str:
    """What a reason says beyond its rule: what happened to the picture that is not there."""
    if rule.because == NOT_DRAWN:
        return refused.reason if refused else ""
    if failure is None or rule.because == FLAGGED:
        return ""
    return failure.message or failure.code if rule.state in _WITHOUT_PICTURE else ""


def loss(generation: Generation, slot: Slot) -> Failure | None:
    """The worst that is known to have happened to a slot; a moderation signal outranks all."""
    if slot.role:  # the client's own picture, whatever came of the generation
        return worst(slot.failure, *(known.failure for known in slot.links))
    whole = _CANCELED if generation.canceled else _LOST_FOR.get(generation.state)
    if whole is not None:
        whole = worst(whole, generation.failure)
    elif slot.asked and not slot.links and generation.state in _DELIVERED:
        whole = _NEVER_LINKED
    failure = worst(whole, slot.failure, *(known.failure for known in slot.links))
    if failure is not None and generation.moderated:
        return replace(failure, failure_class=FailureClass.POLICY)
    return failure


def refusal(generation: Generation, slot: Slot) -> Undrawn | None:
    """What the last renderer said that did not draw the slot, while nothing more is known."""
    undrawn = slot.undrawn
    return undrawn if undrawn and undrawn.target == drawn_from(generation) else None


def is_askable(generation: Generation, slot: Slot) -> bool:
    """Whether all that a slot lacks is a link, and the provider may have another.

    Not where another would be no better or the operator could mend the links that there are, and
    once for each that was lost, up to `MAX_LOST_LINKS`.
    """
    if slot.role or slot.failure or generation.state in _LOST_FOR:
        return False
    lost = [known.failure.failure_class for known in slot.links if known.failure]
    if not 0 < len(lost) < MAX_LOST_LINKS:
        return False
    return _MAY_BE_BETTER.issuperset(lost) and slot.asked <= len(slot.links)


def has_ended(generation: Generation) -> bool:
    """Whether the provider has had its last word on whether pictures will come."""
    return generation.state not in UNDER_WAY


def stop_asking(generation: Generation) -> Generation:
    """The generation once its provider was asked and has no links but those that are known."""
    slots = (
        replace(slot, asked=max(slot.asked, len(slot.links) + 1)) if not slot.role else slot
        for slot in generation.slots
    )
    return settle(generation, slots)


def lose(generation: Generation, failure: Failure) -> Generation:
    """The generation given up as lost, for want of any end; a later word still revives it."""
    state = max(generation.state, GenerationState.LOST, key=GENERATION_RANK.__getitem__)
    return settle(replace(generation, state=state, failure=worst(generation.failure, failure)))


def withheld(generation: Generation, slot: Slot) -> str | None:
    """Why what we drew for a slot is not shown, though it is kept; None if that does not lead."""
    asset = slot.leading_asset
    if asset is None or asset.origin is Origin.PROVIDER:
        return None
    if asset.rendering is not None and asset.rendering.flagged:
        return FLAGGED
    return (
        "the provider has called it moderated since it was drawn" if generation.moderated else None
    )


def leading_link(slot: Slot) -> Link | None:
    """The link worth trying first: of those not yet lost, the one that lives longest."""
    live = [known for known in slot.links if known.failure is None]
    return max(live, key=lambda it: (it.expires_at, it.url_sha256), default=None)


def archive(generation: Generation, index: int, asset: Asset) -> Generation:
    """The generation once `asset` is in the bucket; a second one of the same kind adds nothing."""

    def with_asset(slot: Slot) -> Slot:
        if any(known.origin is asset.origin for known in slot.assets):
            return slot
        return replace(slot, assets=(*slot.assets, asset), undrawn=None)

    return _with_slot(generation, index, with_asset)


def refuse(generation: Generation, index: int, undrawn: Undrawn) -> Generation:
    """The generation once a renderer has said that it does not draw that slot."""
    return _with_slot(generation, index, lambda slot: replace(slot, undrawn=undrawn))


def lose_link(generation: Generation, index: int, digest: bytes, failure: Failure) -> Generation:
    """The generation once the link of that digest has come to a final bad end."""

    def without_link(slot: Slot) -> Slot:
        links = tuple(
            replace(known, failure=failure) if known.url_sha256 == digest else known
            for known in slot.links
        )
        return replace(slot, links=links)

    return _with_slot(generation, index, without_link)


def release_links(generation: Generation) -> Generation:
    """The generation with every link that waited for the operator worth trying again."""

    def released(known: Link) -> Link:
        waits = known.failure and known.failure.failure_class is FailureClass.OPERATOR
        return replace(known, failure=None) if waits else known

    slots = (replace(slot, links=tuple(map(released, slot.links))) for slot in generation.slots)
    return settle(generation, slots)


def _with_slot(generation: Generation, index: int, change: Callable[[Slot], Slot]) -> Generation:
    slots = (change(slot) if slot.index == index else slot for slot in generation.slots)
    return settle(generation, slots)
