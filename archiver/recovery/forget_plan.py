"""What forgetting comes to: everything that vanishes, and what stays because others need it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from archiver.catalog import Tables
from archiver.keys import manifest_key, thumb_key
from archiver.models import Generation, Slot
from archiver.prunings import Pruning
from archiver.recovery.segmenting import range_of, segment_prefix
from archiver.tombstone import Tombstone, name_digest

Name = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A generation that is to be forgotten, or one of its slots, if `index` says which."""

    provider: str
    id: str
    index: int | None = None

    @property
    def name(self) -> Name:
        """Of the generation."""
        return self.provider, self.id


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgetPlan:
    """All that is touched when `targets` are forgotten.

    `objects` are keys in the bucket, of which those of pictures are `pictures`; `shared` are those
    of pictures that stay, for other slots show them; `segments` the beginnings of the keys of
    segments that are written anew. Bodies of `deliveries` are taken out of the inboxes, `mixed` of
    which spoke of other generations as well, and `waiting` of which hold links still to be fetched.
    """

    targets: tuple[Target, ...]
    generations: int
    slots: int
    objects: tuple[str, ...]
    pictures: int
    shared: tuple[str, ...]
    segments: tuple[str, ...]
    deliveries: tuple[Pruning, ...]
    mixed: int
    waiting: int


def plan(tables: Tables, targets: Sequence[Target], *, now: datetime) -> ForgetPlan:
    """What forgetting these would come to, and nothing is changed."""
    known = [(target, tables.generations.load(*target.name)) for target in targets]
    found = [(target, generation) for target, generation in known if generation is not None]
    gone = [slot for target, generation in found for slot in slots_of(generation, target)]
    digests = {asset.sha256: asset.blob_key for slot in gone for asset in slot.assets}
    numbers = [slot.number for slot in gone if slot.number is not None]
    shown = tables.forgetting.still_shown(digests, but=numbers)
    pictures = sorted(
        key
        for sha256, blob_key in digests.items()
        if sha256 not in shown
        for key in (blob_key, thumb_key(sha256))
    )
    whole = [target for target in targets if target.index is None]
    keys = {generation.key for _, generation in found if generation.key is not None}
    deliveries = {it for key in keys for it in tables.forgetting.deliveries(key)}
    return ForgetPlan(
        targets=tuple(targets),
        generations=sum(target.index is None for target, _ in found),
        slots=len(gone),
        objects=(*(manifest_key(*target.name) for target in whole), *pictures),
        pictures=len(digests) - len(shown),
        shared=tuple(sorted(digests[sha256] for sha256 in shown)),
        segments=tuple(sorted({segment_of(generation) for _, generation in found})),
        deliveries=tuple(sorted(deliveries, key=lambda it: (it.inbox, it.first))),
        mixed=sum(tables.forgetting.speaks_of_others(it, keys) for it in deliveries),
        waiting=sum(bool(tables.forgetting.needed(it, but=numbers, now=now)) for it in deliveries),
    )


def slots_of(generation: Generation, target: Target) -> tuple[Slot, ...]:
    """The slots that are forgotten with a target."""
    if target.index is None:
        return generation.slots
    return tuple(slot for slot in generation.slots if slot.index == target.index)


def segment_of(generation: Generation) -> str:
    """How the key of the segment begins that shows a generation."""
    numbers = [slot.number for slot in generation.slots if slot.number is not None]
    return segment_prefix(range_of(min(numbers)))


def tombstones(
    tables: Tables, targets: Iterable[Target], *, now: datetime, reason: str
) -> Iterator[Tombstone]:
    """What is left of them: no more than that they are not to come back."""
    for target in targets:
        generation = tables.generations.load(*target.name)
        slots = slots_of(generation, target) if generation else ()
        yield Tombstone(
            name_sha256=name_digest(*target.name),
            index=target.index,
            numbers=tuple(sorted(slot.number for slot in slots if slot.number is not None)),
            forgotten_at=now,
            reason=reason,
        )
