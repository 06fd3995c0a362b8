"""What a rebuilding has found amiss, and what it has come to."""

from __future__ import annotations

from dataclasses import dataclass

from archiver.keys import MANIFESTS
from archiver.models import Generation


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something in the bucket that is not as it should be; `is_loss`, if something may be lost."""

    kind: str
    subject: str
    says: str
    is_loss: bool = True


@dataclass(kw_only=True)
class Tally:
    """What a rebuilding has come to so far."""

    generations: int = 0
    segments: int = 0
    read: int = 0
    unsigned: int = 0
    tombstones: int = 0
    objects: int = 0


def refusal(key: str, reason: str) -> Finding:
    """Something that says nothing to us, or must not be believed."""
    return Finding(kind="refused", subject=key, says=reason)


def missing(count: int) -> Finding:
    """Manifests without a good object of their own."""
    says = f"{count:,} manifests are not there or not to be believed; segments showed them"
    return Finding(kind="missing", subject=MANIFESTS, says=says)


def renumbered(generation: Generation, old: int, new: int) -> Finding:
    """A slot whose archive number is another's."""
    name = f"{generation.provider}/{generation.id}"
    says = f"its archive number {old} is also another's, who had it first; it is {new} now"
    return Finding(kind="renumbered", subject=name, says=says)


def still_there(key: str) -> Finding:
    """The manifest of something that was forgotten."""
    says = "it was forgotten and still lies there; the service takes it away"
    return Finding(kind="forgotten", subject=key, says=says, is_loss=False)


def strange(key: str) -> Finding:
    """Something that nobody here has put."""
    says = "no manifest lies under such a name"
    return Finding(kind="strange", subject=key, says=says, is_loss=False)


def orphan(key: str) -> Finding:
    """A picture that nobody refers to."""
    says = "no manifest tells of this picture"
    return Finding(kind="orphan", subject=key, says=says, is_loss=False)


def lost(key: str) -> Finding:
    """A picture that somebody refers to in vain."""
    return Finding(
        kind="lost", subject=key, says="a manifest tells of this picture, and it is gone"
    )
