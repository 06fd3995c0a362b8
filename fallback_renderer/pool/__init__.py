"""The renderer's side of drawing: a child process when one is needed, and what its end means.

`life` is what one child goes through; here it is decided when a life begins, when it ends, and
whether a drawing that ended one is given another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from archiver.errors import HoldfastError
from archiver.log import logger
from fallback_renderer.messages import Drawn, Failed, FailureKind, Finished, Order, Ready, Setup
from fallback_renderer.pool.life import Child, ChildLostError
from fallback_renderer.request import RenderRequest
from fallback_renderer.settings import Render

ENGINE = "fallback_renderer.engine"

# A step of a large drawing takes seconds, and nothing else keeps a child from obeying.
PATIENCE_SECONDS = 10.0

_TRIES = 2
_BACKOFF_SECONDS = 0.2
_BACKOFF_CAP_SECONDS = 30.0


class NotDrawnError(HoldfastError):
    """There is no picture; `kind` says whose trouble that is, and so what to do next."""

    def __init__(self, kind: FailureKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class Pool:
    """Draws one picture at a time, in a child that comes when needed and goes when idle.

    `engine` names the module that draws; `patience_seconds` is what a child may take to obey.
    """

    def __init__(
        self,
        render: Render,
        *,
        engine: str = ENGINE,
        patience_seconds: float = PATIENCE_SECONDS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._render = render
        self._setup = Setup(render=render, engine=engine)
        self._patience_seconds = patience_seconds
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._child: Child | None = None
        self._losses = 0  # in a row
        self._rest: asyncio.Task[None] | None = None

    async def start(self) -> Ready:
        """Has a child ready ahead of need, so that what is amiss with the installation shows.

        Raises as `draw` does.
        """
        async with self._turn:
            child = await self._ready_child()
            self._let_rest()
            return child.ready

    async def draw(
        self,
        request: RenderRequest,
        *,
        provider: str,
        generation_id: str,
        index: int,
        model: str,
        png: Path,
        init_image: Path | None = None,
        mask_image: Path | None = None,
        progress: Callable[[int, int], None] = lambda step, steps: None,
    ) -> Drawn:
        """Draws into the file `png`; `progress(step, steps)` hears how far it has come.

        When the awaiting task is canceled, drawing has stopped before that is over. Raises
        NotDrawnError, and ConfigError where no child can draw until the operator mends something.
        """
        order = Order(
            request=request,
            provider=provider,
            generation_id=generation_id,
            index=index,
            model=model,
            png=str(png),
            init_image=None if init_image is None else str(init_image),
            mask_image=None if mask_image is None else str(mask_image),
        )
        async with self._turn:
            try:
                return await self._draw(order, progress)
            finally:
                self._let_rest()

    async def close(self) -> None:
        """Ends the child, after what it is drawing."""
        async with self._turn:
            self._wake()
            if self._child is not None:
                await self._child.end()

    async def _draw(self, order: Order, progress: Callable[[int, int], None]) -> Drawn:
        """What cost a child is tried once more in another, for the child may have been to blame."""
        failures: list[Failed] = []
        while len(failures) < _TRIES:
            child = await self._ready_child()
            answer = await child.draw(
                order,
                progress,
                load_seconds=self._render.load_seconds,
                draw_seconds=self._render.draw_seconds,
            )
            if isinstance(answer, Finished):
                self._losses = 0
                return answer.drawn
            failures.append(answer)
            if child.alive and not answer.spent:
                self._losses = 0
            else:
                self._losses += 1
                logger().warning("a child was lost", reason=answer.reason)
                await child.end()
            if not answer.spent:
                raise NotDrawnError(answer.kind, answer.reason)
        # Ends that are not alike prove nothing against the request.
        kinds = {failure.kind for failure in failures}
        kind = kinds.pop() if len(kinds) == 1 else FailureKind.TROUBLE
        raise NotDrawnError(kind, "; again: ".join(failure.reason for failure in failures))

    async def _ready_child(self) -> Child:
        """The one there is, or a new one: the later, the more were lost in a row."""
        self._wake()
        if self._child is not None and self._child.alive:
            return self._child
        if self._losses:
            backoff_seconds = _BACKOFF_SECONDS * 2.0 ** min(self._losses - 1, 16)
            await self._sleep(min(backoff_seconds, _BACKOFF_CAP_SECONDS))
        try:
            self._child = await Child.start(self._setup, self._patience_seconds)
        except ChildLostError as error:
            self._losses += 1
            reason = f"no child can be started: {error}"
            raise NotDrawnError(FailureKind.TROUBLE, reason) from error
        ready = self._child.ready
        logger().info("a child is ready to draw", device=ready.device, software=ready.software)
        return self._child

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()

    def _let_rest(self) -> None:
        if self._child is not None and self._child.alive:
            self._rest = asyncio.create_task(self._end_when_idle())

    async def _end_when_idle(self) -> None:
        await self._sleep(self._render.idle_seconds)
        async with self._turn:
            if self._child is not None:
                await self._child.end()
