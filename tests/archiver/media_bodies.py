"""Bodies for the walk: whole ones, odd ones, and all that must not be kept."""

import io
import zlib

from PIL import Image


def drawn(image_format: str, mode: str = "RGB", frames: int = 1, **options: object) -> bytes:
    """A picture of 23 x 14 pixels, written by Pillow."""
    ramp = Image.linear_gradient("L").resize((23, 14)).convert(mode)
    more = [ramp.rotate(180 * n) for n in range(1, frames)]
    file = io.BytesIO()
    ramp.save(file, image_format, save_all=bool(more), append_images=more, **options)
    return file.getvalue()


def png_chunk(chunk_type: bytes, data: bytes = b"") -> bytes:
    crc = zlib.crc32(chunk_type + data)
    return len(data).to_bytes(4) + chunk_type + data + crc.to_bytes(4)


def png(width: int, height: int, *chunks: bytes) -> bytes:
    """A 1-bit PNG that declares these dimensions."""
    header = width.to_bytes(4) + height.to_bytes(4) + b"\1\0\0\0\0"
    return b"\x89PNG\r\n\x1a\n" + b"".join((png_chunk(b"IHDR", header), *chunks))


def box(box_type: bytes, data: bytes = b"") -> bytes:
    return (8 + len(data)).to_bytes(4) + box_type + data


def riff(first_chunk: bytes) -> bytes:
    return b"RIFF" + (4 + len(first_chunk)).to_bytes(4, "little") + b"WEBP" + first_chunk


def ispe(width: int, height: int) -> bytes:
    return box(b"ispe", bytes(4) + width.to_bytes(4) + height.to_bytes(4))


IDAT, IEND = png_chunk(b"IDAT"), png_chunk(b"IEND")
FTYP = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
MP4 = FTYP + box(b"moov", b"index") + box(b"mdat", b"frames")
EBML = b"\x1a\x45\xdf\xa3\x8b\x42\x86\x81\x01\x42\x82\x84webm"
SEGMENT = b"\x18\x53\x80\x67"
WEBM = EBML + SEGMENT + b"\x40\x05video"
JPEG = drawn("JPEG")
SOF = JPEG.index(b"\xff\xc0")
SOS = JPEG.index(b"\xff\xda")
GIF = drawn("GIF", "P")
AVIF = drawn("AVIF")
AVIF_FTYP = box(b"ftyp", b"mif1\0\0\0\0avifmif1")
TILES = box(b"meta", ispe(9, 8) + ispe(23, 14) + ispe(24, 1))
WEBP = drawn("WEBP")
VP8X = riff(b"VP8X\x0a\0\0\0" + bytes(10))

WHOLE = {
    "png": (drawn("PNG"), "image/png"),
    "png of one bit": (drawn("PNG", "1"), "image/png"),
    "png, animated": (drawn("PNG", frames=2), "image/png"),
    "jpg": (JPEG, "image/jpeg"),
    "jpg, progressive": (drawn("JPEG", progressive=True), "image/jpeg"),
    "jpg with metadata": (drawn("JPEG", comment=b"\xff\xd9" * 99, exif=bytes(99)), "image/jpeg"),
    "webp": (WEBP, "image/webp"),
    "webp with a hint to scale": (WEBP[:27] + b"\x40" + WEBP[28:], "image/webp"),
    "webp, lossless": (drawn("WEBP", lossless=True), "image/webp"),
    "webp, animated": (drawn("WEBP", frames=2), "image/webp"),
    "gif": (GIF, "image/gif"),
    "gif, animated": (drawn("GIF", frames=3, loop=0), "image/gif"),
    "avif": (AVIF, "image/avif"),
    "avif of tiles": (AVIF_FTYP + TILES + box(b"mdat"), "image/avif"),
    "mp4": (MP4, "video/mp4"),
    "webm": (WEBM, "video/webm"),
}

TOLERATED = {
    "png followed by something": drawn("PNG") + b"more",
    "png of 178,956,970 pixels": png(12_470, 14_351, IDAT, IEND),
    "jpg followed by zeros": JPEG + bytes(999),
    "jpg with fill bytes": JPEG[:SOS] + b"\xff\xff" + JPEG[SOS:],
    "gif followed by something": GIF + b"more",
    "avif without dimensions": AVIF.replace(b"ispe", b"free"),
    "mp4 with a 64-bit size": MP4 + b"\0\0\0\1free" + (20).to_bytes(8) + b"four",
    "mp4 whose last box has no size": FTYP + box(b"moov") + b"\0\0\0\0mdat" + bytes(99),
    "webm recorded live": EBML + SEGMENT + b"\x01" + b"\xff" * 7 + b"video",
}  # fmt: skip

