"""A segment: many manifests in one immutable object, so that reading them all takes few requests.

It is gzipped NDJSON: a head, which the signature is of and which holds the digest of all that
follows, and then on each line a manifest. The layout is a promise, as the manifest's is.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from archiver.errors import ManifestError
from archiver.manifest import FORMAT as MANIFEST_FORMAT
from archiver.manifest import describe
from archiver.models import Generation
from archiver.previews import Preview
from archiver.signing import Signer, Trust

FORMAT = "holdfast-segment-1"

# Archive numbers to a segment: it holds the generations whose lowest is among these.
WIDTH = 10_000

# Far more than ten thousand manifests ever take; what is larger is no segment of ours.
_MAX_BYTES = 1 << 30
_MOST_MANIFESTS = 1_000_000
_HEAD_BYTES = 4096
_LEVEL = 6


class _Head(msgspec.Struct):
    format: str
    manifests: int
    sha256: str


class LineFacts(msgspec.Struct, frozen=True):
    """What a line says beside its manifest.

    `object_md5` is the MD5 of the manifest's own object, in hex, as it was then; `previews` are
    those of its pictures, by their digests in hex.
    """

    object_md5: str = ""
    previews: dict[str, Preview] = {}


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_facts = msgspec.json.Decoder(LineFacts).decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Unpacked:
    """The lines of a segment, and who signed it: a key's id, or "" for nobody."""

    lines: list[bytes]
    signed_by: str


def line(generation: Generation, object_md5: str, previews: Mapping[bytes, Preview]) -> bytes:
    """A generation on a line: its manifest, and what only segments say."""
    shown = {sha256.hex(): previews[sha256] for sha256 in _pictures(generation, previews)}
    facts = {"object_md5": object_md5, "previews": shown}
    return msgspec.json.encode({"format": MANIFEST_FORMAT, **describe(generation), **facts})


def facts_of(text: bytes) -> LineFacts:
    """What a line says beside its manifest; raises ManifestError."""
    try:
        return _decode_facts(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"it is not as a segment's line must be: {error}") from error


def pack(lines: Sequence[bytes], signer: Signer | None) -> bytes:
    """The bytes of a segment; the same lines are the same bytes."""
    content = b"".join(b"%b\n" % text for text in lines)
    told = {
        "format": FORMAT,
        "manifests": len(lines),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    head = msgspec.json.encode(told) + b"\n"
    return gzip.compress((signer.sign(head) if signer else head) + content, _LEVEL, mtime=0)


def count(packed: bytes) -> int:
    """How many manifests a segment says that it holds; raises ManifestError. Nothing is checked."""
    begin = zlib.decompressobj(wbits=31)
    try:
        text = begin.decompress(packed, _HEAD_BYTES)
    except zlib.error as error:
        raise ManifestError(f"it is no segment: {error}") from error
    told = _head(text.partition(b"\n")[0]).manifests
    if not 0 <= told <= _MOST_MANIFESTS:
        raise ManifestError(f"it cannot hold {told} manifests")
    return told


def unpack(packed: bytes, trust: Trust) -> Unpacked:
    """The lines of a segment that is whole and may be believed; raises ManifestError."""
    text = _decompressed(packed)
    end = text.find(b"\n") + 1
    opened = trust.open(text[:end])
    head, content = _head(opened.document), text[end:]
    if hashlib.sha256(content).hexdigest() != head.sha256:
        raise ManifestError("it is damaged: its lines are not those that its head tells of")
    lines = content.splitlines()
    if len(lines) != head.manifests:
        raise ManifestError(f"it has {len(lines)} lines instead of {head.manifests}")
    return Unpacked(lines=lines, signed_by=opened.signed_by)


def _decompressed(packed: bytes) -> bytes:
    content = zlib.decompressobj(wbits=31)
    try:
        text = content.decompress(packed, _MAX_BYTES)
    except zlib.error as error:
        raise ManifestError(f"it is no segment: {error}") from error
    if not content.eof:
        raise ManifestError("it is cut short, or larger than any segment")
    return text


def _head(text: bytes) -> _Head:
    try:
        head = _decode_head(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ManifestError(f"it is no segment: {error}") from error
    if head.format != FORMAT:
        raise ManifestError(
            f"it is of the format {head.format[:40]!r}, and this holdfast reads {FORMAT!r}: use "
            "the version that wrote it, or a newer one"
        )
    return head


def _pictures(generation: Generation, previews: Mapping[bytes, Preview]) -> Iterator[bytes]:
    """The digests of its pictures that have a preview, each once, in the order of its slots."""
    digests = (asset.sha256 for slot in generation.slots for asset in slot.assets)
    return (sha256 for sha256 in dict.fromkeys(digests) if sha256 in previews)
