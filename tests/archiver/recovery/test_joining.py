"""A manifest and the catalog: the newer one is believed, and neither loses what the other has."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from archiver import manifest
from archiver.lifecycle import archive, lose_link
from archiver.manifest_parser import parse
from archiver.models import Generation, Origin
from archiver.recovery.joining import joined, say_the_same
from tests.archiver.generated import histories, linked
from tests.archiver.heard import RENDERABLE, asset
from tests.clocks import NOON


def numbered(generation: Generation) -> Generation:
    """With a key and archive numbers, as the catalog and every manifest have them."""
    slots = tuple(replace(slot, number=1 + slot.index % 2**40) for slot in generation.slots)
    return replace(generation, key=7, slots=slots)


def shown(generation: Generation) -> Generation:
    """What its manifest says of it."""
    return parse(manifest.render(generation))


@given(st.data())
def test_the_newer_one_is_what_comes_of_both(data: st.DataObject) -> None:
    """A manifest written since the backup brings all that has happened; an older one nothing."""
    history = [numbered(known) for known in data.draw(histories())]
    before = data.draw(st.sampled_from(history))
    after = data.draw(st.sampled_from([it for it in history if it.revision >= before.revision]))
    assert say_the_same(joined(before, shown(after)), after)
    assert joined(after, shown(before)) == after


@given(st.data())
def test_joining_again_adds_nothing(data: st.DataObject) -> None:
    """However often the same manifest is met."""
    history = [numbered(known) for known in data.draw(histories())]
    one, other = (data.draw(st.sampled_from(history)) for _ in range(2))
    once = joined(one, shown(other))
    assert joined(once, shown(other)) == once


def test_bytes_are_in_the_bucket_whoever_says_it() -> None:
    """An archive went on without its catalog: each of the two has a picture that the other lacks,
    and what they both have keeps the catalog's number."""
    known = numbered(archive(linked("1"), 0, asset()))
    drawn = replace(asset(Origin.FALLBACK), archived_at=NOON + timedelta(hours=1))
    other = replace(archive(numbered(linked("1")), 0, drawn), revision=9)
    other = replace(other, slots=(replace(other.slots[0], number=33),))
    for one, two in ((known, other), (replace(known, revision=12), other)):
        (slot,) = joined(one, two).slots
        assert [it.origin for it in slot.assets] == [Origin.PROVIDER, Origin.FALLBACK]
        assert (slot.number, slot.state) == (1, "archived")


def test_what_attempts_have_come_to_is_believed_of_the_newer() -> None:
    """A link given up, and believed in again by the operator's word."""
    heard = numbered(linked("1"))
    (link,) = heard.slots[0].links
    lost = replace(lose_link(heard, 0, link.url_sha256, RENDERABLE), revision=2)
    revived = replace(heard, revision=3)
    assert joined(lost, revived).slots == revived.slots
    assert joined(revived, lost).slots == revived.slots


def test_it_stays_the_catalogs_own() -> None:
    """The key, and what no manifest says."""
    known = replace(numbered(linked("1")), hinted_at=NOON, sealed_revision=1)
    found = replace(known, key=None, hinted_at=None, cost=2.0, revision=4, sealed_revision=4)
    both = joined(known, found)
    assert (both.key, both.hinted_at, both.sealed_revision) == (7, NOON, 1)
    assert (both.cost, both.revision) == (2.0, 4)