# Each with a part of the reason.
DAMAGED = {
    "nothing": (b"", "empty"),
    "png without IHDR": (b"\x89PNG\r\n\x1a\n" + IDAT + IEND + bytes(9), "begin with IHDR"),
    "png with a bad IHDR": (png(1, 1, IDAT, IEND).replace(b"\1\0\0\0\0", bytes(5)), "chunk IHDR"),
    "png with a bad chunk": (drawn("PNG").replace(b"IDAT", b"IDAU"), "chunk IDAU fails its CRC"),
    "png without IDAT": (png(1, 1, IEND), "no IDAT"),
    "png with a nameless chunk": (png(1, 1, IDAT, png_chunk(b"\xff{};"), IEND), "four letters"),
    "jpg without EOI": (JPEG[:-2] + b"\xff\xd0", "end in EOI"),
    "jpg with EOI torn apart": (JPEG[:-1] + b"\0\xd9", "end in EOI"),
    "jpg with a segment too short": (JPEG[:2] + b"\xff\xe0\0\1" + JPEG[2:], "shorter than itself"),
    "jpg with a marker missing": (JPEG[:SOS] + b"\0" + JPEG[SOS:], "marker is missing"),
    "jpg without a frame": (JPEG[:SOF] + JPEG[SOS:], "before any frame"),
    "webp with more than it declares": (WEBP + b"\0", "more bytes"),
    "webp with no room": (b"RIFF\0\0\0\0" + WEBP[8:], "no room"),
    "webp with a strange chunk": (riff(b"ICCP\x0a\0\0\0" + bytes(10)), "first chunk"),
    "webp without VP8's start code": (riff(b"VP8 \x0a\0\0\0" + bytes(10)), "first chunk"),
    "webp without VP8L's signature": (riff(b"VP8L\x0a\0\0\0" + bytes(10)), "first chunk"),
    "gif with a strange block": (GIF[:-1] + b"\0;", "no known kind"),
    "gif without an image": (b"GIF89a\1\0\1\0\0\0\0;", "no image block"),
    "avif without data": (AVIF_FTYP + TILES, "lacks mdat"),
    "mp4 without an index": (FTYP + box(b"mdat"), "lacks moov"),
    "mp4 with a box too short": (FTYP + b"\0\0\0\7moov", "shorter than its header"),
    "mp4 with a long box too short": (FTYP + b"\0\0\0\1moov" + (15).to_bytes(8), "shorter than"),
    "webm without a segment": (EBML + b"\xec\x80\0\0" + WEBM[len(EBML) :], "no Segment"),
    "webm with an endless size": (EBML + SEGMENT + b"\0" * 9, "longer than eight"),
}  # fmt: skip

TOO_LARGE = {
    "png": png(30_000, 30_000, png_chunk(b"IDAT", zlib.compress(bytes(30_000 * 3_751))), IEND),
    "png, one row too many": png(12_470, 14_352, IDAT, IEND),
    "png, one side": png(65_536, 1, IDAT, IEND),
    "jpg": JPEG[: SOF + 5] + b"\xff\xff\xff\xff" + JPEG[SOF + 9 :],
    "webp": VP8X[:24] + b"\xff" * 6,
    "gif": GIF[:6] + b"\xff\xff\xff\xff" + GIF[10:],
    "avif": AVIF.replace(b"ispe\0\0\0\0" + bytes(3), b"ispe\0\0\0\0" + b"\0\1\0"),
}

STRANGERS = {
    "an HTML page": b"\xef\xbb\xbf\r\n <!DOCTYPE HTML><title>hunter2</title>",
    "an HTML page ": b"<html>hunter2",
    "an SVG drawing": b"<svg hunter2>",
    "an XML document": b"<?xml version='1.0'?><Error><Code>hunter2</Code></Error>",
    "a JSON document": b' {"error": "hunter2"}',
    "a JSON document ": b'["hunter2"]',
    "a PDF document": b"%PDF-1.7 hunter2",
    "a ZIP archive": b"PK\x03\x04hunter2",
    "gzip data": b"\x1f\x8bhunter2",
    "plain text": b"Not found: hunter2\n",
    "bytes of no known kind": b"\0\1\2\3hunter2",
    "a RIFF file": b"RIFF\0\0\0\0WAVEhunter2",
    "neither AVIF nor MP4": box(b"ftyp", b"qt  mp42qt  ") + b"hunter2",
    "an absurd list of brands": b"\0\2\0\0ftypmp42hunter2",
    "an absurd list of brands ": b"\0\0\0\0ftypmp42hunter2",
    "an EBML file, but no WebM": EBML.replace(b"webm", b"mkv!") + b"hunter2",
    "an absurd header": EBML[:4] + b"\x50\x01hunter2",
    "an absurd header ": EBML[:4] + b"\xffhunter2",
}

ALL = [
    *(body for body, _ in (*WHOLE.values(), *DAMAGED.values())),
    *(body for table in (TOLERATED, TOO_LARGE, STRANGERS) for body in table.values()),
]
