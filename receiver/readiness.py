"""`/healthz`: the process lives. `/readyz`: it would do its work now, proved, not presumed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from archiver.errors import HoldfastError

Proof = Callable[[], Awaitable[None]]

PROOF_SECONDS = 1.0


class Readiness:
    """Answers both; `prove` does the work once in small and raises HoldfastError if it cannot.

    A proof is good for `PROOF_SECONDS`, so that nobody can wear the disk out by asking.
    """

    def __init__(self, prove: Proof, *, monotonic: Callable[[], float]) -> None:
        self._prove = prove
        self._monotonic = monotonic
        self._proved_until = 0.0
        self._draining = False

    def drain(self) -> None:
        """From now on a balancer is told to send nobody here."""
        self._draining = True

    def routes(self) -> list[web.RouteDef]:
        """Both, as the routes of an application."""
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz)]

    async def healthz(self, _request: web.BaseRequest) -> web.Response:
        """Answers 200 as long as anything is answered."""
        return web.Response(text="alive\n")

    async def readyz(self, _request: web.BaseRequest) -> web.Response:
        """Answers 200, or 503 with the reason."""
        if self._draining:
            return web.Response(status=503, text="draining\n", headers={"Retry-After": "5"})
        try:
            if self._monotonic() >= self._proved_until:
                await self._prove()
                self._proved_until = self._monotonic() + PROOF_SECONDS
        except HoldfastError as error:
            text = f"not ready: {error}\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "5"})
        return web.Response(text="ready\n")
