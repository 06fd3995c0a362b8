"""ModelsLab's answers to fetches of generations of which we hold pictures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from archiver.models import GenerationState
from receiver.exchange import Request
from receiver.providers.modelslab_heal import asked_id, healed
from tests.receiver.providers.holdings import asset, generation
from tests.receiver.providers.modelslab_bodies import FETCH, SUBMIT, URL, answered

OURS = "http://127.0.0.1:8082/gateway/pictures/1.png?expires=1&signature=s"
UNKNOWN = {"status": "error", "message": "Request not found"}
FAILED = {"status": "failed", "id": 302455, "message": "Failed, Try Again", "output": ""}


def mended(answer: Any, *, generation_id: str = "302455", **more: Any) -> dict[str, Any]:
    """The healed answer where the first of two slots lies at `OURS`."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    known = generation("modelslab", generation_id, asset(), None, **more)
    found: dict[str, Any] = json.loads(
        healed(known, {0: OURS}, Request(method="POST", path=FETCH), body)
    )
    return found


@pytest.mark.parametrize("answer", [UNKNOWN, FAILED, b"<html>"])
def test_it_is_the_documented_success(answer: Any) -> None:
    """The id a number, a missing picture an empty text in its place."""
    assert mended(answer) == {"status": "success", "id": 302455, "output": [OURS, ""]}


def test_it_reads_as_a_success() -> None:
    """Our own parser, which reads the provider's, sees the link and the slot that failed."""
    seen = answered(**mended(UNKNOWN))
    assert seen.state is GenerationState.PARTIAL
    assert [slot.url for slot in seen.slots] == [OURS, None]


def test_what_else_was_told_stays() -> None:
    """Of a success whose links have died, but nothing that leads to them."""
    dead = {"output": [URL, URL], "proxy_links": [URL, URL], "future_links": [URL], "eta": 1}
    found = mended({"status": "success", "id": 302455, "generationTime": 1.5, **dead})
    assert found == {
        "status": "success",
        "id": 302455,
        "generationTime": 1.5,
        "eta": 1,
        "output": [OURS, ""],
        "proxy_links": [OURS, ""],
    }


@pytest.mark.parametrize("generation_id", ["007", "a1", "9" * 19, "٣"])
def test_an_id_that_is_no_number_stays_as_it_is(generation_id: str) -> None:
    """As text, whatever it is made of."""
    assert mended(UNKNOWN, generation_id=generation_id)["id"] == generation_id


def test_what_was_flagged_stays_flagged() -> None:
    """The client's own filter may hang on the word."""
    assert mended(UNKNOWN, moderated=True)["nsfw_content_detected"] is True


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        (FETCH, b"", "302455"),
        ("/api/v1/enterprise/fetch", b'{"key": "k", "request_id": 7}', "7"),
        ("/api/v1/enterprise/fetch", b"key=k&request_id=7", "7"),
        ("/api/v1/enterprise/fetch", b"{", None),
        (SUBMIT, b'{"request_id": 7}', None),
    ],
)
def test_after_which_generation_is_asked(path: str, body: bytes, wanted: str | None) -> None:
    """In the path or in the body; a submission asks after none."""
    assert asked_id(Request(method="POST", path=path, body=body)) == wanted
