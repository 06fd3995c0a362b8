"""What is forgotten is gone everywhere and does not come back; what others need stays."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from archiver.catalog import Tables
from archiver.catalog.health import troubles
from archiver.keys import manifest_key
from archiver.models import SlotState
from archiver.notices import Event, event_of
from archiver.query import parse
from archiver.recovery.forget import Forget, StillAtWorkError
from archiver.recovery.forget_plan import Target, plan
from archiver.recovery.rebuild import Rebuilding
from archiver.recovery.segments import unpack
from archiver.recovery.tombstones import put_tombstone
from archiver.search import search
from archiver.signing import NOBODY, Signer, trust
from archiver.sqlite import open_writer
from archiver.tombstone import Tombstone, name_digest
from archiver.work import JobKind
from tests.archiver.recovery.shelf import INBOX, Shelf, asset_of, picture, said, shelf_in
from tests.archiver.test_signing import private_key
from tests.clocks import NOON

SIGNER = Signer(private_key())
G0 = Target(provider="doitong", id="g0")
G1 = Target(provider="doitong", id="g1")
# Words that nothing else in the archive has.
TOLD = "unforgettable"


async def fill(folder: Path) -> None:
    async with shelf_in(folder, signer=SIGNER) as shelf:
        await shelf.hear("g0", said("g0", track_id=TOLD, prompt=f"{TOLD} prompt"))
        await shelf.fill(8)
        await shelf.segmenting.catch_up()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that every test has a copy of."""
    folder = tmp_path_factory.mktemp("filled")
    asyncio.run(fill(folder))
    return folder


@pytest.fixture
async def shelf(filled: Path, tmp_path: Path) -> AsyncIterator[Shelf]:
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    async with shelf_in(tmp_path, signer=SIGNER) as shelf:
        yield shelf


def forgetting(shelf: Shelf) -> Forget:
    return Forget(
        catalog=shelf.catalog,
        reader=shelf.reader,
        blobs=shelf.blobs,
        segmenting=shelf.segmenting,
        signer=SIGNER,
        now=shelf.clock,
    )


async def forget(shelf: Shelf, *targets: Target) -> None:
    await forgetting(shelf).forget(targets, reason="erasure", wait_seconds=0.1)


def everything(shelf: Shelf) -> Iterator[tuple[str, bytes]]:
    """Every file of the archive and its bytes, segments unpacked; of the catalog what is not free
    to be overwritten."""
    copy = shelf.folder / "copy.db"
    copy.unlink(missing_ok=True)
    connection = open_writer(shelf.path)
    connection.execute("VACUUM INTO ?", (str(copy),))
    connection.close()
    for path in sorted(shelf.folder.rglob("*")):
        if path.is_file() and not path.name.startswith("catalog.db"):
            content = path.read_bytes()
            if path.name.endswith(".ndjson.gz"):
                content = b"\n".join(unpack(content, NOBODY).lines)
            yield str(path.relative_to(shelf.folder)), content


def found(tables: Tables, text: str) -> list[str]:
    hits = search(tables, parse(text, now=NOON), limit=100).hits
    return [hit.card.generation_id for hit in hits]


async def test_nothing_is_left_of_a_generation(shelf: Shelf) -> None:
    """Neither its words nor its name nor its picture's digest is in any file of catalog or bucket:
    only a tombstone is, which says neither."""
    (slot,) = (await shelf.load("g0")).slots
    (asset,) = slot.assets
    await shelf.blobs.put(
        f"thumbs/sha256/{asset.sha256.hex()[:2]}/{asset.sha256.hex()}.webp",
        b"a thumbnail", media_type="image/webp", metadata={},
    )  # fmt: skip
    secrets = [
        TOLD.encode(),
        b'"g0"',
        asset.sha256,
        asset.sha256.hex().encode(),
        slot.links[0].url_sha256,
    ]
    before = dict(everything(shelf))
    assert all(any(secret in it for it in before.values()) for secret in secrets)
    await forget(shelf, G0)
    await shelf.catalog.close()
    for secret in secrets:
        assert [name for name, content in everything(shelf) if secret in content] == []
    assert [name for name, _ in everything(shelf) if asset.sha256.hex() in name] == []
    (tombstone,) = (shelf.bucket / "tombstones").iterdir()
    said_of_it = json.loads(tombstone.read_bytes())
    assert said_of_it.pop("signature")
    assert said_of_it == {
        "format": "holdfast-tombstone-1",
        "kind": "generation",
        "name_sha256": name_digest("doitong", "g0").hex(),
        "index": None,
        "numbers": [1],
        "forgotten_at": "2026-11-21T12:00:00.000Z",
        "reason": "erasure",
    }


