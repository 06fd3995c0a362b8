"""Manifests, which make an index again: in a bucket that others may be able to write."""

from __future__ import annotations

from dataclasses import replace

from archiver import manifest_parser
from archiver.errors import ManifestError
from archiver.keys import manifest_key
from archiver.manifest import render
from archiver.manifest_parser import parse
from archiver.models import Generation
from archiver.recovery.preparing import prepare_manifests, read_manifests
from archiver.recovery.tombstones import Forgotten
from archiver.signing import NOBODY
from tests.fuzz.shelf import inserted, undone
from tests.fuzz.target import Sabotage, Target

NOTHING_FORGOTTEN = Forgotten(slots={})


def law(data: bytes) -> None:
    """Refused in one way; or rendered and read again it stays the same, and a rebuild takes it."""
    try:
        known = parse(data, key=7)
    except ManifestError as error:
        assert 0 < len(str(error)) < 400
        _, done = read_manifests([("a", data)], NOBODY, NOTHING_FORGOTTEN)
        assert len(done.refused) == 1
        return
    again = parse(render(known), key=7)
    assert parse(render(again), key=7) == again
    texts = [(manifest_key(known.provider, known.id), data)]
    prepared = prepare_manifests(texts, NOBODY, NOTHING_FORGOTTEN, 7)
    assert (len(prepared.rows.generations), prepared.refused) == (1, [])
    with undone() as tables:
        inserted(tables, prepared.rows)
        kept = tables.generations.load_key(7)
        assert kept is not None
        assert in_order(kept) == in_order(again)


def in_order(generation: Generation) -> Generation:
    """With slots, links and assets where a catalog has them, in whatever order they were."""
    slots = (
        replace(
            slot,
            links=tuple(sorted(slot.links, key=lambda it: it.url_sha256)),
            assets=tuple(sorted(slot.assets, key=lambda it: it.origin)),
        )
        for slot in generation.slots
    )
    return replace(generation, slots=tuple(sorted(slots, key=lambda it: it.index)))


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="asking that slots differ",
        owner=manifest_parser,
        name="_require_different",
        instead=lambda *_: None,
    ),
    words=(
        *(
            b'"format":"holdfast-manifest-1"',
            b'"provider":"',
            b'"id":"',
            b'"revision":',
            b'"state":"',
        ),
        *(b'"params":{', b'"slots":[', b'"assets":[', b'"links":[', b'"failure":{"class":"dead"'),
        *(b'"seed":', b'"cost":', b'"prompt":"', b'"width":', b'"expires_at":"', b'"rendering":{'),
        *(
            b"9223372036854775807",
            b"18446744073709551616",
            b"1e400",
            b"\\ud800",
            b"\\u0000",
            b"[[[",
        ),
        *(b"9999-12-31T23:59:59.999999Z", b"0001-01-01T00:00:00+23:59", b"-9223372036854775808"),
    ),
)
