"""An audit names exactly what is damaged, mends what can be, and believes no empty bucket."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from random import Random

import pytest

from archiver import sqlite
from archiver.blobs import BlobHead
from archiver.blobs.folder import FolderBlobs
from archiver.body import Budget
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.fixity import AuditRow, Checked, Fixity, Stored
from archiver.egress import Egress, EgressPolicy
from archiver.errors import BucketError
from archiver.query import parse
from archiver.recovery import audit as room
from archiver.recovery.audit import BYTES, HEAD, Audit, EmptyBucketError
from archiver.recovery.bandwidth import Bandwidth
from archiver.recovery.looking import Found, look, read_all
from archiver.recovery.mending import NO_LINK, Mending
from archiver.recovery.sample import Sample, sample_of
from archiver.search import search
from tests.archiver.origin import Origin, answer, serve_origin
from tests.archiver.recovery.stock import (
    LIFETIME,
    Piece,
    delete,
    flip,
    keep_archived,
    pieces,
    stock,
    truncate,
)
from tests.clocks import NOON, FrozenClock

COUNT = 200
HARMS: tuple[Callable[[Path], None], ...] = (flip, truncate, delete)
EVERYTHING: Sample | None = None


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    async with serve_origin() as origin:
        yield origin


MADE = pieces(COUNT, "http://127.0.0.1", at=NOON)


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive that every test has a copy of."""
    folder = tmp_path_factory.mktemp("stocked")
    stock(folder / "catalog.db", folder / "bucket", MADE, heard_at=NOON)
    return folder


class Hall:
    """An archive on disk, and whoever audits it."""

    made = MADE

    def __init__(self, folder: Path, origin: Origin, egress: Egress) -> None:
        self.bucket = folder / "bucket"
        self.path = folder / "catalog.db"
        self.catalog = Catalog(self.path)
        self.reader = CatalogReader(self.path)
        self.blobs = FolderBlobs(self.bucket)
        self.clock = FrozenClock(NOON + timedelta(hours=1))
        self.urls = {}
        for index, piece in enumerate(MADE):
            self.urls[piece.number] = origin.url(f"/{index}.png")
            origin.answers[f"/{index}.png"] = answer(body=piece.content)
        self.mending = Mending(
            egress=egress,
            blobs=self.blobs,
            catalog=self.reader,
            reveal=lambda link: self.urls.get(link.heard_in.position),
            download_hosts=lambda provider: ["127.0.0.1"],
            budget=Budget(2**20),
            spool=folder / "spool",
            now=self.clock,
        )

    def place(self, piece: Piece) -> Path:
        return self.bucket / piece.asset.blob_key

    def audit(self, *, deep: bool, **changes: object) -> Audit:
        bandwidth = Bandwidth(None, monotonic=lambda: 0.0, sleep=no_sleep)
        audit = Audit(
            catalog=self.catalog,
            reader=self.reader,
            blobs=self.blobs,
            deep=deep,
            look=partial(look, self.blobs),
            read=partial(read_all, self.blobs, bandwidth=bandwidth),
            mend=self.mending.mend,
            at_once=8,
            portion=32,
            believe_empty=False,
            now=self.clock,
        )
        return replace(audit, **changes)

    async def run(
        self, audit: Audit, sample: Sample | None = EVERYTHING, *, resume: bool = False
    ) -> dict[bytes, Checked]:
        """A run to its end, and what it found amiss, by digest."""
        text, how = sample.text if sample else "", BYTES if audit.deep else HEAD
        self.clock.advance(seconds=1)

        def begin(tables: Tables) -> AuditRow:
            known = tables.fixity.unfinished(how, text) if resume else None
            seed = b"a seed"
            return known or tables.fixity.begin(how, text, seed=seed, now=self.clock())

        row = await self.catalog.write(begin)
        await audit.run(row, sample, progress=lambda stored: None)
        return self.found(row)

    def found(self, row: AuditRow) -> dict[bytes, Checked]:
        with self.reader.view() as tables:
            found = tables.fixity.found(row.begun_at, above=b"", limit=COUNT)
        return {checked.sha256: checked for checked in found}

    def labelled(self) -> set[int]:
        """The archive numbers that `is:damaged` finds."""
        with self.reader.view() as tables:
            page = search(tables, parse("is:damaged", now=NOON), limit=COUNT)
        return {hit.card.number for hit in page.hits}

    def last(self) -> AuditRow:
        with self.reader.view() as tables:
            row = tables.fixity.last()
        assert row is not None
        return row


