"""What may be heard of one generation: by hand for a table, drawn at random for a law."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import strategies as st

from archiver.links import url_sha256
from archiver.merging import merge
from archiver.models import (
    Asset,
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
)

RECEIVED_AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LINK_LIFETIME = timedelta(hours=24)

PLAIN_URL = "https://cdn.doitong.com/outputs/abc123xyz.jpg"
SIGNED_URL = "https://b.oss-cn-beijing.aliyuncs.com/a.png?Expires=1795348800&Signature=x"
SIGNED_URL_DIES_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Hearing(NamedTuple):
    """One observation, and where and when it was heard."""

    observation: Observation
    heard_in: DeliveryRef
    received_at: datetime


def hearing(
    state: GenerationState = GenerationState.SUCCEEDED,
    *,
    url: str | None = None,
    slots: tuple[SlotObservation, ...] | None = None,
    position: int = 1,
    received_at: datetime = RECEIVED_AT,
    **says: Any,
) -> Hearing:
    """A hearing of generation doitong/abc; `url` is short for one slot with that URL."""
    observation = Observation(
        provider="doitong",
        generation_id="abc",
        state=state,
        slots=(SlotObservation(index=0, url=url),) if slots is None else slots,
        **says,
    )
    return Hearing(observation, DeliveryRef(inbox="inbox", position=position), received_at)


def hear(*hearings: Hearing, known: Generation | None = None) -> Generation:
    """What is known after all of these, heard in this order."""
    for observation, heard_in, received_at in hearings:
        known = merge(
            known,
            observation,
            heard_in=heard_in,
            received_at=received_at,
            link_lifetime=LINK_LIFETIME,
        )
    assert known is not None
    return known


def numbered(generation: Generation) -> Generation:
    """The generation as the catalog keeps it: with its key, numbers and first revision."""
    slots = tuple(replace(slot, number=100 + slot.index) for slot in generation.slots)
    return replace(generation, key=7, revision=1, slots=slots)


def asset(origin: Origin = Origin.PROVIDER) -> Asset:
    """A picture in the bucket."""
    return Asset(
        origin=origin,
        sha256=bytes(range(32)),
        blob_key="blobs/sha256/00/00.png",
        size_bytes=3,
        media_type="image/png",
        width=1,
        height=2,
        archived_at=RECEIVED_AT,
    )


DRAWN = Rendering(
    drawn_with="owner/name@commit", software="holdfast", device="cpu", seed=7, notes=("a note",)
)
FLAGGED_ASSET = replace(asset(Origin.FALLBACK), rendering=replace(DRAWN, flagged=True))

POLICY = Failure(failure_class=FailureClass.POLICY, code="NSFW", message="nsfw")
OPERATOR = Failure(failure_class=FailureClass.OPERATOR, code="402")
DEAD = Failure(failure_class=FailureClass.DEAD, code="too_large", message="one terabyte")
RENDERABLE = Failure(failure_class=FailureClass.RENDERABLE, code="gone", message="410 Gone")
TRANSIENT = Failure(failure_class=FailureClass.TRANSIENT, message="busy")

PLAIN_DIGEST = url_sha256(PLAIN_URL)
REQUEST = hearing(GenerationState.QUEUED, slots=(), params=GenerationParams(prompt="A lighthouse"))
DELIVERED = hear(REQUEST, hearing(url=PLAIN_URL))


def failed(failure: Failure | None = None, **says: Any) -> Hearing:
    """The provider's word that it failed."""
    return hearing(GenerationState.FAILED, failure=failure, **says)


def only_slot(generation: Generation) -> Slot:
    """The slot of a generation that has one."""
    (slot,) = generation.slots
    return slot


def _optional(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from((None, *values))


# Few values of each, so that hearings agree, contradict and repeat each other.
MOMENTS = st.integers(0, 5).map(lambda hours: RECEIVED_AT + timedelta(hours=hours))
URLS = _optional("", PLAIN_URL, f"{PLAIN_URL}?v=2", SIGNED_URL, SIGNED_URL.replace("1795", "1796"))
FAILURES = st.builds(
    Failure,
    failure_class=st.sampled_from(FailureClass),
    code=st.sampled_from(["", "500", "402"]),
    message=st.sampled_from(["", "broken", "no credit"]),
)
PARAMS = st.builds(
    GenerationParams,
    prompt=_optional("", "a cat", "a dog"),
    negative_prompt=_optional("rain"),
    version=_optional("sd-xl", "sd-2.1"),
    width=_optional(512, 1024),
    samples=_optional(-1, 0, 1, 3),
    guidance_scale=_optional(7.0, 7.5),
)
SLOTS = st.builds(SlotObservation, index=st.integers(0, 3), url=URLS, failure=st.none() | FAILURES)
INPUTS = st.builds(
    InputObservation, role=st.sampled_from(["init_image", "mask_image"]), url=URLS.filter(bool)
)
HEARINGS = st.builds(
    Hearing,
    observation=st.builds(
        Observation,
        provider=st.just("doitong"),
        generation_id=st.just("abc"),
        state=st.sampled_from(GenerationState),
        slots=st.lists(SLOTS, max_size=4).map(tuple),
        inputs=st.lists(INPUTS, max_size=3).map(tuple),
        hint=st.booleans(),
        account=_optional("7f", "a0"),
        failure=st.none() | FAILURES,
        service=_optional("flux-pro", "stable-diffusion"),
        params=PARAMS,
        track_id=_optional("t1", "t2"),
        cost=_optional(10, 12.5),
        created_at=st.none() | MOMENTS,
        completed_at=st.none() | MOMENTS,
    ),
    heard_in=st.builds(
        DeliveryRef, inbox=st.sampled_from(["inbox-a", "inbox-b"]), position=st.integers(1, 4)
    ),
    received_at=MOMENTS,
)
