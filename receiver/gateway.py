"""The gateway: passes requests on to the providers as they are, and overhears what matters.

A client changes its base URL to `http://holdfast:8082/gateway/<provider>` and nothing else. What
it submits is durable here before it has the provider's answer in hand; the key passes through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from archiver.errors import InboxUnavailableError, UnreadableError
from archiver.inbox import InboxWriter, NewDelivery
from archiver.log import Outage, logger
from archiver.metrics import EXCHANGES
from archiver.models import Heard, Observation
from receiver.accounts import Accounts
from receiver.admission import Admission, GuessingError
from receiver.decoding import decodable
from receiver.exchange import Exchange, Request, encode
from receiver.healing import Healing
from receiver.news import News
from receiver.overheard import overheard
from receiver.peers import Network, caller
from receiver.provider_tables import Api
from receiver.providers import PROVIDERS
from receiver.providers.base import Concern
from receiver.reading import bid_go_on, gather
from receiver.upstream import Upstream, UpstreamError, end_to_end

RETRY_AFTER_SECONDS = 5

# An answer beyond this passes through unheard; pictures as text are the largest there are.
_MAX_HEARD_BYTES = 64 << 20
_PIECE_BYTES = 1 << 16
_BODY_SECONDS = 120.0
# They are for the next hop, and never for a provider's API.
_NOT_PASSED_ON = frozenset({"CONNECT", "TRACE"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """One request on its way: whose it is, what it is about, and what goes to the provider."""

    provider: str
    concern: Concern | None
    peer: str
    request: Request
    sent: Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """The handler of `/gateway/[<client token>/]<provider>/…`.

    `webhook_url` gives the address of ours that a submission to a provider may ask for, or None;
    `healing` is None where no provider's answers are to be healed.
    """

    apis: Mapping[str, Api]
    admission: Admission
    upstream: Upstream
    inbox: InboxWriter
    accounts: Accounts
    webhook_url: Callable[[str], str | None]
    trusted_proxies: tuple[Network, ...]
    max_body_bytes: int
    answer_seconds: float
    now: Callable[[], datetime]
    healing: Healing | None = None
    news: News = field(default_factory=News)
    outage: Outage = field(
        default_factory=lambda: Outage(
            "submissions are passed on unrecorded or refused", "submissions are recorded again"
        )
    )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Passes one request on, and its answer back."""
        forwarded = request.headers.getall("X-Forwarded-For", ())
        peer = caller(request.remote or "", forwarded, self.trusted_proxies)
        try:
            way = self.admission.admit(peer, request.raw_path, self.apis)
        except GuessingError as error:
            return _own(429, "too_many", str(error), retry_after=error.wait_seconds)
        if way is None:
            return _own(404, "no_such_way", "no provider is reached this way from your address")
        if request.method in _NOT_PASSED_ON:
            return _own(405, "no_such_method", f"{request.method} is not passed on")
        body = await self._read(request)
        if isinstance(body, web.Response):
            return body
        passage = self._passage(request, peer, *way, body)
        if passage.concern is Concern.SUBMISSION and self.outage.lasts:
            try:
                await self.inbox.prove(self.now())
            except InboxUnavailableError as error:
                self.outage.met(error)
                return _own(503, "cannot_record", "not passed on, for it could not be recorded")
        try:
            return await self._pass_on(request, passage)
        except UpstreamError as error:
            EXCHANGES.labels(passage.provider, "unanswered").inc()
            return _hung_up(request) if error.sent else _own(502, "unreachable", str(error))

    async def _read(self, request: web.BaseRequest) -> bytes | web.Response:
        try:
            if "Expect" in request.headers:
                await bid_go_on(request)
            async with asyncio.timeout(_BODY_SECONDS):
                body = await gather(request, self.max_body_bytes)
        except TimeoutError:
            slow = _own(408, "too_slow", "the body came too slowly")
            slow.force_close()
            return slow
        except (web.RequestPayloadError, ConnectionError, ValueError):
            return _own(400, "broken", "the body is broken")
        if body is None:
            return _own(413, "too_large", f"the body is larger than {self.max_body_bytes} bytes")
        return body

    def _passage(
        self, request: web.BaseRequest, peer: str, provider: str, path: str, body: bytes
    ) -> Passage:
        dropped = ("host", "content-length", "expect", "accept-encoding")
        headers = end_to_end(request.headers.items(), *dropped)
        # What we could not decode we could not overhear.
        accepted = decodable(request.headers.getall("Accept-Encoding", ()))
        headers += (("Accept-Encoding", accepted),) if accepted else ()
        asked = Request(method=request.method, path=path, headers=headers, body=body)
        concern = PROVIDERS[provider].concern(asked)
        sent = asked
        if concern is Concern.SUBMISSION and (url := self.webhook_url(provider)):
            sent = PROVIDERS[provider].with_webhook(asked, url) or asked
        return Passage(
            provider=provider,
            concern=concern,
            peer=peer,
            request=asked,
            sent=sent,
        )

    async def _pass_on(self, request: web.BaseRequest, passage: Passage) -> web.StreamResponse:
        base_url = self.apis[passage.provider].base_url
        async with self.upstream.send(
            base_url, passage.sent, seconds=self.answer_seconds
        ) as answer:
            streams = answer.content_type == "text/event-stream"
            limit = _MAX_HEARD_BYTES if passage.concern and not streams else 0
            try:
                heard = await _read_up_to(limit, answer.content)
            except (aiohttp.ClientError, OSError) as error:
                broke = f"the answer broke off ({type(error).__name__})"
                raise UpstreamError(broke, sent=True) from None
            if not answer.content.at_eof():
                if passage.concern is Concern.SUBMISSION:
                    EXCHANGES.labels(passage.provider, "unheard").inc()
                    logger().error("an answer passed unheard", provider=passage.provider)
                return await _stream(request, answer, heard)
            passing = answer.status == 429 or answer.status >= 500
            if passage.concern and not streams and not passing:
                exchange = overheard(
                    PROVIDERS[passage.provider],
                    self.accounts,
                    passage.request,
                    status=answer.status,
                    headers=answer.raw_headers,
                    body=heard,
                )
                said = await self._overhear(passage, exchange)
                if self.healing is not None:
                    healed = await self.healing.heal(
                        request, passage.provider, passage.request, exchange, said
                    )
                    if healed is not None:
                        return healed
            EXCHANGES.labels(passage.provider, "answered").inc()
            return web.Response(
                status=answer.status,
                reason=answer.reason,
                headers=_headers(answer, "content-length"),
                body=heard,
            )

    async def _overhear(self, passage: Passage, exchange: Exchange) -> tuple[Observation, ...]:
        """Keeps what an exchange says, durably; whatever fails here, the answer is passed on.

        Gives what it says, where anybody wants to know.
        """
        body = encode(exchange)
        wanted = passage.concern is Concern.QUESTION or self.apis[passage.provider].heal != "off"
        said = _understood(passage.provider, body) if wanted else ()
        if passage.concern is Concern.QUESTION and not self.news.is_new(said):
            return said
        delivery = NewDelivery(
            source=passage.provider,
            heard=Heard.OVERHEARD,
            received_at=self.now(),
            peer=passage.peer,
            verified_by="gateway",
            body=body,
        )
        try:
            await self.inbox.append(delivery)
        except InboxUnavailableError as error:
            self.outage.met(error)
            said = said or _understood(passage.provider, body)
            self.news.forget(said)
            names = [observation.generation_id for observation in said]
            logger().error("an exchange passed unrecorded", provider=passage.provider, ids=names)
        else:
            self.outage.over()
        return said


