"""Generations are kept as wholes: what was saved is what is loaded, number by number."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from archiver.catalog import Tables, assets, rows
from archiver.lifecycle import archive, settle
from archiver.models import Failure, FailureClass, Generation, Origin, Slot
from tests.archiver.catalog.scratch import scratch
from tests.archiver.generated import histories, linked
from tests.archiver.heard import asset
from tests.clocks import NOON


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=histories())
def test_what_is_saved_is_what_is_loaded(migrated: Path, history: list[Generation]) -> None:
    """Saving and loading again gives the same value, whatever has happened to a generation."""
    with scratch(migrated) as tables:
        before: Generation | None = None
        for after in history:
            kept = tables.generations.save(before, after)
            assert kept.key is not None
            loaded = tables.generations.load(after.provider, after.id)
            assert kept == loaded
            assert loaded == tables.generations.load_key(kept.key)
            for slot in kept.slots:
                assert slot.number is not None
                assert loaded == tables.generations.load_slot(slot.number)
            if before is not None:
                numbers = [slot.number for slot in before.slots]
                kept_numbers = [
                    slot.number for slot in kept.slots if before.slot(slot.index) is not None
                ]
                assert numbers == kept_numbers
            before = kept


@pytest.mark.parametrize("first", Origin)
def test_both_pictures_of_a_slot_are_kept_in_their_order(tables: Tables, first: Origin) -> None:
    """The original may come after the drawn one, or before it; the older one stands first."""
    (second,) = set(Origin) - {first}
    later = replace(asset(second), archived_at=NOON + timedelta(seconds=1))
    both = archive(archive(linked("1"), 0, asset(first)), 0, later)
    kept = tables.generations.save(None, both)
    assert kept == tables.generations.load("doitong", "1")
    assert [it.origin for it in kept.slots[0].assets] == [first, second]


def test_what_has_not_changed_is_not_read_again(tables: Tables) -> None:
    """A known generation is the answer itself until it is saved or sealed by anyone."""
    known = tables.generations.save(None, linked("1"))
    assert known.revision == 1
    assert tables.generations.refresh(known) is known
    assert known.key is not None
    tables.generations.seal(known.key, 1)
    sealed = tables.generations.refresh(known)
    assert sealed == replace(known, sealed_revision=1)
    changed = tables.generations.save(sealed, replace(sealed, cost=9.0))
    assert tables.generations.refresh(known) == tables.generations.refresh(sealed) == changed


def test_a_generation_that_nobody_heard_of_is_none(tables: Tables) -> None:
    """Asking for what is not there is no error."""
    tables.generations.save(None, linked("1"))
    assert tables.generations.load("doitong", "2") is None
    assert tables.generations.load("modelslab", "1") is None
    assert tables.generations.load_key(99) is None
    assert tables.generations.load_slot(99) is None


def test_many_are_loaded_at_once(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are known, by their names, also when they are too many for one statement."""
    monkeypatch.setattr(rows, "_PORTION", 2)
    kept = [tables.generations.save(None, linked(generation_id)) for generation_id in "12345"]
    names = [("doitong", generation_id) for generation_id in "123456"]
    assert tables.generations.load_all(names) == dict(zip(names, kept, strict=False))
    assert tables.generations.load_all([("modelslab", "1")]) == {}
    assert tables.generations.load_all([]) == {}


def test_ids_are_told_apart_to_the_letter(tables: Tables) -> None:
    """A provider's id is text: neither case, nor spaces, nor leading zeros are lost."""
    ids = ["a", "A", "a ", "1", "01", "1.0", "å", "a\u030a"]
    for generation_id in ids:
        tables.generations.save(None, linked(generation_id))
    found = [tables.generations.load("doitong", generation_id) for generation_id in ids]
    assert ids == [generation.id if generation else None for generation in found]


@pytest.mark.parametrize("tables", ["sqlite"], indirect=True)
def test_saving_what_has_not_changed_writes_nothing(tables: Tables) -> None:
    """Only what differs is written, so that a redelivery costs no write."""
    kept = tables.generations.save(None, archive(linked("1"), 0, asset()))
    before = tables.connection.total_changes
    assert kept == tables.generations.save(kept, kept)
    assert before == tables.connection.total_changes


def test_an_archive_number_is_never_given_again(tables: Tables) -> None:
    """Not even after a deletion, because it stands in manifests and in people's notes."""
    numbers: list[int | None] = []
    for generation_id in ("1", "2", "3"):
        kept = tables.generations.save(None, linked(generation_id))
        numbers += [slot.number for slot in kept.slots]
        for table, column in (("links", "slot"), ("slots", "number")):
            tables.connection.execute(f"DELETE FROM {table} WHERE {column} = ?", numbers[-1:])
    assert sorted({number for number in numbers if number is not None}) == numbers
    assert len(numbers) == 3


def test_a_slot_that_appears_later_is_numbered_then(tables: Tables) -> None:
    """What is known already keeps its number."""
    known = tables.generations.save(None, linked("1"))
    grown = settle(replace(known, slots=(*known.slots, Slot(index=1))))
    kept = tables.generations.save(known, grown)
    assert known.slots == kept.slots[:1]
    assert kept.slots[1].number not in (None, known.slots[0].number)


def test_the_sealed_revision_only_grows(tables: Tables) -> None:
    """A manifest that arrives late does not unsay a later one."""
    key = tables.generations.save(None, linked("1")).key
    assert key is not None
    sealed = []
    for revision in (2, 1, 3):
        tables.generations.seal(key, revision)
        loaded = tables.generations.load_key(key)
        sealed.append(loaded.sealed_revision if loaded else None)
    assert sealed == [2, 2, 3]


def test_counts_tell_states(tables: Tables) -> None:
    """`status` and the metrics count by state."""
    held = [
        replace(linked(generation_id), moderated=True, slots=(_refused(message),))
        for generation_id, message in (("1", "nsfw: yes"), ("2", "blocked"))
    ]
    for generation in (*map(settle, held), linked("3"), archive(linked("4"), 0, asset())):
        tables.generations.save(None, generation)
    assert tables.generations.count_by_state() == {("doitong", "succeeded"): 4}
    assert tables.generations.count_slots_by_state() == {"archived": 1, "held": 2, "linked": 1}


@pytest.mark.parametrize(
    ("prefix", "found"),
    [("", True), ("00", True), ("0001", True), ("0002", False), ("ff", False), (None, True)],
)
def test_assets_are_found_by_the_beginning_of_their_digest(
    tables: Tables, prefix: str | None, found: bool
) -> None:
    """A few letters of a SHA-256 are enough to ask with, and all of them are not too many."""
    kept = tables.generations.save(None, archive(linked("1"), 0, asset()))
    digest = asset().sha256 if prefix is None else bytes.fromhex(prefix)
    expected = [kept.slots[0].number] if found else []
    assert expected == assets.slots_with_digest(tables.connection, digest)


def _refused(message: str) -> Slot:
    return Slot(index=0, failure=Failure(failure_class=FailureClass.POLICY, message=message))
