"""The index comes back from the bucket alone, and what is amiss there is told."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archiver.blobs.folder import FolderBlobs
from archiver.catalog import CatalogReader, Tables
from archiver.catalog.health import troubles
from archiver.keys import manifest_key, segment_key, tombstone_key
from archiver.lifecycle import archive, stop_asking
from archiver.manifest import render
from archiver.models import Generation, SlotState
from archiver.query import parse
from archiver.recovery import rebuild as room
from archiver.recovery import segmenting
from archiver.recovery.comparing import Comparing
from archiver.recovery.findings import Finding
from archiver.recovery.hands import Hands
from archiver.recovery.new_catalog import REBUILD
from archiver.recovery.rebuild import Rebuilding
from archiver.recovery.segments import line, pack
from archiver.recovery.tombstones import forgotten_by, put_tombstone
from archiver.search import search
from archiver.signing import NOBODY, Signer, Trust, trust
from archiver.sqlite import open_writer
from archiver.tombstone import Tombstone, name_digest
from archiver.tombstone import render as render_tombstone
from archiver.work import JobKind, JobState
from tests.archiver.recovery.shelf import (
    Shelf,
    asset_of,
    fill_folder,
    picture,
    said,
    shelf_in,
)
from tests.archiver.test_signing import private_key
from tests.clocks import NOON

SIGNER = Signer(private_key())


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that every test has a copy of."""
    folder = tmp_path_factory.mktemp("filled")
    asyncio.run(fill_folder(folder, 16, signer=SIGNER))
    return folder


@pytest.fixture
async def shelf(filled: Path, tmp_path: Path) -> AsyncIterator[Shelf]:
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    async with shelf_in(tmp_path, signer=SIGNER) as shelf:
        yield shelf


class Rebuilt:
    """An index that was made of the bucket, what was told meanwhile, and how it compares."""

    def __init__(self, shelf: Shelf, trusted: Trust) -> None:
        self._shelf = shelf
        self._trust = trusted
        self.path = shelf.folder / "rebuilt.db"
        self.told: list[Finding] = []
        self.reader = CatalogReader(self.path)
        self.rebuilding = Rebuilding(
            shelf.blobs, self.path, trust=trusted, now=NOON, tell=self.told.append
        )

    @property
    def kinds(self) -> list[str]:
        return [finding.kind for finding in self.told]

    async def differences(self, *tombstones: Tombstone) -> dict[str, str]:
        """What is different from the shelf's own index, by the generations' ids."""
        comparing = Comparing(
            present=self._shelf.reader,
            rebuilt=self.reader,
            blobs=self._shelf.blobs,
            trust=self._trust,
            forgotten=forgotten_by(tombstones),
        )
        return {name[1]: says async for name, says in comparing.differences()}

    def load(self, name: str) -> Generation | None:
        with self.reader.view() as tables:
            return tables.generations.load("doitong", name)


async def rebuilt(shelf: Shelf, trusted: Trust = NOBODY) -> Rebuilt:
    made = Rebuilt(shelf, trusted)
    await made.rebuilding.run()
    return made


def as_promised(tables: Tables) -> list[Generation]:
    """All sealed generations as manifests show them, in the order of their names."""
    names = tables.generations.after(("", ""), limit=1000)
    known = tables.generations.load_all(names)
    return [
        replace(known[name], key=None, hinted_at=None)
        for name in names
        if known[name].sealed_revision
    ]


def found(tables: Tables, text: str) -> list[tuple[int, str, str | None]]:
    """What a search finds."""
    hits = search(tables, parse(text, now=NOON), limit=100).hits
    return [(hit.card.number, hit.card.state, hit.prompt) for hit in hits]


