"""An authentic body may still be anything at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import UnreadableError
from archiver.models import (
    Heard,
    Observation,
    SlotObservation,
)
from receiver.providers.doitong import DOITONG
from tests.receiver.providers.doitong_bodies import PRESIGNED, URL, pushed

BODIES: dict[str, bytes] = {
    "a byte order mark": b'\xef\xbb\xbf{"id": "a", "url": "https://c/a.png"}',
    "escaped slashes": rb'{"id": "a", "url": "https:\/\/c\/a.png"}',
    "escapes": rb'{"\u0069d": "\u0061", "url": "https://c/\u0061.png"}',
    "keys twice: the last counts": b'{"id": "b", "url": 1, "id": "a", "url": "https://c/a.png"}',
    "a number beyond 64 bits": b'{"id": "a", "url": "https://c/a.png", "n": 1%s}' % (b"0" * 400),
    "white space": b'\r\n\t {"id": "a", "url": "https://c/a.png"}\n',
    "deep, but bearable": b'{"id": "a", "url": "https://c/a.png", "n": %s}'
    % (b"[" * 500 + b"]" * 500),
}

UNREADABLE: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"<html>502 Bad Gateway</html>",
    "cut short": b'{"id": "abc',
    "two documents": b'{"id": "a"}{"id": "b"}',
    "a list": b'[{"id": "a"}]',
    "a text": b'"abc"',
    "null": b"null",
    "NaN": b'{"id": "a", "cost": NaN}',
    "a number beyond belief": b'{"id": "a", "n": %s}' % (b"9" * 5000),
    "no UTF-8": b'{"id": "\xff"}',
    "UTF-16": '{"id": "a"}'.encode("utf-16"),
    "half a surrogate pair": rb'{"id": "\ud800"}',
    "the other half": rb'{"id": "\udc00 "}',
    "too deep": b'{"id": ' + b"[" * 100_000,
    "too deep, and whole": b'{"id": %s}' % (b"[" * 100_000 + b"]" * 100_000),
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"id": "a"}',
}

WORDS = st.sampled_from(
    [
        *("completed", "failed", "canceled", "processing", "INSUFFICIENT_CREDITS", "nsfw"),
        *(URL, PRESIGNED, "1024", "2024-01-01T00:00:00Z"),
        *('{"error": "nsfw"}', '{"prompt": "a"}', "{"),
    ]
)
KEYS = st.text(max_size=3) | st.sampled_from(
    [
        *("id", "status", "url", "service", "provider", "creditCost", "createdAt", "completedAt"),
        *("metadata", "error", "errors", "errorCode", "code", "errorMessage", "message", "reason"),
        *("extensions", "variables", "input", "options", "prompt", "text"),
        *("width", "height", "version", "quality"),
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
HEARD = st.sampled_from([Heard.PUSHED, Heard.REMEMBERED])


def understood(heard: Heard, body: bytes) -> Observation | None:
    """What a body says, or None if it is unreadable; anything else is an error of the test."""
    try:
        (observation,) = DOITONG.parse(heard, "token", body)
    except UnreadableError:
        return None
    return observation


class TestHostile:
    """It is understood, or it is said to be unreadable."""

    @pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
    def test_odd_but_readable(self, body: bytes) -> None:
        """What JSON permits is read, however it is written."""
        observation = pushed(body)

        assert observation.generation_id == "a"
        assert observation.slots == (SlotObservation(index=0, url="https://c/a.png"),)

    @pytest.mark.parametrize("heard", [Heard.PUSHED, Heard.REMEMBERED])
    @pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
    def test_unreadable(self, body: bytes, heard: Heard) -> None:
        """What cannot be read is said to be so, in one way only."""
        with pytest.raises(UnreadableError, match="the body is"):
            DOITONG.parse(heard, "token", body)

    @pytest.mark.parametrize("place", ["code", "error", "errors", "metadata", "id", "width"])
    def test_no_depth_breaks_it(self, place: str) -> None:
        """Around the depth at which the interpreter gives up, too."""
        for depth in (10, 100, *range(850, 1000, 3), 10_000):
            nested = b"[" * depth + b"]" * depth
            body = b'{"id": "a", "prompt": "a", "status": "failed", "%s": %s}'
            for heard in (Heard.PUSHED, Heard.REMEMBERED):
                understood(heard, body % (place.encode(), nested))

    @given(HEARD, st.binary() | st.binary().map(lambda data: b'{"id": "' + data + b'"}'))
    def test_any_bytes(self, heard: Heard, body: bytes) -> None:
        """No bytes raise anything but UnreadableError."""
        understood(heard, body)

    @given(HEARD, st.dictionaries(KEYS, VALUES, max_size=8))
    def test_any_document(self, heard: Heard, document: dict[str, Any]) -> None:
        """No document does either, and what is understood can be stored and leaks nothing."""
        body = json.dumps({"id": "a", "prompt": "a", **document}).encode()
        observation = understood(heard, body)
        if observation is None:
            return
        assert observation.generation_id.strip()
        repr(observation).encode()
        for slot in observation.slots:
            assert slot.url is None or slot.url.lower().startswith(("http://", "https://"))
        if observation.failure is not None:
            assert "secret" not in repr(observation.failure)
            assert observation.failure.message
        for number in (observation.params.width, observation.params.height):
            assert number is None or 0 < number < 10**9
