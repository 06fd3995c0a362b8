"""Bytes in flight: held in memory as the chunks that came, or in a nameless file when they cannot.

What bounds memory is the bytes in flight and not the number of transfers, so every body takes its
share from one Budget and gives it back when it is closed. Chunks are never joined and never copied;
the digest is taken as they pass.
"""

import asyncio
import hashlib
import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from archiver.handles import opened
from archiver.media import Walker

DEFAULT_MEMORY_BYTES = 16 * 2**20
_PIECE_BYTES = 2**20


class Budget:
    """A semaphore of bytes, first come first served: `held_bytes` never exceeds `total_bytes`."""

    def __init__(self, total_bytes: int) -> None:
        self.total_bytes = total_bytes
        self.held_bytes = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    def try_acquire(self, size_bytes: int) -> bool:
        """Take the bytes if they are free and nobody waits for some."""
        if self._queue or self.held_bytes + size_bytes > self.total_bytes:
            return False
        self.held_bytes += size_bytes
        return True

    async def acquire(self, size_bytes: int) -> None:
        """Take the bytes, after those who asked before; ValueError if there are never so many.

        Nobody who holds a share may wait for more, or two could wait for each other.
        """
        if size_bytes > self.total_bytes:
            raise ValueError(f"{size_bytes} bytes asked of a budget of {self.total_bytes}")
        if self.try_acquire(size_bytes):
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append((size_bytes, turn))
        try:
            await turn
        except asyncio.CancelledError:
            # Cancelled in the very moment of its turn, it has the bytes and gives them back.
            self.release(0 if turn.cancelled() else size_bytes)
            raise

    def release(self, size_bytes: int) -> None:
        """Give bytes back, and let in whoever they suffice for."""
        self.held_bytes -= size_bytes
        while self._queue:
            wanted_bytes, turn = self._queue[0]
            if not turn.cancelled():
                if self.held_bytes + wanted_bytes > self.total_bytes:
                    return
                self.held_bytes += wanted_bytes
                turn.set_result(None)
            self._queue.popleft()


class _Shelf:
    """Where one body's chunks lie: in memory while there is room, else in a file without a name."""

    def __init__(self, budget: Budget, spool_dir: Path, max_memory_bytes: int) -> None:
        self._budget = budget
        self._spool_dir = spool_dir
        self._max_memory_bytes = min(max_memory_bytes, budget.total_bytes)
        self._chunks: list[bytes] = []
        self._chunks_bytes = 0
        self._reserved_bytes = 0
        self._file: IO[bytes] | None = None

    @classmethod
    def holding(cls, chunks: Sequence[bytes]) -> Self:
        """A shelf for bytes that are in memory anyway, and so weigh on no budget."""
        shelf = cls(Budget(0), Path(), 0)
        shelf._chunks = [*chunks]
        return shelf

    async def reserve(self, declared_bytes: int | None) -> None:
        """Wait for the memory of a body whose size is known; open a file if it is too large."""
        if declared_bytes is None:
            return
        if declared_bytes > self._max_memory_bytes:
            self._file = await opened(self._open_file)
            return
        await self._budget.acquire(declared_bytes)
        self._reserved_bytes = declared_bytes

    async def add(self, chunk: bytes) -> None:
        """Keep a chunk, if it must be on disk."""
        self._chunks.append(chunk)
        self._chunks_bytes += len(chunk)
        if self._file is None:
            if self._fits():
                return
            self._file = await opened(self._open_file)
            await self._spool()
        elif self._chunks_bytes >= _PIECE_BYTES:
            await self._spool()

    async def settle(self) -> None:
        """Make what was added readable, once nothing more comes."""
        if self._file is not None:
            await self._spool()
            await asyncio.to_thread(self._file.flush)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Everything added, from the beginning."""
        for chunk in self._chunks:
            yield chunk
        if self._file is not None:
            offset, descriptor = 0, self._file.fileno()
            while piece := await asyncio.to_thread(os.pread, descriptor, _PIECE_BYTES, offset):
                yield piece
                offset += len(piece)

    async def close(self) -> None:
        """Give back memory, budget and disk; a second time it does nothing."""
        self._drop_chunks()
        if self._file is not None:
            await asyncio.to_thread(self._file.close)

    def _fits(self) -> bool:
        """Whether what was added may stay in memory; what was not declared takes what is free."""
        missing_bytes = self._chunks_bytes - self._reserved_bytes
        if missing_bytes <= 0:
            return True
        if self._chunks_bytes > self._max_memory_bytes:
            return False
        if not self._budget.try_acquire(missing_bytes):
            return False
        self._reserved_bytes += missing_bytes
        return True

    def _open_file(self) -> IO[bytes]:
        self._spool_dir.mkdir(parents=True, exist_ok=True)
        # It has no name from the start, so no crash can leave it behind.
        return tempfile.TemporaryFile(dir=self._spool_dir)

    async def _spool(self) -> None:
        assert self._file is not None
        await asyncio.to_thread(self._file.writelines, self._chunks)
        self._drop_chunks()

    def _drop_chunks(self) -> None:
        self._chunks = []
        self._chunks_bytes = 0
        self._budget.release(self._reserved_bytes)
        self._reserved_bytes = 0


class Body:
    """Bytes with their digest, readable again and again until closed; an async context manager."""

    def __init__(self, *, size_bytes: int, sha256: bytes, shelf: _Shelf) -> None:
        self.size_bytes = size_bytes
        self.sha256 = sha256
        self._shelf = shelf

    @classmethod
    def of(cls, *chunks: bytes) -> Self:
        """A body of bytes at hand: a manifest, a thumbnail, a part of a video."""
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
        size_bytes = sum(map(len, chunks))
        shelf = _Shelf.holding(chunks)
        return cls(size_bytes=size_bytes, sha256=digest.digest(), shelf=shelf)

    def chunks(self) -> AsyncIterator[bytes]:
        """All the bytes in pieces of any size, from the beginning at every call."""
        return self._shelf.chunks()

    async def close(self) -> None:
        """Give back memory, budget and disk."""
        await self._shelf.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


async def collect(
    chunks: AsyncIterator[bytes],
    declared_bytes: int | None,
    *,
    budget: Budget,
    spool_dir: Path,
    walker: Walker,
    max_memory_bytes: int = DEFAULT_MEMORY_BYTES,
) -> Body:
    """Take in all of `chunks`, digesting them and showing them to `walker` on the way.

    A declared size up to `max_memory_bytes` waits for its share of the budget; a larger one goes to
    disk, and an undeclared one as soon as the budget is exhausted. What `chunks` raises passes
    through, and OSError when `spool_dir` cannot be written; nothing stays behind then.
    """
    size_bytes, digest = 0, hashlib.sha256()
    shelf = _Shelf(budget, spool_dir, max_memory_bytes)
    try:
        await shelf.reserve(declared_bytes)
        async for chunk in chunks:
            digest.update(chunk)
            walker.feed(chunk)
            size_bytes += len(chunk)
            await shelf.add(chunk)
        await shelf.settle()
    except BaseException:
        await shelf.close()
        raise
    return Body(size_bytes=size_bytes, sha256=digest.digest(), shelf=shelf)
