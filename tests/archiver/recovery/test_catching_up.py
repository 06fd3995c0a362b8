"""A catalog out of a backup is brought to what the bucket says by now, and reads little of it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archiver import clock, manifest
from archiver.blobs.folder import FolderBlobs
from archiver.catalog import Tables
from archiver.keys import manifest_key
from archiver.models import Generation, SlotState
from archiver.notices import Event
from archiver.recovery.catching_up import CatchingUp, CaughtUp
from archiver.recovery.comparing import difference
from archiver.recovery.tombstones import put_tombstone
from archiver.seal import put_manifest
from archiver.signing import NOBODY, Signer, Trust, trust
from archiver.sqlite import open_writer
from archiver.tombstone import Tombstone, name_digest
from tests.archiver.filled import Archive, filling
from tests.archiver.media_bodies import JPEG
from tests.clocks import NOON

BEFORE = ("quiet", "changes", "vanishes", "loses a slot", "unsealed")


class Counting(FolderBlobs):
    """A bucket that says what was read of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.keys: list[str] = []

    @asynccontextmanager
    async def read(self, key: str, **part: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        self.keys.append(key)
        async with super().read(key, **part) as pieces:
            yield pieces


class House:
    """An archive, and a copy of its catalog from an earlier time."""

    def __init__(self, folder: Path, archive: Archive, signer: Signer | None) -> None:
        self.archive = archive
        self.blobs = Counting(folder / "bucket")
        self.copy = folder / "copy.db"
        self._path = folder / "catalog.db"
        self._signer = signer

    async def seal(self, *but: str) -> None:
        """Writes the manifests that are due, as the service does."""

        def due(tables: Tables) -> list[Generation]:
            keys = tables.generations.keys(above=0, limit=100)
            known = [tables.generations.load_key(key) for key in keys]
            return [it for it in known if it and it.sealed_revision < it.revision]

        for generation in await self.archive.catalog.write(due):
            if generation.id not in but:
                await put_manifest(self.blobs, generation, self._signer)
                await self.archive.catalog.write(
                    lambda tables, it=generation: tables.generations.seal(it.key, it.revision)
                )

    def keep_copy(self) -> None:
        connection = open_writer(self._path)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        shutil.copy(self._path, self.copy)

    async def catch_up(self, believed: Trust = NOBODY) -> CaughtUp:
        connection = open_writer(self.copy)
        self.blobs.keys.clear()
        done = await CatchingUp(
            connection=connection,
            blobs=self.blobs,
            trust=believed,
            signer=self._signer,
            now=clock.now,
        ).run()
        connection.close()
        return done

    def of_copy(self, generation_id: str) -> Generation | None:
        connection = open_writer(self.copy)
        found = Tables(connection).generations.load("doitong", generation_id)
        connection.close()
        return found

    async def now(self, generation_id: str) -> Generation:
        found = await self.archive.catalog.write(
            lambda tables: tables.generations.load("doitong", generation_id)
        )
        assert found is not None
        return found

    async def forget(self, generation_id: str, index: int | None) -> Tombstone:
        """The tombstone in the bucket, and the manifest gone, of which nothing is left."""
        tombstone = Tombstone(
            name_sha256=name_digest("doitong", generation_id),
            index=index,
            numbers=(77,),
            forgotten_at=NOON,
            reason="takedown",
        )
        await put_tombstone(self.blobs, tombstone, self._signer)
        await self.blobs.delete(manifest_key("doitong", generation_id))
        return tombstone


@pytest.fixture(params=[False, True], ids=["unsigned", "signed"])
def signer(request: pytest.FixtureRequest) -> Signer | None:
    return Signer(PRIVATE_KEY) if request.param else None


PRIVATE_KEY = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""


@pytest.fixture
async def house(tmp_path: Path, signer: Signer | None) -> AsyncIterator[House]:
    async with filling(tmp_path) as archive:
        house = House(tmp_path, archive, signer)
        for name in BEFORE:
            await archive.hear(name, "a fox")
            await archive.save(name, JPEG[:-2] + name.encode() + JPEG[-2:])
        await house.seal("unsealed")
        house.keep_copy()
        yield house


async def test_nothing_new_is_read_if_nothing_has_changed(house: House) -> None:
    """What was sealed is told by its MD5; only what was not yet, when it was backed up, is read."""
    done = await house.catch_up()
    assert done == CaughtUp()
    assert house.blobs.keys == []
    await house.seal()
    assert await house.catch_up() == CaughtUp()
    assert house.blobs.keys == [manifest_key("doitong", "unsealed")]


async def test_what_was_written_since_is_there_again(house: House) -> None:
    """What changed and what is new, with its archive number; what is quiet stays as it was."""
    quiet = house.of_copy("quiet")
    await house.archive.hear("changes", "a fox", track_id="order-17", cost=3.0)
    number = await house.archive.hear("new", "a wolf")
    await house.archive.save("new", JPEG)
    await house.seal()
    done = await house.catch_up()
    assert (done.new, done.newer, done.forgotten, done.refused) == (1, 1, 0, {})
    assert house.of_copy("quiet") == quiet
    for name in ("changes", "new"):
        known, found = await house.now(name), house.of_copy(name)
        assert found is not None
        told = manifest.describe(found) | {"revision": known.revision}
        assert told == manifest.describe(known)
    new = house.of_copy("new")
    assert new is not None
    assert [slot.number for slot in new.slots] == [number]
    assert await house.catch_up() == CaughtUp()


async def test_nobody_is_told_again_of_what_is_safe(house: House) -> None:
    """Whoever wanted to know has been told in its time; the archive role listens anew."""
    connection = open_writer(house.copy)
    Tables(connection).notices.want(tuple(Event))
    connection.close()
    await house.archive.hear("new", "a wolf")
    await house.archive.save("new", JPEG)
    await house.seal()
    assert (await house.catch_up()).new == 1
    connection = open_writer(house.copy)
    told = connection.execute("SELECT count(*) FROM jobs WHERE kind = 'notify'").fetchone()
    connection.close()
    assert told == (0,)


async def test_what_was_forgotten_since_is_forgotten(house: House) -> None:
    """A generation, a slot, and their words; no number is given again, and nothing comes back."""
    gone = house.of_copy("vanishes")
    assert gone is not None
    tombstone = await house.forget("vanishes", None)
    await house.forget("loses a slot", 0)
    done = await house.catch_up()
    assert (done.new, done.newer, done.forgotten) == (0, 0, 2)
    assert house.of_copy("vanishes") is None
    left = house.of_copy("loses a slot")
    assert left is not None
    assert [(slot.state, slot.assets, slot.links) for slot in left.slots] == [
        (SlotState.DEAD, (), ())
    ]
    connection = open_writer(house.copy)
    tables = Tables(connection)
    assert {tombstone.key} < tables.tombstones.keys()
    assert tables.forgetting.still_shown([gone.slots[0].assets[0].sha256]) == set()
    (count,) = connection.execute("SELECT count(*) FROM texts WHERE number = 3").fetchone()
    (last,) = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'slots'").fetchone()
    connection.close()
    assert (count, last) == (0, 77)


async def test_a_manifest_of_what_was_forgotten_is_not_taken_in(house: House) -> None:
    """Somebody put it back, or it was never deleted: it is to vanish, and nothing comes of it."""
    await house.archive.hear("new", "a wolf")
    await house.archive.save("new", JPEG)
    await house.seal()
    text = manifest.render(await house.now("new"))
    key = manifest_key("doitong", "new")
    await house.forget("new", None)
    await house.blobs.put(key, text, media_type="application/json", metadata={})
    assert (await house.catch_up()).new == 0
    assert house.of_copy("new") is None
    connection = open_writer(house.copy)
    assert Tables(connection).tombstones.erasures(limit=9) == [key]
    connection.close()


async def test_manifests_that_are_gone_or_say_less_are_written_again(house: House) -> None:
    """The catalog is what knows more, so the bucket is told."""
    older = replace(await house.now("changes"), cost=None, track_id=None)
    await house.archive.hear("changes", "a fox", cost=3.0)
    await house.seal()
    house.keep_copy()
    await put_manifest(house.blobs, replace(older, revision=1), house._signer)
    await house.blobs.delete(manifest_key("doitong", "quiet"))
    assert await house.catch_up() == CaughtUp()
    due = set()
    for name in BEFORE:
        found = house.of_copy(name)
        assert found is not None
        if found.sealed_revision < found.revision:
            due.add(name)
    assert due == {"changes", "quiet"}


async def test_a_manifest_that_is_newer_by_its_revision_alone(house: House) -> None:
    """What changed since is in no manifest, or was taken back; the catalog is not behind it."""
    quiet = await house.now("quiet")
    shown = replace(quiet, revision=quiet.revision + 1)
    key = manifest_key("doitong", "quiet")
    await house.blobs.delete(key)
    await put_manifest(house.blobs, shown, house._signer)
    assert await house.catch_up() == CaughtUp(newer=1)
    assert difference(house.of_copy("quiet"), shown) == ""


async def test_what_cannot_be_read_is_told_and_left_out(house: House) -> None:
    """One that lies where another belongs, and one that is none."""
    await house.archive.hear("new", "a wolf")
    await house.archive.save("new", JPEG)
    await house.seal()
    text = manifest.render(await house.now("new"))
    for name, content in (("stray", text), ("new", b"{}")):
        key = manifest_key("doitong", name)
        await house.blobs.put(
            key, content, media_type="application/json", metadata={}, replace=True
        )
    done = await house.catch_up()
    assert done.new == 0
    assert "another generation's manifest" in done.refused[manifest_key("doitong", "stray")]
    assert "no manifest" in done.refused[manifest_key("doitong", "new")]


async def test_nobody_is_believed_who_has_not_signed(tmp_path: Path) -> None:
    """Where signatures are required."""
    own = Signer(PRIVATE_KEY)
    async with filling(tmp_path) as archive:
        house = House(tmp_path, archive, own)
        house.keep_copy()
        await archive.hear("signed", "a fox")
        await archive.save("signed", JPEG)
        await house.seal()
        await archive.hear("forged", "a wolf")
        await archive.save("forged", JPEG)
        await put_manifest(house.blobs, await house.now("forged"), None)
        done = await house.catch_up(trust([], own, required=True))
    assert (done.new, [*done.refused.values()]) == (1, ["it is not signed"])
    assert house.of_copy("signed") is not None
    assert house.of_copy("forged") is None


async def test_a_number_that_is_anothers_by_now_is_given_anew(house: House) -> None:
    """An archive went on without its catalog, and began to count from one again."""
    await house.archive.hear("new", "a wolf")
    await house.archive.save("new", JPEG)
    known = await house.now("new")
    claimed = replace(known, slots=tuple(replace(slot, number=1) for slot in known.slots))
    await put_manifest(house.blobs, claimed, house._signer)
    assert (await house.catch_up()).new == 1
    found = house.of_copy("new")
    quiet = house.of_copy("quiet")
    assert found is not None
    assert quiet is not None
    assert [slot.number for slot in (*quiet.slots, *found.slots)] == [1, 6]
    assert found.sealed_revision < found.revision
