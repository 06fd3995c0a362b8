"""Which walk a stream takes, by its first bytes, and what it is called if it takes none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from archiver.media import gif, isobmff, jpeg, png, webm, webp
from archiver.media.stream import Steps, Stream
from archiver.media.verdict import Flaw, FlawError, Media
from archiver.models import Fault


class Walker:
    """Judges one body while it streams by, in memory that does not grow with it.

    Give each chunk to `feed`, in order; how the body was cut into chunks never matters, and a
    chunk's buffer may be used again at once. Then `finish` gives the verdict.
    """

    def __init__(self) -> None:
        self._verdict: Media | Flaw | None = None
        self._walk: Steps[Media] = _walk(Stream())
        next(self._walk)

    def feed(self, chunk: bytes | memoryview) -> None:
        """Walk on through the next bytes; once the verdict is known this costs nothing."""
        if self._verdict is None and chunk:
            self._send(memoryview(chunk))

    def finish(self) -> Media | Flaw:
        """The verdict on all that was fed: Fault.SHORT, NOT_MEDIA or TOO_LARGE if it is a flaw."""
        if self._verdict is None:
            self._send(memoryview(b""))
        assert self._verdict is not None, "the end of the stream ends every walk"
        return self._verdict

    def _send(self, chunk: memoryview) -> None:
        try:
            self._walk.send(chunk)
        except StopIteration as end:
            self._verdict = end.value
        except FlawError as error:
            self._verdict = error.flaw


class Format(NamedTuple):
    """A format that we keep: the bytes that give it away, where they stand, and its walk."""

    offset: int
    signature: bytes
    walk: Callable[[Stream], Steps[Media]]


FORMATS = (
    Format(0, png.SIGNATURE, png.walk_png),
    Format(0, jpeg.SIGNATURE, jpeg.walk_jpeg),
    Format(0, webp.SIGNATURE, webp.walk_webp),
    Format(0, gif.SIGNATURE, gif.walk_gif),
    Format(4, isobmff.SIGNATURE, isobmff.walk_isobmff),
    Format(0, webm.SIGNATURE, webm.walk_webm),
)

# What the others look like, by how they begin in lower case, byte order mark and space left out.
_STRANGERS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<svg", "an SVG drawing"),
    (b"<", "an XML document"),
    (b"{", "a JSON document"),
    (b"[", "a JSON document"),
    (b"%pdf", "a PDF document"),
    (b"pk\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
)
_TEXT = re.compile(rb"[\t\r\n -~]*")

# Enough for every signature, and to see a page's first tag behind some white space.
_HEAD_BYTES = 64


def _walk(stream: Stream) -> Steps[Media]:
    head = yield from stream.peek(_HEAD_BYTES)
    if not head:
        raise FlawError(Fault.SHORT, "the body is empty")
    for offset, signature, walk in FORMATS:
        begun = head[offset : offset + len(signature)]
        if begun == signature:
            return (yield from walk(stream))
        if begun and signature.startswith(begun):
            raise FlawError(Fault.SHORT, "the bytes end in the middle of a picture's signature")
    raise FlawError(Fault.NOT_MEDIA, f"neither a picture nor a video but {_looks_like(head)}")


def _looks_like(head: bytes) -> str:
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, name in _STRANGERS:
        if begins.startswith(beginning):
            return name
    return "plain text" if _TEXT.fullmatch(begins) else "bytes of no known kind"
