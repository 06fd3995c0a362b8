"""The guarded HTTP client: one GET, redirects by hand, bytes no faster than they are taken."""

import socket
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDictProxy
from yarl import URL

from archiver.clock import monotonic, now
from archiver.egress.answers import REDIRECTS, refusal
from archiver.egress.policy import ANY_HOST, EgressPolicy, is_permitted_address, permitted_url
from archiver.errors import FetchError
from archiver.models import Fault

_DNS_CACHE_SECONDS = 60
# What proxies say of a host to which they connect nobody.
_REFUSED_BY_PROXY = frozenset({403, 407})
# As much again may wait in each connection for its share of memory.
_READ_BUFFER_BYTES = 2**18
# Identity, because bytes are kept as they were made and a compressed answer can be a bomb.
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "holdfast"}


class Egress:
    """One session for all downloads; an async context manager.

    `resolver` replaces the system's name resolution. It need not be trusted: addresses are judged
    when connecting.
    """

    def __init__(self, policy: EgressPolicy, *, resolver: AbstractResolver | None = None) -> None:
        self._policy = policy
        self._resolver = resolver

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                socket_factory=self._open_socket,
                resolver=self._resolver,
                ttl_dns_cache=_DNS_CACHE_SECONDS,
                limit=0,  # the worker is the limit
            ),
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=_READ_BUFFER_BYTES,
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
    async def get(self, url: str, allowed_hosts: Collection[str]) -> AsyncIterator["Incoming"]:
        """Ask for `url` and yield the good answer's body, still to be read.

        A host in `allowed_hosts` allows its sub-domains. Raises FetchError, whose sentence never
        holds more of the URL than its host. What the body of the `with` raises is left alone.
        """
        give_up_at = monotonic() + self._policy.total_seconds
        target = permitted_url(url, allowed_hosts, self._policy)
        for _ in range(self._policy.max_redirects + 1):
            response = await self._ask(target, give_up_at)
            try:
                location = response.headers.get("Location")
                if response.status not in REDIRECTS or location is None:
                    yield _accept(response, self._policy)
                    return
                target = permitted_url(location, allowed_hosts, self._policy, seen_at=target)
            finally:
                response.close()
        raise FetchError(
            Fault.SERVER,
            f"{target.raw_host} redirects more than {self._policy.max_redirects} times",
        )

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Send `body` to an address that the operator has written; any 2xx is a good answer.

        No redirect is followed, and nothing but the head of the answer is read. Raises FetchError.
        """
        give_up_at = monotonic() + self._policy.total_seconds
        target = permitted_url(url, ANY_HOST, self._policy)
        response = await self._ask(target, give_up_at, method="POST", data=body, headers=headers)
        response.close()
        if not 200 <= response.status < 300:
            raise refusal(response.status, response.headers, str(target.raw_host), now())

    async def _ask(
        self, target: URL, give_up_at: float, *, method: str = "GET", **sent: Any
    ) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(
            total=max(give_up_at - monotonic(), 0.001),  # 0 would mean for ever
            sock_connect=self._policy.connect_seconds,
            sock_read=self._policy.read_seconds,
        )
        try:
            return await self._session.request(
                method,
                target,
                allow_redirects=False,
                timeout=timeout,
                proxy=self._policy.proxy,
                **sent,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _trouble(target.raw_host, error, self._policy) from None

    def _open_socket(self, address_info: tuple[Any, ...]) -> socket.socket:
        """The socket for one connection attempt; every attempt passes here, whatever led to it.

        With a proxy all of them are to that, and it may stand wherever the operator has put it.
        """
        family, kind, protocol, _, address = address_info
        if not self._policy.proxy and not is_permitted_address(address[0], self._policy):
            raise _AddressRefusedError
        return socket.socket(family, kind, protocol)


class Incoming:
    """A good answer whose body is on its way."""

    def __init__(self, response: aiohttp.ClientResponse, policy: EgressPolicy) -> None:
        self.declared_bytes: int | None = response.content_length
        self.headers: CIMultiDictProxy[str] = response.headers
        self._response = response
        self._policy = policy

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes in, in pieces of any size; raises FetchError.

        aiohttp holds the origin to the length it declared. For the least rate only the time spent
        waiting for the origin counts, never our own slowness; for the total time both do.
        """
        host, policy = self._response.url.raw_host, self._policy
        received_bytes, waited_seconds = 0, 0.0
        while True:
            asked_at = monotonic()
            try:
                chunk = await self._response.content.readany()
            except (aiohttp.ClientError, OSError) as error:
                raise _trouble(host, error, policy) from None
            if not chunk:
                return
            waited_seconds += monotonic() - asked_at
            received_bytes += len(chunk)
            if received_bytes > policy.max_bytes:
                raise _too_large(host, policy)
            if (
                waited_seconds > policy.grace_seconds
                and received_bytes < policy.min_bytes_per_second * waited_seconds
            ):
                raise FetchError(
                    Fault.NETWORK,
                    f"{host} sends less than {policy.min_bytes_per_second} bytes a second",
                )
            yield chunk


class _AddressRefusedError(OSError):
    """An OSError, so that the connector goes on to the name's next address, which may be public."""


def _accept(response: aiohttp.ClientResponse, policy: EgressPolicy) -> Incoming:
    """The body of a 200 that may be read; anything else raises FetchError."""
    host = str(response.url.raw_host)
    if response.status != 200:
        raise refusal(response.status, response.headers, host, now())
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise FetchError(Fault.SERVER, f"{host} encoded the body though asked for it as it is")
    if response.content_length is not None and response.content_length > policy.max_bytes:
        raise _too_large(host, policy)
    return Incoming(response, policy)


def _too_large(host: str | None, policy: EgressPolicy) -> FetchError:
    return FetchError(
        Fault.TOO_LARGE,
        f"{host} sends more than {policy.max_bytes} bytes, the limit of egress.max_bytes",
    )


def _trouble(host: str | None, error: Exception, policy: EgressPolicy) -> FetchError:
    """What an exception means, told without its text, which may hold the URL's query."""
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(
        error.os_error, _AddressRefusedError
    ):
        return FetchError(
            Fault.FORBIDDEN,
            f"{host} is at an address that is not public; "
            f"if that is meant, add its network to {policy.table}.allow_cidrs",
        )
    if isinstance(error, aiohttp.ClientHttpProxyError):
        fault = Fault.FORBIDDEN if error.status in _REFUSED_BY_PROXY else Fault.NETWORK
        return FetchError(fault, f"the proxy of egress.proxy answers {error.status} for {host}")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return FetchError(Fault.NETWORK, "the proxy of egress.proxy cannot be reached")
    if isinstance(error, ValueError):  # aiohttp's own of such URLs among them
        return FetchError(Fault.FORBIDDEN, f"{host} is no way to write a host")
    if isinstance(error, aiohttp.ClientPayloadError):
        return FetchError(Fault.SHORT, f"{host} broke off before the end of the body")
    fault = Fault.SERVER if isinstance(error, aiohttp.ClientResponseError) else Fault.NETWORK
    return FetchError(fault, f"no good answer from {host} ({type(error).__name__})")