class StoppedError(Exception):
    """What ends a run from outside."""


async def no_sleep(_seconds: float) -> None:
    """Time does not pass here."""


@pytest.fixture
async def hall(
    tmp_path: Path, stocked: Path, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Hall]:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    shutil.copytree(stocked, tmp_path, dirs_exist_ok=True)
    networks = (ip_network("127.0.0.0/8"),)
    ports = frozenset({origin.port})
    policy = EgressPolicy(allow_http=True, allow_ports=ports, allow_networks=networks)
    async with Egress(policy) as egress:
        hall = Hall(tmp_path, origin, egress)
        await hall.catalog.start()
        yield hall
        await hall.catalog.close()
        hall.reader.close()


@contextmanager
def harmed(hall: Hall, seed: int, count: int) -> Iterator[list[Piece]]:
    """So many objects of the archive, harmed each in its way."""
    random = Random(seed)
    victims = random.sample(hall.made, count)
    for number, piece in enumerate(victims):
        HARMS[number % len(HARMS)](hall.place(piece))
    yield victims


@pytest.mark.parametrize("seed", range(3))
async def test_a_deep_audit_names_exactly_what_is_damaged(hall: Hall, seed: int) -> None:
    """Of 200 objects one in a hundred and one more, be it a bit, the end or all of it; and what
    is named is marked, so that a search finds it."""
    hall.clock.advance(hours=25)
    with harmed(hall, seed, 3) as victims:
        found = await hall.run(hall.audit(deep=True))
    flipped, cut, gone = (found.pop(piece.asset.sha256) for piece in victims)
    assert found == {}
    assert (flipped.outcome, cut.outcome) == (Fixity.DAMAGED, Fixity.DAMAGED)
    assert flipped.reason == f"its bytes are not what they were; {NO_LINK}"
    size_bytes = victims[1].asset.size_bytes
    assert cut.reason == f"it has {size_bytes - 1} instead of {size_bytes} bytes; {NO_LINK}"
    assert (gone.outcome, gone.reason) == (Fixity.MISSING, f"there is no such object; {NO_LINK}")
    assert hall.labelled() == {piece.number for piece in victims}
    assert (hall.last().checked, hall.last().ended_at) == (COUNT, hall.clock())


async def test_what_has_a_living_link_is_mended(hall: Hall) -> None:
    """It is found amiss once, with what was amiss; the next audit has nothing to say."""
    with harmed(hall, 7, 3) as victims:
        found = await hall.run(hall.audit(deep=True))
    assert found.keys() == {piece.asset.sha256 for piece in victims}
    assert {checked.outcome for checked in found.values()} == {Fixity.OK}
    assert all(checked.mended_at and checked.reason for checked in found.values())
    assert [hall.place(piece).read_bytes() for piece in victims] == [
        piece.content for piece in victims
    ]
    assert await hall.run(hall.audit(deep=True)) == {}
    assert hall.labelled() == set()


async def test_other_bytes_are_never_put_in_the_place_of_what_is_lost(
    hall: Hall, origin: Origin
) -> None:
    """A link that gives something else by now, or a page, mends nothing."""
    other, page, dead, forgotten = hall.made[:4]
    for piece in hall.made[:4]:
        truncate(hall.place(piece))
    origin.answers["/0.png"] = answer(body=b"other bytes")
    origin.answers["/1.png"] = answer(body=b"<html>" * 90)
    origin.answers["/2.png"] = answer(410)
    del hall.urls[forgotten.number]
    before = [hall.place(piece).read_bytes() for piece in hall.made[:4]]
    found = await hall.run(hall.audit(deep=True))
    says = {piece.number: found[piece.asset.sha256].reason for piece in hall.made[:4]}
    assert says[other.number].endswith("127.0.0.1 gives other bytes by now")
    assert says[page.number].endswith("127.0.0.1 gives other bytes by now")
    assert "it could not be fetched again: 127.0.0.1" in says[dead.number]
    assert says[forgotten.number].endswith("the delivery that held the link is no longer there")
    assert [hall.place(piece).read_bytes() for piece in hall.made[:4]] == before
    assert hall.labelled() == {1, 2, 3, 4}


