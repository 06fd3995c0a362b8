"""A page in Chromium that tells whether anything of a stranger's has run, and whom it asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, Request

from tests.acceptance.markup import CANARY


@dataclass(kw_only=True)
class Watched:
    """A page, whether anything of a stranger's has run in it, and which hosts were asked."""

    page: Page
    ran: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def asked(self, request: Request) -> None:
        """Called for each request."""
        told = urlsplit(request.url)
        self.hosts.add(told.netloc)
        if told.path == CANARY:
            self.ran.append(self.page.url)


@asynccontextmanager
async def watching(browser: Browser, url: str) -> AsyncIterator[Watched]:
    """A browser that looks at that site."""
    context = await browser.new_context(base_url=url)
    watched = Watched(page=await context.new_page())
    watched.page.on("request", watched.asked)
    yield watched
    await context.close()
