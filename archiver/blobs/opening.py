"""From a bucket's URL to its driver."""

from pathlib import Path
from urllib.parse import unquote

from archiver.blobs import BlobStore
from archiver.blobs.folder import FolderBlobs
from archiver.blobs.place import place_of
from archiver.blobs.s3 import S3Blobs


def open_blob_store(
    url: str, *, endpoint: str | None = None, region: str | None = None, begun: bool = False
) -> BlobStore:
    """The bucket at `file:///absolute/folder` or `s3://name[/prefix]`, unchecked.

    Finding AWS credentials may block, so call it before the loop turns. A folder that is `begun`
    has objects, and is not made anew where its disk is not mounted. Raises ConfigError.
    """
    parts = place_of(url)
    if parts.scheme == "file":
        return FolderBlobs(Path(unquote(parts.path)), begun=begun)
    return S3Blobs(parts.netloc, prefix=parts.path, endpoint=endpoint, region=region)
