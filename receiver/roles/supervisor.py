"""The parent of a service: holds the listening sockets, starts the roles, and starts them again.

Because the sockets are the parent's, a role may die and come back without one refused connection:
who connects meanwhile waits in the kernel's queue. Where they were handed to the parent in turn
(`activation`), the same holds when the whole service is started again.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

import msgspec

from archiver.clock import monotonic
from archiver.errors import ConfigError, HoldfastError
from archiver.log import logger
from archiver.process import DRAIN_SECONDS, EXIT_CONFIG, READY
from receiver.config import host_and_port
from receiver.roles.process import Orders
from receiver.roles.switcher import Switcher
from receiver.settings import Config

# Each role and the module that is its process, in this order: the listener that must not wait
# comes first; what draws comes last, as all else is of more use without it than it without them.
_MODULES = {
    "receive": "receiver.roles.receive",
    "gateway": "receiver.roles.gateway",
    "archive": "receiver.roles.archive",
    "web": "receiver.roles.web",
    "render": "fallback_renderer",
}
ROLES = tuple(_MODULES)
_LISTENER_OF = {"receive": "public", "gateway": "gateway", "web": "private"}

# Those that have the catalog's file open; while they are down, webhooks are taken in as ever.
_USE_CATALOG = frozenset({"gateway", "archive", "web", "render"})

# The one that the others go on without, for on a bad night it is the links that cannot wait.
_DISPENSABLE = "render"

# glibc gives the memory of each megabyte in flight back to the kernel and takes it anew page by
# page, which costs a sixth of what copying it costs; within these bounds it is kept (mallopt(3)).
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}

_BACKOFF_SECONDS = 0.2
_BACKOFF_CAP_SECONDS = 5.0
# A role that lived this long had started well, so its death counts as the first.
_HEALTHY_SECONDS = 10.0
# More than the roles' own drain, less than the 30 s that service managers commonly grant.
_KILL_AFTER_SECONDS = DRAIN_SECONDS + 5


class RoleFailedError(HoldfastError):
    """A role says that it can never start as things are; its log line says why."""


class Supervisor:
    """Runs some of the roles as processes of their own until told to stop.

    One that can never start ends the service, but for `render` where it is not the only one.
    """

    def __init__(
        self, config: Config, roles: Collection[str] = (), *, stderr: TextIO | None = None
    ) -> None:
        roles = roles or wanted_roles(config)
        unknown = set(roles) - set(ROLES)
        if unknown:
            raise ConfigError(f"no role is called {', '.join(unknown)}; roles: {', '.join(ROLES)}")
        self._config = config
        self._stderr = stderr  # where the roles' log lines go; None: where ours go
        self._roles = tuple(role for role in ROLES if role in roles)
        self._sockets: dict[str, socket.socket] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._locks: list[TextIO] = []
        self._ready = {role: asyncio.Event() for role in self._roles}
        self._stopping = asyncio.Event()
        self._switcher = Switcher(config.catalog.path, self._end_users)

    @property
    def addresses(self) -> Mapping[str, str]:
        """`host:port` of each listener, as bound."""
        return {name: _address(bound) for name, bound in self._sockets.items()}

    def bind(self, handed: Mapping[str, socket.socket] = MappingProxyType({})) -> None:
        """Binds the listeners but for those handed over, which listen already.

        Raises ConfigError if an address or the archive is taken, or a listener has no use.
        """
        folder = self._config.catalog.folder
        for role in self._roles:
            self._locks.append(take(folder, role))
        names = [_LISTENER_OF[role] for role in self._roles if role in _LISTENER_OF]
        if useless := set(handed) - set(names):
            raise ConfigError(
                f"the socket {useless.pop()} was handed over, but no role of this service serves "
                "it: run the role as well, or take the socket from the service's Sockets="
            )
        for name in names:
            listen = getattr(self._config.listen, name)
            self._sockets[name] = handed.get(name) or _bind(listen, f"listen.{name}")

    async def run(
        self,
        stop: asyncio.Event,
        *,
        ready: Callable[[], None] = lambda: None,
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        """Keeps the roles running until `stop`; raises RoleFailedError if one never can.

        Calls `ready` once all serve that it cannot go without, and `stopping` before they are told
        to end.
        """
        self._prepare_metrics()
        keepers: list[asyncio.Task[None]] = []
        told = asyncio.create_task(stop.wait())
        switcher = asyncio.create_task(self._switcher.run())
        try:
            for role in self._roles:
                keepers.append(asyncio.create_task(self._keep(role), name=role))
                if self._is_dispensable(role):
                    continue
                waiting = asyncio.create_task(self._ready[role].wait())
                await asyncio.wait([waiting, told, *keepers], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            if not stop.is_set() and not any(keeper.done() for keeper in keepers):
                ready()
            await asyncio.wait([told, *keepers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            told.cancel()
            switcher.cancel()
            stopping()
            await self._end(keepers)

    async def _end(self, keepers: list[asyncio.Task[None]]) -> None:
        self._stopping.set()
        self._switcher.catalog_is_free.set()
        for bound in self._sockets.values():
            bound.close()
        for process in self._processes.values():
            if process.returncode is None:
                process.terminate()
        _, late = await asyncio.wait(keepers, timeout=_KILL_AFTER_SECONDS)
        for keeper in late:
            logger().error("a role did not end in time and is killed", role=keeper.get_name())
            self._processes[keeper.get_name()].kill()
        for lock in self._locks:
            lock.close()
        await asyncio.gather(*keepers)

    async def _keep(self, role: str) -> None:
        """Starts a role, and again whenever it dies, each time waiting a little longer."""
        backoff_seconds = _BACKOFF_SECONDS
        while True:
            if role in _USE_CATALOG:
                await self._switcher.catalog_is_free.wait()
            if self._stopping.is_set():
                return
            began = monotonic()
            status = await self._run_once(role)
            if self._stopping.is_set():
                return
            if status == EXIT_CONFIG:
                await self._go_without(role)
                return
            if status == 0:
                logger().info("a role was told to end and is started again", role=role)
                continue
            logger().error("a role died and is started again", role=role, status=status)
            if monotonic() - began > _HEALTHY_SECONDS:
                backoff_seconds = _BACKOFF_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff_seconds)
            backoff_seconds = min(backoff_seconds * 2, _BACKOFF_CAP_SECONDS)

    async def _end_users(self) -> None:
        """Returns once none of our roles has the catalog's file open."""
        users = [self._processes[it] for it in _USE_CATALOG & self._processes.keys()]
        for process in users:
            if process.returncode is None:
                process.terminate()
        ended = [asyncio.create_task(process.wait()) for process in users]
        if ended:
            await asyncio.wait(ended, timeout=_KILL_AFTER_SECONDS)
        for process in users:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _go_without(self, role: str) -> None:
        """For the rest of this service's life, if it can; raises RoleFailedError if it cannot."""
        if not self._is_dispensable(role):
            raise RoleFailedError(f"the role {role} cannot start; its log line says why")
        logger().error("a role cannot start; the others go on without it", role=role)
        await self._stopping.wait()

    def _is_dispensable(self, role: str) -> bool:
        return role == _DISPENSABLE and len(self._roles) > 1

    async def _run_once(self, role: str) -> int:
        name = _LISTENER_OF.get(role)
        sockets = {name: self._sockets[name].fileno()} if name else {}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _MODULES[role],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._stderr,
            pass_fds=tuple(sockets.values()),
            env={
                **ALLOCATOR,
                **os.environ,
                "PROMETHEUS_MULTIPROC_DIR": str(self._metrics_folder),
            },
            # Ctrl-C is for the parent, which tells its roles in its own way.
            start_new_session=True,
        )
        self._processes[role] = process
        if self._stopping.is_set():  # while it was being started
            process.terminate()
        assert process.stdin is not None
        assert process.stdout is not None
        orders = Orders(config=self._config, sockets=sockets)
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        if await process.stdout.readline() == READY:
            self._ready[role].set()
        status = await process.wait()
        process.stdin.close()
        return status

    @property
    def _metrics_folder(self) -> Path:
        return self._config.catalog.folder / "metrics"

    def _prepare_metrics(self) -> None:
        """Counts begin anew with the service; the files of dead processes would only add up.

        A part of it that is started by itself leaves those of the others alone.
        """
        folder = self._metrics_folder
        if "archive" in self._roles:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_hold(folder.parent, error) from error


def wanted_roles(config: Config) -> tuple[str, ...]:
    """All roles, but for a gateway that leads nowhere and a renderer with nothing to draw with."""
    idle = set()
    if not config.providers.behind_gateway:
        idle.add("gateway")
    if not config.render.get("checkpoints"):
        idle.add("render")
    return tuple(role for role in ROLES if role not in idle)


def take(folder: Path, name: str) -> TextIO:
    """Takes the lock of that name for as long as the file is held and this process lives.

    Raises ConfigError if another process has it: two services would fetch each other's links.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f"{name}.lock").open("w")
    except OSError as error:
        raise _cannot_hold(folder, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise ConfigError(
            f"a service already runs on the archive in {folder}: stop it first, or let "
            "catalog.url name another"
        ) from error
    return lock


def _cannot_hold(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{folder} cannot hold the archive: {error.strerror}; let catalog.url name a place where "
        "holdfast may write"
    )


def _bind(listen: str, name: str) -> socket.socket:
    host, port = host_and_port(listen, name)
    try:
        return socket.create_server((host, port), family=_family(host), backlog=1024)
    except OSError as error:
        raise ConfigError(f"{name} = {listen!r} cannot be bound: {error.strerror}") from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _address(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
