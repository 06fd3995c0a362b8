"""An authentic body may still be anything at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.errors import UnreadableError
from archiver.merging import merge
from archiver.models import DeliveryRef, Generation, Heard, Observation, SlotObservation
from receiver.exchange import Exchange, encode
from receiver.providers.doitong import DOITONG
from receiver.providers.doitong_credits import read_balance
from tests.clocks import NOON
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
        "mutation($input: I) { generate(input: $input) { id } x: generateImage { id } }",
        "query($id: ID) { generation(id: $id) { id url } list { url status } }",
    ]
)
KEYS = st.text(max_size=3) | st.sampled_from(
    [
        *("id", "status", "url", "service", "provider", "creditCost", "createdAt", "completedAt"),
        *("metadata", "error", "errors", "errorCode", "code", "errorMessage", "message", "reason"),
        *("extensions", "variables", "input", "options", "prompt", "text"),
        *("width", "height", "version", "quality", "data", "generate", "generateimage", "query"),
        *("generation", "operationName"),
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


QUERIES = st.sampled_from(
    [
        "mutation($input: I!) { generate(input: $input) { id status } }",
        "mutation { generateImage(input: {prompt: $prompt}) { id } generation: generate { id } }",
        "query($id: ID!) { generation(id: $id) { id status url } generate { url } }",
    ]
)
PATHS = st.sampled_from(["/graphql", "/v1/text_to_image", "/graphql?a", "/"])
STATUSES = st.sampled_from([200, 400, 402, 429, 500])
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=6)
REQUESTS = st.binary(max_size=40) | st.builds(
    lambda query, document, variables: json.dumps(
        {"query": query, "variables": variables, **document}
    ).encode(),
    QUERIES,
    DOCUMENTS,
    DOCUMENTS,
)
ANSWERS = st.binary(max_size=40) | st.builds(
    lambda data, document: json.dumps({"data": data, **document}).encode(),
    st.dictionaries(KEYS, DOCUMENTS.map(lambda it: {"id": "a", **it}) | VALUES, max_size=4),
    DOCUMENTS,
)
EXCHANGES = st.builds(
    lambda path, request, status, answer: Exchange(
        method="POST", path=path, request=request, status=status, answer=answer
    ),
    *(PATHS, REQUESTS, STATUSES, ANSWERS),
)


def overheard(exchange: Exchange) -> tuple[Observation, ...]:
    """What an exchange says, nothing if it is unreadable; anything else is an error of the test."""
    try:
        return DOITONG.parse(Heard.OVERHEARD, "", encode(exchange))
    except UnreadableError:
        return ()


def merged(said: list[tuple[int, Observation]]) -> Generation | None:
    """All that is known after hearing these, each at its position in the inbox."""
    known: Generation | None = None
    for position, observation in said:
        known = merge(
            known,
            observation,
            heard_in=DeliveryRef(inbox="inbox", position=position),
            received_at=NOON,
            link_lifetime=DOITONG.link_lifetime,
        )
    return known


class TestHostileExchanges:
    """Neither side of an exchange is vouched for."""

    @pytest.mark.parametrize("heard", [Heard.POLLED, Heard.OVERHEARD])
    @given(body=st.binary())
    def test_any_bytes(self, heard: Heard, body: bytes) -> None:
        """What is no exchange is said to be unreadable."""
        with pytest.raises(UnreadableError, match="no exchange"):
            DOITONG.parse(heard, "", body)

    @given(EXCHANGES)
    def test_any_exchange(self, exchange: Exchange) -> None:
        """None raises anything else, and what is understood can be stored and leaks nothing."""
        read_balance(exchange)
        for says in overheard(exchange):
            assert says.generation_id.strip()
            repr(says).encode()
            assert "secret" not in repr((says.service, says.failure))
            for slot in says.slots:
                assert slot.url is None or slot.url.lower().startswith(("http://", "https://"))

    @pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"data":{"generate":'])
    def test_no_depth_breaks_it(self, opening: bytes) -> None:
        """Around the depth at which the interpreter gives up, too, in either side."""
        for depth in (10, 100, *range(850, 1000, 10), 10_000):
            nested = opening * depth + b"1" + (b"]" if opening == b"[" else b"}") * depth
            body = b'{"query": "mutation { generate { id } }", "variables": %s, "data": %s}'
            overheard(
                Exchange(
                    method="POST",
                    path="/graphql",
                    request=body % (nested, nested),
                    status=200,
                    answer=body % (nested, nested),
                )
            )

    @given(st.lists(EXCHANGES, max_size=6), st.data())
    def test_order_and_repetition_do_not_matter(
        self, heard: list[Exchange], data: st.DataObject
    ) -> None:
        """Whatever is said of one generation, in whatever order, how often soever."""
        said = [it for exchange in heard for it in overheard(exchange) if it.generation_id == "a"]
        placed = list(enumerate(said, start=1))
        again = data.draw(st.lists(st.sampled_from(placed), max_size=3)) if placed else []

        assert merged(data.draw(st.permutations(placed + again))) == merged(placed)
