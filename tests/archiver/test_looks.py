"""What looks alike, against counting bits by hand."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.ledger import keep
from archiver.lifecycle import archive
from archiver.looks import MAX_DISTANCE, Look, Looks
from archiver.previews import Preview
from tests.archiver.catalog.scratch import scratch
from tests.archiver.generated import linked
from tests.archiver.heard import asset
from tests.clocks import NOON

# Near each other and far from each other.
HASHES = st.one_of(
    st.integers(0, 2**6 - 1),
    st.integers(-(2**63), -(2**63) + 2**6),
    st.integers(-(2**63), 2**63 - 1),
)


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def derived(tables: Tables, hashes: Sequence[int]) -> None:
    """Pictures with those hashes, by the digests 0, 1 and so on, that no slot shows."""
    for number, phash in enumerate(hashes):
        tables.previews.put(digest(number), Preview(phash=phash, width=1, height=1))


def shown(tables: Tables, number: int, name: str = "") -> int:
    """The archive number of a slot that shows the picture with that digest."""
    saved = replace(asset(), sha256=digest(number))
    generation = archive(linked(name or str(number)), 0, saved)
    (slot,) = keep(tables, None, generation, now=NOON).slots
    assert slot.number is not None
    return slot.number


def alike(tables: Tables, looks: Looks, phash: int, **asked: int) -> list[tuple[int, int]]:
    """`(distance, number)` of what looks like the first picture."""
    found = looks.similar(tables, digest(0), phash, **{"distance": 10, "limit": 99, **asked})
    return [(look.distance, look.number) for look in found]


def test_the_most_alike_come_first(tables: Tables) -> None:
    """Then the newest; what is too far away does not come, and it itself neither."""
    derived(tables, [0, 0b111, 0b1, 0b10, 0, 2**11 - 1])
    own, three, one, newer, same, _ = (shown(tables, number) for number in range(6))
    looks = Looks()
    everything = [(0, same), (1, newer), (1, one), (3, three)]
    assert alike(tables, looks, 0) == everything
    assert alike(tables, looks, 0, limit=2) == everything[:2]
    assert alike(tables, looks, 0, distance=2) == everything[:3]
    assert alike(tables, looks, 0, distance=0) == everything[:1]
    assert own not in {number for _, number in alike(tables, looks, 0, distance=MAX_DISTANCE)}


def test_the_same_bytes_come_once(tables: Tables) -> None:
    """By the newest of the slots that have them."""
    derived(tables, [0, 1])
    for name in ("a", "b"):
        shown(tables, 0, name)
    shown(tables, 1, "c")
    newest = shown(tables, 1, "d")
    assert alike(tables, Looks(), 0) == [(1, newest)]


def test_what_is_new_is_found_at_once(tables: Tables) -> None:
    """The index goes on from where it was, past whatever has no hash."""
    looks = Looks()
    derived(tables, [0])
    assert alike(tables, looks, 0) == []
    tables.previews.put(digest(7), Preview(reason="it cannot be decoded"))
    tables.previews.put(digest(8), Preview(phash=-1, width=1, height=1))
    tables.previews.put(digest(9), Preview(phash=3, width=1, height=1))
    number = shown(tables, 9)
    assert alike(tables, looks, 0) == [(2, number)]


def test_what_is_gone_is_not_found(tables: Tables) -> None:
    """Be it the card or the row; and it takes no place from what is there."""
    derived(tables, range(2**9))
    last = 2**9 - 1
    number = shown(tables, last)
    looks = Looks()
    assert alike(tables, looks, 0, limit=1) == [(9, number)]
    tables.connection.execute("DELETE FROM previews WHERE sha256 = ?", (digest(last),))
    assert alike(tables, looks, 0) == []


@settings(max_examples=40)
@given(hashes=st.lists(HASHES, min_size=1, max_size=12), distance=st.integers(0, MAX_DISTANCE))
def test_nothing_near_is_missed(migrated: Path, hashes: list[int], distance: int) -> None:
    """Whatever the hashes are, however they came in, it is as if each were looked at."""
    with scratch(migrated) as tables:
        looks = Looks()
        derived(tables, hashes[: len(hashes) // 2])
        list(looks.near(tables, 0, distance=0))
        derived(tables, hashes)
        near = looks.near(tables, hashes[0], distance=distance)
        found = [(bits, id_) for bits, ids in near for id_ in ids]
        far = {
            id_: ((phash ^ hashes[0]) & (2**64 - 1)).bit_count()
            for id_, phash in tables.previews.hashes(above=0)
        }
    expected = sorted((bits, -id_) for id_, bits in far.items() if bits <= distance)
    assert found == [(bits, -id_) for bits, id_ in expected]


def test_it_grows_as_the_archive_does(tables: Tables) -> None:
    """Beyond any room that was made for it, and nothing of what it held is lost."""
    looks = Looks()
    for count in (1, 1000, 1024, 1025, 5000):
        derived(tables, [0] * count)
        found = [id_ for _, some in looks.near(tables, 0, distance=0) for id_ in some]
        assert len(found) == len(set(found)) == count


async def test_many_threads_share_it(catalog: Catalog, reader: CatalogReader) -> None:
    """Whoever asks while another reads what is new has the same answer."""

    def fill(tables: Tables) -> list[int]:
        derived(tables, [number % 3 for number in range(3000)])
        return [shown(tables, number) for number in (3, 6, 1)]

    same, newer, one = await catalog.write(fill)
    looks = Looks()

    def ask(_: int) -> list[Look]:
        with reader.view() as tables:
            return looks.similar(tables, digest(0), 0, distance=9, limit=9)

    with ThreadPoolExecutor(8) as threads:
        answers = [*threads.map(ask, range(16))]
    expected = [
        Look(number=newer, distance=0),
        Look(number=same, distance=0),
        Look(number=one, distance=1),
    ]
    assert answers == [expected] * 16
