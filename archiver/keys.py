"""Where things lie in the bucket; chosen once, for ever.

Blobs and thumbnails are named by the SHA-256 of the original's bytes, so storing one twice is
storing it once. Manifests are named by who generated and the generation's own id, which is a
stranger's text: `_name` makes a harmless name of it that no other text shares. Segments hold many
manifests each, tombstones say what was forgotten.

Every key is made of a-z, 0-9, "_", "-", "%", "." and "/" alone: one case only, so two keys stay two
on a disk that ignores case, and no "..", so none climbs out of a folder.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

# Escaped names longer than this are hashed: with ".json" they stay below 255 bytes, the longest
# file name of ext4, APFS and NTFS.
MAX_NAME_BYTES = 200

BLOBS = "blobs/"
MANIFESTS = "manifests/"
SEGMENTS = "manifests/segments/"
TOMBSTONES = "tombstones/"
BACKUPS = "backups/"

_STAMP = "%Y%m%dt%H%M%Sz"

_PLAIN_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-")
_PLAIN = re.compile("[a-z0-9_-]+")
_EXTENSION = re.compile(r"[a-z0-9]{1,5}")
_OF_PICTURE = re.compile(r"(?:blobs|thumbs)/sha256/[0-9a-f]{2}/([0-9a-f]{64})\.[a-z0-9]{1,5}")


def blob_key(sha256: bytes, extension: str) -> str:
    """Where the bytes with this digest (32 bytes) lie, immutable.

    Raises ValueError for a digest or an extension that is none: a bug of ours.
    """
    if not _EXTENSION.fullmatch(extension):
        raise ValueError("an extension is one to five of a-z and 0-9")
    return f"blobs/sha256/{_digest_path(sha256)}.{extension}"


def thumb_key(sha256: bytes) -> str:
    """Where the thumbnail of the picture with this digest (32 bytes) lies.

    Raises ValueError for a digest that is none: a bug of ours.
    """
    return f"thumbs/sha256/{_digest_path(sha256)}.webp"


def digest_of(key: str) -> bytes | None:
    """The digest of the picture that a blob's or a thumbnail's key is of; None for other keys."""
    found = _OF_PICTURE.fullmatch(key)
    return bytes.fromhex(found[1]) if found else None


def manifest_key(provider: str, generation_id: str) -> str:
    """Where the manifest of one generation lies; the two letters spread many over 256 folders.

    Raises ValueError for an empty provider or id, which names nothing.
    """
    shard = hashlib.sha256(_encoded(generation_id)).hexdigest()[:2]
    return f"{MANIFESTS}{_name(provider)}/{shard}/{_name(generation_id)}.json"


def segment_key(first_number: int, sha256: bytes) -> str:
    """Where the segment with these bytes lies, of the generations from that archive number on."""
    return f"{SEGMENTS}{first_number:012}-{sha256.hex()[:16]}.ndjson.gz"


def tombstone_key(name_sha256: bytes, index: int | None) -> str:
    """Where the tombstone of a generation lies, or of one of its slots."""
    slot = "" if index is None else f".{index}"
    return f"{TOMBSTONES}{name_sha256.hex()}{slot}.json"


def backup_prefix(at: datetime) -> str:
    """How the keys of all objects begin that make up the backup of that second."""
    return f"{BACKUPS}{at.astimezone(UTC):{_STAMP}}/"


def backup_index_key(at: datetime) -> str:
    """Where the object lies that makes a backup of the others."""
    return f"{backup_prefix(at)}index.json"


def backup_catalog_key(at: datetime) -> str:
    """Where a backup's catalog lies."""
    return f"{backup_prefix(at)}catalog.db.gz"


def backup_inbox_key(at: datetime, stem: str) -> str:
    """Where a backup's inbox lies that is called so."""
    return f"{backup_prefix(at)}inbox/{_name(stem)}.db.gz"


def backup_at(key: str) -> datetime | None:
    """Of what second the backup is that an object is a part of; None if it is of none."""
    stamp = key.removeprefix(BACKUPS).partition("/")[0]
    try:
        at = datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
    return at if key.startswith(backup_prefix(at)) else None


def _digest_path(digest: bytes) -> str:
    if len(digest) != 32:
        raise ValueError("a SHA-256 has 32 bytes")
    return f"{digest.hex()[:2]}/{digest.hex()}"


def _name(text: str) -> str:
    """Each byte but a-z, 0-9, "_" and "-" as %xx; a dot never comes of that, so no text can pose
    as the hash of another."""
    if not text:
        raise ValueError("a manifest's key needs a provider and an id")
    if len(text) <= MAX_NAME_BYTES and _PLAIN.fullmatch(text):
        return text
    encoded = _encoded(text)
    escaped = "".join(chr(byte) if byte in _PLAIN_BYTES else f"%{byte:02x}" for byte in encoded)
    if len(escaped) > MAX_NAME_BYTES:
        return f"sha256.{hashlib.sha256(encoded).hexdigest()}"
    return escaped


def _encoded(text: str) -> bytes:
    """UTF-8, and a lone surrogate (JSON can carry one) as three bytes of its own."""
    return text.encode("utf-8", "surrogatepass")
