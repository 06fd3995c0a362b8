"""Pictures that come as text: in a `data:` URL (RFC 2397), or as base64 behind a link.

`base64: yes` of modelslab-enterprise-text2img brings either.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from urllib.parse import unquote_to_bytes

from archiver.errors import FetchError
from archiver.models import Fault

_SCHEME = "data:"
# No picture's or video's first bytes are all of this alphabet for so long.
_SNIFFED_BYTES = 64
_ALPHABET = re.compile(rb"[A-Za-z0-9+/= \t\r\n]*")
_PREFIX = re.compile(rb"\A[ \t\r\n]*data:[\w/+.;=-]*;base64,", re.IGNORECASE)
_SPACES = b" \t\r\n"


def is_inline(url: str) -> bool:
    """Whether a link is no link but the picture itself."""
    return url[: len(_SCHEME)].lower() == _SCHEME


async def unpacked(url: str) -> AsyncIterator[bytes]:
    """The bytes in a `data:` URL; raises FetchError NOT_MEDIA for one that holds none."""
    head, comma, data = url.partition(",")
    if not comma:
        raise FetchError(Fault.NOT_MEDIA, "the data: URL holds no data")
    plain = unquote_to_bytes(data.encode("utf-8", "replace"))
    if not head.lower().endswith(";base64"):
        yield plain
        return
    try:
        yield b64decode(plain)
    except binascii.Error:
        raise _broken() from None


async def begun(chunks: AsyncIterator[bytes]) -> bytes:
    """So many of the first bytes as tell whether they are text."""
    first = bytearray()
    async for chunk in chunks:
        first += chunk
        if len(first) >= _SNIFFED_BYTES:
            break
    return bytes(first)


def is_text(first: bytes) -> bool:
    """Whether bytes that begin so are base64 text; what is too short to be a picture is none."""
    plain = _PREFIX.sub(b"", first[:_SNIFFED_BYTES], count=1)
    return len(first) >= _SNIFFED_BYTES and _ALPHABET.fullmatch(plain) is not None


async def joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes as they came."""
    yield first
    async for chunk in rest:
        yield chunk


async def decoded(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The bytes that the text stands for; raises FetchError NOT_MEDIA where it breaks off."""
    held, padded = b"", False
    async for chunk in joined(_PREFIX.sub(b"", first, count=1), rest):
        held += chunk.translate(None, _SPACES)
        if held and padded:
            raise _broken()
        whole = len(held) // 4 * 4
        yield _decode(held[:whole])
        padded = padded or held[:whole].endswith(b"=")
        held = held[whole:]
    if held:
        raise _broken()


def _decode(text: bytes) -> bytes:
    if text.endswith(b"==="):  # let by behind whole groups, and by itself not
        raise _broken()
    try:
        return b64decode(text, validate=True)
    except binascii.Error:
        raise _broken() from None


def _broken() -> FetchError:
    return FetchError(Fault.NOT_MEDIA, "the picture came as base64 text, and that is broken")
