"""Tombstones and the indexes of backups, in a bucket that others may be able to write."""

from __future__ import annotations

import msgspec

from archiver import tombstone
from archiver.errors import ManifestError
from archiver.recovery import backup_index
from tests.fuzz.shelf import undone
from tests.fuzz.target import Sabotage, Target


class _Lenient(msgspec.Struct):
    format: str = ""
    name_sha256: str = ""
    index: int | None = None
    numbers: tuple[int, ...] = ()
    forgotten_at: object = None
    reason: str = ""


def law(data: bytes) -> None:
    """Refused in one way; or rendered and read again it says the same, and a catalog takes it."""
    try:
        buried = tombstone.parse(data)
    except ManifestError as error:
        assert 0 < len(str(error)) < 400
    else:
        again = tombstone.parse(tombstone.render(buried))
        assert tombstone.parse(tombstone.render(again)) == again
        with undone() as tables:
            tables.tombstones.put(buried)
            assert [it.key for it in tables.tombstones.all()] == [buried.key]
    try:
        index = backup_index.parse(data)
    except ManifestError as error:
        assert 0 < len(str(error)) < 400
    else:
        assert backup_index.parse(backup_index.render(index)) == index


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="bounding a tombstone's numbers",
        owner=tombstone,
        name="_decode",
        instead=msgspec.json.Decoder(_Lenient).decode,
    ),
    words=(
        *(b'{"format":"holdfast-tombstone-1"', b'"name_sha256":"', b"0f" * 32, b'"numbers":['),
        *(b'"index":-', b'"forgotten_at":"2026-11-21T12:00:00Z"', b'"reason":"asked"'),
        *(b'{"format":"holdfast-backup-1"', b'"taken_at":"2026-11-21T12:00:00Z"', b'"files":[{'),
        *(b'"positions":{', b"9223372036854775808", b"[[[[", b"\\ud800", b"1e400"),
    ),
)
