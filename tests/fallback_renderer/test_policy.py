"""What may never be drawn, and what may."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.lifecycle import archive, lose_link, settle, stop_asking
from archiver.models import (
    Generation,
    GenerationParams,
    GenerationState,
    Origin,
    Slot,
    SlotObservation,
)
from archiver.planning import plan
from archiver.work import JobKind
from fallback_renderer.policy import why_not
from tests.archiver.heard import (
    DEAD,
    DELIVERED,
    HEARINGS,
    OPERATOR,
    PLAIN_DIGEST,
    POLICY,
    RENDERABLE,
    REQUEST,
    TRANSIENT,
    Hearing,
    asset,
    failed,
    hear,
    hearing,
    numbered,
)

LOST = hear(REQUEST, failed(RENDERABLE))
MODERATION, ARCHIVED = "moderation, never drawn", "it is in the archive"


def _changed(generation: Generation = LOST, **slot: object) -> Generation:
    (only,) = generation.slots
    return settle(generation, (replace(only, **slot),))


CASES: dict[str, tuple[Generation, str | None]] = {
    "failed, nobody's fault": (LOST, None),
    "failed, no reason": (hear(REQUEST, failed()), None),
    "a lost slot": (_changed(hear(REQUEST), failure=RENDERABLE), None),
    "given up": (hear(REQUEST, hearing(GenerationState.LOST, slots=())), None),
    "moderated": (hear(REQUEST, failed(POLICY)), MODERATION),
    "moderated before": (hear(REQUEST, failed(POLICY), failed(RENDERABLE)), MODERATION),
    "a flag alone": (replace(LOST, moderated=True), MODERATION),
    "a flag, and nothing lost yet": (replace(hear(REQUEST), moderated=True), MODERATION),
    "canceled": (
        hear(REQUEST, failed(RENDERABLE), hearing(GenerationState.CANCELED, slots=())),
        "canceled at the provider",
    ),
    "canceled, and then some of it came": (
        hear(
            REQUEST,
            hearing(GenerationState.CANCELED, slots=()),
            hearing(GenerationState.PARTIAL, slots=(SlotObservation(index=0, failure=RENDERABLE),)),
        ),
        "canceled at the provider",
    ),
    "no prompt": (hear(failed(RENDERABLE)), "nobody has heard its prompt"),
    "a blank prompt": (
        replace(LOST, params=GenerationParams(prompt=" \n")),
        "nobody has heard its prompt",
    ),
    "archived": (archive(LOST, 0, asset()), ARCHIVED),
    "drawn": (archive(LOST, 0, asset(Origin.FALLBACK)), ARCHIVED),
    "a live link": (DELIVERED, "its link is still being followed"),
    "a lost link, and the provider not asked for another": (
        lose_link(DELIVERED, 0, PLAIN_DIGEST, RENDERABLE),
        "its link is still being followed",
    ),
    "a lost link, and no other to be had": (
        stop_asking(lose_link(DELIVERED, 0, PLAIN_DIGEST, RENDERABLE)),
        None,
    ),
    "a moderated slot": (_changed(hear(REQUEST), failure=POLICY), MODERATION),
    "under way": (hear(REQUEST), "the provider may still draw it"),
    "busy": (_changed(hear(REQUEST), failure=TRANSIENT), "the provider may still draw it"),
    "out of credit": (hear(REQUEST, failed(OPERATOR)), "it needs the operator"),
    "beyond help": (hear(REQUEST, failed(DEAD)), "it can neither be fetched nor drawn"),
}


@pytest.mark.parametrize(("generation", "reason"), CASES.values(), ids=CASES)
def test_only_what_is_lost_by_nobody_s_fault_is_drawn(
    generation: Generation, reason: str | None
) -> None:
    """Moderation and the user's will go before everything, then what is there or may come."""
    (slot,) = generation.slots

    assert reason == why_not(generation, slot)


def test_a_picture_of_the_client_s_is_not_drawn() -> None:
    """A slot with a role is what the request was made from."""
    slot = Slot(index=-1, role="init_image", failure=RENDERABLE)

    assert why_not(LOST, slot) == "it is the client's own picture, not one that a provider drew"


def test_one_moderated_slot_holds_them_all() -> None:
    """The other pictures come of the same prompt."""
    generation = hear(
        REQUEST,
        hearing(
            GenerationState.PARTIAL,
            slots=(
                SlotObservation(index=0, failure=POLICY),
                SlotObservation(index=1, failure=RENDERABLE),
            ),
        ),
    )

    assert [why_not(generation, it) for it in generation.slots] == [MODERATION, MODERATION]


@given(st.lists(HEARINGS, min_size=1, max_size=4))
def test_what_is_planned_may_be_drawn(heard: list[Hearing]) -> None:
    """Whatever was heard, the render jobs that the archive wants are those that may be drawn."""
    generation = numbered(hear(*heard))
    wanted = {job.subject for job in plan(generation) if job.kind is JobKind.RENDER}

    drawable = {slot.number for slot in generation.slots if why_not(generation, slot) is None}

    assert wanted == drawable


@given(st.lists(HEARINGS, max_size=3), st.lists(HEARINGS, max_size=3))
def test_moderation_is_never_forgotten(before: list[Hearing], after: list[Hearing]) -> None:
    """One word of it in any observation, whatever else was heard, and nothing is ever drawn."""
    flagged = hear(*before, failed(POLICY), *after)

    assert all(why_not(flagged, slot) for slot in flagged.slots)
