"""What is kept of a request holds no API key, however the client wrote it."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.confidential import CUT_OUT, without_keys

KEY = "sk-Ünsafe+key/1"
ESCAPED = "".join(f"\\u{ord(character):04x}" for character in KEY)
JSON = "application/json; charset=utf-8"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body"),
    {
        "a field": (JSON, json.dumps({"key": KEY, "prompt": "a cat"})),
        "a field by another name": (JSON, json.dumps({"API_KEY": KEY, "prompt": "a cat"})),
        "deep inside": (JSON, json.dumps({"prompt": "a cat", "meta": [{"key": KEY}]})),
        "in other words": (JSON, json.dumps({"prompt": "a cat", "note": f"Bearer {KEY}"})),
        "escaped": (
            JSON,
            '{"prompt":"a cat","k":"' + "".join(f"\\u{ord(c):04x}" for c in KEY) + '"}',
        ),
        "escaped as PHP does": (
            JSON,
            json.dumps({"prompt": "a cat", "k": KEY}).replace("/", r"\/"),
        ),
        "in a list": (JSON, json.dumps([{"key": KEY, "prompt": "a cat"}])),
        "a form": (FORM, urlencode({"key": KEY, "prompt": "a cat"})),
        "a form in other words": (FORM, urlencode({"prompt": "a cat", "note": KEY})),
        "a URL": ("text/plain", f"a cat {quote(KEY)}"),
        "said to be something else": ("text/plain", json.dumps({"key": KEY, "prompt": "a cat"})),
    }.values(),
)
def test_no_key_is_kept(content_type: str, body: str) -> None:
    """Neither as it is nor in any way of writing it; the rest stays."""
    kept = without_keys(body.encode(), content_type, (KEY,)).decode()

    for form in (KEY, quote(KEY), json.dumps(KEY)[1:-1]):
        assert form not in kept
    assert "a cat" in kept.replace("+", " ")


NESTED = json.dumps({"prompt": "a cat", "variables": json.dumps({"input": {"apiKey": KEY}})})
UNSEARCHABLE: dict[str, tuple[str, bytes]] = {
    "broken off": (JSON, f'{{"prompt":"a cat", "key": "{KEY}'.encode()),
    "broken": (JSON, f'{{"prompt":"a cat", "key" : "{KEY}",}}'.encode()),
    "in another encoding": (JSON, json.dumps({"key": KEY}, ensure_ascii=False).encode("utf-16")),
    "in latin-1": (JSON, f'{{"key": "{KEY}"}}'.encode("latin-1")),
    "parts": ("multipart/form-data; boundary=x", KEY.encode()),
    "fields without end": (FORM, b"a=1&" * 2000 + KEY.encode()),
}


@pytest.mark.parametrize(("content_type", "body"), UNSEARCHABLE.values(), ids=UNSEARCHABLE)
def test_what_cannot_be_searched_is_not_kept(content_type: str, body: bytes) -> None:
    """Its parser could not read it either."""
    assert without_keys(body, content_type, (KEY,)) == b""


OTHERS: dict[str, tuple[str, str]] = {
    "JSON said to be a form": (FORM, '{"prompt":"a cat","key":"' + ESCAPED + '"}'),
    "a form said to be nothing": ("", "prompt=a+cat&key=" + quote(KEY).lower()),
    "a field twice": (FORM, urlencode([("key", ""), ("key", KEY), ("prompt", "a cat")])),
    "a field of a list": (FORM, urlencode([("data[key]", "sk-other-1234"), ("prompt", "a cat")])),
    "a list of fields": (FORM, urlencode([("key[]", "sk-other-1234"), ("prompt", "a cat")])),
    "a field twice in JSON": (JSON, '{"key":"sk-other-1234","prompt":"a cat","key":""}'),
    "JSON in JSON": (JSON, NESTED.replace(KEY, "sk-other-1234")),
    "in a GraphQL document": (
        JSON,
        json.dumps({"query": 'mutation { a(apiKey: "sk-other-1234", text: "a cat") { id } }'}),
    ),
    "a header among the fields": (
        JSON,
        json.dumps({"prompt": "a cat", "Authorization": "Bearer sk-other-1234"}),
    ),
    "by a longer name": (
        JSON,
        json.dumps({"prompt": "a cat", "secret_access_key": "sk-other-1234"}),
    ),
    "behind a byte order mark": (JSON, "\ufeff" + json.dumps({"prompt": "a cat", "key": KEY})),
}


@pytest.mark.parametrize(("content_type", "body"), OTHERS.values(), ids=OTHERS)
def test_no_other_key_is_kept_either(content_type: str, body: str) -> None:
    """Fields go by their names, whosever key they hold and whatever the body is said to be."""
    kept = without_keys(body.encode(), content_type, (KEY,)).decode()

    assert "sk-other-1234" not in kept
    assert KEY not in kept
    assert "a cat" in kept.replace("+", " ")


def test_a_key_that_was_not_shown_elsewhere_is_cut_out_by_its_name() -> None:
    """The header may name no key at all."""
    kept = without_keys(b'{"key":"sk-1234567","prompt":"a cat"}', JSON, ())

    assert json.loads(kept) == {"key": CUT_OUT, "prompt": "a cat"}


@pytest.mark.parametrize("body", [b'{"prompt": "a  cat", "key": ""}', b"[1, 2]", b"", b"a=1&b"])
def test_what_holds_no_key_is_kept_byte_for_byte(body: bytes) -> None:
    """Also where it is not valid."""
    assert without_keys(body, JSON, (KEY,)) == body


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.booleans(),
)
def test_no_document_hides_a_key(document: object, ascii_only: bool) -> None:
    """Whatever stands around it."""
    body = json.dumps({"around": document, "key": KEY, "again": [KEY]}, ensure_ascii=ascii_only)

    assert KEY not in json.dumps(
        json.loads(without_keys(body.encode("utf-8", "surrogatepass"), JSON, (KEY,))),
        ensure_ascii=False,
    )


@given(st.binary(), st.sampled_from([JSON, FORM, "", "text/html"]))
def test_nothing_makes_it_fail(body: bytes, content_type: str) -> None:
    """A body is a stranger's."""
    without_keys(body, content_type, (KEY,))


@pytest.mark.parametrize("name", ["x" * 200_000 + ".!", "." * 200_000 + "!", "[" * 200_000 + "x"])
def test_a_long_name_is_judged_at_once(name: str) -> None:
    """A stranger's field could be one that a pattern goes over again from each of its letters."""
    body = json.dumps({name: "a cat", "key": KEY}).encode()
    assert json.loads(without_keys(body, JSON, (KEY,)))[name] == "a cat"
