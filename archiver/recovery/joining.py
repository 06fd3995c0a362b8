"""What two say of one generation, put together: the catalog and a manifest, whichever is newer.

Of what only grows both count (`joins`). What attempts have come to may also be taken back, so
there the later revision is believed; but bytes that are in the bucket are so whoever says it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from archiver import manifest
from archiver.joins import earliest, greatest, join_params, worst
from archiver.lifecycle import GENERATION_RANK, settle
from archiver.models import Asset, Generation, Link, Slot


def joined(known: Generation, found: Generation) -> Generation:
    """The generation of the catalog with all that was found of it; key and numbers are its own."""
    newer, older = (found, known) if found.revision > known.revision else (known, found)
    both = replace(
        known,
        account=greatest(known.account, found.account),
        state=max(known.state, found.state, key=GENERATION_RANK.__getitem__),
        failure=worst(known.failure, found.failure),
        moderated=known.moderated or found.moderated,
        canceled=known.canceled or found.canceled,
        service=greatest(known.service, found.service),
        params=join_params(known.params, found.params),
        track_id=greatest(known.track_id, found.track_id),
        cost=greatest(known.cost, found.cost),
        created_at=earliest(known.created_at, found.created_at),
        completed_at=earliest(known.completed_at, found.completed_at),
        first_heard_at=min(known.first_heard_at, found.first_heard_at),
        revision=newer.revision,
    )
    slots = {slot.index: slot for slot in older.slots}
    for slot in newer.slots:
        slots[slot.index] = _joined_slot(slots.get(slot.index), slot)
    numbers = {slot.index: slot.number for slot in known.slots}
    return settle(
        both,
        tuple(
            replace(slots[index], number=numbers.get(index, slots[index].number))
            for index in sorted(slots)
        ),
    )


def say_the_same(one: Generation, other: Generation) -> bool:
    """Whether a manifest would say the same of both, but for the revision."""
    return _said(one) == _said(other)


def _joined_slot(older: Slot | None, newer: Slot) -> Slot:
    if older is None:
        return newer
    return replace(
        newer,
        links=_links((*older.links, *newer.links)),
        assets=_assets((*older.assets, *newer.assets)),
    )


def _links(links: Iterable[Link]) -> tuple[Link, ...]:
    """Each once, the last that is said of it."""
    known = {link.url_sha256: link for link in links}
    return tuple(known[digest] for digest in sorted(known))


def _assets(assets: Iterable[Asset]) -> tuple[Asset, ...]:
    """One of each origin, the first that there was."""
    known: dict[str, Asset] = {}
    for asset in assets:
        known.setdefault(asset.origin, asset)
    return tuple(sorted(known.values(), key=lambda asset: asset.archived_at))


def _said(generation: Generation) -> dict[str, Any]:
    return manifest.describe(generation) | {"revision": None}
