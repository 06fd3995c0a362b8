"""No text leaves with a key to a picture in it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.redact import MAX_CHARACTERS, redact, redact_lines

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


NAMED = {
    "Authorization: Bearer secret": "Authorization: …",
    "{'Authorization': 'Bearer secret'}": "{'Authorization': '…'}",
    "(b'X-Api-Key', b'secret'), (b'Accept', b'*/*')": "(b'X-Api-Key', b'…'), (b'Accept', b'*/*')",
    '{"key": "secret", "prompt": "a fox"}': '{"key": "…", "prompt": "a fox"}',
    r"{\"api_key\": \"secret\", \"n\": 1}": r"{\"api_key\": \"…\", \"n\": 1}",
    "Cookie: a=secret; b=secret": "Cookie: …",
    "aws_secret_access_key = secret/+= next": "aws_secret_access_key = … next",
    "DASHSCOPE_API_KEY=secret is set": "DASHSCOPE_API_KEY=… is set",
    "password: 'of two secret words' or so": "password: '…' or so",
    "token=secret, then more": "token=…, then more",
    "Invalid API key: secret1.": "Invalid API key: …",
    "a bearer c2VjcmV0cw== came": "a bearer … came",
    "refused sk-secret12345 at once": "refused sk-… at once",
    "sha256=" + "9f" * 32: "sha256=…",
    "eyJzZWNyZXQi.eyJzdWIi.c2ln": "eyJ…",
    "POST /webhooks/modelslab/secret.mac?a": "POST /webhooks/modelslab/…?a",
    "GET /gateway/secret-secret-secret/doitong/graphql": "GET /gateway/…/doitong/graphql",
    "-----BEGIN EC PRIVATE KEY-----\nsecret\n-----END EC PRIVATE KEY-----\nend": "…\nend",
    "-----BEGIN PRIVATE KEY-----\nsecret, cut": "…",
    # What only sounds like it is told.
    "the signature matches none of our secrets": "the signature matches none of our secrets",
    "there is no token: add [tokens.A]": "there is no token: add [tokens.A]",
    "credentials: /etc/leaf.pem is no key": "credentials: /etc/leaf.pem is no key",
    "signing_key: not a PEM": "signing_key: not a PEM",
    "POST /webhooks/doitong was refused": "POST /webhooks/doitong was refused",
    "GET /gateway/dashscope/api/v1/tasks": "GET /gateway/dashscope/api/v1/tasks",
    "max tokens: 77; key=blobs/sha256/9f": "max tokens: 77; key=blobs/sha256/9f",
    "providers.doitong.secrets_file.a: /run/a cannot be read": (
        "providers.doitong.secrets_file.a: /run/a cannot be read"
    ),
    "sha256:9f86d081 is asked for": "sha256:9f86d081 is asked for",
}


@pytest.mark.parametrize(("text", "expected"), NAMED.items(), ids=lambda text: text[:40])
def test_what_has_the_name_or_the_look_of_a_secret_is_cut_out(text: str, expected: str) -> None:
    """Its name stays, so that one can tell what was there; once is enough."""
    assert redact(text) == redact(expected) == expected


def test_each_line_of_a_long_text_is_looked_at() -> None:
    """A traceback loses no line, and a key that spans some of them goes whole."""
    long = "x" * MAX_CHARACTERS
    key = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----"
    text = f"{long}\ntoken=secret\n{key}\n{long}y\nlast"
    assert redact_lines(text) == f"{long}\ntoken=…\n…\n{long}\nlast"


@given(
    st.lists(
        st.sampled_from(
            ["?", "&", "token", "=", "secret", ":", "'", '"', "\\", "x-", "sk-", "/", " "]
        ),
        max_size=40,
    )
)
def test_once_is_enough(pieces: list[str]) -> None:
    """Whatever of what is looked for stands beside what: nothing is left to be found."""
    once = redact("".join(pieces))
    assert redact(once) == once


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
