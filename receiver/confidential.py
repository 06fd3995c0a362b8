"""What of a request may be kept: everything but the keys, wherever a provider lets them stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

import msgspec

CUT_OUT = "(cut out)"

# ModelsLab and its like want the key among the parameters.
_FIELDS = frozenset({"key", "api_key", "apikey", "api-key", "access_key", "secret_key"})
_FIELD = rb'"(?:' + b"|".join(re.escape(field.encode()) for field in sorted(_FIELDS)) + rb')"'
_FIELD_NAME = re.compile(_FIELD, re.IGNORECASE)
_FIELD_IN_TEXT = re.compile(_FIELD + rb'\s*:\s*"(?:[^"\\]|\\.)*("|$)', re.IGNORECASE | re.DOTALL)
# A key this short would be found in every text; no provider gives one out.
_SHORTEST_KEY = 6


def without_keys(body: bytes, content_type: str, api_key: str | None) -> bytes:
    """A request's or answer's body without API keys, else byte for byte if it held none.

    What cannot be searched for keys (`multipart/…` and encoded bodies) is not kept at all.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        return b""
    if kind == "application/x-www-form-urlencoded":
        body = _without_key_in_form(body)
    elif body.lstrip()[:1] in (b"{", b"["):
        body = _without_key_in_json(body, api_key)
    return _without(body, api_key)


def _without_key_in_form(body: bytes) -> bytes:
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    if not any(name.lower() in _FIELDS for name, _ in pairs):
        return body
    return urlencode(
        [(name, CUT_OUT if name.lower() in _FIELDS else value) for name, value in pairs]
    ).encode()


def _without_key_in_json(body: bytes, api_key: str | None) -> bytes:
    if b"\\" not in body and not _FIELD_NAME.search(body):
        return body  # as nearly all are: without an escape, a name is there or it is not
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _FIELD_IN_TEXT.sub(rb'"key":"' + CUT_OUT.encode() + b'"', body)
    cut = [_cut(fields) for fields in _objects(document)]
    if not any(cut) and b"\\" not in body:
        return body
    # An escape may hide a key from a search of the bytes; written anew it cannot.
    written = msgspec.json.encode(document)
    return written if any(cut) or _without(written, api_key) != written else body


def _objects(document: object) -> Iterator[dict[str, Any]]:
    """Each object of a document, wherever it stands."""
    waiting = [document]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            yield found
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def _cut(fields: dict[str, Any]) -> bool:
    keys = [name for name in fields if name.lower() in _FIELDS and fields[name]]
    fields.update(dict.fromkeys(keys, CUT_OUT))
    return bool(keys)


def _without(body: bytes, api_key: str | None) -> bytes:
    """Without the very key, as it is and as JSON, a form or a URL would write it."""
    if api_key is None or len(api_key) < _SHORTEST_KEY:
        return body
    for form in _forms(api_key):
        body = body.replace(form, CUT_OUT.encode())
    return body


@lru_cache(maxsize=1024)  # few keys make all the requests
def _forms(api_key: str) -> frozenset[bytes]:
    written = msgspec.json.encode(api_key)[1:-1]
    quoted = (quote(api_key).encode(), quote_plus(api_key).encode())
    return frozenset({api_key.encode(), written, *quoted})
