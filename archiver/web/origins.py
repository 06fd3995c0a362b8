"""Where a page's pictures may come from, besides where the page does."""

from __future__ import annotations

from yarl import URL

from archiver import keys
from archiver.blobs import BlobStore
from archiver.errors import BucketError

_ANY_KEY = keys.thumb_key(bytes(32))


class BucketOrigin:
    """The origin of the bucket's presigned URLs: a strict page must name it in its policy."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self._known: tuple[str | None] | None = None

    async def find(self) -> str | None:
        """Scheme, host and port, as `https://bucket.example.org`; None for a local folder.

        Also while the bucket has no credentials; it is asked again then.
        """
        if self._known is None:
            try:
                url = await self._blobs.presigned_url(
                    _ANY_KEY, expires_seconds=1, media_type="image/webp", filename="nothing"
                )
            except BucketError:
                return None
            self._known = (str(URL(url).origin()) if url is not None else None,)
        return self._known[0]
