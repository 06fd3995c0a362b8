"""What a walk ends in."""

from __future__ import annotations

from dataclasses import dataclass

from archiver.models import Fault

# Pillow refuses to open more (DecompressionBombError): twice MAX_IMAGE_PIXELS, its limit for a
# warning of 89,478,485 pixels, which as RGB fill a quarter of a gigabyte.
MAX_PIXELS = 178_956_970

# The longest side a JPEG can have, and four times a WebP's.
MAX_SIDE_PIXELS = 65_535


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """A whole picture or video, with the type and extension that its own bytes show.

    `width` and `height` are in pixels; None where the format does not say it easily.
    """

    media_type: str
    extension: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """Why the bytes are not to be kept; `reason` is a sentence that repeats none of them."""

    fault: Fault
    reason: str


class FlawError(Exception):
    """Ends a walk with a flaw; never leaves the package."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.flaw = Flaw(fault=fault, reason=reason)


def check_dimensions(width: int, height: int) -> None:
    """Refuse a picture without area, and one too large to decode, before anyone decodes it.

    Raises FlawError.
    """
    if not (width and height):
        raise FlawError(Fault.NOT_MEDIA, f"a picture of {width}x{height} pixels shows nothing")
    if max(width, height) > MAX_SIDE_PIXELS or width * height > MAX_PIXELS:
        raise FlawError(
            Fault.TOO_LARGE,
            f"{width}x{height} pixels are more than we accept "
            f"({MAX_PIXELS} in all, {MAX_SIDE_PIXELS} a side)",
        )