async def test_asking_the_store_finds_what_is_gone_or_cut(hall: Hall) -> None:
    """Without reading; a turned bit in a folder needs a deep audit."""
    hall.clock.advance(hours=25)
    with harmed(hall, 1, 3) as (flipped, cut, gone):
        found = await hall.run(hall.audit(deep=False))
    assert found.keys() == {cut.asset.sha256, gone.asset.sha256}
    assert (await hall.run(hall.audit(deep=True))).keys() == found.keys() | {flipped.asset.sha256}


async def test_the_digest_that_a_store_keeps_is_held_against_ours(hall: Hall) -> None:
    """Whoever has overwritten an object with as many bytes is found out without reading them."""
    replaced, kept, unknown = hall.made[:3]
    keeps = {replaced.asset.blob_key: bytes(32), kept.asset.blob_key: kept.asset.sha256}

    class Keeping(FolderBlobs):
        async def head(self, key: str) -> BlobHead | None:
            head = await super().head(key)
            return replace(head, sha256=keeps.get(key)) if head else None

    blobs = Keeping(hall.bucket)
    look_at = partial(look, blobs)
    assert (await look_at(_stored(replaced))).reason == "the store keeps another SHA-256 of it"
    assert (await look_at(_stored(kept))).outcome is Fixity.OK
    assert (await look_at(_stored(unknown))).outcome is Fixity.OK


def _stored(piece: Piece) -> Stored:
    asset = piece.asset
    return Stored(
        sha256=asset.sha256,
        blob_key=asset.blob_key,
        size_bytes=asset.size_bytes,
        media_type=asset.media_type,
    )


async def test_the_store_alone_clears_nothing_that_its_bytes_have_shown(hall: Hall) -> None:
    """A folder knows a turned bit no more than before; so what is marked is read again."""
    hall.clock.advance(hours=25)
    piece = hall.made[5]
    flip(hall.place(piece))
    found = await hall.run(hall.audit(deep=True))
    again = await hall.run(hall.audit(deep=False))
    assert found.keys() == again.keys() == {piece.asset.sha256}
    assert hall.labelled() == {piece.number}
    hall.place(piece).write_bytes(piece.content)
    assert await hall.run(hall.audit(deep=False)) == {}
    assert hall.labelled() == set()


async def test_an_archive_that_has_nothing_yet_misses_nothing(hall: Hall, tmp_path: Path) -> None:
    """Nor does its empty bucket matter."""
    await hall.catalog.write(lambda tables: tables.connection.execute("DELETE FROM assets"))
    elsewhere = FolderBlobs(tmp_path / "elsewhere")
    assert await hall.run(hall.audit(deep=False, blobs=elsewhere)) == {}
    assert (hall.last().checked, hall.last().ended_at) == (0, hall.clock())


async def test_a_mark_goes_when_the_object_is_well_again(hall: Hall) -> None:
    """An operator brings it back from a copy; the next audit says so, and the search too."""
    hall.clock.advance(hours=25)
    piece = hall.made[5]
    delete(hall.place(piece))
    await hall.run(hall.audit(deep=False))
    assert hall.labelled() == {piece.number}
    hall.place(piece).write_bytes(piece.content)
    assert await hall.run(hall.audit(deep=False)) == {}
    assert hall.labelled() == set()


