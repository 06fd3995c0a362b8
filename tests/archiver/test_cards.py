"""A card says of a slot what its generation and its leading asset say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings

from archiver.cards import MAX_NUMBER, Card, card_of
from archiver.catalog.cards import COLUMNS
from archiver.models import (
    Generation,
    GenerationParams,
    GenerationState,
    Origin,
    Rendering,
    Slot,
    SlotState,
)
from tests.archiver.generated import histories
from tests.archiver.heard import asset
from tests.clocks import NOON

PARAMS = GenerationParams(
    model="flux", version="1.5", scheduler="Euler", width=512, height=768, steps=30,
    guidance_scale=7.5, seed=2**64 - 1,
)  # fmt: skip
SLOT = Slot(index=1, number=77, state=SlotState.HELD, reason="needs the operator")
GENERATION = Generation(
    provider="doitong",
    id="7f3a",
    state=GenerationState.PARTIAL,
    service="flux-pro",
    params=PARAMS,
    track_id="order 17",
    cost=10.0,
    completed_at=NOON + timedelta(minutes=1),
    first_heard_at=NOON,
    slots=(replace(SLOT, index=-1, role="init_image"), replace(SLOT, index=0), SLOT),
)
ORIGINAL = replace(asset(Origin.PROVIDER), width=1024, height=1536)
DRAWN = replace(
    asset(Origin.FALLBACK),
    rendering=Rendering(drawn_with="x", software="y", device="cpu", seed=1, flagged=True),
)


def changed(**changes: object) -> Card:
    """The card of the slot with something in its generation changed."""
    return card_of(replace(GENERATION, **changes), SLOT)


def test_a_slot_without_bytes_has_a_card_too() -> None:
    """What was asked for is on it, and what it cost; where nothing is known there is None."""
    assert card_of(GENERATION, SLOT) == Card(
        number=77, provider="doitong", generation_id="7f3a", slot_index=1, service="flux-pro",
        model="flux", version="1.5", generation_state=GenerationState.PARTIAL,
        state=SlotState.HELD, reason="needs the operator", scheduler="Euler", width=512,
        height=768, steps=30, guidance_scale=7.5, seed=2**64 - 1, cost_micros=5_000_000,
        track_id="order 17", created_at=NOON, completed_at=NOON + timedelta(minutes=1),
        first_heard_at=NOON,
    )  # fmt: skip


def test_the_leading_asset_is_what_is_shown() -> None:
    """Its own extent, type, digest and warning; that the fallback drew it is known besides."""
    both = card_of(GENERATION, replace(SLOT, assets=(DRAWN, ORIGINAL)))
    assert (both.origin, both.width, both.height) == (Origin.PROVIDER, 1024, 1536)
    assert (both.drawn, both.flagged) == (True, False)
    assert (both.sha256, both.size_bytes) == (ORIGINAL.sha256, ORIGINAL.size_bytes)
    assert (both.media_type, both.archived_at) == (ORIGINAL.media_type, ORIGINAL.archived_at)
    drawn = card_of(GENERATION, replace(SLOT, assets=(DRAWN,)))
    assert (drawn.origin, drawn.drawn, drawn.flagged) == (Origin.FALLBACK, True, True)


def test_an_extent_is_of_one_thing() -> None:
    """A video's that nobody knows is what was asked for, never half of each."""
    half = replace(ORIGINAL, width=1024, height=None)
    card = card_of(GENERATION, replace(SLOT, assets=(half,)))
    assert (card.width, card.height) == (512, 768)


def test_created_is_when_it_was_first_heard_of_if_nobody_says_more() -> None:
    """So that every slot has a day on which it is found."""
    earlier = NOON - timedelta(hours=1)
    assert changed(created_at=earlier).created_at == earlier
    assert changed(created_at=None).created_at == NOON


@pytest.mark.parametrize(
    ("cost", "micros"),
    [
        (None, None), (0.0, 0), (0.01, 5_000), (0.0000001, 0), (1e-6, 0), (3e-6, 2),
        (float("nan"), None), (float("inf"), None), (1e308, None), (-1e308, None), (1e14, None),
    ],
)  # fmt: skip
def test_the_cost_is_shared(cost: float | None, micros: int | None) -> None:
    """Each output bears its part, inputs none; what is no price is none."""
    assert changed(cost=cost).cost_micros == micros


def test_what_has_no_outputs_has_no_price_of_one() -> None:
    """An input may be heard of before any output is, and looked at by its number."""
    only = replace(SLOT, index=-1, role="init_image")
    generation = replace(GENERATION, cost=0.5, slots=(only,))
    assert card_of(generation, only).cost_micros is None


def test_what_no_column_can_hold_is_left_out() -> None:
    """A width of a trillion digits is no width; only the seed is kept as it is."""
    params = replace(
        PARAMS, width=2**63, height=-(2**70), steps=2**63, guidance_scale=float("nan"), seed=2**70
    )
    card = changed(params=params)
    assert (card.width, card.height, card.steps, card.guidance_scale) == (None,) * 4
    assert card.seed == 2**70


@settings(max_examples=25)
@given(known=histories())
def test_every_number_but_the_seed_fits(known: list[Generation]) -> None:
    """Whatever is heard, a card can be written down."""
    for generation in known:
        for slot in (slot for slot in generation.slots if not slot.role):
            card = card_of(generation, replace(slot, number=1))
            values = [getattr(card, name) for name in COLUMNS if name != "seed"]
            assert all(abs(it) <= MAX_NUMBER for it in values if isinstance(it, int | float))