def _understood(provider: str, body: bytes) -> tuple[Observation, ...]:
    """What an exchange says; nothing if it cannot be understood, which absorb will say aloud."""
    try:
        return PROVIDERS[provider].parse(Heard.OVERHEARD, "", body)
    except UnreadableError:
        return ()


async def _read_up_to(limit: int, content: aiohttp.StreamReader) -> bytes:
    """The body up to `limit` bytes; whether that was all, `content.at_eof()` tells."""
    pieces, size = [], 0
    while size <= limit and (piece := await content.read(_PIECE_BYTES)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


async def _stream(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, begun: bytes
) -> web.StreamResponse:
    """Passes a body on as it comes: an answer of no concern, or one too large to be kept."""
    response = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=_headers(answer)
    )
    await response.prepare(request)
    try:
        await response.write(begun)
        async for piece in answer.content.iter_any():
            await response.write(piece)
    except (aiohttp.ClientError, OSError):
        # What was begun cannot be taken back; a connection cut short says that it is not whole.
        return _hung_up(request)
    await response.write_eof()
    return response


def _headers(answer: aiohttp.ClientResponse, *less: str) -> CIMultiDict[str]:
    return CIMultiDict(end_to_end(answer.headers.items(), *less))


def _hung_up(request: web.BaseRequest) -> web.Response:
    """No answer, as the provider gave none: a client knows what it does then with its own."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _own(
    status: int, code: str, message: str, *, retry_after: int = RETRY_AFTER_SECONDS
) -> web.Response:
    """An answer that is ours and not the provider's, and says so."""
    headers = {"X-Holdfast-Error": code}
    if status in (429, 503):
        headers["Retry-After"] = str(retry_after)
    return web.json_response(
        {"error": {"code": f"holdfast_{code}", "message": message}}, status=status, headers=headers
    )
