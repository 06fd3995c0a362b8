"""The part of the parent that puts a finished catalog in its place: what `rebuild` has made.

No file is ever renamed over one in use: the roles that use the catalog are ended first, and started
again on the new one. Webhooks are taken in all the while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from archiver.catalog.usage import InUseError
from archiver.errors import CatalogUnavailableError
from archiver.log import Outage, logger
from archiver.recovery.switching import next_path, switch

_LOOK_SECONDS = 0.5


class Switcher:
    """Looks for a catalog that waits beside the one at `path`; beside one on a server waits none.

    `end_users` ends those of our roles that use it; nobody may start one but while
    `catalog_is_free`.
    """

    def __init__(self, path: Path | None, end_users: Callable[[], Awaitable[None]]) -> None:
        self.catalog_is_free = asyncio.Event()
        self.catalog_is_free.set()
        self._path = path
        self._end_users = end_users

    async def run(self) -> None:
        """Switches whenever a catalog waits, until it is cancelled."""
        while self._path is not None:
            if next_path(self._path).exists():
                self.catalog_is_free.clear()
                await self._switch(self._path)
                self.catalog_is_free.set()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _switch(self, path: Path) -> None:
        """Waits for whoever else uses it, a command or another service; refuses what is none."""
        outage = Outage("the new catalog waits: somebody uses the old one", "nobody uses it now")
        while True:
            await self._end_users()
            try:
                switched = await asyncio.to_thread(switch, path)
            except InUseError as error:
                outage.met(error)
                await asyncio.sleep(_LOOK_SECONDS)
            except (CatalogUnavailableError, OSError) as error:
                logger().error("the new catalog is refused", error=str(error))
                next_path(path).replace(path.with_name(f"{path.name}.refused"))
                return
            else:
                outage.over()
                if switched is not None:
                    logger().info("the new catalog is in its place", **switched.says)
                return
