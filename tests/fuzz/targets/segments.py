"""Segments, many manifests in one: what is in them is a stranger's as theirs is."""

from __future__ import annotations

import gzip
import hashlib

from archiver.errors import ManifestError
from archiver.recovery import segments
from archiver.recovery.preparing import prepare_segment
from archiver.recovery.segments import count, pack, unpack
from archiver.recovery.tombstones import Forgotten
from archiver.signing import NOBODY
from tests.fuzz.shelf import inserted, undone
from tests.fuzz.target import Sabotage, Target
from tests.fuzz.wire import filled

NOTHING_FORGOTTEN = Forgotten(slots={})


def law(data: bytes) -> None:
    """Refused in one way; or packed again it is the same, and a rebuild takes what is well in it.

    As it is, and as what a gzip of it holds. `{sha256}` stands for the digest of what follows the
    first line, and `{manifests}` for how many lines those are.
    """
    head, line, content = data.partition(b"\n")
    blanks = {
        b"sha256": hashlib.sha256(content).hexdigest().encode(),
        b"manifests": str(content.count(b"\n")).encode(),
    }
    for packed in (data, gzip.compress(filled(head, blanks) + line + content, 1)):
        _read(packed)


def _read(packed: bytes) -> None:
    try:
        told = count(packed)
    except ManifestError as error:
        assert 0 < len(str(error)) < 400
        told = 0
    assert told <= 1_000_000
    try:
        opened = unpack(packed, NOBODY)
    except ManifestError as error:
        assert 0 < len(str(error)) < 400
        return
    assert told == len(opened.lines)
    assert unpack(pack(opened.lines, None), NOBODY).lines == opened.lines
    prepared = prepare_segment("a", packed, NOBODY, NOTHING_FORGOTTEN, 7)
    numbers = prepared.rows.numbers
    assert len(prepared.rows.generations) <= told
    assert all(len(refused.reason) < 400 for refused in prepared.refused)
    if len(numbers) == len(set(numbers)):
        with undone() as tables:
            inserted(tables, prepared.rows)


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="bounding what it says it holds",
        owner=segments,
        name="_MOST_MANIFESTS",
        instead=10**12,
    ),
    words=(
        b'{"format":"holdfast-segment-1","manifests":{manifests},"sha256":"{sha256}"}\n',
        *(b'"format":"holdfast-manifest-1"', b'"previews":{"', b'"object_md5":"', b'"phash":'),
        *(b'"width":', b"\r", b"\x1f\x8b\x08", b"{manifests}", b"[[[[", b"9223372036854775808"),
    ),
)