async def test_everything_else_is_as_it_was(shelf: Shelf) -> None:
    """Other generations, their manifests and pictures, the search, and the catalog's soundness."""
    names = [f"g{n}" for n in range(1, 8)]
    before = [await shelf.load(name) for name in names]
    await forget(shelf, G0)
    assert [await shelf.load(name) for name in names] == before
    with shelf.reader.view() as tables:
        assert "g0" not in found(tables, "lighthouse")
        assert found(tables, TOLD) == []
        assert set(found(tables, "lighthouse")) >= {"g1", "g2", "g7"}
        assert tables.tombstones.erasures(limit=9) == []
    connection = open_writer(shelf.path)
    assert [*troubles(connection)] == []
    costs = "SELECT v FROM texts_fts_config WHERE k = 'secure-delete'"
    assert connection.execute(costs).fetchall() == [(0,)]  # changes cost again what they did
    connection.close()
    (segment,) = (shelf.bucket / "manifests/segments").iterdir()
    lines = unpack(segment.read_bytes(), trust([], SIGNER, required=True)).lines
    assert [json.loads(line)["id"] for line in lines] == ["g1", "g2", "g3", "g4", "g5", "g7"]


async def test_a_shared_picture_stays_until_the_last_has_gone(shelf: Shelf) -> None:
    """Of two generations that show the same bytes, neither takes them from the other."""
    await shelf.hear("twin", said("twin"))
    await shelf.save("twin", picture("g0"))
    blob = shelf.bucket / asset_of(picture("g0")).blob_key
    with shelf.reader.view() as tables:
        planned = plan(tables, [G0], now=NOON)
        both = plan(tables, [G0, replace(G0, id="twin")], now=NOON)
    assert (planned.pictures, planned.shared) == (0, (asset_of(picture("g0")).blob_key,))
    assert (both.pictures, both.shared) == (1, ())
    await forget(shelf, G0)
    assert blob.exists()
    with shelf.reader.view() as tables:
        assert tables.previews.of([asset_of(picture("g0")).sha256]) != {}
    await forget(shelf, replace(G0, id="twin"))
    assert not blob.exists()
    with shelf.reader.view() as tables:
        assert tables.previews.of([asset_of(picture("g0")).sha256]) == {}


async def test_a_picture_that_somebody_brought_again_stays(shelf: Shelf) -> None:
    """Between the rows that vanished and the objects: what a slot shows by then is not deleted."""
    shown, gone = asset_of(picture("g7")).blob_key, asset_of(b"nobody's").blob_key
    await shelf.blobs.put(gone, b"nobody's", media_type="image/png", metadata={})
    await shelf.catalog.write(lambda tables: tables.tombstones.erase([shown, gone]))
    assert await forgetting(shelf).finish() == 2
    assert (shelf.bucket / shown).exists()
    assert not (shelf.bucket / gone).exists()


async def test_of_a_slot_its_picture_and_links_go(shelf: Shelf) -> None:
    """The generation stays with its other slots, and its manifest shows the loss at once; the
    slot's number stays its own, and it is neither fetched nor drawn."""
    before = await shelf.load("g1")
    await forget(shelf, replace(G1, index=2))
    after = await shelf.load("g1")
    gone = after.slots[2]
    assert (gone.number, gone.state, gone.links, gone.assets) == (
        before.slots[2].number, SlotState.DEAD, (), (),
    )  # fmt: skip
    assert after.slots[:2] == before.slots[:2]
    assert after.sealed_revision == after.revision
    digest = asset_of(picture("g1")).sha256.hex().encode()
    assert [name for name, content in everything(shelf) if digest in content] == []
    manifest = (shelf.bucket / manifest_key("doitong", "g1")).read_bytes()
    assert b"it was forgotten" in manifest
    with shelf.reader.view() as tables:
        assert tables.jobs.of(JobKind.FETCH, gone.number) is None
        assert tables.jobs.of(JobKind.FETCH, before.slots[0].number) is not None
        assert found(tables, "g1 state:dead") == ["g1"]
    connection = open_writer(shelf.path)
    assert [*troubles(connection)] == []
    connection.close()


