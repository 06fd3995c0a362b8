"""The digests that an answer's headers promise of its body, and whether the body keeps them.

A header that cannot be read promises nothing. What was not promised is not computed.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from fastcrc import crc32, crc64

from archiver.errors import FetchError
from archiver.models import Fault


@dataclass(frozen=True, kw_only=True, slots=True)
class Digest:
    """One promise: the header that made it, and the digest that the whole body shall have."""

    header: str
    algorithm: str
    value: bytes


class Check:
    """Digests one body as it streams by, to hold it to what was `promised` of it."""

    def __init__(self, promised: Collection[Digest]) -> None:
        self._promised = promised
        self._running = {digest.algorithm: _ALGORITHMS[digest.algorithm]() for digest in promised}

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes into account."""
        for running in self._running.values():
            running.update(chunk)

    def found(self) -> Mapping[str, bytes]:
        """What the body fed so far comes to, by algorithm."""
        return {algorithm: running.digest() for algorithm, running in self._running.items()}

    def broken(self) -> tuple[str, ...]:
        """The headers whose promise the body does not keep, in order, each once."""
        found = self.found()
        broken = (it.header for it in self._promised if it.value != found[it.algorithm])
        return tuple(dict.fromkeys(broken))


class DamagedError(FetchError):
    """What came is not what was promised; `found` is what it came to, by algorithm."""

    def __init__(self, check: Check, host: str) -> None:
        said = " and ".join(check.broken())
        super().__init__(Fault.DAMAGED, f"{host} sent other bytes than its {said} promised")
        self.found = check.found()


def promised(headers: Iterable[tuple[str, str]]) -> tuple[Digest, ...]:
    """All that an answer's headers, as (name, value) pairs of any case, promise of its body."""
    return tuple(
        Digest(header=name.lower(), algorithm=algorithm, value=value)
        for name, text in headers
        if name.lower() in _HEADERS
        for algorithm, value in _HEADERS[name.lower()](text)
    )


class _Running(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A cyclic redundancy check in the shape of hashlib's objects, big-endian."""

    def __init__(self, continued: Callable[[bytes, int | None], int], size_bytes: int) -> None:
        self._continued = continued
        self._size_bytes = size_bytes
        self._value = continued(b"", None)

    def update(self, data: bytes, /) -> None:
        self._value = self._continued(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size_bytes)


_ALGORITHMS: Mapping[str, Callable[[], _Running]] = {
    "crc64": lambda: _Crc(crc64.xz, 8),
    "crc32c": lambda: _Crc(crc32.iscsi, 4),
    "md5": lambda: hashlib.md5(usedforsecurity=False),
}
_SIZES_BYTES = {"crc64": 8, "crc32c": 4, "md5": 16}


def _oss_crc64(text: str) -> Iterator[tuple[str, bytes]]:
    """CRC-64/XZ as a decimal number (Alibaba OSS, "GetObject": x-oss-hash-crc64ecma)."""
    number = text.strip()
    # Twenty digits hold any; Python would read other scripts' digits too.
    if number.isascii() and number.isdigit() and len(number) <= 20 and int(number) < 1 << 64:
        yield "crc64", int(number).to_bytes(8)


def _content_md5(text: str) -> Iterator[tuple[str, bytes]]:
    """MD5 in base64 (RFC 1864; Azure "Get Blob" sends it too)."""
    yield from _base64("md5", text)


def _goog_hash(text: str) -> Iterator[tuple[str, bytes]]:
    """`crc32c=…,md5=…` in base64, the CRC big-endian (Google Cloud Storage, "x-goog-hash")."""
    for item in text.split(","):
        algorithm, _, value = item.strip().partition("=")
        if algorithm in ("crc32c", "md5"):
            yield from _base64(algorithm, value)


def _base64(algorithm: str, text: str) -> Iterator[tuple[str, bytes]]:
    try:
        value = b64decode(text.strip(), validate=True)
    except ValueError:
        return
    if len(value) == _SIZES_BYTES[algorithm]:
        yield algorithm, value


_HEADERS: Mapping[str, Callable[[str], Iterator[tuple[str, bytes]]]] = {
    "x-oss-hash-crc64ecma": _oss_crc64,
    "content-md5": _content_md5,
    "x-goog-hash": _goog_hash,
}
