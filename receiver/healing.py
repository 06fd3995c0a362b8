"""Healing: the answer to a status call that the provider can no longer give, and the archive can.

It is given in the provider's own shape, with links to our copies, to the account alone whose
generation it is, and says in a header that it is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from aiohttp import web

from archiver.catalog import CatalogReader
from archiver.errors import CatalogUnavailableError
from archiver.expiry import expires_at
from archiver.log import Outage
from archiver.metrics import EXCHANGES
from archiver.models import FailureClass, Generation, GenerationState, Observation, Origin
from receiver.exchange import Exchange, Request
from receiver.pictures import PictureLinks, servable
from receiver.provider_tables import Api
from receiver.providers import dashscope_heal, doitong_heal, modelslab_heal

_GONE = (404, 410)


class _Shape(Protocol):
    def asked_id(self, asked: Request) -> str | None: ...

    def healed(
        self, generation: Generation, urls: Mapping[int, str], asked: Request, answer: bytes
    ) -> bytes | None: ...


_SHAPES: Mapping[str, _Shape] = {
    "dashscope": dashscope_heal,
    "doitong": doitong_heal,
    "modelslab": modelslab_heal,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Healing:
    """Answers in place of the providers whose table says so."""

    apis: Mapping[str, Api]
    catalog: CatalogReader
    links: PictureLinks
    now: Callable[[], datetime]
    outage: Outage = field(
        default_factory=lambda: Outage("answers are not healed", "answers are healed again")
    )

    async def heal(
        self,
        request: web.BaseRequest,
        provider: str,
        asked: Request,
        exchange: Exchange,
        said: tuple[Observation, ...],
    ) -> web.Response | None:
        """The answer to `request` in place of the one in `exchange`; None: that is to be passed on.

        `asked` is what the provider was asked, `said` what its answer says.
        """
        known = await self._find_ill(provider, asked, exchange, said)
        if known is None or known.account != exchange.account:
            return None
        held = {
            slot.index: (slot.number, asset)
            for slot in known.slots
            if not slot.role and (asset := servable(known, slot)) and slot.number is not None
        }
        now, origin = self.now(), _origin(request)
        urls = {at: origin + self.links.path(*found, now) for at, found in held.items()}
        body = _SHAPES[provider].healed(known, urls, asked, exchange.answer) if urls else None
        if body is None:
            return None
        EXCHANGES.labels(provider, "healed").inc()
        drawn = any(asset.origin is Origin.FALLBACK for _, asset in held.values())
        source = "fallback" if drawn else "archive"
        headers = {"Content-Type": "application/json", "X-Holdfast-Source": source}
        return web.Response(body=body, headers=headers)

    async def _find_ill(
        self, provider: str, asked: Request, exchange: Exchange, said: Iterable[Observation]
    ) -> Generation | None:
        """The one generation that is asked after, if its answer is one to be healed."""
        if self.apis[provider].heal == "off" or not exchange.account:
            return None
        generation_id = _SHAPES[provider].asked_id(asked)
        own = [one for one in said if one.generation_id == generation_id]
        ill = exchange.status in _GONE or any(map(self._is_ill, own))
        if generation_id is None or not ill:
            return None
        try:
            known = await self.catalog.read(
                lambda tables: tables.generations.load(provider, generation_id)
            )
        except CatalogUnavailableError as error:
            self.outage.met(error)
            return None
        self.outage.over()
        # This very answer may be the first to speak of moderation.
        spoken = any(map(_is_moderated, own))
        return replace(known, moderated=known.moderated or spoken) if known else None

    def _is_ill(self, said: Observation) -> bool:
        if said.state is GenerationState.FAILED:
            return self.apis[said.provider].heal == "failed"
        lost = said.unknown or said.state is GenerationState.LOST
        return lost or _have_expired(said, self.now())


def _have_expired(said: Observation, now: datetime) -> bool:
    """Whether there are links and none of them lives, by their own word."""
    deaths = [expires_at(slot.url) for slot in said.slots if slot.url]
    return bool(deaths) and all(death is not None and death <= now for death in deaths)


def _is_moderated(said: Observation) -> bool:
    failures = (said.failure, *(slot.failure for slot in said.slots))
    return any(it and it.failure_class is FailureClass.POLICY for it in failures)


def _origin(request: web.BaseRequest) -> str:
    """How the client calls us; its own word, by which it can lead astray nobody but itself."""
    scheme = request.headers.get("X-Forwarded-Proto", request.scheme).lower()
    return f"{'https' if scheme == 'https' else 'http'}://{request.host}"
