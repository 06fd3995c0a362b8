"""The archive's desk seen from another host: the same calls, over HTTP (`archiver.desk.wire`)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
import msgspec

from archiver.desk import Commission, Verdict, wire
from archiver.errors import (
    BucketError,
    CatalogUnavailableError,
    ConfigError,
    FetchError,
    LeaseLostError,
    NotOfferedError,
)
from archiver.handles import opened
from archiver.log import logger
from archiver.models import Fault, Rendering
from archiver.redact import redact

T = TypeVar("T")

# A heart must be able to beat three times in a lease.
_CALL = aiohttp.ClientTimeout(total=15)
# A picture's way up or down, or the archive's reading it back, over a slow line.
_TRANSFER = aiohttp.ClientTimeout(total=900, sock_connect=15, sock_read=120)

_PIECE_BYTES = 1 << 16
_FAULTS = {413: Fault.TOO_LARGE}
# Not the request's own fault, so that asking again may help.
_PASSING = (404, 408, 429)


class HttpDesk:
    """See Desk; a context manager. Raises ConfigError where the server will not have this token."""

    def __init__(self, server: str, token: str, *, allow_http: bool = False) -> None:
        self._server = _checked(server, allow_http=allow_http)
        self._bearer = {"Authorization": f"Bearer {token}"}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def claim(
        self, worker: str, *, fresh: bool = False, number: int | None = None
    ) -> Commission | None:
        """See Desk."""
        claim = wire.Claim(worker=worker, fresh=fresh, number=number)
        try:
            body = await self._post("claim", claim)
        except LeaseLostError as error:  # there is none yet: it is not to be had
            raise NotOfferedError(str(error)) from error
        if not body:
            return None
        commission = self._decoded(body, Commission)
        _log("claimed", commission)
        return commission

    async def keep(self, commission: Commission) -> bool:
        """See Desk."""
        beat = wire.Heartbeat(fence=commission.fence)
        body = await self._post(f"{commission.job_id}/heartbeat", beat)
        return self._decoded(body, wire.Wanted).wanted

    async def picture(self, commission: Commission, blob_key: str) -> AsyncIterator[bytes]:
        """See Desk."""
        path = f"{commission.job_id}/pictures/{quote(blob_key)}?fence={commission.fence}"
        async with self._asked("GET", path, timeout=_TRANSFER) as answer:
            link = answer.headers.get("Location")
            if link is None:
                async for chunk in answer.content.iter_chunked(_PIECE_BYTES):
                    yield chunk
                return
        async with self._at_bucket("GET", link) as answer:
            async for chunk in answer.content.iter_chunked(_PIECE_BYTES):
                yield chunk

    async def complete(self, commission: Commission, png: Path, rendering: Rendering) -> None:
        """See Desk."""
        try:
            sha256, size_bytes = await asyncio.to_thread(_digest, png)
        except OSError as error:
            raise FetchError(Fault.SHORT, f"the drawn picture is gone: {error}") from error
        # A lease may have ended because all this was done before, and only its answer was lost.
        with suppress(LeaseLostError):
            await self._bring(commission, png, sha256, size_bytes)
        completed = wire.Completed(
            fence=commission.fence, sha256=sha256, size_bytes=size_bytes, rendering=rendering
        )
        await self._post(f"{commission.job_id}/complete", completed, timeout=_TRANSFER)
        _log("rendered", commission, size_bytes=size_bytes)

    async def fail(self, commission: Commission, verdict: Verdict, reason: str) -> None:
        """See Desk."""
        failed = wire.Failed(fence=commission.fence, verdict=verdict, reason=reason)
        await self._post(f"{commission.job_id}/fail", failed)
        _log(verdict, commission, reason=reason)

    async def _bring(self, commission: Commission, png: Path, sha256: str, size_bytes: int) -> None:
        """The bytes into the bucket: straight, or through the archive where that cannot be."""
        offer = wire.Offer(fence=commission.fence, sha256=sha256, size_bytes=size_bytes)
        body = await self._post(f"{commission.job_id}/upload", offer)
        if body and await self._put(self._decoded(body, wire.Upload), png):
            return
        path = f"{commission.job_id}/content?fence={commission.fence}"
        with await opened(lambda: png.open("rb")) as file:
            # What comes is held to its digest when it is completed.
            async with self._asked("PUT", path, timeout=_TRANSFER, data=file):
                return

    async def _put(self, upload: wire.Upload, png: Path) -> bool:
        """Whether the bucket has it now: it may well be reached from the archive's host alone."""
        try:
            with await opened(lambda: png.open("rb")) as file:
                async with self._at_bucket("PUT", upload.url, headers=upload.headers, data=file):
                    return True
        except BucketError as error:
            logger().warning("the archive passes a picture on", because=str(error))
            return False

    async def _post(
        self, path: str, said: msgspec.Struct, *, timeout: aiohttp.ClientTimeout = _CALL
    ) -> bytes:
        """Says it, and returns what is answered; empty for 204."""
        body = msgspec.json.encode(said)
        try:
            async with self._asked("POST", path, timeout=timeout, data=body) as answer:
                return await answer.read()
        except NotOfferedError as error:
            raise CatalogUnavailableError(f"{error}: is it holdfast's private listener?") from error

    @asynccontextmanager
    async def _asked(
        self, method: str, path: str, *, timeout: aiohttp.ClientTimeout, data: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """What the server answers, if it is what was asked for; else raises what it means."""
        url = f"{self._server}/api/v1/jobs/{path}"
        try:
            async with self._session.request(
                method, url, headers=self._bearer, data=data, timeout=timeout, allow_redirects=False
            ) as answer:
                if answer.status not in (200, 204, 302 if method == "GET" else 200):
                    self._refuse(answer.status, await _detail(answer))
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or type(error).__name__
            raise CatalogUnavailableError(f"{self._server} cannot be reached: {why}") from error

    def _refuse(self, status: int, detail: str) -> None:
        if status in (401, 403):
            raise ConfigError(
                f"{self._server} refuses the token ({detail}): let its configuration have "
                '[tokens.NAME] with the sha256 of this token and scopes = ["worker"]'
            )
        if status == 409:
            raise LeaseLostError(detail)
        said = f"{self._server} answered {status} ({detail})"
        if 400 <= status < 500 and status not in _PASSING:
            raise FetchError(_FAULTS.get(status, Fault.NOT_MEDIA), said)
        raise NotOfferedError(said) if status == 404 else CatalogUnavailableError(said)

    @asynccontextmanager
    async def _at_bucket(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, data: Any = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The bucket's answer to a presigned request, which is nobody else's and never told."""
        host = urlsplit(url).hostname
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, timeout=_TRANSFER, allow_redirects=False
            ) as answer:
                # 412: the very same picture is there already.
                if answer.status not in (200, 412 if method == "PUT" else 200):
                    raise BucketError(f"the bucket at {host} answered {answer.status}")
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = type(error).__name__  # its words might hold the URL
            raise BucketError(f"the bucket at {host} cannot be reached: {why}") from error

    def _decoded(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as error:
            raise CatalogUnavailableError(
                f"{self._server} answered what is not understood ({error}): is it of this version?"
            ) from error


def _checked(server: str, *, allow_http: bool) -> str:
    """The URL without a slash at its end; raises ConfigError."""
    try:
        parts = urlsplit(server)
        secure = parts.scheme == "https" or allow_http or _is_loopback(parts.hostname or "")
    except ValueError:
        parts, secure = urlsplit(""), True
    more = parts.query or parts.username or parts.password
    if parts.scheme not in ("https", "http") or not parts.hostname or more:
        raise ConfigError(f"--server = {redact(server)!r} is not https://host[:port]")
    if not secure:
        raise ConfigError(
            f"--server = {server!r} would send the token in the clear: let it be https://, or say "
            "--allow-http where the network is your own"
        )
    return server.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _detail(answer: aiohttp.ClientResponse) -> str:
    """What a problem document says, or at least its status."""
    body = await answer.read()
    try:
        return str(msgspec.json.decode(body)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"{answer.status} {answer.reason}"


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return digest.hexdigest(), file.tell()


def _log(event: str, commission: Commission, **says: object) -> None:
    generation = commission.generation
    logger().info(
        event,
        job=commission.job_id,
        provider=generation.provider,
        generation=generation.id,
        slot=commission.index,
        **says,
    )
