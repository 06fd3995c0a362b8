"""A renderer at work: takes what is lost from a desk, has it drawn, and hands the picture in.

It is the same work beside the archive and far away from it; only the desk differs.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any, TypeVar

from archiver.desk import Commission, Desk, Verdict
from archiver.errors import (
    BucketError,
    CatalogUnavailableError,
    ConfigError,
    FetchError,
    HoldfastError,
    LeaseLostError,
)
from archiver.log import Outage, logger
from archiver.models import Fault
from archiver.process import worker_name
from fallback_renderer.drawing import Ended, Studio, png_in
from fallback_renderer.pool import Pool
from fallback_renderer.settings import Render, require_weights

T = TypeVar("T")

IDLE_SECONDS = 1.0
# While the archive cannot be reached.
UNREACHED_SECONDS = 30.0

_random = SystemRandom()


async def work_for(
    desk: Desk,
    render: Render,
    *,
    spool: Path,
    stop: asyncio.Event,
    ready: Callable[[], None] = lambda: None,
    most_idle_seconds: float = IDLE_SECONDS,
) -> None:
    """Draws what a desk offers until told to stop; `ready` is called once there is a child for it.

    Raises as `Renderer.run`, and NotDrawnError if there is no starting a child.
    """
    require_weights(render)
    pool = Pool(render)
    try:
        child = await _unless_told(pool.start(), stop)
        if child is None:
            return
        logger().info("ready to draw", device=child.device, software=child.software)
        ready()
        renderer = Renderer(
            Studio(desk=desk, pool=pool, checkpoints=render.table),
            name=worker_name(),
            spool=spool,
            most_idle_seconds=most_idle_seconds,
        )
        await renderer.run(stop)
    finally:
        await pool.close()


async def _unless_told(work: Coroutine[Any, Any, T], stop: asyncio.Event) -> T | None:
    """What comes of it; None, and it is given up, if told to stop before."""
    doing, told = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({doing, told}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        told.cancel()
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)


class Renderer:
    """Draws one commission after the other, in files of `spool` that never outlive them.

    `name` is who holds the leases. A desk with nothing to do is asked again after `IDLE_SECONDS`,
    then less and less often, down to every `most_idle_seconds`.
    """

    def __init__(
        self, studio: Studio, *, name: str, spool: Path, most_idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._studio = studio
        self._desk = studio.desk
        self._name = name
        self._spool = spool
        self._most_idle_seconds = most_idle_seconds
        self._outage = Outage("the archive cannot be reached", "the archive is back")

    async def run(self, stop: asyncio.Event) -> None:
        """Works until told to stop, then gives back what is not drawn yet.

        Raises ConfigError where nothing can go on before the operator mends something.
        """
        fresh, in_vain = True, 0
        while not stop.is_set():
            commission = None
            try:
                commission = await self._desk.claim(self._name, fresh=fresh)
            except CatalogUnavailableError as error:
                self._outage.met(error)
            else:
                self._outage.over()
                fresh = False
            if commission is not None:
                in_vain = 0
                await self.attend(commission, stop)
            else:
                most_seconds = UNREACHED_SECONDS if self._outage.lasts else self._most_idle_seconds
                await _rest(stop, in_vain, most_seconds)
                in_vain += 1

    async def attend(self, commission: Commission, stop: asyncio.Event) -> Ended:
        """One commission to its end, of which the desk is told; raises ConfigError as `run`."""
        folder = self._spool / f"{commission.job_id}-{commission.fence}"
        kept = asyncio.create_task(self._keep(commission))
        try:
            ended = await self._until(self._studio.draw(commission, folder), kept, stop)
            ended = await self._hand_in(commission, ended, folder, stop)
        except ConfigError as error:
            with suppress(HoldfastError):
                await self._desk.fail(commission, Verdict.RELEASED, str(error))
            raise
        finally:
            kept.cancel()
            await asyncio.gather(kept, return_exceptions=True)
            shutil.rmtree(folder, ignore_errors=True)
        return ended

    async def _until(
        self, drawing: Coroutine[Any, Any, Ended], kept: asyncio.Task[str], stop: asyncio.Event
    ) -> Ended:
        """The drawing's end, or the end of what it is drawn for."""
        work, told = asyncio.create_task(drawing), asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, told, kept}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            reason = kept.result() if kept.done() else "its renderer was told to stop"
            return Ended(verdict=Verdict.RELEASED, reason=reason)
        finally:
            told.cancel()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def _keep(self, commission: Commission) -> str:
        """Keeps the lease for as long as the picture is wanted; then, why it no longer is."""
        while True:
            await asyncio.sleep(commission.lease_seconds / 3)
            try:
                if not await self._desk.keep(commission):
                    return "it is no longer wanted"
            except LeaseLostError as error:
                return str(error)
            except CatalogUnavailableError as error:
                self._outage.met(error)  # the next beat may yet be in time
            else:
                self._outage.over()

    async def _hand_in(
        self, commission: Commission, ended: Ended, folder: Path, stop: asyncio.Event
    ) -> Ended:
        """Tells the desk; where it will not have the picture, how that ended instead."""
        verdict, rendering = ended.verdict, ended.rendering
        try:
            if rendering is not None:
                png = png_in(folder)
                await self._insist(lambda: self._desk.complete(commission, png, rendering), stop)
            elif verdict is not None:
                await self._insist(lambda: self._desk.fail(commission, verdict, ended.reason), stop)
        except LeaseLostError as error:
            logger().warning("lease lost", job=commission.job_id, error=str(error))
            return Ended(verdict=Verdict.RELEASED, reason=str(error))
        except ConfigError:
            raise
        except HoldfastError as error:
            failed = Ended(verdict=Verdict.RETRY, reason=str(error))
            if rendering is None:
                return failed  # the lease runs out by itself
            return await self._hand_in(commission, failed, folder, stop)
        return ended

    async def _insist(self, tell: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        """Tells the desk, again and again while the archive is in trouble; a picture is worth it.

        What ends this is the lease, once another has it, or being told to stop.
        """
        outage = Outage("the archive is in trouble, and is told again", "the archive is told")
        in_vain = 0
        while True:
            try:
                await tell()
            except (BucketError, CatalogUnavailableError, FetchError) as error:
                passing = not isinstance(error, FetchError) or error.fault is Fault.OURS
                if not passing or stop.is_set():
                    raise
                outage.met(error)
            else:
                outage.over()
                return
            await _rest(stop, in_vain, UNREACHED_SECONDS)
            in_vain += 1


async def _rest(stop: asyncio.Event, in_vain: int, most_seconds: float) -> None:
    """Waits longer the more was in vain, and never just as long as its neighbour."""
    seconds = min(IDLE_SECONDS * 2.0 ** min(in_vain, 10), most_seconds)
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds * _random.uniform(0.5, 1.0))
