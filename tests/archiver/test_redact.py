"""No text leaves with a key to a picture in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.redact import redact

REDACTED = {
    "": "",
    "nothing to hide, not even a ? or #": "nothing to hide, not even a ? or #",
    "https://cdn.example/a.png": "https://cdn.example/a.png",
    "https://cdn.example/a.png?Signature=secret": "https://cdn.example/a.png?…",
    "https://cdn.example/a.png#secret": "https://cdn.example/a.png?…",
    "http://user:secret@cdn.example/a.png": "http://cdn.example/a.png",
    "http://user:se@cret@cdn.example": "http://cdn.example",
    "https://cdn.example/@someone/a.png": "https://cdn.example/@someone/a.png",
    "S3://bucket/key?secret": "S3://bucket/key?…",
    'GET "https://a.example/b?secret" failed': 'GET "https://a.example/b?…" failed',
    "<https://a.example/?secret> and https://b.example/?secret.": (
        "<https://a.example/?… and https://b.example/?…"
    ),
    r'{"url":"https:\/\/u:secret@a.example\/b.png?secret"}': (
        r'{"url":"https:\/\/a.example\/b.png?…"}'
    ),
    "图片https://a.example/b.png?secret 已过期": "图片https://a.example/b.png?… 已过期",
    "https://a.example/it's_b.png?secret": "https://a.example/it's_b.png?…",
    "https://a.example/a b.png?X-Amz-Signature=secret": "https://a.example/a b.png?…",
    "a.example/b.png?x=1&Signature=secret now": "a.example/b.png?… now",
    "https%3A%2F%2Fa.example%2Fb.png%3FSignature=secret": ("https%3A%2F%2Fa.example%2Fb.png%3F…"),
    "gs://a/b?secret": "gs://a/b?…",
    "http://u:se'cret@a.example": "http://a.example",
    "why? because & so on": "why? because & so on",
    "?" * 5000: "?" * 2000,
    "image_https://a.example/b.png?secret": "image_https://a.example/b.png?…",
}


@pytest.mark.parametrize(("text", "expected"), REDACTED.items(), ids=lambda text: text[:40])
def test_redact(text: str, expected: str) -> None:
    """Scheme, host and path stay; user, query and fragment go; other text is left alone."""
    assert redact(text) == expected


HOSTS = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}(:[0-9]{1,4})?", fullmatch=True)
PATHS = st.from_regex(r"(/[a-zA-Z0-9%._~@-]{0,6}){0,3}", fullmatch=True)


@given(
    before=st.text().filter(lambda text: "/" not in text),
    scheme=st.sampled_from(["http://", "https://", "HTTPS://", "s3://", r"https:\/\/"]),
    user=st.sampled_from(["", "SECRET@", "u:SECRET@", "u@SECRET:p@"]),
    host=HOSTS,
    path=PATHS,
    query=st.sampled_from(["", "?SECRET", "#SECRET", "?a=b&Signature=SECRET#?SECRET"]),
    after=st.text(),
)
def test_no_secret_survives(
    before: str, scheme: str, user: str, host: str, path: str, query: str, after: str
) -> None:
    """Whatever stands around a URL, its user, query and fragment are gone; once is enough."""
    redacted = redact(f"{before}{scheme}{user}{host}{path}{query} {after}")

    assert "SECRET" not in redacted
    assert f"{scheme}{host}{path}" in redacted
    assert redact(redacted) == redacted