@pytest.mark.parametrize(("state", "event"), [("succeeded", Event.SAFE), ("failed", Event.LOST)])
async def test_what_is_to_be_told_still_is(shelf: Shelf, state: str, event: Event) -> None:
    """Of the slots that stay: their message waits on, and of the forgetting there is none; whoever
    is at another job of the generation takes nothing of it away. With the last slot it is void."""
    two, told = replace(G0, id="two"), [(event.value, "available")]
    heard = said("two", slots=2, state=state, prompt="")
    if event is Event.LOST:
        heard = replace(heard, slots=tuple(replace(slot, url=None) for slot in heard.slots))
    await shelf.catalog.write(lambda tables: tables.notices.want(tuple(Event)))
    await shelf.hear("two", heard)
    if event is Event.SAFE:
        for slot in range(2):
            await shelf.save("two", picture(f"two {slot}"), slot=slot)

    def waiting(tables: Tables) -> list[tuple[str, str]]:
        jobs = "SELECT target, state FROM jobs WHERE kind = 'notify'"
        return tables.connection.execute(jobs).fetchall()

    def claim(tables: Tables) -> object:
        return tables.jobs.claim(
            JobKind.SEAL, limit=99, worker="w", lease_seconds=30, now=shelf.clock()
        )

    assert await shelf.reader.read(waiting) == told
    await shelf.catalog.write(claim)
    with pytest.raises(StillAtWorkError):
        await forget(shelf, replace(two, index=0))
    assert await shelf.reader.read(waiting) == told
    shelf.clock.advance(seconds=31)
    await forget(shelf, replace(two, index=0))
    assert event_of(await shelf.load("two")) is event
    assert await shelf.reader.read(waiting) == told
    await forget(shelf, replace(two, index=1))
    assert event_of(await shelf.load("two")) is None
    assert await shelf.reader.read(waiting) == told  # its worker sees that it is so no more
    await forget(shelf, two)
    assert await shelf.reader.read(waiting) == []


async def test_a_redelivery_changes_nothing_of_a_slot(shelf: Shelf) -> None:
    """Whatever the provider says again, even a fresher link, the slot stays as it is."""
    await forget(shelf, replace(G1, index=2))
    known = await shelf.load("g1")
    with shelf.reader.view() as tables:
        lost = tables.tombstones.of([("doitong", "g1"), ("doitong", "g2")])
    assert lost == {("doitong", "g1"): {2}}
    assert known.slots[2].failure.code == "forgotten"


async def test_what_is_worked_on_is_waited_for(shelf: Shelf) -> None:
    """Rows are never taken from under a worker: it is said who is at it, the tombstone is there
    already, and the same again goes on; nothing that waits is begun meanwhile."""
    await shelf.hear("late", said("late", slots=2))

    def claim(tables: Tables) -> object:
        return tables.jobs.claim(
            JobKind.FETCH, limit=9, worker="w", lease_seconds=30, now=shelf.clock()
        )

    await shelf.catalog.write(claim)
    late = replace(G0, id="late")
    with pytest.raises(StillAtWorkError, match="doitong/late is being worked on"):
        await forget(shelf, late)
    assert await shelf.load("late") is not None
    with shelf.reader.view() as tables:
        assert tables.tombstones.of([late.name]) == {late.name: {None}}
    shelf.clock.advance(seconds=31)  # the worker has died
    await forget(shelf, late)
    assert await shelf.load("late") is None


