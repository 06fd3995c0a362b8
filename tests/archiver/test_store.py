"""The staircase: nothing flawed is put, what is returned is there, each failure has its owner."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest

from archiver.blobs import BlobHead, BlobStore
from archiver.blobs.folder import FolderBlobs
from archiver.body import Budget
from archiver.egress import Egress, EgressPolicy
from archiver.errors import FetchError
from archiver.keys import blob_key
from archiver.models import Asset, Fault, Origin
from archiver.store import Store
from tests.archiver.media_bodies import drawn, png
from tests.archiver.origin import answer, serve_origin

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PICTURE = drawn("PNG")
DIGEST = hashlib.sha256(PICTURE).digest()
KEY = blob_key(DIGEST, "png")
PROVENANCE = {"provider": "doitong", "generation": "Ω/1", "slot": "0"}
MIB = 2**20


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return FolderBlobs(tmp_path / "bucket")


@pytest.fixture
def store(tmp_path: Path, blobs: BlobStore) -> Store:
    return Store(blobs, Budget(MIB), tmp_path / "spool")


async def arriving(*chunks: bytes) -> AsyncIterator[bytes]:
    """Chunks as they come."""
    for chunk in chunks:
        yield chunk


async def take_in(store: Store, body: bytes, provenance: Mapping[str, str] = PROVENANCE) -> Asset:
    """Take in a body that comes in two halves."""
    half = len(body) // 2
    return await store.take_in(
        arriving(body[:half], body[half:]),
        len(body),
        origin=Origin.PROVIDER,
        provenance=provenance,
        now=lambda: NOW,
    )


async def test_a_picture_becomes_an_asset(store: Store, blobs: BlobStore) -> None:
    """The asset says what the bytes say, and the bytes are there with where they came from."""
    asset = await take_in(store, PICTURE)
    assert asset == Asset(
        origin=Origin.PROVIDER,
        sha256=DIGEST,
        blob_key=KEY,
        size_bytes=len(PICTURE),
        media_type="image/png",
        width=23,
        height=14,
        archived_at=NOW,
    )
    async with blobs.read(KEY) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == PICTURE
    expected = BlobHead(size_bytes=len(PICTURE), media_type="image/png", metadata=PROVENANCE)
    assert await blobs.head(KEY) == expected


async def test_a_picture_of_another_type_than_wanted_is_refused(
    store: Store, blobs: BlobStore
) -> None:
    """Whole as it is, nothing of it is put."""
    for only, body in (("image/png", PICTURE), ("image/png", drawn("JPEG"))):
        taking = store.take_in(
            arriving(body),
            None,
            origin=Origin.FALLBACK,
            provenance={},
            now=lambda: NOW,
            only=only,
        )
        if body is PICTURE:
            assert (await taking).origin is Origin.FALLBACK
            continue
        with pytest.raises(FetchError, match="it is image/jpeg, and not image/png") as refused:
            await taking
        assert refused.value.fault is Fault.NOT_MEDIA
    assert [key async for key in blobs.list("")] == [KEY]


async def test_the_same_picture_is_stored_once(store: Store, blobs: BlobStore) -> None:
    """A second generation with the same bytes gets the same object, untouched."""
    first = await take_in(store, PICTURE)
    assert await take_in(store, PICTURE, {"provider": "modelslab"}) == first
    assert [key async for key in blobs.list("")] == [KEY]
    head = await blobs.head(KEY)
    assert head is not None
    assert head.metadata == PROVENANCE


async def test_half_an_object_is_mended(store: Store, blobs: BlobStore) -> None:
    """What a server once kept half of is written anew rather than taken for the whole."""
    await blobs.put(KEY, PICTURE[:-1], media_type="image/png", metadata={})
    await take_in(store, PICTURE)
    head = await blobs.head(KEY)
    assert head is not None
    assert (head.size_bytes, head.metadata) == (len(PICTURE), PROVENANCE)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", Fault.SHORT),
        (PICTURE[:-1], Fault.SHORT),
        (b"<html>Request has expired</html>", Fault.NOT_MEDIA),
        (png(60_000, 60_000), Fault.TOO_LARGE),
    ],
)
async def test_what_is_flawed_is_never_put(
    store: Store, blobs: BlobStore, body: bytes, fault: Fault
) -> None:
    """The walk's verdict comes before the bucket."""
    with pytest.raises(FetchError) as caught:
        await take_in(store, body)
    assert caught.value.fault == fault
    assert [key async for key in blobs.list("")] == []


@pytest.mark.parametrize("broken", ["bucket", "spool"])
async def test_our_own_disk_is_our_own_fault(tmp_path: Path, broken: str) -> None:
    """A bucket or a spool that fails is not blamed on the link, and memory is given back."""
    (tmp_path / broken).touch()
    budget = Budget(MIB)
    blobs = FolderBlobs(tmp_path / "bucket" / "x")
    store = Store(blobs, budget, tmp_path / "spool" / "x", max_memory_bytes=1)
    with pytest.raises(FetchError, match=broken) as caught:
        await take_in(store, PICTURE)
    assert caught.value.fault == Fault.OURS
    assert budget.held_bytes == 0


async def test_a_link_in_trouble_speaks_for_itself(store: Store) -> None:
    """What the source raises reaches the worker as it was raised."""
    trouble = FetchError(Fault.THROTTLED, "slow down", retry_after_seconds=9)

    async def throttled() -> AsyncIterator[bytes]:
        yield PICTURE[:9]
        raise trouble

    with pytest.raises(FetchError) as caught:
        await store.take_in(
            throttled(), None, origin=Origin.PROVIDER, provenance={}, now=lambda: NOW
        )
    assert caught.value is trouble


async def test_from_a_link_to_the_bucket(store: Store, blobs: BlobStore) -> None:
    """The guarded client's chunks go up the staircase as they come."""
    async with serve_origin() as origin:
        origin.answers["/a.png"] = answer(body=PICTURE, content_type="text/html")
        policy = EgressPolicy(
            allow_http=True,
            allow_ports=frozenset({origin.port}),
            allow_networks=(ip_network("127.0.0.1"),),
        )
        async with (
            Egress(policy) as egress,
            egress.get(origin.url("/a.png?Signature=x"), ["127.0.0.1"]) as incoming,
        ):
            asset = await store.take_in(
                incoming.chunks(),
                incoming.declared_bytes,
                origin=Origin.PROVIDER,
                provenance=PROVENANCE,
                now=lambda: NOW,
            )
    assert (asset.blob_key, asset.media_type) == (KEY, "image/png")
    assert await blobs.head(KEY) is not None
