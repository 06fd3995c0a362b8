"""Requests that no polite client sends, each built around a good one; and one that is smuggled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.receiver.wire import CHUNKED, LAST_CHUNK, chunked, head, length, webhook

# Whoever finds this stored has read a body as a request.
SMUGGLED = b'{"id": "smuggled"}'
Header = tuple[bytes, bytes]
_JSON = (b"Content-Type", b"application/json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Good:
    """A request that is taken: by which method and path, with which headers, and its body."""

    method: bytes
    path: bytes
    headers: Sequence[Header]
    body: bytes

    def wire(self, *more: Header, method: bytes = b"", path: bytes = b"") -> bytes:
        """It with its length, and with more headers."""
        return self.headed(length(self.body), *more, method=method, path=path) + self.body

    def headed(self, *more: Header, method: bytes = b"", path: bytes = b"") -> bytes:
        """Its head alone, without a length."""
        given = {"method": method or self.method, "path": path or self.path}
        return head(*self.headers, _JSON, *more, **given)


def hostile_wires(good: Good, *, secret: str) -> dict[str, bytes]:
    """By what is wrong with them."""
    hidden = webhook(SMUGGLED, secret=secret)
    return {
        **_framings(good, hidden),
        **_heads(good),
        **_paths(good),
        **_methods(good),
        **_bodies(good),
    }


def _framings(good: Good, hidden: bytes) -> dict[str, bytes]:
    """What two readers would cut up differently; most would smuggle a request."""
    body, wire, headed = good.body, good.wire(), good.headed()
    size = b"Content-Length: %d" % len(body)

    def te(*values: bytes) -> bytes:
        return good.headed(*[(b"Transfer-Encoding", value) for value in values])

    last = LAST_CHUNK + hidden
    return {
        "length and chunks": good.headed((b"Content-Length", b"4"), CHUNKED) + last,
        "chunks and length": good.headed(CHUNKED, (b"Content-Length", b"6")) + last,
        "two lengths": good.wire((b"Content-Length", b"0")) + hidden,
        "the same length twice": good.wire(length(body)),
        "two lengths in one": wire.replace(size, size + b", 0") + hidden,
        "a length with a plus": wire.replace(size, b"Content-Length: +%d" % len(body)),
        "a length with an underscore": wire.replace(size, b"Content-Length: 1_0") + hidden,
        "a length in hex": wire.replace(size, b"Content-Length: 0x10") + hidden,
        "a length in Arabic digits": wire.replace(size, "Content-Length: ١٠".encode()) + hidden,
        "a length below zero": wire.replace(size, b"Content-Length: -1"),
        "an empty length": wire.replace(size, b"Content-Length:"),
        "a length beyond all bounds": wire.replace(size, b"Content-Length: " + b"9" * 5000),
        "a length of a fraction": wire.replace(size, b"Content-Length: 1.0"),
        "a length with a blank": wire.replace(size, b"Content-Length: 1 0"),
        "chunks by another name": te(b"xchunked") + last,
        "chunks twice": te(b"chunked, chunked") + last,
        "chunks in two headers": te(b"chunked", b"chunked") + last,
        "chunks of chunks": te(b"chunked, identity") + last,
        "chunks, and then gzip": te(b"gzip, chunked") + LAST_CHUNK,
        "chunks in capitals": te(b"CHUNKED") + LAST_CHUNK,
        "chunks with a tab": te(b"\tchunked") + LAST_CHUNK,
        "chunks with a comma": te(b",chunked") + LAST_CHUNK,
        "chunks with a vertical tab": te(b"\x0bchunked") + last,
        "chunks with a zero": te(b"chunked\0") + last,
        "chunks under a broken name": good.headed((b"Transfer-Encoding ", b"chunked")) + last,
        "chunks behind a bare line feed": good.headed((b"X", b"y\nTransfer-Encoding: chunked"))
        + last,
        "chunks in HTTP/1.0": te(b"chunked").replace(b"HTTP/1.1", b"HTTP/1.0") + last,
        "a chunk of no size": te(b"chunked") + b"size\r\n" + body,
        "a chunk with a minus": te(b"chunked") + b"-1\r\n" + last,
        "a chunk with a plus": te(b"chunked") + b"+5\r\n" + last,
        "a chunk with 0x": te(b"chunked") + b"0x5\r\nabcde\r\n" + last,
        "a chunk with an underscore": te(b"chunked") + b"1_0\r\n" + last,
        "a chunk beyond all bounds": te(b"chunked") + b"f" * 40 + b"\r\n" + body,
        "a chunk without its end": te(b"chunked") + b"1\r\n" + body + last,
        "a chunk ended by a line feed": te(b"chunked") + b"2\nab\n0\n\n" + hidden,
        "a chunk's extension": te(b"chunked") + b"2;a=b;c\r\n{}\r\n" + LAST_CHUNK,
        "a chunk's endless extension": te(b"chunked")
        + b"2;"
        + b"a" * 100_000
        + b"\r\n{}\r\n"
        + LAST_CHUNK,
        "a hidden extension": te(b"chunked") + b"2;\nxx\r\n4c\r\n0\r\n\r\n" + hidden,
        "trailers": te(b"chunked") + b"2\r\n{}\r\n0\r\nX-A: b\r\nHost: c\r\n\r\n",
        "a trailer with a length": te(b"chunked")
        + b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n"
        + hidden,
        "endless trailers": te(b"chunked") + b"0\r\n" + b"X-A: b\r\n" * 20_000,
        "chunks of one byte": te(b"chunked") + chunked([b"x"] * 5000) + LAST_CHUNK,
        "chunks cut short": te(b"chunked") + chunked([body])[:-3],
        "a body cut short": wire[:-1],
        "no length": good.headed() + body,
        "pipelined garbage": wire + b"\0\xff\x16\x03garbage\r\n\r\n" + hidden,
        "a body that is a request": good.headed(length(hidden)) + hidden,
        "bare line feeds": wire.replace(b"\r\n", b"\n"),
        "bare carriage returns": wire.replace(b"\r\n", b"\r"),
        "a line feed before the head": b"\r\n\n" + wire,
        "a blank line in the head": headed.replace(b"\r\n", b"\r\n\r\n", 1) + body,
    }


def _heads(good: Good) -> dict[str, bytes]:
    host = b"Host: 127.0.0.1\r\n"
    wire = good.wire()
    signature = good.headers[0] if good.headers else (b"X-Any", b"a")
    name, value = signature
    return {
        "no host": wire.replace(host, b""),
        "two hosts": wire.replace(host, host * 2),
        "two other hosts": wire.replace(host, host + b"Host: evil.example\r\n"),
        "an empty host": wire.replace(host, b"Host:\r\n"),
        "a host of nonsense": wire.replace(host, b"Host: a b\\@c:99999/%%\r\n"),
        "a host in brackets": wire.replace(host, b"Host: [::1\r\n"),
        "a host with a zero": wire.replace(host, b"Host: a\0b\r\n"),
        "a huge host": wire.replace(host, b"Host: " + b"a" * 8000 + b"\r\n"),
        "a header of a megabyte": good.wire((b"X-A", b"a" * (1 << 20))),
        "a header name of a megabyte": good.wire((b"A" * (1 << 20), b"a")),
        "a thousand headers": good.wire(*[(b"X-%d" % n, b"a") for n in range(1000)]),
        "a folded header": good.wire((b"X-A", b"a\r\n b")),
        "a header with a zero": good.wire((b"X-A", b"a\0b")),
        "a header without a name": good.wire((b"", b"a")),
        "a header without a colon": wire.replace(host, host + b"nonsense\r\n"),
        "a name with a blank": good.wire((b"X-A ", b"a")),
        "a name with brackets": good.wire((b"X(A)", b"a")),
        "a name beyond ASCII": good.wire(("X-É".encode(), b"a")),
        "a value beyond ASCII": good.wire((b"X-A", bytes(range(128, 256)))),
        "cookies by the thousand": good.wire(
            (b"Cookie", b"; ".join(b"a%d=b" % n for n in range(900)))
        ),
        "a broken cookie": good.wire((b"Cookie", b'a="\\"; =; ;;\xff=')),
        "a broken type": good.wire((b"Content-Type", b'a/b; charset="\xff')),
        "an unknown charset": good.wire((b"Content-Type", b"application/json; charset=rot13")),
        "a broken range": good.wire((b"Range", b"bytes=9-1,-,x")),
        "broken authorization": good.wire(
            (b"Authorization", b"Bearer \xff\xfe"), (b"Authorization", b"x")
        ),
        "broken conditions": good.wire(
            (b"If-None-Match", b'"\xff'), (b"If-Modified-Since", b"9" * 99)
        ),
        "a forwarded address of nonsense": good.wire(
            (b"X-Forwarded-For", b"\xff, ::1%lo, 1.2.3.4.5")
        ),
        "an unknown expectation": good.wire((b"Expect", b"200-ok")),
        "an expectation, and no body": good.headed(length(good.body), (b"Expect", b"100-continue")),
        "an upgrade to a socket": good.wire(
            (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")
        ),
        "an upgrade to HTTP/2": good.wire(
            (b"Connection", b"Upgrade, HTTP2-Settings"),
            (b"Upgrade", b"h2c"),
            (b"HTTP2-Settings", b"AAMAAABk"),
        ),
        "a connection of nonsense": good.wire((b"Connection", b"close, keep-alive, \xff, host")),
        "a signature twice": good.wire(signature),
        "a signature twice, the second wrong": good.wire((name, b"0" + value[1:])),
        "a signature beyond ASCII": wire.replace(value, "sha256=é".encode() * 9),
        "an empty signature": wire.replace(value, b""),
        "a signature of a kilobyte": wire.replace(value, value * 20),
        "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x12\x04\0\0\0\0\0",
        "HTTP/0.9": b"GET /\r\n",
        "HTTP/1.0": wire.replace(b"HTTP/1.1", b"HTTP/1.0"),
        "HTTP/9.9": wire.replace(b"HTTP/1.1", b"HTTP/9.9"),
        "HTTP of no version": wire.replace(b"HTTP/1.1", b"HTTP/"),
        "no HTTP": wire.replace(b"HTTP/1.1", b"ICY/1.1"),
        "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        "zeros": bytes(20_000),
        "line ends": b"\r\n" * 20_000,
    }


def _paths(good: Good) -> dict[str, bytes]:
    path = good.path
    paths = [
        b"http://127.0.0.1" + path,
        b"http://evil.example" + path,
        b"https://127.0.0.1:1" + path,
        b"//evil.example" + path,
        b"*",
        b"",
        b"?",
        b"#",
        path + b"#a",
        path + b"?" + b"a=b&" * 1500,
        path + b"%00",
        path + b"%0d%0aX: y",
        path + b"/",
        path + b"//",
        path + b"/..",
        path + b"/%2e%2e/",
        path + b"%2f..%2f..%2fetc%2fpasswd",
        path.replace(b"/", b"//"),
        path.replace(b"/", b"%2f"),
        path.replace(b"/", b"\\"),
        b"/.." + path,
        b"/./" + path,
        b"/%2e%2e" + path,
        path + b";a=b",
        path + b"%",
        path + b"%zz",
        path + b"%c0%af",
        path + b"%ff%fe",
        path + b"\xe9",
        path + b" x",
        path + b"\t",
        path + "é".encode(),
        path.upper(),
        path + b"%u002e",
        b"/" + b"a" * 8000,
        b"/" + b"a" * 100_000,
        b"/" + b"../" * 2000,
        b"/static/../../etc/passwd",
        b"/static/%2e%2e/x",
        b"/healthz/",
        b"/healthz%00",
        b"/readyz?x=%ff",
        b"/metrics",
        b"/pictures/../x",
        b"/assets/9" + b"9" * 30,
        b"/api/v1/assets/-1",
        b"/api/v1/assets?q=%ff%00" + b"(" * 3000,
        b"/api/v1/assets?limit=" + b"9" * 5000,
        b"/api/v1/assets?cursor=%ff",
        b"/api/v1/generations/doitong/%ff%00",
        b"/login?next=//evil.example",
        b"/webhooks/modelslab/%00",
        b"/webhooks/modelslab/a.b",
        b"/webhooks/modelslab/" + b"a" * 3000 + b".b",
        b"/webhooks/modelslab/..%2fdoitong",
        b"/webhooks/%64oitong",
        b"/webhooks/../webhooks/doitong",
        b"/gateway/" + b"a" * 3000 + b"/dashscope/x",
        b"/gateway/%64ashscope/x",
        b"/gateway/dashscope",
        b"/gateway/dashscope?x",
        b"/gateway/../gateway/dashscope/x",
        b"/gateway//dashscope/x",
        b"/gateway/%00/x",
    ]
    return {
        **{f"a path: {it[:40]!r}, {len(it)}": good.wire(path=it) for it in paths if it},
        "no path": good.wire().replace(b" " + path + b" ", b" "),
    }


def _methods(good: Good) -> dict[str, bytes]:
    methods = [
        b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"PROPFIND",
        b"get", b"PoSt", b"GE\0T", b"G ET", b"\xc9", b"M" * 9000, b"!#$%&'*+-.^_`|~", b"POST:",
    ]  # fmt: skip
    return {
        **{f"a method: {it[:20]!r}": good.wire(method=it) for it in methods},
        "another method by a header": good.wire((b"X-HTTP-Method-Override", b"DELETE")),
    }


def _bodies(good: Good) -> dict[str, bytes]:
    """Whoever sends them has not even a signature."""
    big = b"x" * (2 << 20)
    return {
        "a body too large": good.headed(length(big)) + big,
        "a body too large, in chunks": good.headed(CHUNKED) + chunked([big]) + LAST_CHUNK,
        "a body without end": good.headed(CHUNKED) + chunked([b"x" * 60_000] * 60),
        "a body of a terabyte": good.headed((b"Content-Length", b"1" + b"0" * 12)) + big,
        "no gzip": good.wire((b"Content-Encoding", b"gzip")),
        "no brotli": good.wire((b"Content-Encoding", b"br")),
        "many encodings": good.wire((b"Content-Encoding", b"gzip," * 500)),
        "an encoding beyond ASCII": good.wire((b"Content-Encoding", b"\xff")),
    }
