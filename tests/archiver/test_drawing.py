"""What a slot would be drawn from: the same knowledge is the same digest, anything more another."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.drawing import drawn_from
from archiver.lifecycle import archive, lose_link, refuse
from archiver.links import url_sha256
from archiver.models import Generation, GenerationParams, InputObservation, Origin, Undrawn
from tests.archiver.heard import (
    HEARINGS,
    PLAIN_URL,
    RENDERABLE,
    SIGNED_URL,
    Hearing,
    asset,
    failed,
    hear,
    hearing,
)

INPUTS = (InputObservation(role="init_image", url=PLAIN_URL),)
ASKED = GenerationParams(prompt="Ein Fuchs \ud83e im Schnee ❄", seed=1 << 63, guidance_scale=7.5)
KNOWN = hear(failed(params=ASKED, inputs=INPUTS, service="flux"))


def changed(name: str) -> Generation:
    """The same, but for one field of what was asked, which is now known or another."""
    values = {"str": "x", "int": 9, "float": 0.25, "bool": True}
    kind = str(GenerationParams.__annotations__[name]).partition(" ")[0]
    return replace(KNOWN, params=replace(ASKED, **{name: values[kind]}))


@pytest.mark.parametrize("name", [field.name for field in fields(GenerationParams)])
def test_every_word_of_the_request_counts(name: str) -> None:
    """Whatever of it becomes known may be what a renderer lacked."""
    assert drawn_from(changed(name)) != drawn_from(KNOWN)


def test_its_service_and_its_own_pictures_count() -> None:
    """A picture that it names is worth nothing until it is in the archive."""
    (named, _) = KNOWN.slots
    digests = {
        drawn_from(KNOWN),
        drawn_from(replace(KNOWN, service=None)),
        drawn_from(archive(KNOWN, named.index, asset())),
        drawn_from(archive(KNOWN, named.index, replace(asset(), blob_key="another"))),
        drawn_from(replace(KNOWN, slots=KNOWN.slots[1:])),
    }
    assert len(digests) == 5


def test_what_became_of_it_does_not_count() -> None:
    """Neither its links nor its pictures are drawn from, nor what a renderer said."""
    known = hear(hearing(url=SIGNED_URL), known=KNOWN)
    for other in (
        known,
        lose_link(known, 0, url_sha256(SIGNED_URL), RENDERABLE),
        archive(known, 0, asset(Origin.FALLBACK)),
        refuse(KNOWN, 0, Undrawn(target="", reason="no")),
        replace(KNOWN, revision=9, cost=1.0, account="7f"),
    ):
        assert drawn_from(other) == drawn_from(KNOWN)


@given(st.lists(HEARINGS, min_size=1, max_size=4))
def test_it_is_short_and_the_same_in_any_order(hearings: list[Hearing]) -> None:
    """It names a job's target, so the same knowledge must give the same."""
    digest = drawn_from(hear(*hearings))
    assert digest == drawn_from(hear(*reversed(hearings)))
    assert len(bytes.fromhex(digest)) == 8
