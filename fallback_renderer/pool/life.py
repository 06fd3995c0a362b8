"""One child's life, seen from its parent: it is started, draws, is told to stop, and ends."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from archiver.errors import ConfigError, HoldfastError
from archiver.log import logger
from fallback_renderer.messages import (
    Cancel,
    Failed,
    FailureKind,
    Finished,
    FromChild,
    FromParent,
    Order,
    Progress,
    Ready,
    Setup,
    Unfit,
    from_child,
    line,
)

# To import what draws, from a cold disk.
START_SECONDS = 300.0

# No message comes near it.
_MOST_LINE_BYTES = 1 << 24
_SENSELESS = "the child wrote what is no answer"


class ChildLostError(HoldfastError):
    """The child has ended, or had to be ended; the sentence says how."""


class Child(asyncio.SubprocessProtocol):
    """A process that draws one order at a time, for as long as it is `alive`.

    `patience_seconds` is what it may take to do as it is told before it is killed.
    """

    ready: Ready

    def __init__(self, patience_seconds: float) -> None:
        self.alive = True
        self._patience_seconds = patience_seconds
        self._process: asyncio.SubprocessTransport
        self._exited = asyncio.Event()
        self._heard: asyncio.Queue[FromChild | None] = asyncio.Queue()  # None: that was all
        self._unfinished = b""
        self._fault: str | None = None

    @classmethod
    async def start(cls, setup: Setup, patience_seconds: float) -> Child:
        """One that is ready; raises ConfigError where none ever would be, else ChildLostError."""
        child = cls(patience_seconds)
        try:
            await asyncio.get_running_loop().subprocess_exec(
                lambda: child,
                *(sys.executable, "-m", "fallback_renderer.child"),
                stderr=None,  # where the parent's goes
                start_new_session=True,  # Ctrl-C is for the parent, which has its own way to end it
            )
        except OSError as error:
            raise ChildLostError(f"no process can be started: {error.strerror}") from error
        try:
            async with asyncio.timeout(START_SECONDS):
                child._say(setup)
                await child._present_itself()
        except BaseException as error:
            await child._kill()
            if isinstance(error, TimeoutError):
                reason = f"the child was not ready within {START_SECONDS:g} seconds"
                raise ChildLostError(reason) from error
            raise
        return child

    async def draw(
        self,
        order: Order,
        progress: Callable[[int, int], None],
        *,
        load_seconds: float,
        draw_seconds: float,
    ) -> Finished | Failed:
        """Loads and draws, each for so long at most; that the child is lost is an answer, too.

        When this is canceled, the child is at rest before it is over, or no longer alive. Raises
        ConfigError where none could draw it.
        """
        loaded = False

        def hear(step: int, steps: int) -> None:
            nonlocal loaded
            if not loaded:
                loaded = True
                limit.reschedule(asyncio.get_running_loop().time() + draw_seconds)
            progress(step, steps)

        try:
            async with asyncio.timeout(load_seconds) as limit:
                self._say(order)
                return await self._answer(hear)
        except ConfigError:
            raise
        except TimeoutError:
            await self._kill()
            if loaded:
                reason = f"it was not drawn within {draw_seconds:g} seconds (render.draw_seconds)"
                return Failed(kind=FailureKind.POISON, reason=reason)
            reason = (
                f"its checkpoint was not loaded within {load_seconds:g} seconds "
                "(render.load_seconds)"
            )
            return Failed(kind=FailureKind.TROUBLE, reason=reason)
        except ChildLostError as error:
            await self._kill()
            return Failed(kind=FailureKind.POISON, reason=str(error), spent=True)
        except BaseException:
            await self._call_off()
            raise

    async def end(self) -> None:
        """Lets it end in order, for as long as patience lasts."""
        self.alive = False
        self._stdin.close()
        try:
            async with asyncio.timeout(self._patience_seconds):
                await self._exited.wait()
        except TimeoutError:
            logger().warning("a child did not end in time and is killed")
        finally:
            await self._kill()

    @property
    def _stdin(self) -> asyncio.WriteTransport:
        return cast(asyncio.WriteTransport, self._process.get_pipe_transport(0))

    async def _call_off(self) -> None:
        try:
            async with asyncio.timeout(self._patience_seconds):
                self._say(Cancel())
                await self._answer(lambda step, steps: None)
        except BaseException as error:
            await self._kill()
            if not isinstance(error, TimeoutError | ChildLostError | ConfigError):
                raise

    async def _kill(self) -> None:
        self.alive = False
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._exited.wait()
        self._process.close()

    def _say(self, message: FromParent) -> None:
        if not self._stdin.is_closing():  # else its end is heard soon enough
            self._stdin.write(line(message))

    async def _present_itself(self) -> None:
        said = await self._hear()
        if isinstance(said, Unfit):
            raise ConfigError(said.reason)
        if not isinstance(said, Ready):
            raise ChildLostError(_SENSELESS)
        self.ready = said

    async def _answer(self, progress: Callable[[int, int], None]) -> Finished | Failed:
        while isinstance(said := await self._hear(), Progress):
            progress(said.step, said.steps)
        if isinstance(said, Unfit):
            raise ConfigError(said.reason)
        if not isinstance(said, Finished | Failed):
            raise ChildLostError(_SENSELESS)
        return said

    async def _hear(self) -> FromChild:
        said = await self._heard.get()
        if said is None:
            self._heard.put_nowait(None)  # for whoever asks next
            await self.end()
            raise ChildLostError(self._fault or _how(self._process.get_returncode()))
        return said

    # What the loop tells:

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._process = cast(asyncio.SubprocessTransport, transport)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        try:
            for said in lines:
                self._heard.put_nowait(from_child.decode(said))
            if len(self._unfinished) > _MOST_LINE_BYTES:
                raise ValueError
        except ValueError:
            self._fault, self.alive = _SENSELESS, False
            self._process.kill()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.alive = False
            self._heard.put_nowait(None)

    def process_exited(self) -> None:
        self.alive = False
        self._exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._process.close()


def _how(status: int | None) -> str:
    """How a process ended, by its exit status as `subprocess` gives it."""
    if status is None or status >= 0:
        return f"the child ended with exit status {status}"
    if status == -signal.SIGKILL:
        return "the child was ended by SIGKILL, as the kernel does where memory is short"
    try:
        return f"the child was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"the child was ended by signal {-status}"
