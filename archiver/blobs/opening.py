"""From a bucket's URL to its driver."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from archiver.blobs import BlobStore
from archiver.blobs.folder import FolderBlobs
from archiver.blobs.s3 import S3Blobs
from archiver.errors import ConfigError


def open_blob_store(
    url: str, *, endpoint: str | None = None, region: str | None = None
) -> BlobStore:
    """The bucket at `file:///absolute/folder` or `s3://name[/prefix]`, unchecked.

    Finding AWS credentials may block, so call it before the loop turns. Raises ConfigError.
    """
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError("bucket.url takes no credentials and no parameters, only a place")
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return FolderBlobs(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        return S3Blobs(parts.netloc, prefix=parts.path, endpoint=endpoint, region=region)
    raise ConfigError(
        f"bucket.url is {url!r}, but must be file:///absolute/folder or s3://name[/prefix]"
    )
