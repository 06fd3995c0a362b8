"""The table `previews`: one row to a picture's bytes, read in the order in which they came."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archiver.catalog import Tables
from archiver.ledger import keep
from archiver.lifecycle import archive
from archiver.previews import Preview
from tests.archiver.generated import linked
from tests.archiver.heard import asset
from tests.clocks import NOON

PREVIEW = Preview(phash=-(2**63), width=320, height=240)
ONE_COLOUR = Preview(width=320, height=320)
REFUSED = Preview(reason="it cannot be decoded")


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def archived(tables: Tables, name: str, sha256: bytes) -> int:
    """The archive number of a slot with that picture."""
    saved = replace(asset(), sha256=sha256)
    (slot,) = keep(tables, None, archive(linked(name), 0, saved), now=NOON).slots
    assert slot.number is not None
    return slot.number


@pytest.mark.parametrize("preview", [PREVIEW, ONE_COLOUR, REFUSED])
def test_a_preview_is_found_by_the_digest(tables: Tables, preview: Preview) -> None:
    """As it was put; others have none."""
    tables.previews.put(digest(1), preview)
    assert tables.previews.of([digest(1), digest(2)]) == {digest(1): preview}
    assert tables.previews.of([]) == {}


def test_the_first_word_stands(tables: Tables) -> None:
    """Two jobs may derive the same bytes at once; the second one changes nothing."""
    tables.previews.put(digest(1), PREVIEW)
    tables.previews.put(digest(1), REFUSED)
    assert tables.previews.of([digest(1)]) == {digest(1): PREVIEW}


def test_many_are_found_at_once(tables: Tables) -> None:
    """More than fit one statement."""
    digests = [digest(number) for number in range(1200)]
    for sha256 in digests:
        tables.previews.put(sha256, PREVIEW)
    assert tables.previews.of(digests).keys() == set(digests)


def test_hashes_come_in_order(tables: Tables) -> None:
    """Those there are, from anywhere on; what has none is left out."""
    for number, preview in enumerate((PREVIEW, REFUSED, ONE_COLOUR, replace(PREVIEW, phash=7))):
        tables.previews.put(digest(number), preview)
    (first, one), (second, other) = tables.previews.hashes(above=0)
    assert (one, other) == (-(2**63), 7)
    assert [*tables.previews.hashes(above=first)] == [(second, 7)]
    assert [*tables.previews.hashes(above=second)] == []


def test_a_place_is_given_once(tables: Tables) -> None:
    """Whoever has read up to one misses nothing, even where the last was taken away."""
    tables.previews.put(digest(1), PREVIEW)
    ((last, _),) = tables.previews.hashes(above=0)
    tables.connection.execute("DELETE FROM previews")
    tables.previews.put(digest(2), PREVIEW)
    assert [phash for _, phash in tables.previews.hashes(above=last)] == [PREVIEW.phash]


def test_the_newest_slot_shows_a_picture(tables: Tables) -> None:
    """Of several with the same bytes; a picture that no slot shows any more is not shown."""
    for number in (1, 2, 3):
        tables.previews.put(digest(number), replace(PREVIEW, phash=number))
    ids = {phash: id_ for id_, phash in tables.previews.hashes(above=0)}
    archived(tables, "a", digest(1))
    newest, other = archived(tables, "b", digest(1)), archived(tables, "c", digest(2))
    assert tables.previews.shown([*ids.values()], but=b"") == {ids[1]: newest, ids[2]: other}
    assert tables.previews.shown([*ids.values()], but=digest(1)) == {ids[2]: other}


def test_slots_with_the_same_bytes_are_known(tables: Tables) -> None:
    """The newest first; a drawing that does not lead any more is not one of them."""
    first, second = archived(tables, "a", digest(1)), archived(tables, "b", digest(1))
    archived(tables, "c", digest(2))
    assert tables.cards.with_digest(digest(1)) == [second, first]
    assert tables.cards.with_digest(digest(3)) == []
