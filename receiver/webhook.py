"""One webhook: read, verify, record, reply. Nothing is decoded, parsed or fetched here.

Every answer says whether sending the same again could succeed: 5xx and 429 ask for it, 401, 404
and 413 allow it once somebody has mended something, 400 cannot. There is no other way out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from aiohttp import web

from archiver.errors import InboxUnavailableError
from archiver.inbox import InboxWriter, NewDelivery, Recorded
from archiver.inbox.quarantine import Quarantine, Rejected
from archiver.log import Outage
from archiver.models import Heard
from receiver.answers import Answers
from receiver.peers import FailureLimit, Network, caller
from receiver.signatures import Verifier

RETRY_AFTER_SECONDS = 5

# What a header may hold that nobody who reads an inbox should be able to use.
_SECRET_HEADERS = frozenset(
    {b"authorization", b"proxy-authorization", b"cookie", b"x-api-key", b"x-amz-security-token"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """The handler of `POST /webhooks/{source}`."""

    verifiers: Mapping[str, Verifier]
    inbox: InboxWriter
    quarantine: Quarantine
    failures: FailureLimit
    trusted_proxies: tuple[Network, ...]
    max_body_bytes: int
    read_seconds: float
    answers: Answers
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    outage: Outage = field(
        default_factory=lambda: Outage("deliveries are refused", "deliveries are taken in again")
    )

    async def handle(self, request: web.BaseRequest, source: str) -> web.StreamResponse:
        """Answers one webhook; the answers are the table in the README."""
        verifier = self.verifiers.get(source)
        if verifier is None:
            # A stranger's word must not become a metric's label.
            return self.answers.give(request, "unknown", 404, "unknown source")
        peer = self._caller(request)
        wait_seconds = self.failures.retry_after_seconds(peer, self.monotonic())
        if wait_seconds is not None:
            return self.answers.give(
                request, source, 429, "too many wrong requests", retry_after=wait_seconds
            )
        body = await self._read(source, request)
        if isinstance(body, web.StreamResponse):
            return body
        verdict = verifier.verify(request.raw_headers, body)
        if verdict.verified_by is None:
            return self._reject(request, source, peer, body, verdict.reason)
        return await self._record(request, source, peer, body, verdict.verified_by)

    def _caller(self, request: web.BaseRequest) -> str:
        forwarded = request.headers.getall("X-Forwarded-For", ())
        return caller(request.remote or "", forwarded, self.trusted_proxies)

    async def _read(self, source: str, request: web.BaseRequest) -> bytes | web.StreamResponse:
        """The wire's bytes, or the answer to a body that cannot be had."""
        length = request.content_length
        if length and length <= self.max_body_bytes and request.content.is_eof():
            return request.content.read_nowait()  # it came with the header, as most do
        answer = partial(self.answers.give, request, source)
        try:
            async with asyncio.timeout(self.read_seconds):
                body = await _gather(request, self.max_body_bytes)
        except TimeoutError:
            return answer(408, "the body came too slowly", close=True)
        except (web.RequestPayloadError, ConnectionError, ValueError):
            return answer(400, "the body is broken", close=True)
        if body is None:
            return answer(413, f"the body is larger than {self.max_body_bytes} bytes", close=True)
        return body or answer(400, "the body is empty")

    def _reject(
        self, request: web.BaseRequest, source: str, peer: str, body: bytes, reason: str
    ) -> web.StreamResponse:
        self.failures.failed(peer, self.monotonic())
        self.quarantine.offer(
            Rejected(
                source=source,
                path_token="",
                received_at=self.now(),
                peer=peer,
                reason=reason,
                headers=_without_secrets(request.raw_headers),
                body=body,
            )
        )
        return self.answers.give(request, source, 401, reason)

    async def _record(
        self, request: web.BaseRequest, source: str, peer: str, body: bytes, verified_by: str
    ) -> web.StreamResponse:
        delivery = NewDelivery(
            source=source,
            heard=Heard.PUSHED,
            path_token="",
            received_at=self.now(),
            peer=peer,
            verified_by=verified_by,
            headers=_without_secrets(request.raw_headers),
            body=body,
        )
        try:
            recorded = await self.inbox.append(delivery)
        except InboxUnavailableError as error:
            self.outage.met(error)
            return self.answers.give(
                request, source, 503, "not stored, try again", retry_after=RETRY_AFTER_SECONDS
            )
        self.outage.over()
        if recorded is Recorded.DUPLICATE:
            return self.answers.give(request, source, 200, "known already")
        return self.answers.give(request, source, 202, "stored")


async def _gather(request: web.BaseRequest, max_bytes: int) -> bytes | None:
    """The whole body, or None as soon as it is, or says that it will be, larger than allowed."""
    if (request.content_length or 0) > max_bytes:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)


def _without_secrets(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    if not any(name.lower() in _SECRET_HEADERS for name, _ in headers):
        return headers
    return tuple(
        (name, b"(cut out)" if name.lower() in _SECRET_HEADERS else value)
        for name, value in headers
    )
