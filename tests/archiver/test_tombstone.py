"""A tombstone says that something is not to come back, and nothing of what it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import ManifestError
from archiver.lifecycle import SETTLED
from archiver.models import Generation
from archiver.planning import plan
from archiver.tombstone import Tombstone, emptied, name_digest, parse, render
from archiver.work import SLOT_KINDS
from tests.archiver.heard import HEARINGS, Hearing, hear
from tests.archiver.histories import HISTORIES, Event, happen
from tests.clocks import NOON

TOMBSTONES = st.builds(
    Tombstone,
    name_sha256=st.binary(min_size=32, max_size=32),
    index=st.none() | st.integers(-(2**40), 2**40),
    numbers=st.lists(st.integers(1, 2**63 - 1), max_size=3).map(tuple),
    forgotten_at=st.integers(0, 10**12).map(lambda millis: NOON + timedelta(milliseconds=millis)),
    reason=st.sampled_from(["requested", "takedown-7"]),
)
STONE = Tombstone(
    name_sha256=name_digest("doitong", "abc"),
    index=None,
    numbers=(7,),
    forgotten_at=NOON,
    reason="erasure",
)


@given(TOMBSTONES)
def test_what_is_rendered_is_read_back(tombstone: Tombstone) -> None:
    """To the last archive number; and different ones never share a key."""
    assert parse(render(tombstone)) == tombstone
    assert tombstone.key.startswith(f"tombstones/{tombstone.name_sha256.hex()}")


def test_the_layout_is_a_promise() -> None:
    """Names, order and forms are as buckets already hold them, and no name is among them."""
    text = render(STONE)
    assert json.loads(text) == {
        "format": "holdfast-tombstone-1",
        "kind": "generation",
        "name_sha256": hashlib.sha256(b"doitong/abc").hexdigest(),
        "index": None,
        "numbers": [7],
        "forgotten_at": "2026-11-21T12:00:00.000Z",
        "reason": "erasure",
    }


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        render(STONE).replace(b"tombstone-1", b"tombstone-2"),
        render(STONE).replace(b"[\n  7\n ]", b"[0]"),
        render(STONE).replace(b'"index": null', b'"index": "all"'),
    ],
)
def test_what_is_no_tombstone_is_refused(text: bytes) -> None:
    """Nothing is forgotten by mistake."""
    with pytest.raises(ManifestError):
        parse(text)


@given(HEARINGS, HISTORIES, HEARINGS)
def test_a_forgotten_slot_stays_empty(first: Hearing, events: list[Event], again: Hearing) -> None:
    """Whatever becomes of a generation and is heard of it afterwards: nothing of the slot is left
    but its number, nothing is done for it, and the other slots are as they were."""
    known = _numbered(happen(hear(first), *events))
    index = known.slots[0].index
    once = emptied(known, [index])
    later = emptied(hear(again, known=once), [index])
    for generation in (once, _numbered(later)):
        slot = generation.slot(index)
        assert slot is not None
        assert (slot.links, slot.assets, slot.undrawn) == ((), (), None)
        assert slot.failure is not None
        assert slot.failure.code == "forgotten"
        assert slot.state in SETTLED
        wanted = {job.subject for job in plan(generation) if job.kind in SLOT_KINDS}
        assert slot.number not in wanted
    assert once.slots[1:] == known.slots[1:]
    assert emptied(once, [index]) == once


def _numbered(known: Generation) -> Generation:
    slots = (replace(slot, number=number) for number, slot in enumerate(known.slots, 1))
    return replace(known, key=7, slots=tuple(slots))
