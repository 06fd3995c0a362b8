"""Each driver keeps the contract; what only one of them promises is tested beside it."""

import tracemalloc
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pytest

from archiver.blobs import BlobStore, Put
from archiver.blobs.folder import FolderBlobs
from archiver.blobs.opening import open_blob_store
from archiver.blobs.s3 import S3Blobs
from archiver.body import Body
from archiver.clock import now
from archiver.errors import BucketError, ConfigError
from archiver.keys import backup_catalog_key, blob_key
from tests.archiver.deaf_server import serve_deaf
from tests.archiver.moto_server import (
    KEYS_PER_PAGE,
    administering,
    begin_upload,
    begun_uploads,
    make_bucket,
    serve_moto,
    session,
)
from tests.contracts.blob_store import (
    DIGESTS,
    KEY,
    LARGE_BYTES,
    MIB,
    PART_BYTES,
    BlobStoreContract,
    content,
    presigned,
    put,
    sent,
    unfinished,
    very_large,
)

pytest_plugins = ["tests.archiver.ceph_server"]


class Damaged(Body):
    """A body whose bytes are not those that were digested."""

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in super().chunks():
            yield b"!" + chunk[1:]


class Fresh(Body):
    """A body whose chunks are made when they are asked for, as they are on disk."""

    async def chunks(self) -> AsyncIterator[bytes]:
        for _ in range(self.size_bytes // MIB):
            yield bytes(MIB)


class TestFolder(BlobStoreContract):
    """A local folder, not yet made."""

    keys_per_page = 256

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        return FolderBlobs(tmp_path / "bucket")


class S3Contract(BlobStoreContract):
    """A new bucket on a server whose `endpoint` a fixture of the subclass gives."""

    keys_per_page = KEYS_PER_PAGE

    @pytest.fixture
    def bucket(self, server: str) -> str:
        return make_bucket(server, f"archive-{uuid4().hex}")

    @pytest.fixture
    def endpoint(self, server: str) -> str:
        """Where the driver goes; the server itself, unless something lies between."""
        return server

    @pytest.fixture
    async def blobs(self, endpoint: str, bucket: str) -> AsyncIterator[S3Blobs]:
        blobs = S3Blobs(
            bucket,
            prefix="/Some Prefix/",
            endpoint=endpoint,
            session=session(),
            backoff_seconds=0.001,
            large_bytes=LARGE_BYTES,
            part_bytes=PART_BYTES,
        )
        yield blobs
        await blobs.close()

    async def test_what_spoils_between_its_parts_is_refused(self, blobs: S3Blobs) -> None:
        """Parts that arrive whole do not make an object if they are not those of the body."""
        with pytest.raises(BucketError, match="dmesg"):
            await put(blobs, body=Damaged.of(very_large()))
        assert await blobs.head(KEY) is None
        assert await unfinished(blobs) == 0

    async def test_only_old_uploads_of_ours_are_swept(
        self, blobs: S3Blobs, server: str, bucket: str
    ) -> None:
        """Neither a young one is taken away, nor what another program sends to the same bucket."""
        ours = [f"Some Prefix/{blob_key(digest, 'mp4')}" for digest in DIGESTS]
        ours.append(f"Some Prefix/{backup_catalog_key(now())}")
        others = [blob_key(DIGESTS[0], "mp4"), "Some Prefix/film.mp4"]
        others += ["Some Prefix/blobs/sha256/My Film.mp4", "Some Prefix/Some " + ours[0]]
        for key in ours + others:
            begin_upload(server, bucket, key)
        assert await blobs.sweep(begun_before=datetime(2001, 1, 1, tzinfo=UTC)) == 0
        assert sorted(begun_uploads(server, bucket)) == sorted(ours + others)
        assert await blobs.sweep(begun_before=now() + timedelta(hours=1)) == len(ours)
        assert sorted(begun_uploads(server, bucket)) == sorted(others)


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serve_moto() as endpoint:
        yield endpoint


class TestMoto(S3Contract):
    """moto: fast, lenient about signatures and digests, and slow to see that another completed."""

    creates_large_once = False

    @pytest.fixture
    def server(self, moto: str) -> str:
        return moto


class TestIgnoring(TestMoto):
    """A server that does not know conditional writes and does not say so: best effort."""

    creates_once = False

    @pytest.fixture
    async def endpoint(self, server: str) -> AsyncIterator[str]:
        async with serve_deaf(server) as endpoint:
            yield endpoint

    async def test_it_is_said_once(self, blobs: S3Blobs, log_file: StringIO) -> None:
        """The operator reads what follows of it, when it is found out and never again."""
        await put(blobs)
        await put(blobs)
        await blobs.check()
        [line] = log_file.getvalue().splitlines()
        assert '"level": "warning"' in line
        assert "If-None-Match" in line


class TestRefusing(TestIgnoring):
    """A server that says that it does not know conditional writes."""

    @pytest.fixture
    async def endpoint(self, server: str) -> AsyncIterator[str]:
        async with serve_deaf(server, refuses=True) as endpoint:
            yield endpoint


class TestCeph(S3Contract):
    """Ceph's gateway: strict about signatures and digests, but its uploads end unconditionally."""

    creates_large_once = False

    @pytest.fixture
    def server(self, ceph: str) -> str:
        return ceph

    async def test_what_is_damaged_on_the_way_is_refused(self, blobs: S3Blobs) -> None:
        """The server digests what arrives, and bytes that are not those promised are no object."""
        with pytest.raises(BucketError, match="XAmzContentSHA256Mismatch"):
            await put(blobs, body=Damaged.of(b"bytes"))
        assert await blobs.head(KEY) is None

    @pytest.mark.parametrize(
        "headers",
        [{"Content-Type": "text/html"}, {"If-None-Match": "x"}, {"x-amz-meta-by": "another"}],
    )
    async def test_a_presigned_put_is_for_what_was_signed(
        self, blobs: S3Blobs, headers: dict[str, str]
    ) -> None:
        """Nothing else can be made of it: neither another type, nor an overwriting, nor a name."""
        request = await presigned(blobs, b"picture", by="somebody")
        assert request is not None
        assert await sent(request, b"picture", **headers) == 403
        assert await sent(request, b"a longer picture", **{"Content-Length": "16"}) == 403
        assert await blobs.head(KEY) is None

    async def test_memory_holds_parts_and_not_the_whole(self, blobs: S3Blobs) -> None:
        """Of an object of many parts little more than one is in memory at any moment."""
        body = Fresh.of(bytes(8 * PART_BYTES))
        tracemalloc.start()
        try:
            await put(blobs, body=body)
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak_bytes < 1.75 * PART_BYTES

    async def test_a_bucket_with_versions_keeps_the_contract(
        self, blobs: S3Blobs, server: str, bucket: str
    ) -> None:
        """What is deleted or replaced is gone for us, though older versions of it stay."""
        with administering(server) as client:
            client.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        await blobs.check()
        assert await put(blobs, body=b"first") is Put.CREATED
        assert await put(blobs, body=b"second") is Put.EXISTED
        assert await put(blobs, body=b"third", replace=True) is Put.REPLACED
        assert await content(blobs, KEY) == b"third"
        await blobs.delete(KEY)
        assert await blobs.head(KEY) is None
        assert [key async for key in blobs.list("")] == []
        assert await put(blobs, body=b"fourth") is Put.CREATED
        assert [key async for key in blobs.list("")] == [KEY]
        with administering(server) as client:
            answer = client.list_object_versions(Bucket=bucket, Prefix=f"Some Prefix/{KEY}")
        assert len(answer["Versions"]) == 3
        assert len(answer["DeleteMarkers"]) == 1

    async def test_of_our_uploads_only_the_older_is_swept(
        self, blobs: S3Blobs, server: str, bucket: str
    ) -> None:
        """By the moment at which each was begun, as the server tells it."""
        older, younger = (f"Some Prefix/{blob_key(digest, 'mp4')}" for digest in DIGESTS[:2])
        begin_upload(server, bucket, older)
        begin_upload(server, bucket, younger)
        begun = begun_uploads(server, bucket)
        assert begun[older] < begun[younger]
        assert await blobs.sweep(begun_before=begun[younger]) == 1
        assert begun_uploads(server, bucket) == {younger: begun[younger]}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bucket",
        "/var/lib/holdfast",
        "file://relative/folder",
        "file:relative",
        "s3://",
        "s3:///prefix",
        "gs://bucket",
        "s3://key:hush@bucket",
        "s3://bucket?hush=1",
        "file:///folder#hush",
    ],
)
def test_a_url_that_names_no_bucket_is_refused(url: str) -> None:
    """The operator reads what bucket.url may be, and no secret that was put there by mistake."""
    with pytest.raises(ConfigError, match=r"bucket\.url") as caught:
        open_blob_store(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("file:///var/lib/hold%20fast", FolderBlobs),
        ("s3://my-archive", S3Blobs),
        ("s3://my-archive/some/prefix", S3Blobs),
    ],
)
async def test_a_url_chooses_its_driver(url: str, driver: type) -> None:
    """A folder or an S3 bucket, by scheme."""
    blobs = open_blob_store(url, region="us-east-1")
    await blobs.close()
    assert type(blobs) is driver


def test_a_server_without_a_scheme_is_refused() -> None:
    """An endpoint that is no URL is told as the operator's to mend."""
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9000"):
        open_blob_store("s3://my-archive", endpoint="127.0.0.1:9000")
