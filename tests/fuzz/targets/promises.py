"""The headers of an origin's answer: the digests that it promises, and when to come again."""

from __future__ import annotations

from archiver.digests import Check, promised
from archiver.egress import answers
from archiver.egress.answers import refusal
from tests.clocks import NOON
from tests.fuzz.target import Sabotage, Target
from tests.fuzz.wire import headers_and_body


def law(data: bytes) -> None:
    """What a header promises can be checked, and the true digests of a body keep every promise."""
    pairs, body = headers_and_body(data)
    headers = [(name.decode("latin-1"), value.decode("latin-1").strip()) for name, value in pairs]
    promises = promised(headers)
    check = Check(promises)
    for start in range(0, len(body), 7):
        check.feed(body[start : start + 7])
    found = check.found()
    assert {it.algorithm for it in promises} == set(found)
    broken = {it.header for it in promises if it.value != found[it.algorithm]}
    assert set(check.broken()) == broken
    assert all(len(it.value) == len(found[it.algorithm]) for it in promises)
    refused = refusal(429, dict(headers), "b.example", NOON)
    assert str(refused) == "b.example answered 429"
    seconds = refused.retry_after_seconds
    assert seconds is None or 0 <= seconds <= 3600


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="bounding the wait",
        owner=answers,
        name="_LONGEST_WAIT_SECONDS",
        instead=float("inf"),
    ),
    words=(
        *(b"Retry-After: ", b"x-oss-hash-crc64ecma: ", b"Content-MD5: ", b"x-goog-hash: crc32c="),
        *(b"md5=", b"==", b"Sat, 21 Nov 2026 12:00:00 GMT", b"18446744073709551615", b"\n\n"),
        *(b"-0000", b"+9999", b"0001", b"99999999999999999999999"),
    ),
)