@pytest.mark.parametrize("step", [0, 1, 2, 3, 5, 8])
async def test_what_was_interrupted_goes_on(
    shelf: Shelf, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it dies, doing it again forgets the rest."""
    left = step

    def dying(work: object) -> object:
        async def wrapped(*args: object, **kwargs: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return await work(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patched:
        for name in ("put", "delete"):
            patched.setattr(
                shelf.blobs.__class__, name, dying(getattr(shelf.blobs.__class__, name))
            )
        with suppress(KeyboardInterrupt):
            await forget(shelf, G0, replace(G1, index=2))
            raise AssertionError("it should have died")
    await forget(shelf, G0, replace(G1, index=2))
    assert await shelf.load("g0") is None
    await shelf.catalog.close()
    digests = [asset_of(picture(name)).sha256.hex() for name in ("g0", "g1")]
    for secret in (TOLD, *digests):
        assert [name for name, content in everything(shelf) if secret.encode() in content] == []
        assert [name for name, _ in everything(shelf) if secret in name] == []
    assert len([*(shelf.bucket / "tombstones").iterdir()]) == 2


async def test_rebuilding_after_it_brings_nothing_back(shelf: Shelf, tmp_path: Path) -> None:
    """Even if a copy of the bucket from before is mixed into it."""
    old = dict(everything(shelf))
    await forget(shelf, G0, replace(G1, index=2))
    for name, content in old.items():
        path = shelf.folder / name
        if name.startswith("bucket/") and not path.exists() and not name.endswith(".gz"):
            path.write_bytes(content)
    path = tmp_path / "again.db"
    told = []
    await Rebuilding(shelf.blobs, path, trust=NOBODY, now=NOON, tell=told.append).run()
    connection = open_writer(path)
    tables = Tables(connection)
    assert tables.generations.load("doitong", "g0") is None
    assert tables.generations.load("doitong", "g1").slots[2].assets == ()
    assert {finding.kind for finding in told} == {"forgotten", "orphan"}
    assert manifest_key("doitong", "g0") in tables.tombstones.erasures(limit=99)
    connection.close()


async def test_tombstones_in_the_bucket_are_obeyed(shelf: Shelf) -> None:
    """As after an older copy of the catalog was brought back: what it knows again is forgotten
    again, but not on the word of a tombstone that nobody trusts."""
    known = Tombstone(
        name_sha256=name_digest("doitong", "g0"),
        index=None,
        numbers=(1,),
        forgotten_at=NOON,
        reason="erasure",
    )
    forged = replace(known, name_sha256=name_digest("doitong", "g2"))
    slot = replace(known, name_sha256=name_digest("doitong", "g1"), index=2)
    stranger = replace(known, name_sha256=name_digest("doitong", "never heard of"))
    for tombstone in (known, slot, stranger):
        await put_tombstone(shelf.blobs, tombstone, SIGNER)
    await put_tombstone(shelf.blobs, forged, Signer(private_key(2)))
    complaints = []
    obeying = forgetting(shelf)

    async def obey() -> int:
        count = await obeying.obey(trust([], SIGNER), lambda key, _: complaints.append(key))
        await obeying.finish()
        return count

    assert await obey() == 2
    assert complaints == [forged.key]
    assert await shelf.load("g0") is None
    assert await shelf.load("g2") is not None
    assert (await shelf.load("g1")).slots[2].assets == ()
    assert not (shelf.bucket / manifest_key("doitong", "g0")).exists()
    assert await obey() == 0


async def test_a_plan_says_what_is_touched(shelf: Shelf) -> None:
    """Counts, keys and deliveries, what others share and what has to wait; and changes nothing."""

    def heard(tables: Tables) -> None:
        for key, position in ((1, 1), (2, 1), (1, 2), (2, 3)):
            tables.connection.execute(
                "INSERT INTO observations VALUES (?,?,?,'pushed','succeeded',0)",
                (INBOX, position, key),
            )

    await shelf.catalog.write(heard)
    before = dict(everything(shelf))
    with shelf.reader.view() as tables:
        planned = plan(tables, [G0, replace(G1, index=2)], now=NOON)
    assert (planned.generations, planned.slots, planned.pictures) == (1, 2, 2)
    assert planned.objects[0] == manifest_key("doitong", "g0")
    assert len(planned.objects) == 5
    assert [(it.inbox, it.first) for it in planned.deliveries] == [(INBOX, n) for n in (1, 2, 3)]
    assert (planned.mixed, planned.waiting) == (0, 1)  # g1's first slot waits for its link
    with shelf.reader.view() as tables:
        assert plan(tables, [G0], now=NOON).mixed == 1
        assert plan(tables, [G0], now=NOON.replace(year=2027)).waiting == 0
    assert dict(everything(shelf)) == before
