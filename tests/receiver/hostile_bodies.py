"""Bodies that an authentic sender could send, and nobody should: stored first, and read later."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import cache

_DEEP = 100_000


def hostile_bodies(generation_id: str) -> dict[str, bytes]:
    """By what is wrong with them; those that name a generation name this one, and all differ."""
    own = json.dumps(generation_id).encode()
    good = (
        b'{"id": %b, "task_id": %b, "status": "completed", "url": "https://cdn.doitong.com/a.png"}'
        % (
            own,
            own,
        )
    )

    def field(name: bytes, value: bytes) -> bytes:
        return good[:-1] + b', "%b": %b}' % (name, value)

    return {
        "deep lists": b"[" * _DEEP + b"]" * _DEEP,
        "deep lists, not closed": b"[" * _DEEP,
        "deep objects": b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
        "a deep field": field(b"n", b"[" * _DEEP + b"]" * _DEEP),
        "a deep picture": field(b"output", b"[" * 2000 + b"]" * 2000),
        "NaN": field(b"cost", b"NaN"),
        "Infinity": field(b"creditCost", b"Infinity"),
        "less than infinity": field(b"creditCost", b"-Infinity"),
        "1e400": field(b"creditCost", b"1e400"),
        "-0.0": field(b"creditCost", b"-0.0"),
        "a number of 5,000 digits": field(b"seed", b"9" * 5000),
        "a number of 20 digits": field(b"seed", b"9" * 20),
        "a tiny number": field(b"creditCost", b"0." + b"0" * 5000 + b"1"),
        "an id that is a number": b'{"id": 1%b, "status": "completed"}' % (b"0" * 30),
        "an id of 4,000 digits": b'{"id": 1%b, "status": "completed"}' % (b"0" * 4000),
        "an id that is nothing": b'{"id": null, "status": "completed", "url": "https://c/a"}',
        "an empty id": b'{"id": "", "status": "completed", "url": "https://c/a"}',
        "an id with a zero": b'{"id": "a\\u0000b", "status": "completed", "url": "https://c/a"}',
        "an id of a kilobyte": b'{"id": "%b", "status": "completed"}' % (b"i" * 1000),
        "an id of a megabyte": b'{"id": "%b", "status": "completed"}' % (b"i" * 1_000_000),
        "an id that is a path": b'{"id": "../../../../etc/passwd", "status": "completed"}',
        "an id that turns round": '{"id": "\u202egnp.\u2066", "status": "queued"}'.encode(),
        "an id of blanks": b'{"id": " \\t\\n ", "status": "completed"}',
        "half a surrogate pair": b'{"id": "\\ud800", "status": "completed"}',
        "half a pair in a key": field(b"\\udfff", b"1"),
        "half a pair in a link": b'{"id": "s1", "status": "completed", "url": "https://c/\\ud800"}',
        "half a pair in a prompt": field(b"prompt", b'"\\ud83d"'),
        "a zero in a prompt": field(b"prompt", b'"a\\u0000b"'),
        "a raw zero": field(b"prompt", b'"a\x00b"'),
        "raw controls": field(b"prompt", b'"\x01\x1b[2J\x7f"'),
        "a key twice": field(b"id", b'"another"'),
        "a key a thousand times": good[:-1] + b', "id": "another"' * 1000 + b"}",
        "many keys": b"{" + b",".join(b'"%d":0' % n for n in range(90_000)) + b"}",
        "many empty lists": b"[" + b",".join([b"[]"] * 340_000) + b"]",
        "many links": b'{"id": "m1", "status": "completed", "output": [%b]}'
        % b",".join(b'"https://c/%d"' % n for n in range(20_000)),
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "two of them": b"\xef\xbb\xbf" * 2 + good,
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-32": good.decode().encode("utf-32"),
        "UTF-7": b"+AHsAIgBpAGQAIgA6ADEAfQ-",
        "no UTF-8": field(b"prompt", b'"\xff\xfe\xc0\xaf"'),
        "text after it": good + b" x",
        "two documents": good + good,
        "a list of it": b"[" + good + b"]",
        "a text": b'"' + b"a" * 100 + b'"',
        "null": b"null",
        "true": b"true",
        "blanks": b" " * 1000,
        "a comment": b"/* a */" + good,
        "single quotes": good.replace(b'"', b"'"),
        "cut short": good[:-9],
        "a page": b"<!DOCTYPE html><script>alert(1)</script>",
        "a picture": b"\x89PNG\r\n\x1a\n" + bytes(5000),
        "fields of the wrong kind": b'{"id": "w1", "status": {"a": 1}, "url": [1, null]}',
        "a status of a megabyte": field(b"status", b'"%b"' % (b"s" * 900_000)),
        "a state that nobody knows": field(b"status", b'"\\u001b[2J' + b'\xf0\x9f\x98\x80" '),
        "a prototype": field(b"__proto__", b'{"admin": true}'),
        "a link that is none": b'{"id": "l1", "status": "completed", "url": "https://[v1.x]:\\u0000"}',
        "a link of a megabyte": b'{"id": "l2", "status": "completed", "url": "https://c/%b"}'
        % (b"a" * 900_000),
        "a picture in a link": b'{"id": "l3", "status": "completed", "url": "data:image/png,%b"}'
        % (b"A" * 900_000),
        "times of another age": field(b"completedAt", b'"99999-13-45T99:99:99Z"'),
        "a time as a number": field(b"completedAt", b"1e300"),
    }


@cache
def bombs(size_bytes: int) -> dict[str, tuple[bytes, bytes]]:
    """Small bodies that would become so large, with the content-encoding that makes them so."""
    zeros = bytes(size_bytes)
    return {
        "a gzip bomb": (b"gzip", bomb := gzip.compress(zeros, 6)),
        "a deflate bomb": (b"deflate", zlib.compress(zeros, 6)),
        "a bomb in a bomb": (b"gzip, gzip", gzip.compress(bomb, 6)),
        "a bomb of nested lists": (b"gzip", gzip.compress(b"[" * size_bytes, 6)),
        "brotli": (b"br", b"\x1b\xff\xff\xff" + bytes(99)),
        "an encoding within an encoding within …": (
            b"gzip, " * 400 + b"gzip",
            gzip.compress(b"{}"),
        ),
        "cut short": (b"gzip", gzip.compress(zeros[:5000])[:-9]),
    }
