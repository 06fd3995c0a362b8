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
        "broken off": (JSON, '{"prompt":"a cat", "key": "' + KEY),
        "broken": (JSON, '{"prompt":"a cat", "key" : "' + KEY + '",}'),
        "a form": (FORM, urlencode({"key": KEY, "prompt": "a cat"})),
        "a form in other words": (FORM, urlencode({"prompt": "a cat", "note": KEY})),
        "a URL": ("text/plain", f"a cat {quote(KEY)}"),
        "said to be something else": ("text/plain", json.dumps({"key": KEY, "prompt": "a cat"})),
    }.values(),
)
def test_no_key_is_kept(content_type: str, body: str) -> None:
    """Neither as it is nor in any way of writing it; the rest stays."""
    kept = without_keys(body.encode(), content_type, KEY).decode()

    for form in (KEY, quote(KEY), json.dumps(KEY)[1:-1]):
        assert form not in kept
    assert "a cat" in kept.replace("+", " ")


def test_a_key_that_was_not_shown_elsewhere_is_cut_out_by_its_name() -> None:
    """The header may name no key at all."""
    kept = without_keys(b'{"key":"sk-1234567","prompt":"a cat"}', JSON, None)

    assert json.loads(kept) == {"key": CUT_OUT, "prompt": "a cat"}


@pytest.mark.parametrize("body", [b'{"prompt": "a  cat", "key": ""}', b"[1, 2]", b"", b"\xff{"])
def test_what_holds_no_key_is_kept_byte_for_byte(body: bytes) -> None:
    """Also where it is not valid."""
    assert without_keys(body, JSON, KEY) == body


def test_parts_are_not_kept() -> None:
    """A multipart body is not searched, so nothing of it stays."""
    assert without_keys(KEY.encode(), "multipart/form-data; boundary=x", KEY) == b""


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
        json.loads(without_keys(body.encode("utf-8", "surrogatepass"), JSON, KEY)),
        ensure_ascii=False,
    )


@given(st.binary(), st.sampled_from([JSON, FORM, "", "text/html"]))
def test_nothing_makes_it_fail(body: bytes, content_type: str) -> None:
    """A body is a stranger's."""
    without_keys(body, content_type, KEY)
