"""Manifests are read back: what was promised comes again, and what is odd is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from archiver.errors import ManifestError
from archiver.manifest import render
from archiver.manifest_parser import parse
from archiver.models import Generation
from tests.archiver.generated import histories
from tests.archiver.heard import FLAGGED_ASSET
from tests.archiver.test_manifest import KNOWN

Document = dict[str, Any]


def promised(generation: Generation) -> Generation:
    """What of a generation a manifest promises: all but what is the catalog's own."""
    return replace(generation, key=None, hinted_at=None, sealed_revision=generation.revision)


def changed(change: Callable[[Document], object]) -> bytes:
    """The manifest of a known generation, with something changed in it."""
    document = json.loads(render(KNOWN))
    change(document)
    return json.dumps(document).encode()


@given(histories())
def test_what_is_rendered_is_read_back(history: list[Generation]) -> None:
    """Whatever may become of a generation, its manifest holds all that it promises."""
    for known in history:
        slots = (replace(slot, number=number) for number, slot in enumerate(known.slots, 1))
        kept = replace(known, key=7, slots=tuple(slots))
        assert parse(render(kept)) == promised(kept)


def test_a_drawing_is_read_back() -> None:
    """Assets that compare equal are so to the last note."""
    slot = replace(KNOWN.slots[1], assets=(FLAGGED_ASSET,))
    drawn = replace(KNOWN, slots=(KNOWN.slots[0], slot))
    assert parse(render(drawn)) == promised(drawn)


def test_what_a_newer_version_adds_is_passed_over() -> None:
    """Fields are added and never renamed, so an older holdfast reads newer manifests."""

    def add(document: Document) -> None:
        document["mood"] = "gloomy"
        document["params"]["mood"] = {"very": True}
        document["slots"][0]["assets"][0]["mood"] = None

    assert parse(changed(add)) == promised(KNOWN)


def test_what_an_older_version_did_not_write_is_not_missed() -> None:
    """The manifests of the first version are read as well."""

    def take_out(document: Document) -> None:
        for name in ("canceled", "account"):
            del document[name]
        for slot in document["slots"]:
            del slot["asked"], slot["undrawn"]

    assert parse(changed(take_out)) == promised(replace(KNOWN, account=None))


def test_another_format_is_refused_with_what_to_do() -> None:
    """However it looks otherwise: its fields may mean something else."""
    for text in (b'{"format": "holdfast-manifest-2", "id": 7}', changed(_of_another_format)):
        with pytest.raises(ManifestError, match=r"'holdfast-manifest-2'.* a newer one"):
            parse(text)


def _of_another_format(document: Document) -> None:
    document["format"] = "holdfast-manifest-2"


ODD: dict[str, Callable[[Document], object]] = {
    "no id": lambda it: it.pop("id"),
    "an empty id": lambda it: it.update(id=""),
    "a state of nobody's": lambda it: it.update(state="dreaming"),
    "a time without a zone": lambda it: it.update(first_heard_at="2026-11-21T12:00:00"),
    "a number that no column holds": lambda it: it["slots"][0].update(number=2**63),
    "no archive number": lambda it: it["slots"][0].update(number=None),
    "a digest that is none": lambda it: it["slots"][0]["assets"][0].update(sha256="abc"),
    "a key that climbs": lambda it: it["slots"][0]["assets"][0].update(blob_key="../../etc/a"),
    "the same slot twice": lambda it: it["slots"].append(it["slots"][0]),
    "one number for two slots": lambda it: it["slots"][1].update(number=100),
    "two originals": lambda it: it["slots"][0]["assets"].append(it["slots"][0]["assets"][0]),
    "the same link twice": lambda it: it["slots"][0]["links"].append(it["slots"][0]["links"][0]),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_what_contradicts_the_layout_is_refused(change: Callable[[Document], object]) -> None:
    """No half of a generation reaches an index."""
    with pytest.raises(ManifestError, match="it is not as a manifest must be"):
        parse(changed(change))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'"\xff"', b'{"id": "1"}'])
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    """Whatever lies under a manifest's key, one kind of error comes of it."""
    with pytest.raises(ManifestError, match="it is no manifest"):
        parse(text)
