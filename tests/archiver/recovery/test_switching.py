"""A finished catalog takes the place of the one in use: only while nobody uses it, and whole."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.usage import InUseError
from archiver.errors import CatalogUnavailableError
from archiver.models import Generation
from archiver.recovery import switching
from archiver.recovery.rebuild import Rebuilding
from archiver.recovery.switching import Switched, next_path, offer, switch
from archiver.signing import NOBODY
from archiver.sqlite import open_writer
from tests.archiver.recovery.shelf import Shelf, fill_folder, picture, said, shelf_in
from tests.clocks import NOON


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that every test has a copy of."""
    folder = tmp_path_factory.mktemp("filled")
    asyncio.run(fill_folder(folder, 8))
    return folder


@pytest.fixture
async def shelf(filled: Path, tmp_path: Path) -> AsyncIterator[Shelf]:
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    async with shelf_in(tmp_path) as shelf:
        yield shelf


async def rebuild(shelf: Shelf) -> None:
    """A new index, that waits to be switched in."""
    made = shelf.folder / "catalog.db.rebuilding"
    await Rebuilding(shelf.blobs, made, trust=NOBODY, now=NOON, tell=print).run()
    offer(made, shelf.path)


async def switched(shelf: Shelf) -> Switched:
    """What comes of switching once nobody uses the old one."""
    shelf.reader.close()
    await shelf.catalog.close()
    done = switch(shelf.path)
    assert done is not None
    return done


def known(path: Path) -> dict[str, Generation]:
    """What a catalog knows, by the generations' ids."""
    reader = CatalogReader(path)
    with reader.view() as tables:
        names = tables.generations.after(("", ""), limit=1000)
        found = tables.generations.load_all(names)
    reader.close()
    return {name[1]: generation for name, generation in found.items()}


async def test_the_old_index_is_kept_beside_the_new(shelf: Shelf) -> None:
    """Under a name with the time at which the new one was begun; nothing else is left over."""
    before = known(shelf.path)
    await rebuild(shelf)
    done = await switched(shelf)
    left = sorted(path.name for path in shelf.folder.glob("catalog*"))
    assert [name for name in left if not name.startswith("catalog-")] == [
        "catalog.db",
        "catalog.lock",
        "catalog.users",
    ]
    assert done.aside == shelf.folder / "catalog-20261121T120000.db"
    assert known(done.aside) == before
    assert known(shelf.path).keys() == before.keys() - {"g6"}
    assert switch(shelf.path) is None


async def test_who_uses_it_is_waited_for(shelf: Shelf) -> None:
    """Whoever writes the catalog keeps its file where it is, be it another process or this one;
    and nobody begins to write it while it is being switched."""
    await rebuild(shelf)
    other = Catalog(shelf.path)
    await other.start(opened=False)
    await shelf.catalog.close()
    with pytest.raises(InUseError):
        switch(shelf.path)
    assert next_path(shelf.path).exists()
    await other.close()
    late = Catalog(shelf.path)
    with switching.alone(shelf.path), pytest.raises(CatalogUnavailableError, match="in a moment"):
        await late.start()
    assert (await switched(shelf)).aside is not None


async def test_what_was_sealed_meanwhile_is_taken_over(shelf: Shelf) -> None:
    """The service goes on while the bucket is read: manifests that it has written since stay
    what the index says, and numbers that it has given are not given again."""
    await rebuild(shelf)
    shelf.clock.advance(minutes=1)
    await shelf.hear("g0", said("g0", track_id="heard since"))
    await shelf.hear("late", said("late"))
    await shelf.save("late", picture("late"))
    await shelf.seal()
    await shelf.hear("waiting", said("waiting", slots=0, state="running"))
    before = known(shelf.path)
    done = await switched(shelf)
    after = known(shelf.path)
    assert (done.taken_over, done.trouble) == (2, "")
    for name in ("g0", "late"):
        assert after[name].slots == before[name].slots
        assert after[name].revision == before[name].revision
    assert "waiting" not in after
    highest = max(slot.number for slot in before["waiting"].slots)

    def give(tables: Tables) -> int:
        slots = tuple(replace(slot, number=None) for slot in before["waiting"].slots)
        saved = tables.generations.save(None, replace(before["waiting"], slots=slots))
        return saved.slots[0].number

    catalog = Catalog(shelf.path)
    await catalog.start()
    assert await catalog.write(give) == highest + 1
    await catalog.close()


BROKEN: dict[str, Callable[[Path], object]] = {
    "damaged": lambda path: path.write_bytes(b"no database" * 1000),
    "gone": lambda path: path.unlink(),
}


@pytest.mark.parametrize("become", BROKEN)
async def test_a_broken_index_is_replaced(shelf: Shelf, become: str) -> None:
    """Of one that cannot be read nothing is taken over, and one that is gone is not missed."""
    await rebuild(shelf)
    shelf.reader.close()
    await shelf.catalog.close()
    BROKEN[become](shelf.path)
    done = switch(shelf.path)
    assert done is not None
    assert (done.taken_over, bool(done.trouble)) == (0, become == "damaged")
    assert (done.aside is None) is (become == "gone")
    assert len(known(shelf.path)) == 7


@pytest.mark.parametrize("renames", [0, 1, 2, 3])
async def test_what_was_interrupted_goes_on(
    shelf: Shelf, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the power fails, the next try ends with the new index in its place, and the old
    one's log beside the old one and never beside the new."""
    await rebuild(shelf)
    shelf.reader.close()
    await shelf.catalog.close()
    # A reader keeps the old one's log from being taken away.
    keeping, writing = CatalogReader(shelf.path), open_writer(shelf.path)
    with keeping.view() as tables:
        tables.generations.keys(above=0, limit=1)
        writing.execute("UPDATE generations SET track_id = 'in the log' WHERE id = 'g0'")
        left = renames

        def rename(path: Path, target: Path) -> Path:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return path.replace(target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", rename)
            with pytest.raises(KeyboardInterrupt):
                switch(shelf.path)
        log = shelf.path.with_name("catalog.db-wal")
        assert shelf.path.exists() or not log.exists()
        done = switch(shelf.path)
    writing.close()
    keeping.close()
    assert done is not None
    assert done.aside is not None
    assert known(done.aside)["g0"].track_id == "in the log"
    assert known(shelf.path)["g0"].track_id is None


async def test_what_is_no_catalog_is_refused(shelf: Shelf) -> None:
    """And changes nothing."""
    next_path(shelf.path).write_bytes(b"no database" * 1000)
    shelf.reader.close()
    await shelf.catalog.close()
    with pytest.raises(CatalogUnavailableError, match="no catalog to be switched in"):
        switch(shelf.path)
    assert len(known(shelf.path)) == 8
