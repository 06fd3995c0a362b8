"""Requests to a provider, passed on as they are: those of clients and our own questions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from archiver.errors import HoldfastError
from receiver.exchange import Request
from receiver.reading import whole

_CONNECT_SECONDS = 10.0
# Shorter than any provider's own, so that a request seldom meets a connection just being closed.
_KEEPALIVE_SECONDS = 10.0

# RFC 9110 §7.6.1, and what an HTTP library sets by itself.
_OF_THE_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

# Pictures as text are the largest there are.
_MAX_ANSWER_BYTES = 64 << 20

Headers = Iterable[tuple[str, str]]


class UpstreamError(HoldfastError):
    """The provider gave no answer; `sent`: the request may have reached it all the same."""

    def __init__(self, sentence: str, *, sent: bool) -> None:
        super().__init__(sentence)
        self.sent = sent


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A whole answer as it came, its body still encoded."""

    status: int
    headers: Mapping[str, str]
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Upstream:
    """One session for all providers; an async context manager."""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    @asynccontextmanager
    async def send(
        self, base_url: str, request: Request, *, seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, its body still to be read; no redirect is followed.

        `seconds` is the longest silence that is waited for. Raises UpstreamError, whose sentence
        holds no more of the URL than its host; what reading the body raises is aiohttp's.
        """
        url = URL(base_url.rstrip("/") + request.path, encoded=True)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_SECONDS, sock_read=seconds
        )
        try:
            response = await self._session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body or None,
                allow_redirects=False,
                timeout=timeout,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            sent = not isinstance(error, aiohttp.ClientConnectorError | ValueError)
            raise UpstreamError(
                f"{url.raw_host} gave no answer ({type(error).__name__})", sent=sent
            ) from None
        try:
            yield response
        finally:
            response.close()

    async def ask(self, base_url: str, request: Request, *, seconds: float) -> Answer:
        """The whole answer; raises UpstreamError, for one too large or broken off as well."""
        async with self.send(base_url, request, seconds=seconds) as response:
            try:
                body = await whole(response.content, _MAX_ANSWER_BYTES)
            except (aiohttp.ClientError, OSError) as error:
                said = f"the answer broke off ({type(error).__name__})"
                raise UpstreamError(said, sent=True) from None
        if body is None:
            raise UpstreamError(f"the answer is larger than {_MAX_ANSWER_BYTES} bytes", sent=True)
        return Answer(
            status=response.status,
            headers=response.headers,
            raw_headers=response.raw_headers,
            body=body,
        )


def end_to_end(headers: Headers, *less: str) -> tuple[tuple[str, str], ...]:
    """The headers meant for the other end, less those of these names (in small letters)."""
    found = [(name.lower(), name, value) for name, value in headers]
    dropped = {*_OF_THE_HOP, *less}
    for lower, _, value in found:
        if lower == "connection":
            dropped.update(option.strip().lower() for option in value.split(","))
    return tuple([(name, value) for lower, name, value in found if lower not in dropped])
