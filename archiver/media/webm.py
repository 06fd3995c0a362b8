"""WebM: an EBML file (RFC 8794) whose document type is "webm"."""

from __future__ import annotations

from archiver.media.stream import Steps, Stream
from archiver.media.verdict import FlawError, Media
from archiver.models import Fault

SIGNATURE = b"\x1a\x45\xdf\xa3"

_DOC_TYPE_WEBM = b"\x42\x82\x84webm"
_SEGMENT = b"\x18\x53\x80\x67"

# An EBML header has some forty bytes.
_MAX_HEADER_BYTES = 4096


def walk_webm(stream: Stream) -> Steps[Media]:
    """The header, then one Segment with all its bytes; a live recording's Segment tells no size."""
    yield from stream.skip(len(SIGNATURE))
    header_size = yield from _size(stream)
    if header_size is None or header_size > _MAX_HEADER_BYTES:
        raise FlawError(Fault.NOT_MEDIA, "an EBML file with an absurd header")
    if _DOC_TYPE_WEBM not in (yield from stream.take(header_size)):
        raise FlawError(Fault.NOT_MEDIA, "an EBML file, but no WebM")
    if (yield from stream.take(len(_SEGMENT))) != _SEGMENT:
        raise FlawError(Fault.SHORT, "the WebM is damaged: no Segment follows its header")
    size = yield from _size(stream)
    yield from stream.skip(size or 0)
    return Media(media_type="video/webm", extension="webm")


def _size(stream: Stream) -> Steps[int | None]:
    """RFC 8794, section 4: leading zero bits count the bytes; None, all ones, means unknown."""
    first = (yield from stream.take(1))[0]
    length = 9 - first.bit_length()
    if length > 8:
        raise FlawError(Fault.SHORT, "the WebM is damaged: a size is longer than eight bytes")
    rest = yield from stream.take(length - 1)
    unknown = (1 << 7 * length) - 1
    size = int.from_bytes(bytes([first]) + rest) & unknown
    return None if size == unknown else size
