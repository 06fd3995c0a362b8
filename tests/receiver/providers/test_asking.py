"""How each provider is asked, and by whose key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.models import Generation
from receiver import provider_tables
from receiver.exchange import Request
from receiver.providers import PROVIDERS
from tests.clocks import NOON

KEY = "sk-0123456789"
QUERY = "query Status($id: ID!) { generation(id: $id) { id status url } }"
SETTINGS: dict[str, provider_tables.Api] = {
    "doitong": provider_tables.Doitong(status_query=QUERY),
    "modelslab": provider_tables.ModelsLab(),
    "dashscope": provider_tables.DashScope(),
}
MULTIPART = (
    b"--boundary\r\n"
    b'Content-Disposition: form-data; name="prompt"\r\n\r\nname="key"\r\n'
    b"--boundary\r\n"
    b'Content-Disposition: form-data; name="key"\r\n'
    b"Content-Type: text/plain\r\n\r\n"
    b"sk-0123456789\r\n"
    b"--boundary--\r\n"
)


def request_with(
    *headers: tuple[str, str], body: bytes = b"", path: str = "/api/v6/images/text2img"
) -> Request:
    return Request(method="POST", path=path, headers=headers, body=body)


def ask(provider: str, generation_id: str, service: str | None = None) -> Request | None:
    generation = Generation(
        provider=provider, id=generation_id, service=service, first_heard_at=NOON
    )
    return PROVIDERS[provider].ask(generation, KEY, SETTINGS[provider])


def asked(provider: str, generation_id: str, service: str | None = None) -> Request:
    request = ask(provider, generation_id, service)
    assert request is not None
    return request


class TestKeys:
    """Where a request shows who makes it."""

    @pytest.mark.parametrize("provider", PROVIDERS)
    @pytest.mark.parametrize("value", [f"Bearer {KEY}", f"bearer  {KEY} ", f"BEARER {KEY}"])
    def test_bearer(self, provider: str, value: str) -> None:
        """All understand `Authorization`, its scheme and the header's name in any case."""
        assert PROVIDERS[provider].api_key(request_with(("authorization", value))) == KEY

    @pytest.mark.parametrize(
        ("provider", "expected"), [("doitong", KEY), ("modelslab", KEY), ("dashscope", None)]
    )
    def test_header(self, provider: str, expected: str | None) -> None:
        """`X-API-Key` is Doitong's way of REST, and nothing to DashScope."""
        assert PROVIDERS[provider].api_key(request_with(("x-api-key", f" {KEY}"))) == expected

    @pytest.mark.parametrize(
        "request_",
        [
            request_with(body=json.dumps({"prompt": "a", "key": KEY}).encode()),
            request_with(body=b"\xef\xbb\xbf \r\n" + json.dumps({"key": f" {KEY}\n"}).encode()),
            request_with(body=f"prompt=a+fox&key={KEY}".encode()),
            request_with(body=b"key=sk%2D0123456789&prompt=%ff"),
            request_with(body=MULTIPART),
            request_with(body=MULTIPART.replace(b"\r\n", b"\n").replace(b'"key"', b"key")),
            request_with(path=f"/api/v6/images/text2img?key={KEY}"),
            request_with(("X-API-Key", KEY), body=b'{"key": ""}'),
            request_with(("X-API-Key", KEY), body=b'{"key": ["?"]}'),
            request_with(("X-API-Key", KEY), body=b'{"key": '),
            request_with(("Authorization", "Bearer other"), body=b'{"key": "sk-0123456789"}'),
        ],
    )
    def test_body(self, request_: Request) -> None:
        """ModelsLab's key stands in the body, whatever form that has; only then elsewhere."""
        assert PROVIDERS["modelslab"].api_key(request_) == KEY

    @pytest.mark.parametrize("provider", PROVIDERS)
    @pytest.mark.parametrize("value", ["", "Bearer", "Bearer  ", f"Basic {KEY}", KEY])
    def test_none(self, provider: str, value: str) -> None:
        """No key is no key."""
        assert PROVIDERS[provider].api_key(request_with(("Authorization", value))) is None

    @given(
        st.sampled_from(sorted(PROVIDERS)),
        st.binary() | st.binary().map(lambda it: MULTIPART[:90] + it) | st.just(b"{" * 9000),
        st.text(),
        st.text(),
    )
    def test_any_bytes(self, provider: str, body: bytes, path: str, value: str) -> None:
        """No request raises anything."""
        headers = (("Authorization", value), ("X-API-Key", value))
        found = PROVIDERS[provider].api_key(request_with(*headers, body=body, path=path))

        assert found is None or found == found.strip() != ""

    def test_a_long_body_is_no_burden(self) -> None:
        """Many beginnings of a key's part that come to nothing are passed over in one sweep."""
        body = b"--a\r\n" + b'form-data; name="key"\r\n' * 100_000

        assert PROVIDERS["modelslab"].api_key(request_with(body=body)) is None


