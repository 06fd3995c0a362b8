"""A preview: what stands for a picture where many are shown, and by which it is compared."""

from __future__ import annotations

from dataclasses import dataclass

MEDIA_TYPE = "image/webp"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """All that was derived of a picture; the thumbnail itself is in the bucket (`keys.thumb_key`).

    `width` and `height` are the thumbnail's, in pixels. `phash` (`archiver.phash`) is None where
    there is nothing to tell the picture by, as with one colour. `reason` says why there can be no
    preview, and then all else is None.
    """

    phash: int | None = None
    width: int | None = None
    height: int | None = None
    reason: str = ""
