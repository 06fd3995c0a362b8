"""Each driver keeps the contract; what only one of them promises is tested beside it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from archiver.blobs import BlobStore
from archiver.blobs.folder import FolderBlobs
from archiver.blobs.opening import open_blob_store
from archiver.blobs.s3 import S3Blobs
from archiver.errors import ConfigError
from tests.archiver.moto_server import KEYS_PER_PAGE, make_bucket, serve_moto, session
from tests.contracts.blob_store import BlobStoreContract


class TestFolder(BlobStoreContract):
    """A local folder, not yet made."""

    keys_per_page = 256

    @pytest.fixture
    def blobs(self, tmp_path: Path) -> BlobStore:
        return FolderBlobs(tmp_path / "bucket")


class S3Contract(BlobStoreContract):
    """A new bucket on a server whose `endpoint` a fixture of the subclass gives."""

    @pytest.fixture
    async def blobs(self, endpoint: str) -> AsyncIterator[BlobStore]:
        name = make_bucket(endpoint, f"archive-{uuid4().hex}")
        blobs = S3Blobs(name, prefix="/Some Prefix/", endpoint=endpoint, session=session())
        yield blobs
        await blobs.close()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serve_moto() as endpoint:
        yield endpoint


class TestMoto(S3Contract):
    """moto: fast, and lenient about signatures."""

    keys_per_page = KEYS_PER_PAGE

    @pytest.fixture
    def endpoint(self, moto: str) -> str:
        return moto


# A third server (Ceph's gateway is strict about signatures) is one more fixture that starts it and
# one more subclass of S3Contract.


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
