"""What is stamped on a picture that was drawn here, so that none passes for the provider's own.

Chunks of a PNG (W3C PNG third edition): XMP with the IPTC's digital source type
`trainedAlgorithmicMedia`, words for people, and the parameters as JSON. No EXIF, no time: the same
picture with the same facts is the same bytes. Content credentials are signed over all of this, so
they come after it.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

import msgspec

from archiver.redact import redact
from fallback_renderer.notes import Note
from fallback_renderer.request import RenderRequest

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP_KEYWORD = "XML:com.adobe.xmp"
PARAMETERS_KEYWORD = "holdfast"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Texts, EXIF, time and content credentials: whatever is there already is replaced or untrue.
_REPLACED = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME", b"caBX"})
_DESCRIPTION = "Drawn by holdfast because the provider's own picture was lost."
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WORD = re.compile(r"\S+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where a picture comes from; `drawn_with` is `Checkpoint.source`, `software` with versions."""

    provider: str
    generation_id: str
    index: int
    model: str
    drawn_with: str
    software: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()


def parameters_of(request: RenderRequest) -> dict[str, object]:
    """What a picture was drawn with, without any path of this machine or key of the bucket."""
    given = msgspec.to_builtins(request)
    given["checkpoint"] = request.checkpoint.source
    given["loras"] = {lora.name: lora.strength for lora in request.loras}
    given["embeddings"] = [part.name for part in request.embeddings]
    given["vae"] = request.vae.name if request.vae else None
    for private in ("notes", "init_image", "mask_image"):
        del given[private]
    return {name: value for name, value in given.items() if value is not None}


def stamp(png: bytes, provenance: Provenance) -> bytes:
    """The PNG with its provenance after the header; stamping again replaces what was stamped.

    Raises ValueError for bytes that are no PNG: a bug of ours.
    """
    chunks = _chunks(png)
    header = next(chunks)
    stamped = [
        _text(XMP_KEYWORD, _xmp(provenance)),
        _text("Software", _clean(provenance.software)),
        _text("Description", _DESCRIPTION),
        _text(PARAMETERS_KEYWORD, _parameters(provenance)),
    ]
    return b"".join((_SIGNATURE, header, *stamped, *chunks))


def _chunks(png: bytes) -> Iterator[bytes]:
    """Whole chunks up to IEND, without those that are replaced."""
    if not png.startswith(_SIGNATURE + b"\0\0\0\x0dIHDR"):
        raise ValueError("these bytes are no PNG")
    place, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        length = int.from_bytes(png[place : place + 4])
        kind, end = png[place + 4 : place + 8], place + 12 + length
        if len(png) < end:
            raise ValueError("the PNG ends before its end")
        if kind not in _REPLACED:
            yield png[place:end]
        place = end


def _text(keyword: str, text: str) -> bytes:
    """An iTXt chunk: keyword, uncompressed, no language, no translation, UTF-8."""
    data = b"iTXt" + keyword.encode("latin-1") + b"\0" * 5 + text.encode("utf-8", "replace")
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


def _xmp(provenance: Provenance) -> str:
    attributes = {
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
        "Iptc4xmpExt:AISystemUsed": provenance.drawn_with,
        "xmp:CreatorTool": provenance.software,
        "holdfast:Origin": "fallback",
        "holdfast:Provider": provenance.provider,
        "holdfast:Generation": provenance.generation_id,
        "holdfast:Index": str(provenance.index),
        "holdfast:Model": provenance.model,
    }
    said = " ".join(f"{name}={_attribute(value)}" for name, value in attributes.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' xmlns:holdfast="urn:holdfast:provenance:1#" {said}/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )


def _parameters(provenance: Provenance) -> str:
    facts = {
        "origin": "fallback",
        "provider": provenance.provider,
        "generation_id": provenance.generation_id,
        "index": provenance.index,
        "model": provenance.model,
        "drawn_with": provenance.drawn_with,
        "software": provenance.software,
        "parameters": provenance.parameters,
        "notes": [str(note) for note in provenance.notes],
    }
    return msgspec.json.encode(_redacted(facts), order="deterministic").decode()


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping):
        return {_clean(str(name)): _redacted(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(one) for one in value]
    return value


def _clean(text: str) -> str:
    """Word by word, for `redact` shortens what is long, and a prompt may be long."""
    return _WORD.sub(lambda word: redact(word[0]), _NOT_XML.sub("\ufffd", text))


def _attribute(text: str) -> str:
    return f'"{escape(_clean(text))}"'
