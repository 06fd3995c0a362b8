"""The parent of a service: holds the listening sockets, starts the roles, and starts them again.

Because the sockets are the parent's, a role may die and come back without one refused connection:
who connects meanwhile waits in the kernel's queue. Where they were handed to the parent in turn
(`activation`), the same holds when the whole service is started again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TextIO

import msgspec

from archiver.clock import monotonic
from archiver.errors import ConfigError, HoldfastError
from archiver.log import logger
from archiver.process import DRAIN_SECONDS, EXIT_CONFIG, READY
from receiver.roles.premises import address, begin_metrics, bind, take
from receiver.roles.process import Orders
from receiver.roles.starting import MODULES, Starter
from receiver.roles.switcher import Switcher
from receiver.settings import Config

ROLES = tuple(MODULES)
_LISTENER_OF = {"receive": "public", "gateway": "gateway", "web": "private"}

# Those that have the catalog's file open; while they are down, webhooks are taken in as ever.
_USE_CATALOG = frozenset({"gateway", "archive", "web", "render"})

# The one that the others go on without, for on a bad night it is the links that cannot wait.
_DISPENSABLE = "render"

_BACKOFF_SECONDS = 0.2
_BACKOFF_CAP_SECONDS = 5.0
# Who serves each time before he dies is worth more than the processor that his starts cost.
_BACKOFF_CAP_SERVED_SECONDS = 1.0
# A role that served this long had started well, so its death counts as the first.
_HEALTHY_SECONDS = 3.0
# With what is handed out it has to serve within so long, and before it has died three times.
_READY_WITHIN_SECONDS = 60.0
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
        self._proven = config  # what all roles have started with
        # `stderr` is where the roles' log lines go; None: where ours go.
        self._starter = Starter(config.catalog.folder, stderr)
        self._roles = tuple(role for role in ROLES if role in roles)
        self._sockets: dict[str, socket.socket] = {}
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._locks: list[TextIO] = []
        self._ready = {role: asyncio.Event() for role in self._roles}
        self._told: dict[str, Config] = {}  # what the newest process of each role was started with
        self._refused_by = ""
        self._stopping = asyncio.Event()
        catalog = config.catalog
        path = None if catalog.is_on_server else catalog.path
        self._switcher = Switcher(path, self._end_users)
        self._gone: set[str] = set()
        self._tried_again = asyncio.Event()

    @property
    def config(self) -> Config:
        """What the roles are told."""
        return self._config

    @property
    def addresses(self) -> Mapping[str, str]:
        """`host:port` of each listener, as bound."""
        return {name: address(bound) for name, bound in self._sockets.items()}

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
            self._sockets[name] = handed.get(name) or bind(listen, f"listen.{name}")

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
        begin_metrics(self._config.catalog.folder, anew="archive" in self._roles)
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

    async def hand_out(self, config: Config, concerned: Collection[str] = ROLES) -> str:
        """Starts the roles concerned again with another configuration, one after the other.

        The listeners and the archive's folder must be the same; whoever connects meanwhile waits.
        If a role refuses it, all go back to the one before, and the answer is that role's name.
        One that the others go on without is tried again, and may refuse anew.
        """
        self._config = config
        # The one that must not wait comes last: what others refuse never gets to it.
        for role in reversed(self._roles):
            if self._config is config and (role in self._gone or role in concerned):
                await self._renew(role)
        if self._config is config:
            self._proven = config
            return ""
        for role in self._roles:
            if self._told.get(role) is config:  # also who died meanwhile
                await self._renew(role)
        return self._refused_by

    async def _renew(self, role: str) -> None:
        """Returns once a role serves with the configuration of now, or somebody has refused it."""
        ready = self._ready[role] = asyncio.Event()
        if role in self._gone:
            self._tried_again.set()
        if role in self._processes:
            await _end_process(self._processes[role])
        try:
            await asyncio.wait_for(ready.wait(), _READY_WITHIN_SECONDS)
        except TimeoutError:
            logger().error("a role is not ready in time", role=role)
            self._give_up(role)

    def _give_up(self, role: str) -> None:
        """Nobody waits for it any more; of what is handed out, nobody hears any more."""
        if role in self._gone:
            self._ready[role].set()
        elif self._config is not self._proven:
            self._config, self._refused_by = self._proven, role
            for ready in self._ready.values():
                ready.set()

    async def _end(self, keepers: list[asyncio.Task[None]]) -> None:
        self._stopping.set()
        self._tried_again.set()
        self._switcher.catalog_is_free.set()
        # It holds the listening sockets, too: who comes now is to be refused, not kept waiting.
        await self._starter.end()
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
        """Starts a role, and again whenever it dies: at once, then waiting a little longer."""
        backoff_seconds = 0.0
        while True:
            if role in _USE_CATALOG:
                await self._switcher.catalog_is_free.wait()
            if self._stopping.is_set():
                return
            status, served_seconds = await self._run_once(role)
            if self._stopping.is_set():
                return
            if status == EXIT_CONFIG:
                if self._told[role] is self._proven or role in self._gone:
                    await self._go_without(role)
                else:
                    self._give_up(role)
                continue
            if status == 0:
                logger().info("a role was told to end and is started again", role=role)
                continue
            logger().error("a role died and is started again", role=role, status=status)
            if served_seconds > _HEALTHY_SECONDS:
                backoff_seconds = 0.0
            if backoff_seconds > _BACKOFF_SECONDS and self._told[role] is self._config:
                self._give_up(role)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff_seconds)
            cap_seconds = _BACKOFF_CAP_SERVED_SECONDS if served_seconds else _BACKOFF_CAP_SECONDS
            backoff_seconds = min(max(backoff_seconds * 2, _BACKOFF_SECONDS), cap_seconds)

    async def _end_users(self) -> None:
        """Returns once none of our roles has the catalog's file open."""
        users = [self._processes[it] for it in _USE_CATALOG & self._processes.keys()]
        await asyncio.gather(*map(_end_process, users))

    async def _go_without(self, role: str) -> None:
        """Until it is tried again, if it can; raises RoleFailedError if it cannot."""
        if not self._is_dispensable(role):
            raise RoleFailedError(f"the role {role} cannot start; its log line says why")
        logger().error("a role cannot start; the others go on without it", role=role)
        self._gone.add(role)
        self._give_up(role)
        self._tried_again.clear()
        await self._tried_again.wait()

    def _is_dispensable(self, role: str) -> bool:
        return role == _DISPENSABLE and len(self._roles) > 1

    async def _run_once(self, role: str) -> tuple[int, float]:
        """From its start to its end: the exit status, and for how many seconds it served."""
        name = _LISTENER_OF.get(role)
        sockets = {name: self._sockets[name].fileno()} if name else {}
        process = await self._starter.start(role, sockets.values())
        self._processes[role] = process
        if self._stopping.is_set():  # while it was being started
            process.terminate()
        assert process.stdin is not None
        assert process.stdout is not None
        self._told[role], ready = self._config, self._ready[role]
        orders = Orders(config=self._config, sockets=sockets)
        process.stdin.write(msgspec.json.encode(orders) + b"\n")
        serves = await process.stdout.readline() == READY
        began = monotonic()
        if serves:
            self._gone.discard(role)
            ready.set()
            self._starter.stand_by(role, sockets.values())
        status = await process.wait()
        process.stdin.close()
        return status, monotonic() - began if serves else 0.0


def wanted_roles(config: Config) -> tuple[str, ...]:
    """All roles, but for a gateway that leads nowhere and a renderer with nothing to draw with."""
    uses = {"gateway": config.providers.behind_gateway, "render": config.render.get("checkpoints")}
    return tuple(role for role in ROLES if uses.get(role, True))


async def _end_process(process: asyncio.subprocess.Process) -> None:
    """Tells a process to end, and returns once it has."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _KILL_AFTER_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
