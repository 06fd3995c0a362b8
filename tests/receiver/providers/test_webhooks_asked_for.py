"""A submission that asks for a webhook, where a document says how."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.exchange import Request
from receiver.providers import PROVIDERS
from tests.receiver.providers.samples import sample

OURS = "https://holdfast.example/webhooks/modelslab/t0k3n?a=1&b=2"
PATHS = {
    "doitong": "/v1/text_to_image",
    "modelslab": "/api/v6/images/text2img",
    "dashscope": "/api/v1/services/aigc/text2image/image-synthesis",
}
NAMES = {"doitong": "webhookUrl", "modelslab": "webhook"}
FORM = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")


def asking(
    provider: str, body: bytes, *headers: tuple[str, str], path: str | None = None
) -> Request | None:
    given_ = Request(method="POST", path=path or PATHS[provider], headers=headers, body=body)
    asked = PROVIDERS[provider].with_webhook(given_, OURS)
    assert asked is None or (asked.method, asked.path) == (given_.method, given_.path)
    return asked


def asked_body(
    provider: str, body: bytes, *headers: tuple[str, str], path: str | None = None
) -> bytes:
    asked = asking(provider, body, *headers, path=path)
    assert asked is not None
    return asked.body


def graphql(query: str, **variables: object) -> bytes:
    return json.dumps({"query": query, "variables": variables}).encode()


IMAGE = "mutation($input: ImageGenerationInput!) { generateImage(input: $input) { id url } }"
TWO = (
    "mutation($a: I!, $b: I!) { a: generateImage(input: $a) {id} b: generateImage(input: $b) {id} }"
)


class TestJson:
    """A field more, and all else as it was written."""

    @pytest.mark.parametrize("provider", NAMES)
    @pytest.mark.parametrize("blank", [None, "null", '""', '" "'])
    def test_where_the_client_named_none(self, provider: str, blank: str | None) -> None:
        """Absent, null or blank; in its own place where there is one."""
        name = NAMES[provider]
        before = f'"{name}":{blank},' if blank else ""
        body = b'{"prompt":"\\u00e9 \\/",%s"seed":12345678901234567890123,"scale":7.50}'

        asked = asked_body(provider, body % before.encode())

        assert list(json.loads(asked)) == (
            ["prompt", name, "seed", "scale"] if blank else ["prompt", "seed", "scale", name]
        )
        assert json.loads(asked)[name] == OURS
        assert all(it in asked for it in (b'"\\u00e9 \\/"', b"12345678901234567890123", b"7.50"))

    @pytest.mark.parametrize("provider", NAMES)
    @pytest.mark.parametrize("own", ["https://client.example", 7, False, ["a"], {"url": "a"}])
    def test_a_clients_own_is_left_alone(self, provider: str, own: object) -> None:
        """Whatever it is."""
        assert asking(provider, json.dumps({NAMES[provider]: own}).encode()) is None

    @pytest.mark.parametrize("provider", PATHS)
    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"null", b'{"a": ', b'{"a": 1}{"b": 2}', b"\x1f\x8b", b"--b\r\n"]
    )
    def test_what_is_no_object_is_left_alone(self, provider: str, body: bytes) -> None:
        """There is no place for a field."""
        assert asking(provider, body) is None

    @pytest.mark.parametrize("provider", PATHS)
    def test_what_is_encoded_is_left_alone(self, provider: str) -> None:
        """Its bytes are not what is meant."""
        assert asking(provider, b'{"a": 1}', ("content-encoding", "gzip")) is None

    def test_headers(self) -> None:
        """All but the length, which is another's."""
        headers = (("Content-Length", "8"), ("Authorization", "Bearer a"))
        asked = asking("modelslab", b'{"a": 1}', *headers)

        assert asked is not None
        assert asked.headers == (("Authorization", "Bearer a"),)

    def test_dashscope_has_none(self) -> None:
        """It tells its account's event bus."""
        assert asking("dashscope", sample("dashscope/submit-request").body) is None

    @given(
        st.sampled_from(sorted(NAMES)),
        st.dictionaries(
            st.text().filter(lambda name: name not in NAMES.values()),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.text(),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
                max_leaves=6,
            ),
        ),
    )
    def test_any_object(self, provider: str, document: dict[str, object]) -> None:
        """Nothing is lost, nothing moved, and asking twice is not possible."""
        asked = asked_body(provider, json.dumps(document).encode())

        assert list(json.loads(asked).items()) == [*document.items(), (NAMES[provider], OURS)]
        assert asking(provider, asked) is None

    @given(st.sampled_from(sorted(PATHS)), st.binary(), st.sampled_from(["", FORM[1]]))
    def test_any_bytes(self, provider: str, body: bytes, kind: str) -> None:
        """No request raises anything."""
        asking(provider, body, ("Content-Type", kind))
        asking(provider, body, ("Content-Type", kind), path="/graphql")
        asking(provider, b'{"query":"mutation{generateImage(input:$i)}","variables":' + body)


