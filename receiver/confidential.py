"""What of a request may be kept: everything but the keys, wherever anybody let them stand.

What a body is, its bytes say and not its Content-Type. One that cannot be searched is not kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus, urlencode

import msgspec

CUT_OUT = "(cut out)"

# By letters alone, in one case. ModelsLab and its like want the key among the parameters.
_FIELDS = frozenset(
    {
        *("key", "apikey", "xapikey", "accesskey", "secretkey", "secretaccesskey"),
        *("accesskeysecret", "authorization", "password", "secret", "token", "accesstoken"),
        "apitoken",
    }
)
# A body that holds none of these words holds no such field.
_SUSPICIOUS = re.compile(rb"key|authorization|password|secret|token", re.IGNORECASE)
# `apiKey: "…"`, as in a GraphQL document.
_NAMED_IN_TEXT = re.compile(
    r"""\b(?:(?:x|api|access|secret)[_-]?)*(?:key|password|secret|token)\s*[:=]\s*"[^"]*\"""",
    re.IGNORECASE,
)
_BETWEEN_PARTS = re.compile(r"[\[\].]")
_NO_LETTER = re.compile(r"[^a-z]")
# A key this short would be found in every text; no provider gives one out.
_SHORTEST_KEY = 6
_DEEPEST = 5
_MOST_FIELDS = 1000
_BOM = b"\xef\xbb\xbf"


def without_keys(body: bytes, content_type: str, secrets: Collection[str]) -> bytes:
    """A request's or answer's body without these secrets, nor any field that is named like one.

    Byte for byte as it was, if it held none; nothing of it, if that cannot be told.
    """
    if not body or content_type.strip().lower().startswith("multipart/"):
        return b""
    known = [secret for secret in secrets if len(secret) >= _SHORTEST_KEY]
    kept = _cut(body.removeprefix(_BOM), known)
    if kept is None:
        return b""
    for secret in known:
        for form in _forms(secret):
            kept = kept.replace(form, CUT_OUT.encode())
    return b"" if any(_hides(kept, secret) for secret in known) else kept


def _cut(body: bytes, secrets: Collection[str]) -> bytes | None:
    """Without fields that are named like a key; None if it cannot be read."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    if "\0" in text:  # UTF-16, in which no search would find anything
        return None
    if text.lstrip()[:1] in ("{", "[", '"'):
        return _cut_json(body, secrets)
    return _cut_form(text, body) if "=" in text else body


def _cut_json(body: bytes, secrets: Collection[str]) -> bytes | None:
    # Without an escape, a word is there or it is not: nearly all bodies are done with here.
    if b"\\" not in body and not _SUSPICIOUS.search(body):
        return body
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    cut = _without_fields(document, 0)
    # An escape may hide a secret from a search of the bytes; written anew it cannot.
    written = msgspec.json.encode(cut)
    shown = any(form in written for secret in secrets for form in _forms(secret))
    return written if shown or cut != document or _says_twice(body) else body


def _says_twice(body: bytes) -> bool:
    """Whether some object has a field twice; of those only the last was looked at."""
    doubled: list[bool] = []

    def look(pairs: list[tuple[str, Any]]) -> None:
        doubled.append(len(pairs) != len({name for name, _ in pairs}))

    try:
        json.loads(body, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return True  # stricter than who read it first, so that nobody can tell
    return any(doubled)


def _without_fields(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        return {
            name: CUT_OUT if it and _is_secret(name) else _without_fields(it, depth)
            for name, it in value.items()
        }
    if isinstance(value, list):
        return [_without_fields(it, depth) for it in value]
    return _without_fields_in_text(value, depth) if isinstance(value, str) else value


def _without_fields_in_text(text: str, depth: int) -> str:
    """A document in a string, or `apiKey: "…"` anywhere in one."""
    if text.lstrip()[:1] in ("{", "[") and depth < _DEEPEST:
        try:
            document = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            document = None
        if document is not None:
            cut = _without_fields(document, depth + 1)
            return text if cut == document else msgspec.json.encode(cut).decode()
    return _NAMED_IN_TEXT.sub(CUT_OUT, text) if '"' in text else text


def _cut_form(text: str, body: bytes) -> bytes | None:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return None
    cut = [
        (name, CUT_OUT if it and _is_secret(name) else _without_fields_in_text(it, 0))
        for name, it in pairs
    ]
    return body if cut == pairs else urlencode(cut).encode()


def _is_secret(name: str) -> bool:
    """By its last part: `data[key]`, `key[]` and `X-Api-Key` are a key as well."""
    last = _BETWEEN_PARTS.split(name.rstrip("[]."))[-1]
    return _NO_LETTER.sub("", last.lower()) in _FIELDS


@lru_cache(maxsize=1024)  # few keys make all the requests
def _forms(secret: str) -> frozenset[bytes]:
    """A secret as it is, and as JSON, a form or a URL would write it."""
    written = msgspec.json.encode(secret)[1:-1]
    quoted = (quote(secret).encode(), quote_plus(secret).encode())
    return frozenset({secret.encode(), written, *quoted})


def _hides(body: bytes, secret: str) -> bool:
    """Whether a secret is still there in some way of writing it that nobody has thought of."""
    if b"%" not in body and b"\\" not in body and b"+" not in body:
        return False
    plain = body.decode("utf-8", "replace")
    return secret in unquote_plus(plain) or secret in plain.replace("\\", "")