@pytest.mark.parametrize("segmented", ["none", "all", "the older half"])
async def test_the_index_comes_back_from_the_bucket_alone(
    shelf: Shelf, segmented: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every manifest, whether a segment holds it or not, with its numbers, links and previews; and
    every search finds the same in the same order."""
    monkeypatch.setattr(segmenting, "WIDTH", 8)
    if segmented != "none":
        await shelf.segmenting.catch_up()
    if segmented == "the older half":
        for number in range(16, 24):
            await shelf.add(number)
        await shelf.hear("g0", said("g0", track_id="heard since"))
        await shelf.seal()
    again = await rebuilt(shelf)
    assert again.told == []
    assert again.rebuilding.tally.generations == (21 if segmented == "the older half" else 14)
    with shelf.reader.view() as before, again.reader.view() as after:
        assert as_promised(after) == as_promised(before)
        for text in (
            "lighthouse",
            "灯塔 state:archived",
            "is:drawn",
            "g8",
            "steps:>=1",
            "sort:bytes",
        ):
            lost = {number for number, state, _ in found(before, text) if state == "expected"}
            assert found(after, text) == [it for it in found(before, text) if it[0] not in lost]
        digests = [
            asset.sha256
            for generation in as_promised(before)
            for slot in generation.slots
            for asset in slot.assets
            if generation.id not in ("g16", "g23")
        ]
        previews = {} if segmented == "none" else before.previews.of(digests)
        assert after.previews.of(digests) == previews
    assert await again.differences() == {}
    connection = open_writer(again.path)
    assert [*troubles(connection)] == []
    connection.close()
    with again.reader.view() as tables:
        assert tables.deliveries.last_beat_at(REBUILD) == NOON


async def test_processes_do_the_same(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Much work is done by several at once, and comes to the same."""
    monkeypatch.setattr(segmenting, "WIDTH", 4)
    monkeypatch.setattr(room, "_PORTION", 3)
    monkeypatch.setattr("archiver.recovery.hands._ALONE", 1)
    monkeypatch.setattr(Hands, "__init__", _with_two_hands(Hands.__init__))
    await shelf.segmenting.catch_up()
    again = await rebuilt(shelf)
    with shelf.reader.view() as before, again.reader.view() as after:
        assert as_promised(after) == as_promised(before)


def _with_two_hands(init: Callable[[Hands], None]) -> Callable[[Hands], None]:
    def with_two(hands: Hands) -> None:
        init(hands)
        hands.count = 2

    return with_two


async def test_what_is_not_safe_is_worked_on_and_nothing_else(shelf: Shelf) -> None:
    """A live link is fetched, a lost picture offered to renderers; what is archived is not touched
    but for the previews that no segment tells of."""
    await shelf.hear("lost", said("lost"))
    await shelf.lose("lost")
    await shelf.change("lost", stop_asking)
    await shelf.seal()
    for derived in (12, 8):
        again = await rebuilt(shelf)
        with again.reader.view() as tables:
            assert dict(tables.jobs.count()) == {
                ("derive", "available"): derived,
                ("fetch", "available"): 2,
                ("render", "available"): 1,
            }
        again.reader.close()
        await shelf.segmenting.catch_up()


async def test_numbers_go_on_where_they_were(shelf: Shelf) -> None:
    """The next archive number is one that no manifest and no tombstone has."""
    tombstone = Tombstone(
        name_sha256=name_digest("doitong", "gone"),
        index=None,
        numbers=(77,),
        forgotten_at=NOON,
        reason="requested",
    )
    await put_tombstone(shelf.blobs, tombstone, SIGNER)
    again = await rebuilt(shelf)
    connection = open_writer(again.path)
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("DELETE FROM slots WHERE number = (SELECT max(number) FROM slots)")
    tables = Tables(connection)
    saved = tables.generations.save(None, replace(shelf_generation("new"), slots=()))
    assert saved.key is not None
    (number,) = connection.execute(
        "INSERT INTO slots (generation, slot_index, state, reason) VALUES (?, 0, 'dead', '')"
        " RETURNING number",
        (saved.key,),
    ).fetchone()
    connection.close()
    assert number == 78


def shelf_generation(name: str) -> Generation:
    """A generation of which nothing is known."""
    return Generation(provider="doitong", id=name, first_heard_at=NOON)


async def test_the_latest_revision_wins(shelf: Shelf) -> None:
    """Of a segment that was left over and the one that took its place; and a manifest of its own
    over a line that shows the same revision otherwise."""
    await shelf.segmenting.catch_up()
    old = next((shelf.bucket / "manifests/segments").iterdir())
    kept = old.read_bytes()
    await shelf.hear("g0", said("g0", track_id="later"))
    await shelf.seal()
    await shelf.segmenting.catch_up()
    old.write_bytes(kept)
    own = shelf.bucket / manifest_key("doitong", "g1")
    own.write_bytes(own.read_bytes().replace(b"A lighthouse", b"A ship"))
    again = await rebuilt(shelf)
    later, changed = again.load("g0"), again.load("g1")
    assert later is not None
    assert changed is not None
    assert later.track_id == "later"
    assert (changed.params.prompt or "").startswith("A ship")
    assert await again.differences() == {"g1": "not the same: params"}


async def test_what_only_a_segment_shows_is_sealed_anew(shelf: Shelf) -> None:
    """A manifest that is gone, or older than its segment, is written again by the service."""
    own = shelf.bucket / manifest_key("doitong", "g1")
    older = own.read_bytes()
    await shelf.hear("g1", said("g1", slots=3, track_id="later"))
    await shelf.seal()
    await shelf.segmenting.catch_up()
    own.write_bytes(older)
    (shelf.bucket / manifest_key("doitong", "g0")).unlink()
    again = await rebuilt(shelf)
    assert again.kinds == ["missing"]
    with again.reader.view() as tables:
        for name in ("g0", "g1"):
            known = tables.generations.load("doitong", name)
            assert known is not None
            assert known.key is not None
            assert known.sealed_revision < known.revision
            job = tables.jobs.of(JobKind.SEAL, known.key)
            assert job is not None
            assert job.state is JobState.AVAILABLE


async def test_a_changed_manifest_is_refused(shelf: Shelf) -> None:
    """Where a key is trusted, what was changed after it was signed never reaches the index: its
    segment's line does, or nothing does."""
    await shelf.segmenting.catch_up()
    await shelf.hear("late", said("late"))
    await shelf.save("late", picture("late"))
    await shelf.seal()
    for name in ("g0", "late"):
        path = shelf.bucket / manifest_key("doitong", name)
        path.write_bytes(path.read_bytes().replace(b"A lighthouse", b"A ship"))
    again = await rebuilt(shelf, trust([], SIGNER))
    assert again.kinds == ["refused", "refused", "missing", "orphan"]
    assert "changed after it was signed" in again.told[0].says
    known = again.load("g0")
    assert known is not None
    assert (known.params.prompt or "").startswith("A lighthouse")
    assert again.load("late") is None
    assert await again.differences() == {
        "late": "the index says that it has a manifest, and there is none"
    }


@pytest.mark.parametrize("knows", ["nothing", "something else"])
async def test_a_bucket_that_knows_no_digests_is_read_whole(
    shelf: Shelf, knows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that encrypts what it holds: every manifest is read, and it comes to the same."""
    await shelf.segmenting.catch_up()

    async def digests(self: FolderBlobs, prefix: str) -> AsyncIterator[tuple[str, str]]:
        async for key in self.list(prefix):
            yield key, "" if knows == "nothing" else "0" * 32

    monkeypatch.setattr(FolderBlobs, "digests", digests)
    again = await rebuilt(shelf)
    assert (again.told, again.rebuilding.tally.read) == ([], 14)
    with shelf.reader.view() as before, again.reader.view() as after:
        assert as_promised(after) == as_promised(before)


async def test_a_segment_that_vanishes_meanwhile_is_not_missed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service writes a newer one; what that has is read elsewhere, if it is not met."""
    await shelf.segmenting.catch_up()
    (segment,) = (shelf.bucket / "manifests/segments").iterdir()
    whole = FolderBlobs.list

    async def list_then_delete(self: FolderBlobs, prefix: str) -> AsyncIterator[str]:
        async for key in whole(self, prefix):
            segment.unlink(missing_ok=True)
            yield key

    monkeypatch.setattr(FolderBlobs, "list", list_then_delete)
    again = await rebuilt(shelf)
    assert (again.told, again.rebuilding.tally.segments) == ([], 0)
    assert again.rebuilding.tally.generations == 14


async def test_a_changed_segment_is_refused_and_nothing_lost(shelf: Shelf) -> None:
    """Its manifests are read one by one."""
    await shelf.segmenting.catch_up()
    (segment,) = (shelf.bucket / "manifests/segments").iterdir()
    segment.write_bytes(segment.read_bytes()[:-100])
    again = await rebuilt(shelf, trust([], SIGNER))
    assert (again.kinds, await again.differences()) == (["refused"], {})


async def test_what_is_not_signed_is_refused_where_that_is_required(shelf: Shelf) -> None:
    """And only counted where it is not."""
    unsigned = replace(shelf, signer=None)
    await unsigned.hear("unsigned", said("unsigned"))
    await unsigned.save("unsigned", picture("unsigned"))
    await unsigned.seal()
    tolerant = await rebuilt(shelf, trust([], SIGNER))
    assert (tolerant.told, tolerant.rebuilding.tally.unsigned) == ([], 1)
    strict = await rebuilt(shelf, trust([], SIGNER, required=True))
    assert [(it.kind, it.says) for it in strict.told[:1]] == [("refused", "it is not signed")]
    assert strict.load("unsigned") is None


async def test_strange_objects_are_told_and_stop_nobody(shelf: Shelf) -> None:
    """What is no manifest, or lies where another's belongs; and a picture that nothing tells of, or
    whose object is gone."""
    other = shelf.bucket / manifest_key("doitong", "elsewhere")
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes((shelf.bucket / manifest_key("doitong", "g0")).read_bytes())
    (shelf.bucket / "manifests/doitong/note.txt").write_text("somebody's")
    (shelf.bucket / "manifests/doitong/note.json").write_text("not JSON")
    stray = asset_of(b"nobody's")
    await shelf.blobs.put(stray.blob_key, b"nobody's", media_type="image/png", metadata={})
    lost = asset_of(picture("g7"))
    await shelf.blobs.delete(lost.blob_key)
    again = await rebuilt(shelf)
    assert sorted(again.kinds) == ["lost", "orphan", "refused", "refused", "strange"]
    subjects = {finding.kind: finding.subject for finding in again.told}
    assert (subjects["orphan"], subjects["lost"]) == (stray.blob_key, lost.blob_key)
    assert {it.kind for it in again.told if not it.is_loss} == {"orphan", "strange"}
    assert await again.differences() == {}


async def test_two_claims_to_a_number_are_settled(shelf: Shelf) -> None:
    """An index that was begun anew beside the bucket gave numbers twice: the generation that was
    heard of first keeps them, wherever it is read, and the other's manifest is written again."""
    first, second = (await shelf.load("g0")), (await shelf.load("g1"))
    assert first is not None
    assert second is not None
    for later_first in (False, True):
        at = NOON.replace(hour=13 if later_first else 11)
        usurper = replace(
            second, id="usurper", first_heard_at=at, slots=(replace(second.slots[0], number=1),)
        )
        path = shelf.bucket / manifest_key("doitong", "usurper")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(SIGNER.sign(render(usurper)))
        again = await rebuilt(shelf)
        assert again.kinds == ["renumbered"]
        winner, loser = ("g0", "usurper") if later_first else ("usurper", "g0")
        kept, moved = again.load(winner), again.load(loser)
        assert kept is not None
        assert moved is not None
        assert [slot.number for slot in kept.slots] == [1]
        (number,) = [slot.number for slot in moved.slots]
        assert number is not None
        assert number > 16
        assert moved.sealed_revision < moved.revision
        with again.reader.view() as tables:
            assert (number, moved.slots[0].state, moved.params.prompt) in found(
                tables, "lighthouse"
            )


async def test_what_was_forgotten_stays_so(shelf: Shelf) -> None:
    """Tombstones outweigh whatever manifests and segments still lie there; what lies there is noted
    to vanish, but for pictures that others show."""
    await shelf.segmenting.catch_up()
    known = await shelf.load("g1")
    assert known is not None
    whole = Tombstone(
        name_sha256=name_digest("doitong", "g0"),
        index=None,
        numbers=(1,),
        forgotten_at=NOON,
        reason="requested",
    )
    part = replace(whole, name_sha256=name_digest("doitong", "g1"), index=1, numbers=(3,))
    for tombstone in (whole, part):
        await put_tombstone(shelf.blobs, tombstone, SIGNER)
    again = await rebuilt(shelf, trust([], SIGNER))
    assert again.kinds == ["forgotten", "forgotten"]
    assert again.load("g0") is None
    left = again.load("g1")
    assert left is not None
    assert [slot.number for slot in left.slots] == [slot.number for slot in known.slots]
    assert (left.slots[1].state, left.slots[1].links, left.slots[1].assets) == (
        SlotState.DEAD, (), (),
    )  # fmt: skip
    assert left.slots[2] == known.slots[2]
    assert left.sealed_revision < left.revision
    with again.reader.view() as tables:
        assert tables.tombstones.keys() == {whole.key, part.key}
        erasures = tables.tombstones.erasures(limit=100)
        assert [key for key in erasures if key.startswith("manifests/")] == [
            manifest_key("doitong", "g0"),
            segmenting.segment_prefix(0),
        ]
        assert known.slots[1].assets[0].blob_key in erasures
        assert "g0" not in str(found(tables, "lighthouse"))
    assert whole.key == tombstone_key(name_digest("doitong", "g0"), None)


async def test_a_tombstone_that_is_not_believed_is_told(shelf: Shelf) -> None:
    """Nobody who may write into the bucket can have something forgotten by a forged one."""
    forged = Tombstone(
        name_sha256=name_digest("doitong", "g0"),
        index=None,
        numbers=(1,),
        forgotten_at=NOON,
        reason="requested",
    )
    await put_tombstone(shelf.blobs, forged, Signer(private_key(2)))
    elsewhere = shelf.bucket / tombstone_key(name_digest("doitong", "g1"), None)
    elsewhere.write_bytes(SIGNER.sign(render_tombstone(forged)))
    again = await rebuilt(shelf, trust([], SIGNER))
    assert (again.kinds, again.load("g0") is None) == (["refused", "refused"], False)


async def test_a_failing_bucket_leaves_nothing_behind(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half an index is none."""

    async def fail(*_: object) -> None:
        raise RuntimeError("the bucket fails")

    monkeypatch.setattr(room, "compare_objects", fail)
    made = Rebuilt(shelf, NOBODY)
    with pytest.raises(RuntimeError, match="the bucket fails"):
        await made.rebuilding.run()
    assert [path.name for path in shelf.folder.glob("rebuilt.db*")] == []


DIFFERENCES: dict[str, tuple[Callable[[Tables], object], dict[str, str]]] = {
    "nothing": (lambda tables: None, {}),
    "a state": (
        lambda tables: tables.connection.execute(
            "UPDATE slots SET state = 'dead' WHERE number = 1"
        ),
        {"g0": "not the same: slot 0 state"},
    ),
    "an asset": (
        lambda tables: tables.connection.execute("DELETE FROM assets WHERE slot = 1"),
        {"g0": "not the same: slot 0 assets"},
    ),
    "a generation more": (
        lambda tables: tables.generations.seal(
            tables.generations.save(None, replace(shelf_generation("more"), slots=())).key or 0, 1
        ),
        {"more": "the index says that it has a manifest, and there is none"},
    ),
    "one that nobody sealed": (
        lambda tables: tables.generations.save(None, shelf_generation("waiting")),
        {},
    ),
    "a generation less": (
        lambda tables: tables.forgetting.generation(tables.generations.load("doitong", "g0")),
        {"g0": "the index does not know it"},
    ),
    "some generations less": (
        lambda tables: [
            tables.forgetting.generation(tables.generations.load("doitong", name))
            for name in ("g0", "g11", "g12", "g7")
        ],
        dict.fromkeys(("g0", "g11", "g12", "g7"), "the index does not know it"),
    ),
    "a change that is not sealed yet": (
        lambda tables: tables.connection.execute(
            "UPDATE generations SET revision = 9, track_id = 'new' WHERE id = 'g0'"
        ),
        {},
    ),
    "one that says it is": (
        lambda tables: tables.connection.execute(
            "UPDATE generations SET revision = 9, sealed_revision = 9 WHERE id = 'g0'"
        ),
        {"g0": "the bucket shows revision 2, the index says it was told of 9"},
    ),
    "an old index": (
        lambda tables: tables.connection.execute(
            "UPDATE generations SET revision = 1, sealed_revision = 1 WHERE id = 'g0'"
        ),
        {"g0": "the bucket shows revision 2, the index 1"},
    ),
}


@pytest.mark.parametrize(("change", "expected"), DIFFERENCES.values(), ids=DIFFERENCES)
async def test_what_is_different_is_told(
    shelf: Shelf,
    change: Callable[[Tables], object],
    expected: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Generation by generation, on whichever page; what is only on its way is no difference."""
    again = await rebuilt(shelf)
    await shelf.catalog.write(change)
    for page in (200, 3, 1):
        monkeypatch.setattr("archiver.recovery.comparing._PAGE", page)
        assert await again.differences() == expected


async def test_what_changed_while_it_was_compared_is_no_difference(shelf: Shelf) -> None:
    """The service seals on after the bucket was read: the second look sees the same."""
    again = await rebuilt(shelf)
    await shelf.change("g1", lambda known: archive(known, 0, asset_of(picture("late"))))
    await shelf.fill(24)
    assert await again.differences() == {}


async def test_a_line_of_a_segment_may_say_anything(shelf: Shelf) -> None:
    """One that is odd is left out by itself, of two that show one generation the later revision
    holds, and what a segment lacks is read elsewhere."""
    known = await shelf.load("g0")
    assert known is not None
    later = replace(known, revision=known.revision + 5, track_id="later")
    odd = [b'{"format":"holdfast-manifest-1"}', b"[]"]
    packed = pack([line(later, "", {}), line(known, "", {}), *odd], SIGNER)
    await shelf.blobs.put(
        segment_key(0, bytes(32)), packed, media_type="application/gzip", metadata={}
    )
    again = await rebuilt(shelf)
    assert again.kinds == ["refused", "refused"]
    assert all("line" in finding.subject for finding in again.told)
    assert again.load("g0").track_id == "later"
    assert await again.differences() == {"g0": "the bucket shows revision 7, the index 2"}
