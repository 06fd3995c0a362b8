"""What the archive has lost, found by name; planned, or drawn and archived."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archiver.catalog import CatalogReader, Tables
from archiver.desk import Desk
from archiver.errors import ConfigError, NotOfferedError
from archiver.models import Generation, Slot
from archiver.process import stop_on_signals, worker_name
from fallback_renderer.beside import desk_beside
from fallback_renderer.commands.output import Bar, Told, told_plan
from fallback_renderer.drawing import Studio, plan_slot
from fallback_renderer.pool import Pool
from fallback_renderer.role import Renderer
from fallback_renderer.settings import Configuration, Render


def plan_lost(config: Configuration, render: Render, target: str) -> list[Told]:
    """What would be drawn for each slot of TARGET that has no picture."""
    generation, slots = _find(config, target)
    return [
        told_plan(_name(slot), _names(generation, slot), plan_slot(generation, slot, render.table))
        for slot in slots
    ]


async def draw_lost(config: Configuration, render: Render, target: str, bar: Bar) -> list[Told]:
    """Draws and archives each slot of TARGET that has no picture; Ctrl-C ends it in order."""
    generation, slots = _find(config, target)
    stop = asyncio.Event()
    stop_on_signals(stop)
    pool = Pool(render)
    with TemporaryDirectory(prefix="holdfast-") as spool:
        async with desk_beside(config) as desk:
            studio = Studio(desk=desk, pool=pool, checkpoints=render.table, progress=bar.step)
            renderer = Renderer(studio, name=worker_name(), spool=Path(spool))
            try:
                return [await _draw(desk, renderer, generation, slot, stop, bar) for slot in slots]
            finally:
                await pool.close()


async def _draw(
    desk: Desk,
    renderer: Renderer,
    generation: Generation,
    slot: Slot,
    stop: asyncio.Event,
    bar: Bar,
) -> Told:
    name, names = _name(slot), _names(generation, slot)
    bar.begin(name)
    if stop.is_set():
        return Told(name=name, names=names, reason="not begun")
    try:
        commission = await desk.claim(worker_name(), number=slot.number)
    except NotOfferedError as error:
        return Told(name=name, names=names, reason=str(error))
    assert commission is not None  # by number there is one, or a reason
    ended = await renderer.attend(commission, stop)
    if ended.rendering is None:
        return Told(name=name, names=names, reason=ended.reason)
    how = asdict(ended.rendering)
    return Told(name=name, names=names, notes=how.pop("notes"), how=how)


def _find(config: Configuration, target: str) -> tuple[Generation, Sequence[Slot]]:
    """TARGET, and which of its slots are meant; raises NotOfferedError."""
    where = config.catalog.where
    if isinstance(where, Path) and not where.exists():
        raise ConfigError(
            f"there is no archive at {where}: start the service once, or point to another with "
            "--config FILE (before the command's name)"
        )
    reader = CatalogReader(where)
    try:
        with reader.view() as tables:
            generation, number = _load(tables, target.encode(errors="replace").decode())
    finally:
        reader.close()
    if generation is None:
        raise NotOfferedError(
            f"nothing is known of {target!r}; a TARGET is PROVIDER/GENERATION-ID, or the archive "
            "number of a slot"
        )
    if number is not None:
        return generation, [slot for slot in generation.slots if slot.number == number]
    lost = [slot for slot in generation.slots if not slot.role and not slot.assets]
    if not lost:
        raise NotOfferedError(f"{target} has lost nothing: every picture of it is in the archive")
    return generation, lost


def _load(tables: Tables, target: str) -> tuple[Generation | None, int | None]:
    provider, slash, generation_id = target.partition("/")
    if slash:
        return tables.generations.load(provider, generation_id), None
    if target.isascii() and target.isdigit() and len(target) <= 18:
        return tables.generations.load_slot(int(target)), int(target)
    return None, None


def _name(slot: Slot) -> str:
    return f"slot {slot.index}, archive number {slot.number}"


def _names(generation: Generation, slot: Slot) -> Mapping[str, Any]:
    return {
        "provider": generation.provider,
        "id": generation.id,
        "slot": slot.index,
        "number": slot.number,
    }