async def test_a_picture_in_many_slots_is_marked_in_each(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object, looked at once; more slots than one transaction labels."""
    monkeypatch.setattr(room, "_LABELLED", 4)
    shared = hall.made[0]
    twins = [
        replace(shared, number=1000 + index, generation_id=f"twin {index}") for index in range(9)
    ]

    def keep_all(tables: Tables) -> None:
        for twin in twins:
            keep_archived(tables, twin, heard_at=NOON - LIFETIME)

    await hall.catalog.write(keep_all)
    hall.clock.advance(hours=25)
    flip(hall.place(shared))
    await hall.run(hall.audit(deep=True))
    with hall.reader.view() as tables:
        page = search(tables, parse("is:damaged", now=NOON), limit=COUNT)
    assert len(page.hits) == 10
    assert hall.last().checked == COUNT


async def test_a_sample_looks_at_so_many(hall: Hall) -> None:
    """And notes nothing of the others."""
    looked_at: list[bytes] = []

    async def noted(stored: Stored) -> Found:
        looked_at.append(stored.sha256)
        return Found(outcome=Fixity.OK)

    await hall.run(hall.audit(deep=False, look=noted), sample_of("10%"))
    assert len(set(looked_at)) == len(looked_at) == COUNT // 10
    with hall.reader.view() as tables:
        assert tables.fixity.of(looked_at).keys() == set(looked_at)
        assert tables.fixity.count_amiss() == {}


@pytest.mark.parametrize("sample", [EVERYTHING, sample_of("50%")])
async def test_a_run_that_was_stopped_goes_on(hall: Hall, sample: Sample | None) -> None:
    """What was committed is not looked at again, and the end is that of one run."""
    looked_at: list[bytes] = []

    async def soon_stopped(stored: Stored) -> Found:
        if len(looked_at) == 70:
            raise StoppedError
        looked_at.append(stored.sha256)
        return Found(outcome=Fixity.OK)

    audit = hall.audit(deep=False, look=soon_stopped, at_once=1)
    with pytest.raises(StoppedError):
        await hall.run(audit, sample)
    stopped = hall.last()
    assert (stopped.checked, stopped.ended_at) == (64, None)
    done = set(looked_at[:64])
    looked_at[64:] = []
    await hall.run(hall.audit(deep=False, look=_noting(looked_at)), sample, resume=True)
    wanted = COUNT if sample is None else sample.count(COUNT)
    assert len(set(looked_at)) == len(looked_at) == wanted
    assert done <= set(looked_at)
    ended = hall.last()
    assert (ended.id, ended.checked, ended.ended_at) == (stopped.id, wanted, hall.clock())
    await hall.run(hall.audit(deep=False), sample, resume=True)
    assert hall.last().id == ended.id + 1


def _noting(looked_at: list[bytes]) -> Callable[[Stored], object]:
    async def noted(stored: Stored) -> Found:
        looked_at.append(stored.sha256)
        return Found(outcome=Fixity.OK)

    return noted


async def test_what_comes_in_meanwhile_is_no_surprise(hall: Hall) -> None:
    """A generation that is archived while an audit runs is either looked at or not yet."""
    late = replace(pieces(COUNT + 1, "http://127.0.0.1", at=NOON)[-1], number=COUNT + 1)

    async def meanwhile(stored: Stored) -> Found:
        if not hall.place(late).exists():
            hall.place(late).parent.mkdir(parents=True, exist_ok=True)
            hall.place(late).write_bytes(late.content)
            await hall.catalog.write(partial(keep_archived, piece=late, heard_at=NOON))
        return await look(hall.blobs, stored)

    assert await hall.run(hall.audit(deep=False, look=meanwhile, at_once=1)) == {}
    assert hall.last().checked in (COUNT, COUNT + 1)


async def test_what_is_put_anew_in_between_is_well(hall: Hall) -> None:
    """Whatever is amiss is looked at twice before anyone is told."""
    piece, seen = hall.made[3], 0
    truncate(hall.place(piece))

    async def then_put(stored: Stored) -> Found:
        nonlocal seen
        found = await look(hall.blobs, stored)
        if stored.sha256 == piece.asset.sha256:
            seen += 1
            hall.place(piece).write_bytes(piece.content)
        return found

    assert await hall.run(hall.audit(deep=False, look=then_put)) == {}
    assert seen == 2


async def test_what_nobody_refers_to_any_more_is_not_missed(hall: Hall) -> None:
    """It was forgotten on purpose while the audit ran, and does not come back by it."""
    piece = hall.made[9]

    async def forgetting(stored: Stored) -> Found:
        if stored.sha256 == piece.asset.sha256 and hall.place(piece).exists():
            hall.place(piece).unlink()
            await hall.catalog.write(partial(_forget, number=piece.number))
        return await look(hall.blobs, stored)

    assert await hall.run(hall.audit(deep=False, look=forgetting)) == {}
    assert not hall.place(piece).exists()


def _forget(tables: Tables, number: int) -> None:
    tables.connection.execute("DELETE FROM assets WHERE slot = ?", (number,))


async def test_an_object_forgotten_while_it_is_mended_does_not_come_back(hall: Hall) -> None:
    """Its bytes were on their way already."""
    piece = hall.made[9]
    delete(hall.place(piece))

    def reveal_and_forget(link: object) -> str:
        with sqlite_writer(hall.path) as tables:
            _forget(tables, piece.number)
        return hall.urls[piece.number]

    mending = replace(hall.mending, reveal=reveal_and_forget)
    assert await hall.run(hall.audit(deep=False, mend=mending.mend)) == {}
    assert not hall.place(piece).exists()


@contextmanager
def sqlite_writer(path: Path) -> Iterator[Tables]:
    """Somebody else's transaction."""
    connection = sqlite.open_writer(path)
    yield Tables(connection)
    connection.close()


async def test_a_bucket_that_is_empty_is_not_believed(hall: Hall, tmp_path: Path) -> None:
    """A disk that is not mounted has lost nothing; a person may say that it is so indeed."""
    elsewhere = FolderBlobs(tmp_path / "elsewhere")
    audit = hall.audit(deep=False, blobs=elsewhere, look=partial(look, elsewhere))
    with pytest.raises(EmptyBucketError, match="its disk is mounted; nothing is marked"):
        await hall.run(audit)
    assert (hall.labelled(), hall.last().checked) == (set(), 0)
    hall.clock.advance(hours=25)
    assert len(await hall.run(replace(audit, believe_empty=True))) == COUNT


async def test_a_bucket_that_goes_away_is_not_damaged(hall: Hall) -> None:
    """What was looked at before stays looked at; nothing else is marked, and one can go on."""

    class Down(FolderBlobs):
        is_down = False

        async def check(self) -> None:
            if self.is_down:
                raise BucketError("the bucket is down")

    blobs, seen = Down(hall.bucket), 0

    async def look_until_it_is_down(stored: Stored) -> Found:
        nonlocal seen
        seen += 1
        blobs.is_down = seen > 40
        if blobs.is_down:
            return Found(outcome=Fixity.MISSING, reason="not there")
        return await look(blobs, stored)

    audit = hall.audit(deep=False, blobs=blobs, look=look_until_it_is_down, at_once=1)
    with pytest.raises(BucketError, match="the bucket is down"):
        await hall.run(audit)
    assert (hall.last().checked, hall.last().ended_at, hall.labelled()) == (32, None, set())


async def test_where_nothing_at_all_can_be_read_the_trouble_is_not_of_the_objects(
    hall: Hall,
) -> None:
    """As when the credentials may list but not read."""

    async def refused(stored: Stored) -> Found:
        return Found(outcome=Fixity.UNREADABLE, reason="403 AccessDenied")

    with pytest.raises(BucketError, match="not one of 32 objects could be read: 403"):
        await hall.run(hall.audit(deep=True, read=refused))
    with hall.reader.view() as tables:
        assert tables.fixity.count_amiss() == {}


async def test_an_object_that_cannot_be_read_is_neither_well_nor_damaged(hall: Hall) -> None:
    """A disk that fails in one place: it is told, not fetched over, and not marked as lost."""
    piece = hall.made[0]

    class Failing(FolderBlobs):
        @asynccontextmanager
        async def read(self, key: str, **part: int) -> AsyncIterator[AsyncIterator[bytes]]:
            async with super().read(key, **part) as pieces:
                yield _breaking(pieces) if key == piece.asset.blob_key else pieces

    blobs = Failing(hall.bucket)
    bandwidth = Bandwidth(None, monotonic=lambda: 0.0, sleep=no_sleep)
    look_at = partial(read_all, blobs, bandwidth=bandwidth)
    found = await hall.run(hall.audit(deep=True, blobs=blobs, read=look_at))
    assert [(it.outcome, it.reason) for it in found.values()] == [
        (Fixity.UNREADABLE, "Input/output error")
    ]
    assert hall.labelled() == set()
    with hall.reader.view() as tables:
        assert tables.fixity.count_amiss() == {"unreadable": 1}


async def _breaking(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in pieces:
        yield piece[:1]
        raise BucketError("Input/output error")