class TestForms:
    """ModelsLab takes forms, too."""

    @pytest.mark.parametrize(
        ("body", "kept"),
        [
            (b"prompt=a+fox&seed=%37", b"prompt=a+fox&seed=%37"),
            (b"webhook=&prompt=%ff", b"prompt=%ff"),
            (b"prompt=a&w%65bhook=+&track_id=7&webhook", b"prompt=a&track_id=7"),
        ],
    )
    def test_one_field_more(self, body: bytes, kept: bytes) -> None:
        """The others go on byte for byte."""
        asked = asked_body("modelslab", body, FORM)

        assert asked.startswith(kept + b"&")
        assert parse_qsl(asked.decode())[-1] == ("webhook", OURS)

    @pytest.mark.parametrize("body", [b"a=1&webhook=https%3A%2F%2Fc", b"webhook=&webhook=b"])
    def test_a_clients_own_is_left_alone(self, body: bytes) -> None:
        """One is enough."""
        assert asking("modelslab", body, FORM) is None

    def test_only_what_says_it_is_one(self) -> None:
        """Any bytes could be read as a form."""
        assert asking("modelslab", b"a=1", ("Content-Type", "text/plain")) is None
        assert asking("modelslab", b"a=1") is None


class TestGraphQl:
    """Doitong's table puts `webhookUrl` beside the prompt of the flat form, and nowhere else."""

    @pytest.mark.parametrize("service", ["stable-diffusion", "flux-pro"])
    def test_documented(self, service: str) -> None:
        """`generateImage` as the documents show it."""
        body = sample(f"doitong/generate-image-javascript-{service}").body
        asked = json.loads(asked_body("doitong", body, path="/graphql"))
        said = json.loads(body)

        assert asked["query"] == said["query"]
        assert asked["variables"]["input"] == {**said["variables"]["input"], "webhookUrl": OURS}

    def test_several(self) -> None:
        """Each is asked for."""
        body = graphql(TWO, a={"prompt": "a"}, b={"prompt": "b"})
        variables = json.loads(asked_body("doitong", body, path="/graphql"))["variables"]

        assert [variables[name]["webhookUrl"] for name in "ab"] == [OURS, OURS]

    @pytest.mark.parametrize(
        "body",
        [
            sample("doitong/generate-curl-flux-pro").body,
            graphql(IMAGE, input={"prompt": "a", "webhookUrl": "https://client.example"}),
            graphql(IMAGE, input=None),
            graphql(IMAGE, input="{}"),
            graphql(IMAGE),
            graphql('mutation { generateImage(input: {prompt: "a"}) { id } }', a=1),
            graphql(TWO, a={"prompt": "a"}, b={"prompt": "b", "webhookUrl": "https://c"}),
            graphql(TWO.replace("b: generateImage", "b: generate"), a={}, b={}),
            graphql("query($input: I) { generateImage(input: $input) { id } }", input={}),
            b"[%s]" % graphql(IMAGE, input={"prompt": "a"}),
            b'{"query": 7, "variables": {"input": {}}}',
        ],
    )
    def test_all_else_is_left_alone(self, body: bytes) -> None:
        """`generate` has no such place; and what is written into the query stays as it is."""
        assert asking("doitong", body, path="/graphql") is None
