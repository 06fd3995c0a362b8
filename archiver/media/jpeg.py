"""JPEG (ITU-T T.81, annex B): marker segments, then scans of coded data up to EOI."""

from __future__ import annotations

from archiver.media.stream import Steps, Stream
from archiver.media.verdict import FlawError, Media, check_dimensions
from archiver.models import Fault

SIGNATURE = b"\xff\xd8\xff"

_SOS = 0xDA
_EOI = b"\xff\xd9"

# Table B.1: every SOFn; C4, C8 and CC stand between them and mean DHT, JPG and DAC.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def walk_jpeg(stream: Stream) -> Steps[Media]:
    """Every segment up to the first scan, then nothing but the end, which must be EOI.

    Zeros behind EOI are padding. The coded data is not walked: a cut inside it cannot end in EOI.
    """
    yield from stream.skip(2)
    dimensions: tuple[int, int] | None = None
    while True:
        marker = yield from _marker(stream)
        length = int.from_bytes((yield from stream.take(2))) - 2
        if length < 0:
            raise FlawError(Fault.SHORT, "the JPEG is damaged: a segment is shorter than itself")
        if marker in _START_OF_FRAME:
            frame = yield from stream.take(length)
            dimensions = int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])
            check_dimensions(*dimensions)
        else:
            yield from stream.skip(length)
        if marker == _SOS:
            break
    if dimensions is None:
        raise FlawError(Fault.SHORT, "the JPEG is damaged: a scan begins before any frame header")
    if (yield from _tail(stream)) != _EOI:
        raise FlawError(Fault.SHORT, "the JPEG is cut short: it does not end in EOI")
    width, height = dimensions
    return Media(media_type="image/jpeg", extension="jpg", width=width, height=height)


def _marker(stream: Stream) -> Steps[int]:
    """B.1.1.2: FF, any number of further FF as fill, and the marker's code."""
    if (yield from stream.take(1)) != b"\xff":
        raise FlawError(Fault.SHORT, "the JPEG is damaged: a marker is missing")
    code = b"\xff"
    while code == b"\xff":
        code = yield from stream.take(1)
    return code[0]


def _tail(stream: Stream) -> Steps[bytes]:
    """The last two bytes before any padding of zeros."""
    tail, padding = b"", b""
    while data := bytes((yield from stream.piece())):
        data = tail + padding + data
        kept = data.rstrip(b"\0")
        tail, padding = kept[-2:], data[len(kept) :][:2]
    return tail
