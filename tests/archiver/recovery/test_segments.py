"""Segments: what is packed comes out again, and those in the bucket keep up with the catalog."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archiver.errors import ManifestError
from archiver.keys import manifest_key
from archiver.manifest_parser import parse
from archiver.models import Generation
from archiver.previews import Preview
from archiver.recovery import segmenting
from archiver.recovery.segments import WIDTH, count, facts_of, line, pack, unpack
from archiver.signing import NOBODY, Signer, trust
from tests.archiver.generated import histories
from tests.archiver.recovery.shelf import Shelf, picture, said, shelf_in
from tests.archiver.test_manifest import KNOWN
from tests.archiver.test_signing import private_key

SIGNER = Signer(private_key())
PREVIEW = Preview(phash=-5, width=32, height=24)


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    async with shelf_in(tmp_path, signer=SIGNER) as shelf:
        yield shelf


@settings(max_examples=25)
@given(st.lists(histories(), max_size=3), st.booleans())
def test_what_is_packed_is_unpacked(known: list[list[Generation]], signed: bool) -> None:
    """Every manifest, on a line of its own whatever texts are in it, with what stands beside it."""
    kept = [_numbered(history[-1]) for history in known]
    lines = [line(generation, "0" * 32, {}) for generation in kept]

    packed = pack(lines, SIGNER if signed else None)

    assert count(packed) == len(lines)
    opened = unpack(packed, trust([], SIGNER, required=signed))
    assert opened.lines == lines
    assert [parse(text) for text in opened.lines] == [
        replace(it, key=None, hinted_at=None, sealed_revision=it.revision) for it in kept
    ]
    assert pack(lines, SIGNER if signed else None) == packed


def _numbered(known: Generation) -> Generation:
    slots = (replace(slot, number=number) for number, slot in enumerate(known.slots, 1))
    return replace(known, key=7, slots=tuple(slots))


def test_a_line_tells_what_else_the_index_knows() -> None:
    """A line is the manifest, and beside it the MD5 of its object and the pictures' previews."""
    (asset,) = KNOWN.slots[0].assets
    text = line(KNOWN, "ab" * 16, {asset.sha256: PREVIEW, bytes(32): PREVIEW})
    assert json.loads(text)["format"] == "holdfast-manifest-1"
    facts = facts_of(text)
    assert (facts.object_md5, facts.previews) == ("ab" * 16, {asset.sha256.hex(): PREVIEW})


PACKED = pack([line(KNOWN, "", {})] * 3, SIGNER)
HEAD, *LINES = gzip.decompress(PACKED).splitlines(keepends=True)


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (b"", "cut short"),
        (b"no gzip", "it is no segment"),
        (PACKED[:-1], "cut short"),
        (gzip.compress(b"\n".join(LINES)), "it is no segment"),
        (gzip.compress(HEAD + b"".join(LINES[1:])), "its lines are not those"),
        (gzip.compress(HEAD + b"".join(LINES).replace(b"doitong", b"doitung")), "its lines are"),
        (gzip.compress(HEAD.replace(b'manifests":3', b'manifests":2') + b"".join(LINES)), "sign"),
        (gzip.compress(HEAD.replace(b"segment-1", b"segment-2") + b"".join(LINES)), "signature"),
    ],
)
def test_a_damaged_segment_is_refused(packed: bytes, why: str) -> None:
    """Whole or not at all: whatever is wrong with it, its manifests are read one by one instead."""
    with pytest.raises(ManifestError, match=why):
        unpack(packed, trust([], SIGNER))


def test_another_format_is_refused() -> None:
    """With what to do about it."""
    text = gzip.compress(HEAD.replace(b"segment-1", b"segment-2"))
    with pytest.raises(ManifestError, match="a newer one"):
        unpack(text, NOBODY)


def lines_in(shelf: Shelf) -> dict[str, dict[str, Any]]:
    """What the segments in the bucket hold, by the generations' ids."""
    found = {}
    for path in sorted((shelf.bucket / "manifests/segments").iterdir()):
        for text in unpack(path.read_bytes(), trust([], SIGNER, required=True)).lines:
            document = json.loads(text)
            assert document["id"] not in found
            found[document["id"]] = document
    return found


async def test_the_bucket_holds_every_sealed_manifest_once(shelf: Shelf) -> None:
    """As its own object shows it, by whose MD5 it is known to; what is not sealed is in none."""
    await shelf.fill(16)
    assert await shelf.segmenting.catch_up() == 1
    found = lines_in(shelf)
    assert set(found) == {f"g{n}" for n in range(16)} - {"g6", "g14"}
    for name, document in found.items():
        own = (shelf.bucket / manifest_key("doitong", name)).read_bytes()
        told = json.loads(own)
        told.pop("signature")
        facts = {key: document.pop(key) for key in ("object_md5", "previews")}
        assert (document, facts["object_md5"]) == (told, md5(own).hexdigest())
        shown = [asset["sha256"] for slot in told["slots"] for asset in slot["assets"]]
        assert [*facts["previews"]] == (shown if name in ("g0", "g7", "g8", "g15") else [])
    assert await shelf.segmenting.catch_up() == 0


async def test_only_what_changed_is_written_anew(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range whose manifests are as they were keeps its segment, and none is left twice."""
    monkeypatch.setattr(segmenting, "WIDTH", 8)
    await shelf.fill(16)
    assert await shelf.segmenting.catch_up() > 1
    before = set((shelf.bucket / "manifests/segments").iterdir())
    await shelf.hear("g0", replace(said("g0"), track_id="heard late"))
    assert await shelf.segmenting.catch_up() == 0  # not sealed yet, so the bucket knows nothing
    await shelf.seal()
    assert await shelf.segmenting.catch_up() == 1
    after = set((shelf.bucket / "manifests/segments").iterdir())
    assert len(after) == len(before) == len(before & after) + 1
    assert lines_in(shelf)["g0"]["track_id"] == "heard late"


async def test_a_generation_stays_in_the_range_of_its_first_number(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slot that is heard of late has a number of another range; its manifest does not move."""
    monkeypatch.setattr(segmenting, "WIDTH", 8)
    await shelf.fill(8)
    await shelf.hear("g0", said("g0", slots=4))
    await shelf.seal()
    await shelf.segmenting.catch_up()
    first = (await shelf.load("g0")).slots
    assert [number // 8 for slot in first if (number := slot.number)] == [0, 1, 1, 1]
    (segment,) = (shelf.bucket / "manifests/segments").glob("000000000000-*")
    texts = unpack(segment.read_bytes(), NOBODY).lines
    assert "g0" in [json.loads(text)["id"] for text in texts]


async def test_more_than_a_page_goes_into_a_segment(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few are read at once, none is left out or there twice, the last of a page least."""
    for portion in (1, 4, 5):
        monkeypatch.setattr(segmenting, "_PORTION", portion)
        await shelf.hear("g0", said("g0", track_id=f"portion {portion}"))
        await shelf.save("g0", picture("g0"))
        await shelf.fill(6)
        await shelf.segmenting.catch_up()
        assert len(lines_in(shelf)) == 6
    assert WIDTH == 10_000  # a promise to buckets that hold such segments already
