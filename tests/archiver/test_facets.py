"""Facet tokens tell every value apart, survive the index's tokenizer, and can be read back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.cards import Card
from archiver.facets import (
    EVERY_ROW,
    IS,
    NO_ROW,
    NUMBERS,
    folded,
    number_token,
    token,
    tokens_of,
    value_of,
)
from archiver.models import GenerationState, Origin, SlotState
from tests.archiver.query.made_up import rows
from tests.clocks import NOON

ANY_TEXT = st.text(st.characters(exclude_categories=()))
FULL = Card(
    number=1, provider="DashScope", generation_id="7f3a-11", slot_index=0, service="wanx",
    model="Flux Pro", version="1.5", generation_state=GenerationState.FAILED,
    state=SlotState.RENDERED, origin=Origin.FALLBACK, scheduler="Euler a", media_type="image/png",
    width=512, height=768, steps=30, guidance_scale=7.0, seed=-1, cost_micros=40_000,
    track_id="Ω", created_at=NOON, first_heard_at=NOON, drawn=True, flagged=True, moderated=True,
)  # fmt: skip
BARE = Card(
    number=1, provider="x", generation_id="y", slot_index=0, created_at=NOON, first_heard_at=NOON,
    generation_state=GenerationState.QUEUED, state=SlotState.EXPECTED, service="",
)  # fmt: skip


def test_all_that_a_card_says_shortly() -> None:
    """Each in its field, and a media type by its halves, too."""
    assert tokens_of(FULL).split() == [
        "all", "provider_dashscope", "service_wanx", "model_flux_20_pro", "version_1_2e_5",
        "state_rendered", "origin_fallback", "scheduler_euler_20_a", "job_7f3a_2d_11",
        "track__3c9_", "type_image_2f_png", "type_image", "type_png", "width_512", "height_768",
        "steps_30", "scale_7_2e_0", "seed__2d_1", "cost_40000", "is_portrait", "is_drawn",
        "is_flagged", "is_moderated", "is_failed",
    ]  # fmt: skip


def test_what_is_unknown_has_no_token() -> None:
    """Nor has what is empty."""
    assert tokens_of(BARE) == "all provider_x state_expected job_y"


@given(ANY_TEXT)
def test_a_value_can_be_read_back(value: str) -> None:
    """Token and folded value are one to one, in letters that need no quoting anywhere."""
    found = token("model", value)
    assert re.fullmatch("[a-z0-9_]+", found)
    assert value_of(found) == ("model", folded(value))


@given(ANY_TEXT, ANY_TEXT)
def test_the_token_of_a_beginning_is_the_beginning_of_the_token(one: str, other: str) -> None:
    """So that a value can be asked for by its first letters, and by nothing that is not."""
    begins = folded(one).startswith(folded(other))
    assert token("model", one).startswith(token("model", other)) == begins


@given(ANY_TEXT, ANY_TEXT)
def test_different_values_have_different_tokens(one: str, other: str) -> None:
    """`a b` and `a-b` are two models."""
    assert (token("model", one) == token("model", other)) == (folded(one) == folded(other))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Flux Pro", "FLUX PRO", True), ("Straße", "STRASSE", True), ("ＡＢ１", "ab1", True),
        (" flux ", "flux", True), ("flux pro", "flux-pro", False), ("a_b", "a b", False),
        ("_2d_", "-", False), ("é", "e", False), ("", "_", False),
    ],
)  # fmt: skip
def test_case_and_width_are_all_that_is_forgiven(one: str, other: str, same: bool) -> None:
    """A field is asked for as it is written, signs and all."""
    assert (token("model", one) == token("model", other)) is same


def test_a_number_is_one_token_however_it_is_kept() -> None:
    """A scale of 7 is one of 7.0, and 0 has no sign."""
    assert number_token("guidance_scale", 7) == number_token("guidance_scale", 7.0)
    assert number_token("width", 512) == number_token("width", 512.0)
    assert number_token("guidance_scale", -0.0) == number_token("guidance_scale", 0)
    assert value_of(number_token("seed", 2**64 - 1)) == ("seed", str(2**64 - 1))


def test_no_field_is_another_ones_beginning() -> None:
    """The beginning of one field's token matches no other field's, and no bare token."""
    fields = {found.partition("_")[0] for told in rows(0, 99) for found in _tokens(told.row.card)}
    assert {"provider", "job", "track", "type", "is", *NUMBERS.values()} <= fields
    assert not any(each.startswith(f"{field}_") for each in (EVERY_ROW, NO_ROW) for field in fields)


def test_is_asks_for_tokens_that_cards_have() -> None:
    """Every word after `is:` finds some card and leaves out another; `lost` has no original."""
    cards = [set(_tokens(told.row.card)) for told in rows(0, 99)]
    for word, asked in IS.items():
        assert 0 < sum(not card.isdisjoint(asked) for card in cards) < len(cards), word
    settled = {state for word in ("saved", "pending", "lost") for state in IS[word]}
    assert settled == {token("state", state) for state in SlotState}


def _tokens(card: Card) -> list[str]:
    return tokens_of(card).split()