FETCHES: dict[str | None, str] = {
    "v3/text2img": "/api/v3/fetch/302455",
    "v3/dreambooth": "/api/v3/dreambooth/fetch/302455",
    "v4/dreambooth": "/api/v4/dreambooth/fetch",
    "v4/dreambooth/img2img": "/api/v4/dreambooth/fetch",
    "v5/controlnet": "/api/v3/fetch/302455",
    "v6/images/text2img": "/api/v6/images/fetch/302455",
    "v6/realtime/text2img": "/api/v6/realtime/fetch/302455",
    "v6/image_editing/outpaint": "/api/v6/image_editing/fetch/302455",
    "v6/video/text2video": "/api/v6/video/fetch/302455",
    "v7/images/text-to-image": "/api/v7/images/fetch/302455",
    "v1/enterprise/text2img": "/api/v1/enterprise/fetch",
    "v1/enterprise/flux/text2img": "/api/v1/enterprise/flux/fetch/302455",
    "v1/enterprise/images/text2img": "/api/v1/enterprise/images/fetch/302455",
    # What names no endpoint is asked for where most are.
    None: "/api/v6/images/fetch/302455",
    "": "/api/v6/images/fetch/302455",
    "v6": "/api/v6/images/fetch/302455",
    "images/text2img": "/api/v6/images/fetch/302455",
    "v6/../../admin/text2img": "/api/v6/images/fetch/302455",
    "v6//text2img": "/api/v6/images/fetch/302455",
    "v6/a?b=c/text2img": "/api/v6/images/fetch/302455",
    "v6/a\r\nX-Other: 1/text2img": "/api/v6/images/fetch/302455",
    "v6/images/text2img\n": "/api/v6/images/fetch/302455",
}


class TestAsking:
    """The question how a generation stands."""

    def test_dashscope(self) -> None:
        """A task by its id."""
        assert asked("dashscope", "86ecf553-d340") == Request(
            method="GET",
            path="/api/v1/tasks/86ecf553-d340",
            headers=(("Authorization", f"Bearer {KEY}"),),
        )

    @pytest.mark.parametrize(("service", "path"), FETCHES.items())
    def test_modelslab(self, service: str | None, path: str) -> None:
        """Beside the endpoint that began it, the id in path and body, the key in the body."""
        request = asked("modelslab", "302455", service)

        assert (request.method, request.path) == ("POST", path)
        assert request.headers == (("Content-Type", "application/json"),)
        assert json.loads(request.body) == {"key": KEY, "request_id": "302455"}

    def test_doitong(self) -> None:
        """The operator's own document, for no other is known."""
        request = asked("doitong", "abc123xyz")

        assert (request.method, request.path) == ("POST", "/graphql")
        assert request.header("authorization") == f"Bearer {KEY}"
        assert request.header("content-type") == "application/json"
        assert json.loads(request.body) == {"query": QUERY, "variables": {"id": "abc123xyz"}}

    @pytest.mark.parametrize(
        "without",
        [
            provider_tables.Doitong(),
            provider_tables.Doitong(status_query=" \n"),
            provider_tables.Api(),
        ],
    )
    def test_doitong_without_a_query(self, without: provider_tables.Api) -> None:
        """Without one nobody asks."""
        generation = Generation(provider="doitong", id="abc", first_heard_at=NOON)

        assert PROVIDERS["doitong"].ask(generation, KEY, without) is None

    @pytest.mark.parametrize("provider", ["dashscope", "modelslab"])
    @pytest.mark.parametrize(
        ("generation_id", "step"),
        [
            ("a/../b", "a%2F..%2Fb"),
            ("a?b#c", "a%3Fb%23c"),
            ("%2e", "%252e"),
            ("é\r\n", "%C3%A9%0D%0A"),
        ],
    )
    def test_ids_are_escaped(self, provider: str, generation_id: str, step: str) -> None:
        """An id is one step of the path, whatever it holds."""
        assert asked(provider, generation_id).path.endswith(f"/{step}")

    @pytest.mark.parametrize("provider", ["dashscope", "modelslab"])
    @pytest.mark.parametrize("generation_id", [".", "..", ""])
    def test_no_step_of_a_path(self, provider: str, generation_id: str) -> None:
        """Dots alone lead elsewhere even when escaped, so they are not asked for."""
        assert ask(provider, generation_id) is None

    @given(st.sampled_from(sorted(PROVIDERS)), st.text(), st.none() | st.text())
    def test_strangers_text(self, provider: str, generation_id: str, service: str | None) -> None:
        """No id or service reaches a header, nor any place of the path but its own."""
        request = ask(provider, generation_id, service)
        plain = asked(provider, "302455", None)
        if request is None:
            return
        assert request.headers == plain.headers
        assert request.path.isascii()
        assert request.path.isprintable()
        assert not {" ", "?", "#", '"'} & set(request.path)


SENSELESS = [
    {"message": 'Cannot query field "generation" on type "Query".'},
    {"message": 'Unknown argument "id" on field "Query.generation".'},
    {"message": "Bad", "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}},
]


class TestSenseless:
    """A question that the provider does not have need not be asked again."""

    @pytest.mark.parametrize("error", SENSELESS)
    def test_senseless(self, error: dict[str, Any]) -> None:
        """Doitong says so in GraphQL's words or by its code, be it one error of many."""
        answer = json.dumps({"errors": [{"message": "Other"}, error], "data": None}).encode()

        assert PROVIDERS["doitong"].is_senseless(answer)
        assert not PROVIDERS["modelslab"].is_senseless(answer)
        assert not PROVIDERS["dashscope"].is_senseless(answer)

    @pytest.mark.parametrize(
        "answer",
        [
            b'{"data": {"generation": null}}',
            b'{"data": {"generation": {"message": "Cannot query field"}}}',
            b'{"errors": [{"message": "Rate limit exceeded", "extensions": {"code": "429"}}]}',
            b'{"errors": ["Cannot", {"message": 7}, null]}',
            b'{"errors": "Unknown"}',
            b"<html>Cannot query field</html>",
            b"",
        ],
    )
    def test_any_other_answer(self, answer: bytes) -> None:
        """Anything else may have another answer next time."""
        assert not PROVIDERS["doitong"].is_senseless(answer)

    @given(st.sampled_from(sorted(PROVIDERS)), st.binary())
    def test_any_bytes(self, provider: str, answer: bytes) -> None:
        """No answer raises anything."""
        PROVIDERS[provider].is_senseless(answer)
