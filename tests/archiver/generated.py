"""Observations of every kind, and the generations that come of them by the law itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import strategies as st

from archiver.drawing import drawn_from
from archiver.lifecycle import archive, leading_link, lose_link, refuse
from archiver.merging import merge
from archiver.models import (
    DeliveryRef,
    Failure,
    FailureClass,
    Generation,
    GenerationParams,
    GenerationState,
    InputObservation,
    Observation,
    Origin,
    Rendering,
    Slot,
    SlotObservation,
    Undrawn,
)
from tests.archiver.heard import LINK_LIFETIME, asset
from tests.clocks import NOON

# What SQLite can hold as text: everything but lone surrogates, which JSON decoding refuses too.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# The catalog keeps whole milliseconds.
MOMENTS = st.integers(-1000, 10**9).map(lambda millis: NOON + timedelta(milliseconds=millis))
REFS = st.builds(
    DeliveryRef, inbox=st.sampled_from(["inbox-a", "inbox-b"]), position=st.integers(1, 9)
)
FAILURES = st.builds(Failure, failure_class=st.sampled_from(FailureClass), code=TEXT, message=TEXT)
URLS = st.builds(
    "https://cdn.doitong.com/{}.png?Expires={}&Signature=hush".format,
    st.integers(0, 3),
    st.integers(1_790_000_000, 1_800_000_000),
)
PARAMS = st.builds(
    GenerationParams,
    prompt=st.none() | TEXT,
    negative_prompt=st.none() | TEXT,
    version=st.none() | TEXT,
    width=st.none() | st.integers(1, 10**9),
    samples=st.none() | st.integers(1, 4),
    guidance_scale=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    seed=st.none() | st.integers(0, 2**64 - 1),
)
SLOTS = st.builds(
    SlotObservation, index=st.integers(0, 3), url=st.none() | URLS, failure=st.none() | FAILURES
)

RENDERINGS = st.builds(
    Rendering,
    drawn_with=TEXT,
    software=TEXT,
    device=TEXT,
    seed=st.integers(0, 2**64 - 1),
    flagged=st.booleans(),
    notes=st.lists(TEXT, max_size=2).map(tuple),
)
INPUTS = st.builds(InputObservation, role=st.sampled_from(["init_image", "mask_image"]), url=URLS)


def observations(generation_id: str = "generation-1") -> st.SearchStrategy[Observation]:
    """Anything that a provider may say of one generation."""
    return st.builds(
        Observation,
        provider=st.just("doitong"),
        generation_id=st.just(generation_id),
        state=st.sampled_from(GenerationState),
        slots=st.lists(SLOTS, max_size=3).map(tuple),
        inputs=st.lists(INPUTS, max_size=2).map(tuple),
        hint=st.booleans(),
        account=st.none() | st.sampled_from(["7f", "a0"]),
        failure=st.none() | FAILURES,
        service=st.none() | TEXT,
        params=PARAMS,
        track_id=st.none() | TEXT,
        cost=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        created_at=st.none() | MOMENTS,
        completed_at=st.none() | MOMENTS,
    )


@st.composite
def histories(draw: st.DrawFn) -> list[Generation]:
    """One generation as it is known after each thing that happened to it, the first one first."""
    known: list[Generation] = []
    for _ in range(draw(st.integers(1, 5))):
        before = known[-1] if known else None
        if before and draw(st.booleans()):
            after = draw(_outcomes(before, archived_at=NOON + timedelta(seconds=len(known))))
        else:
            after = merge(
                before,
                draw(observations()),
                heard_in=draw(REFS),
                received_at=draw(MOMENTS),
                link_lifetime=LINK_LIFETIME,
            )
        known.append(replace(after, revision=len(known) + 1))
    return known


def _outcomes(generation: Generation, archived_at: datetime) -> st.SearchStrategy[Generation]:
    def outcome(
        slot: Slot, drawn: Rendering | None, failure: Failure | None, undrawn: Undrawn | None
    ) -> Generation:
        link = leading_link(slot)
        if failure is not None and link is not None:
            return lose_link(generation, slot.index, link.url_sha256, failure)
        if undrawn is not None:
            return refuse(generation, slot.index, undrawn)
        origin = Origin.FALLBACK if drawn else Origin.PROVIDER
        stored = replace(asset(origin), archived_at=archived_at, rendering=drawn)
        return archive(generation, slot.index, stored)

    targets = st.sampled_from([drawn_from(generation), ""])
    undrawns = st.builds(Undrawn, target=targets, reason=TEXT, final=st.booleans())
    return st.builds(
        outcome,
        st.sampled_from(generation.slots),
        st.none() | RENDERINGS,
        st.none() | FAILURES,
        st.none() | undrawns,
    )


URL = "https://cdn.doitong.com/1.png?Expires=1795280400&Signature=hush"
URL_DIES_AT = NOON + timedelta(hours=5)
FRESH_URL = "https://cdn.doitong.com/1.png?Expires=1795366800&Signature=hush"
FRESH_URL_DIES_AT = NOON + timedelta(hours=29)


def succeeded(generation_id: str, url: str = URL, prompt: str | None = None) -> Observation:
    """The provider's word that there is a picture behind this link."""
    return Observation(
        provider="doitong",
        generation_id=generation_id,
        state=GenerationState.SUCCEEDED,
        slots=(SlotObservation(index=0, url=url),),
        params=GenerationParams(prompt=prompt),
    )


def joined(known: Generation | None, observation: Observation, *, position: int = 1) -> Generation:
    """What is known once this was heard, too."""
    return merge(
        known,
        observation,
        heard_in=DeliveryRef(inbox="inbox-a", position=position),
        received_at=NOON,
        link_lifetime=LINK_LIFETIME,
    )


def linked(generation_id: str, url: str = URL, prompt: str | None = None) -> Generation:
    """A generation of which only its success was heard."""
    return joined(None, succeeded(generation_id, url, prompt))
