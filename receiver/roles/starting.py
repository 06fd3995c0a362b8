"""The roles' processes: how one is started, and the spare that waits to be one."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from archiver.log import logger
from archiver.metrics import PROCESS_NAME
from receiver.roles.premises import metrics_folder

# Each role and the module that is its process, in this order: the listener that must not wait
# comes first; what draws comes last, as all else is of more use without it than it without them.
MODULES = {
    "receive": "receiver.roles.receive",
    "gateway": "receiver.roles.gateway",
    "archive": "receiver.roles.archive",
    "web": "receiver.roles.web",
    "render": "fallback_renderer",
}

# The one that must never wait: its successor stands by (`spare`), once it has served for a moment
# and its start no longer hinders that of others.
_SPARED = "receive"
_MOMENT_SECONDS = 1.0

# glibc gives the memory of each megabyte in flight back to the kernel and takes it anew page by
# page, which costs a sixth of what copying it costs; within these bounds it is kept (mallopt(3)).
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


class Starter:
    """Starts processes for the roles of an archive; whoever has one writes its orders."""

    def __init__(self, folder: Path, stderr: TextIO | None) -> None:
        """`stderr` is where their log lines go; None: where ours go."""
        self._folder = folder
        self._stderr = stderr
        self._spare: Process | None = None
        self._coming: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    async def start(self, role: str, sockets: Collection[int]) -> Process:
        """A process for that role, which inherits those sockets: the spare, if it is for it."""
        if role == _SPARED:
            spare, self._spare = self._spare, None
            if spare is not None and spare.returncode is None:
                return spare
        return await self._start(role, [MODULES[role]], sockets)

    def stand_by(self, role: str, sockets: Collection[int]) -> None:
        """Has a spare wait for that role's next death, if it is one that has a spare."""
        if role == _SPARED and (self._coming is None or self._coming.done()):
            self._coming = asyncio.create_task(self._bring_spare(role, sockets))

    async def end(self) -> None:
        """Ends the spare."""
        self._ending.set()
        if self._coming is not None:
            await self._coming
        if self._spare is not None:
            with suppress(ProcessLookupError):
                self._spare.kill()
            await self._spare.wait()

    async def _bring_spare(self, role: str, sockets: Collection[int]) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), _MOMENT_SECONDS)
        if self._spare is not None or self._ending.is_set():
            return
        try:
            self._spare = await self._start(role, ["receiver.roles.spare", role], sockets)
        except OSError as error:  # then the next one starts from nothing
            logger().warning("nobody stands by for a role", role=role, error=error.strerror)

    async def _start(self, role: str, module: list[str], sockets: Collection[int]) -> Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # or a receiver.py of the operator's would be taken for ours
            "-m",
            *module,
            stdin=PIPE,
            stdout=PIPE,
            stderr=self._stderr,
            pass_fds=tuple(sockets),
            env={
                **ALLOCATOR,
                **os.environ,
                "PROMETHEUS_MULTIPROC_DIR": str(metrics_folder(self._folder)),
                PROCESS_NAME: role,
            },
            # Ctrl-C is for the parent, which tells its roles in its own way.
            start_new_session=True,
        )
