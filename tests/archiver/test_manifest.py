"""The manifest says everything, in a layout that archives already hold."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from archiver.drawing import drawn_from
from archiver.lifecycle import archive, lose_link, refuse, stop_asking
from archiver.links import url_sha256
from archiver.manifest import describe, render
from archiver.models import (
    Asset,
    Failure,
    FailureClass,
    Generation,
    GenerationParams,
    GenerationState,
    Link,
    Origin,
    Rendering,
    Slot,
    SlotObservation,
    Undrawn,
)
from tests.archiver.heard import DRAWN, HEARINGS, Hearing, asset, hear, hearing, numbered

URL = "https://cdn.doitong.com/outputs/abc.png?Expires=1795348800&Signature=secret"
FAILURE = Failure(failure_class=FailureClass.RENDERABLE, code="missing", message="404")
BROKEN = Failure(failure_class=FailureClass.RENDERABLE, code="500", message="broken")

WEBHOOK = hearing(
    GenerationState.PARTIAL,
    slots=(SlotObservation(index=0, url=URL), SlotObservation(index=1, failure=BROKEN)),
    failure=BROKEN,
    service="flux-pro",
    account="7f",
    params=GenerationParams(prompt="灯塔", width=512),
    track_id="t1",
    cost=12.5,
    created_at=datetime(2026, 11, 21, 20, 0, tzinfo=timezone(timedelta(hours=8))),
)
KNOWN = numbered(archive(hear(WEBHOOK), 0, asset()))
WRITTEN = {
    "format": "holdfast-manifest-1",
    "provider": "doitong",
    "id": "abc",
    "account": "7f",
    "revision": 1,
    "state": "partial",
    "failure": {"class": "renderable", "code": "500", "message": "broken"},
    "moderated": False,
    "canceled": False,
    "service": "flux-pro",
    "params": {"prompt": "灯塔", "width": 512},
    "track_id": "t1",
    "cost": 12.5,
    "created_at": "2026-11-21T12:00:00.000Z",
    "completed_at": None,
    "first_heard_at": "2026-11-21T12:00:00.000Z",
    "slots": [
        {
            "number": 100,
            "index": 0,
            "role": "",
            "state": "archived",
            "reason": "the provider's picture is in the bucket",
            "failure": None,
            "asked": 0,
            "undrawn": None,
            "assets": [
                {
                    "origin": "provider",
                    "sha256": bytes(range(32)).hex(),
                    "blob_key": "blobs/sha256/00/00.png",
                    "size_bytes": 3,
                    "media_type": "image/png",
                    "width": 1,
                    "height": 2,
                    "archived_at": "2026-11-21T12:00:00.000Z",
                    "rendering": None,
                }
            ],
            "links": [
                {
                    "location": "https://cdn.doitong.com/outputs/abc.png",
                    "url_sha256": url_sha256(URL).hex(),
                    "inbox": "inbox",
                    "position": KNOWN.slots[0].links[0].heard_in.position,
                    "expires_at": "2026-11-22T12:00:00.000Z",
                    "failure": None,
                }
            ],
        },
        {
            "number": 101,
            "index": 1,
            "role": "",
            "state": "held",
            "reason": "no renderer: broken",
            "failure": {"class": "renderable", "code": "500", "message": "broken"},
            "asked": 0,
            "undrawn": None,
            "assets": [],
            "links": [],
        },
    ],
}


def test_the_layout_is_a_promise() -> None:
    """Names, order and forms are as archives already hold them."""
    text = render(KNOWN)

    assert json.loads(text) == WRITTEN
    assert list(json.loads(text)) == list(WRITTEN)
    assert text.endswith(b"}\n")


def test_text_of_every_script_is_readable() -> None:
    """The manifest is UTF-8, so that a person can read a prompt in it."""
    assert "灯塔".encode() in render(KNOWN)


def test_a_lost_link_says_why() -> None:
    """The bucket knows what was lost, too."""
    lost = lose_link(hear(hearing(url=URL)), 0, url_sha256(URL), FAILURE)
    (slot,) = describe(lost)["slots"]
    (link,) = slot["links"]

    assert link["failure"] == {"class": "renderable", "code": "missing", "message": "404"}
    assert slot["state"] == "expected"
    (slot,) = describe(stop_asking(lost))["slots"]
    assert (slot["state"], slot["reason"]) == (
        "dead",
        "lost, and no prompt is known to draw it from: 404",
    )


def test_a_drawing_says_how_it_was_made() -> None:
    """By what and how faithfully, or why it was not: an index that is rebuilt knows it as well."""
    undrawn = Undrawn(target=drawn_from(KNOWN), reason="no checkpoint", final=True)
    drawn = replace(asset(Origin.FALLBACK), rendering=DRAWN)
    (_, refused), (_, made) = (
        describe(known)["slots"] for known in (refuse(KNOWN, 1, undrawn), archive(KNOWN, 1, drawn))
    )

    assert refused["undrawn"] == {
        "target": drawn_from(KNOWN),
        "reason": "no checkpoint",
        "final": True,
    }
    assert (refused["state"], refused["reason"]) == ("held", "not drawn: no checkpoint")
    assert made["assets"][0]["origin"] == "fallback"
    assert made["assets"][0]["rendering"] == {
        "drawn_with": "owner/name@commit",
        "software": "holdfast",
        "device": "cpu",
        "seed": 7,
        "flagged": False,
        "notes": ["a note"],
    }


@given(st.lists(HEARINGS, min_size=1, max_size=4))
def test_the_same_knowledge_is_the_same_bytes(hearings: list[Hearing]) -> None:
    """Whatever order it was heard in; and no link's query is ever among it."""
    text = render(hear(*hearings))

    assert text == render(hear(*reversed(hearings)))
    assert b"?" not in text
    assert json.loads(text) == {"format": "holdfast-manifest-1", **describe(hear(*hearings))}


def test_everything_known_is_told() -> None:
    """A field added to a noun is lost with the catalog unless it is written here as well."""
    drawn = replace(asset(Origin.FALLBACK), rendering=DRAWN)
    undrawn = Undrawn(target="", reason="no checkpoint")
    told = describe(refuse(archive(KNOWN, 0, drawn), 1, undrawn))
    slot: dict[str, Any] = told["slots"][0]
    elsewhere = {
        Generation: {"key", "sealed_revision", "hinted_at"},  # the catalog's own
        Slot: set(),
        Link: {"host", "heard_in"},  # in its location; in inbox and position
        Asset: {"damaged"},  # what the last audit has found
        Rendering: set(),
        Undrawn: set(),
    }
    for noun, said in (
        (Generation, told),
        (Slot, slot),
        (Link, slot["links"][0]),
        (Asset, slot["assets"][0]),
        (Rendering, slot["assets"][1]["rendering"]),
        (Undrawn, told["slots"][1]["undrawn"]),
    ):
        more = {"format", "inbox", "position"}
        assert {field.name for field in fields(noun)} - elsewhere[noun] == said.keys() - more


def test_a_moment_is_written_in_utc_to_the_millisecond() -> None:
    """Whatever zone it came in, and with its zero seconds."""
    zone = timezone(timedelta(hours=-5))
    heard = replace(KNOWN, completed_at=datetime(2026, 11, 21, 7, 0, 0, 999_999, tzinfo=zone))

    assert describe(heard)["completed_at"] == "2026-11-21T12:00:00.999Z"
