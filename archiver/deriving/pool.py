"""The archive's side of making previews: children when they are needed, and what their ends mean.

Each child has one picture at a time, so what becomes of it is that picture's doing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from archiver.deriving.messages import FromChild, Made, Order, Ready, Refused, from_child, line
from archiver.errors import HoldfastError
from archiver.log import logger

MODULE = "archiver.deriving.picture"

# `picture.MAX_PIXELS` with an alpha channel take 800 MB at most, and the libraries 120.
MEMORY_BYTES = 1 << 30

# A large PNG takes seconds; the rest is patience with a busy machine, which serves a child last.
SECONDS = 60.0

# Of what our own environment says; the rest may be secrets, and strangers' bytes are decoded there.
_TOLD = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE"),
)

# To import the libraries, from a cold disk.
_START_SECONDS = 120.0
_END_SECONDS = 5.0

_TRIES = 2
# Of an answer; a thumbnail has a few dozen kilobytes.
_MOST_LINE_BYTES = 1 << 22


class NoChildError(HoldfastError):
    """No process can be started that decodes pictures: ours, and trying again may help."""


class Pool:
    """Makes previews, at most so many at a time as it may have `children`.

    A child may take `memory_bytes` of address space and as many `seconds` for a picture; `module`
    names what is like `archiver.deriving.picture`.
    """

    def __init__(
        self,
        *,
        children: int,
        seconds: float = SECONDS,
        memory_bytes: int = MEMORY_BYTES,
        module: str = MODULE,
    ) -> None:
        self._turns = asyncio.Semaphore(children)
        self._seconds = seconds
        self._words = (module, str(memory_bytes))
        self._idle: list[_Child] = []

    async def make(self, picture: Path) -> Made | Refused:
        """The preview of the picture in that file; raises NoChildError.

        A child that ends over it may have been to blame itself, so another one tries it once more.
        """
        async with self._turns:
            child = self._idle.pop() if self._idle else None
            for _ in range(_TRIES):
                if child is None or not child.alive:
                    child = await _Child.start(self._words)
                answer = await child.make(picture, self._seconds)
                if child.alive:
                    self._idle.append(child)
                if answer is not None:
                    return answer
        return Refused(reason="it has twice ended the process that was to decode it")

    async def close(self) -> None:
        """Ends the children, all of which must be idle."""
        while self._idle:
            await self._idle.pop().end()


def _environment() -> dict[str, str]:
    told = {name: os.environ[name] for name in _TOLD if name in os.environ}
    # Its threads take address space, and nothing here is worth a second one.
    return {**told, "OPENBLAS_NUM_THREADS": "1"}


class _Child:
    """A process that decodes one picture at a time, for as long as it is `alive`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout

    @classmethod
    async def start(cls, words: tuple[str, ...]) -> _Child:
        """One that is ready; raises NoChildError."""
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-W", "ignore", "-m", "archiver.deriving.child", *words),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_MOST_LINE_BYTES,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for the parent
            )
        except OSError as error:
            raise NoChildError(f"no process can be started: {error.strerror}") from error
        child = cls(process)
        try:
            ready = await child._hear(_START_SECONDS)
        except TimeoutError:
            ready = None
        if not isinstance(ready, Ready):
            await child.end()
            raise NoChildError("no process that decodes pictures can be started; the log says why")
        return child

    @property
    def alive(self) -> bool:
        """Whether it may be given a picture."""
        return self._process.returncode is None

    async def make(self, picture: Path, seconds: float) -> Made | Refused | None:
        """Its answer; None if it has ended instead. What takes too long ends it, and is refused."""
        try:
            answer = await self._hear(seconds, line(Order(path=str(picture))))
        except TimeoutError:
            return Refused(reason=f"it was not decoded within {seconds:g} seconds")
        if isinstance(answer, Made | Refused):
            return answer
        await self._kill()
        logger().warning("a child was lost", status=self._process.returncode)
        return None

    async def end(self) -> None:
        """Lets it end by itself, and if it does not, ends it."""
        self._stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()
        await self._kill()

    async def _hear(self, seconds: float, order: bytes = b"") -> FromChild | None:
        """What it says to that; None if that is nothing. Raises TimeoutError.

        Whoever does not wait for its answer to the end finds it dead.
        """
        try:
            async with asyncio.timeout(seconds):
                self._stdin.write(order)
                await self._stdin.drain()
                return from_child.decode(await self._stdout.readline())
        except (ConnectionError, ValueError):
            return None
        except BaseException:
            await self._kill()
            raise

    async def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        self._stdin.close()
        await self._process.communicate()  # so that no pipe is left open
