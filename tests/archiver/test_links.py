"""A URL is known by its digest and its public part, and kept in neither."""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.links import link, public_part, url_sha256
from archiver.models import DeliveryRef, Link

ANY_TEXT = st.text(st.characters(exclude_categories=()))

# URL → (location, host)
PUBLIC_PARTS = {
    "https://cdn.doitong.com/outputs/a.jpg": (
        "https://cdn.doitong.com/outputs/a.jpg",
        "cdn.doitong.com",
    ),
    "https://cdn.example/a.png?Expires=1&Signature=secret": (
        "https://cdn.example/a.png",
        "cdn.example",
    ),
    "https://cdn.example/a.png#secret": ("https://cdn.example/a.png", "cdn.example"),
    "https://user:secret@cdn.example/a.png": ("https://cdn.example/a.png", "cdn.example"),
    "https://user:se@cret@cdn.example/a.png": ("https://cdn.example/a.png", "cdn.example"),
    "HTTPS://CDN.Example/A.png": ("https://cdn.example/A.png", "cdn.example"),
    "http://127.0.0.1:8099/a.png?secret": ("http://127.0.0.1:8099/a.png", "127.0.0.1"),
    "https://[2001:DB8::1]:8443/a.png": ("https://[2001:db8::1]:8443/a.png", "2001:db8::1"),
    "https://cdn.example": ("https://cdn.example", "cdn.example"),
    "https:///a.png": ("https:///a.png", ""),
    "https://cdn.example:port/a.png?secret": ("", ""),
    "https://cdn.example:65536/a.png?secret": ("", ""),
    "https://[::1/a.png?secret": ("", ""),
    "DATA:image/PNG;base64,c2VjcmV0": ("data:image/png", ""),
    "data:,secret": ("data:", ""),
}


@pytest.mark.parametrize(("url", "expected"), PUBLIC_PARTS.items(), ids=PUBLIC_PARTS)
def test_public_part(url: str, expected: tuple[str, str]) -> None:
    """User, query and fragment are cut away; what cannot be split says nothing."""
    assert public_part(url) == expected


@given(
    st.sampled_from(["http", "https"]),
    st.text("ab.-09", min_size=1),
    ANY_TEXT | st.text("a/.:;@?#[]\\% \t\xa0", max_size=6),
)
def test_a_plain_url_is_read_like_any_other(scheme: str, host: str, rest: str) -> None:
    """An empty user takes the long way round, and says the same in the end."""
    plain, odd = (f"{scheme}://{user}{host}/{rest}" for user in ("", "@"))

    assert public_part(plain) == public_part(odd)


@given(ANY_TEXT)
def test_public_part_is_total(url: str) -> None:
    """No text raises, and none gets a query or a fragment through."""
    location, host = public_part(url)

    assert not set("?#") & set(location)
    assert host == host.lower()


@given(ANY_TEXT)
def test_a_digest_is_of_any_text(url: str) -> None:
    """Even of half a surrogate pair, which UTF-8 proper cannot write."""
    assert url_sha256(url) == sha256(url.encode("utf-8", "surrogatepass")).digest()


def test_a_link_holds_no_secret() -> None:
    """The query stays in the delivery that the link names."""
    heard_in = DeliveryRef(inbox="inbox", position=3)
    dies_at = datetime(2026, 11, 22, tzinfo=UTC)
    url = "https://cdn.example/a.png?Signature=secret"
    expected = Link(
        url_sha256=sha256(url.encode()).digest(),
        location="https://cdn.example/a.png",
        host="cdn.example",
        expires_at=dies_at,
        heard_in=heard_in,
    )

    assert link(url, heard_in=heard_in, expires_at=dies_at) == expected
    assert "secret" not in repr(expected)
