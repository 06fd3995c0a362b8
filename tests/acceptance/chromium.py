"""Debian's Chromium, headless, looking at what is served here; it tells of all that goes wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Response, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True}
PHONE |= {"is_mobile": True}

# How much of what is seen has moved by itself, since the page was begun.
SHIFTS = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser; skips where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("chromium is missing: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


@dataclass(kw_only=True)
class Visit:
    """One visitor: pages of one browser context on one site, and what went wrong with them."""

    browser: Browser
    url: str
    wrong: list[str] = field(default_factory=list)
    _contexts: list[Any] = field(default_factory=list)

    async def page(self, path: str = "/", **like: Any) -> Page:
        """A page in a context of its own, which is `like` that of Playwright's options."""
        viewport = {"viewport": {"width": 1280, "height": 800}}
        context = await self.browser.new_context(base_url=self.url, **{**viewport, **like})
        context.set_default_timeout(10_000)
        self._contexts.append(context)
        page = await context.new_page()
        if like.get("java_script_enabled", True):
            await page.add_init_script(SHIFTS)
        page.on("console", lambda told: self._told(told.type, told.text))
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("response", self._answered)
        await page.goto(path)
        return page

    def _told(self, kind: str, text: str) -> None:
        # Which resources fail is known better by their answers.
        if kind == "error" and not text.startswith("Failed to load resource"):
            self.wrong.append(text)

    def _answered(self, response: Response) -> None:
        if response.status >= 400 and not response.request.is_navigation_request():
            self.wrong.append(f"{response.status} {response.url}")

    async def end(self) -> None:
        """Closes what was opened."""
        for context in self._contexts:
            await context.close()


async def shot(page: Page, name: str, *, whole: bool = False) -> None:
    """A picture of the page into the folder that `HOLDFAST_SCREENSHOTS` names, if it names one."""
    folder = os.environ.get("HOLDFAST_SCREENSHOTS")
    if folder:
        await page.wait_for_load_state("networkidle")
        await page.screenshot(path=Path(folder) / f"{name}.png", full_page=whole)
