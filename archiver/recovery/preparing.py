"""From manifests to rows of a new catalog: pure work, and most of it, so other processes may do it.

Whatever cannot be read or must not be believed is left out, and told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b

from archiver.catalog.bulk import Rows
from archiver.errors import ManifestError
from archiver.keys import manifest_key
from archiver.ledger import index_entries
from archiver.manifest_parser import parse
from archiver.models import Generation
from archiver.planning import plan
from archiver.previews import Preview
from archiver.recovery.segments import facts_of, unpack
from archiver.recovery.tombstones import Forgotten
from archiver.signing import Trust
from archiver.work import JobKind

# Enough to tell a hundred billion keys apart, at a fraction of their memory.
_KEY_BYTES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A generation as some object in the bucket shows it, and what that object says beside it.

    `key` and `md5` are of the manifest's own object; only a segment tells the latter. `altered`:
    something of it was forgotten, so that what lies there shows more.
    """

    generation: Generation
    key: str
    md5: str = ""
    previews: dict[str, Preview] = field(default_factory=dict)
    of_segment: bool = False
    altered: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """An object, or a line of one, that says nothing to us, and why."""

    key: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """What some objects came to: rows; what each manifest is known by; what vanishes.

    `signed` and `unsigned` count manifests.
    """

    rows: Rows
    known: list[tuple[bytes, str]]
    forgotten: list[Found]
    refused: list[Refused]
    signed: int = 0
    unsigned: int = 0


def short(key: str) -> bytes:
    """A key's stand-in."""
    return blake2b(key.encode(), digest_size=_KEY_BYTES).digest()


def read_segment(
    key: str, packed: bytes, trust: Trust, forgotten: Forgotten, first_key: int = 1
) -> tuple[list[Found], Prepared]:
    """The generations of a segment, each once, and all else that it came to.

    Their keys begin with `first_key`.
    """
    done = _nothing()
    try:
        unpacked = unpack(packed, trust)
    except ManifestError as error:
        done.refused.append(Refused(key=key, reason=str(error)))
        return [], done
    latest: dict[str, Found] = {}
    for place, text in enumerate(unpacked.lines):
        try:
            found = _on_line(text, first_key + place)
        except ManifestError as error:
            done.refused.append(Refused(key=f"{key} line {place + 1}", reason=str(error)))
            continue
        known = latest.get(found.key)
        if known is None or known.generation.revision < found.generation.revision:
            latest[found.key] = found
    signed = len(latest) if unpacked.signed_by else 0
    return _kept(latest.values(), forgotten, done), replace(
        done, signed=signed, unsigned=len(latest) - signed
    )


def read_manifests(
    texts: Sequence[tuple[str, bytes]], trust: Trust, forgotten: Forgotten, first_key: int = 1
) -> tuple[list[Found], Prepared]:
    """The same of manifests of their own, each `(key, bytes)`."""
    done, found, signed = _nothing(), [], 0
    for place, (key, text) in enumerate(texts):
        try:
            opened = trust.open(text)
            generation = parse(opened.document, key=first_key + place)
            if manifest_key(generation.provider, generation.id) != key:
                raise ManifestError("it lies where another generation's manifest belongs")
        except ManifestError as error:
            done.refused.append(Refused(key=key, reason=str(error)))
            continue
        found.append(Found(generation=generation, key=key))
        signed += bool(opened.signed_by)
    return _kept(found, forgotten, done), replace(done, signed=signed, unsigned=len(found) - signed)


def prepare_segment(
    key: str, packed: bytes, trust: Trust, forgotten: Forgotten, first_key: int
) -> Prepared:
    """The rows of a segment's generations."""
    return _prepared(*read_segment(key, packed, trust, forgotten, first_key))


def prepare_manifests(
    texts: Sequence[tuple[str, bytes]], trust: Trust, forgotten: Forgotten, first_key: int
) -> Prepared:
    """The same of manifests of their own."""
    return _prepared(*read_manifests(texts, trust, forgotten, first_key))


def add(rows: Rows, found: Found, *, derived: bool = False) -> None:
    """The rows of one generation, that has its key and its numbers, with all that follows.

    Where very many are added, what is to be `derived` of them is planned for all at once, when it
    is known what has been already.
    """
    generation = found.generation
    shown = found.of_segment and not found.altered
    rows.add(generation, segmented_revision=generation.revision if shown else 0)
    rows.index(*index_entries(generation))
    for slot in generation.slots:
        for asset in slot.assets:
            preview = found.previews.get(asset.sha256.hex())
            if preview is not None:
                rows.preview(asset.sha256, preview)
    rows.jobs.extend(job for job in plan(generation) if derived or job.kind is not JobKind.DERIVE)


def _prepared(found: Iterable[Found], done: Prepared) -> Prepared:
    for one in found:
        add(done.rows, one)
        done.known.append((short(one.key), one.md5))
    return done


def _nothing() -> Prepared:
    return Prepared(rows=Rows(), known=[], forgotten=[], refused=[])


def _on_line(text: bytes, key: int) -> Found:
    generation, facts = parse(text, key=key), facts_of(text)
    return Found(
        generation=generation,
        key=manifest_key(generation.provider, generation.id),
        md5=facts.object_md5,
        previews=facts.previews,
        of_segment=True,
    )


def _kept(found: Iterable[Found], forgotten: Forgotten, done: Prepared) -> list[Found]:
    """Those that are not forgotten, less what of them is."""
    kept = []
    for one in found:
        left = forgotten.without(one.generation)
        if left is None:
            done.forgotten.append(one)
        elif left == one.generation:
            kept.append(one)
        else:
            done.forgotten.append(replace(one, altered=True))
            later = replace(left, revision=left.revision + 1)  # to be sealed anew
            kept.append(replace(one, generation=later, altered=True))
    return kept
