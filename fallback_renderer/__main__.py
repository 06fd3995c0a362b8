"""The role `render`: draws what is lost, beside the archive. It imports nothing that draws."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from archiver import log
from archiver.process import main
from fallback_renderer.beside import desk_beside
from fallback_renderer.role import work_for
from fallback_renderer.settings import Configuration, from_settings


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What the parent tells the role, as far as it is its concern."""

    config: Configuration


async def run(orders: Orders, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Draws until told to stop, then gives back what is under way."""
    config = orders.config
    log.conceal([config.catalog.password])
    render = from_settings(config.render)
    async with desk_beside(config) as desk:
        spool = _emptied(config.catalog.folder / "spool" / "render")
        await work_for(desk, render, spool=spool, stop=stop, ready=ready)


def _emptied(folder: Path) -> Path:
    """A folder of this role alone, without what a crash has left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


if __name__ == "__main__":
    main("render", Orders, run)
