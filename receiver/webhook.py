"""One webhook: read, verify, record, reply. Nothing is decoded, parsed or fetched here.

Every answer says whether sending the same again could succeed: 5xx and 429 ask for it, 401, 404
and 413 allow it once somebody has mended something, 400 cannot. There is no other way out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from aiohttp import web

from archiver.errors import InboxUnavailableError
from archiver.inbox import InboxWriter, NewDelivery, Recorded
from archiver.inbox.quarantine import Quarantine, Rejected
from archiver.log import Outage
from archiver.models import Heard
from receiver.answers import Answers
from receiver.peers import FailureLimit, Network, caller
from receiver.reading import NoRoomError, Room, gather
from receiver.signatures import Headers, Verdict

RETRY_AFTER_SECONDS = 5

# What a header may hold that nobody who reads an inbox should be able to use.
_SECRET_HEADERS = frozenset(
    {
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"x-api-key",
        b"x-amz-security-token",
        b"x-eventbridge-signature-token",
    }
)


class Source(Protocol):
    """How one provider's webhooks are told from forgeries. Total: whatever comes, a verdict."""

    def verify(self, headers: Headers, body: bytes, target: str) -> Verdict | Awaitable[Verdict]:
        """The verdict, at once or, where something must be fetched first, to be awaited.

        Headers and body are the wire's; `target` is the path with its query as they stood there.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhook:
    """The handler of `POST /webhooks/{source}`, with or without a token at its end."""

    sources: Mapping[str, Source]
    inbox: InboxWriter
    quarantine: Quarantine
    failures: FailureLimit
    trusted_proxies: tuple[Network, ...]
    max_body_bytes: int
    read_seconds: float
    answers: Answers
    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    room: Room
    outage: Outage = field(
        default_factory=lambda: Outage("deliveries are refused", "deliveries are taken in again")
    )

    async def handle(self, request: web.BaseRequest, source: str) -> web.StreamResponse:
        """Answers one webhook; the answers are the table in the README."""
        door = self.sources.get(source)
        if door is None:
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
        verdict = door.verify(request.raw_headers, body, request.raw_path)
        if not isinstance(verdict, Verdict):
            verdict = await verdict
        if verdict.verified_by is None:
            return self._refuse(request, source, peer, body, verdict)
        return await self._record(request, source, peer, body, verdict)

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
                body = await gather(request, self.max_body_bytes, self.room)
        except TimeoutError:
            return answer(408, "the body came too slowly", close=True)
        except NoRoomError:
            return answer(503, "too much is coming in", retry_after=RETRY_AFTER_SECONDS, close=True)
        except (web.RequestPayloadError, ConnectionError, ValueError):
            return answer(400, "the body is broken", close=True)
        if body is None:
            return answer(413, f"the body is larger than {self.max_body_bytes} bytes", close=True)
        return body or answer(400, "the body is empty")

    def _refuse(
        self, request: web.BaseRequest, source: str, peer: str, body: bytes, verdict: Verdict
    ) -> web.StreamResponse:
        if verdict.ask_again:
            return self.answers.give(
                request, source, 503, verdict.reason, retry_after=RETRY_AFTER_SECONDS
            )
        self.failures.failed(peer, self.monotonic())
        self.quarantine.offer(
            Rejected(
                source=source,
                path_token="",
                received_at=self.now(),
                peer=peer,
                reason=verdict.reason,
                headers=_without_secrets(request.raw_headers, verdict.path_secret),
                body=body,
                hopeless=verdict.hopeless,
            )
        )
        return self.answers.give(request, source, 401, verdict.reason)

    async def _record(
        self, request: web.BaseRequest, source: str, peer: str, body: bytes, verdict: Verdict
    ) -> web.StreamResponse:
        delivery = NewDelivery(
            source=source,
            heard=Heard.PUSHED,
            path_token=verdict.path_token,
            received_at=self.now(),
            peer=peer,
            verified_by=verdict.verified_by or "",
            headers=_without_secrets(request.raw_headers, verdict.path_secret),
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


def _without_secrets(
    headers: tuple[tuple[bytes, bytes], ...], path_secret: bytes
) -> tuple[tuple[bytes, bytes], ...]:
    if not path_secret and not any(name.lower() in _SECRET_HEADERS for name, _ in headers):
        return headers

    def is_secret(name: bytes, value: bytes) -> bool:
        # Proxies repeat the path in headers of many names.
        return name.lower() in _SECRET_HEADERS or (path_secret != b"" and path_secret in value)

    return tuple(
        (name, b"(cut out)" if is_secret(name, value) else value) for name, value in headers
    )
