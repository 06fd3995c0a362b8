"""The configuration read anew while the service runs: looked at whole, then handed to the roles.

A role takes it by being started again, so there is one way of coming by a configuration and no
setting that some part of a process has forgotten to look at. The parent holds the sockets, so
whoever connects meanwhile waits a moment and is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from archiver import log
from archiver.errors import ConfigError
from archiver.log import logger
from archiver.redact import redact
from receiver.effective import changed
from receiver.roles.activation import Notifier
from receiver.roles.supervisor import ROLES, Supervisor, wanted_roles
from receiver.sections import secrets_of
from receiver.settings import Config

# What the parent has taken at its start, and holds.
_HELD = frozenset(
    {
        *("listen.public", "listen.private", "listen.gateway"),
        *("catalog.url", "catalog.data_folder", "catalog.node"),
    }
)
# What the renderer goes by: a drawing takes long, and is not cut short for the rest.
_OF_RENDERER = ("catalog", "bucket", "render", "log")


class Reloader:
    """Reloads a service's configuration whenever it is told to.

    `reread` is given the one of now; it blocks, and raises ConfigError for one that no role should
    get.
    """

    def __init__(
        self, supervisor: Supervisor, reread: Callable[[Config], Config], manager: Notifier
    ) -> None:
        self._supervisor = supervisor
        self._reread = reread
        self._manager = manager

    async def run(self, told: asyncio.Event) -> None:
        """Until it is cancelled; who is told anew while it is at work does it once more."""
        while True:
            await told.wait()
            told.clear()
            self._manager.reloading()
            await self.reload()
            self._manager.ready()

    async def reload(self) -> None:
        """Once. What cannot be changed without a restart is named, and stays as it was."""
        try:
            await self._reload()
        except ConfigError as error:
            _refuse(str(error))
        except Exception as error:  # whatever it is, the next one is to be tried
            _refuse(redact(f"{type(error).__name__}: {error}"))

    async def _reload(self) -> None:
        old = self._supervisor.config
        new = await asyncio.to_thread(self._reread, old)
        log.conceal(secrets_of(new))
        kept = _holding_on(old, new)
        if role := await self._supervisor.hand_out(kept, concerned(old, kept)):
            raise ConfigError(f"the role {role} cannot start with it; its log line says why")
        log.configure("supervisor", kept.log)
        needs_restart = sorted(_HELD & set(changed(old, new)))
        needs_restart += [f"role {role}" for role in _other_roles(old, new)]
        logger().info(
            "the configuration is reloaded", changed=changed(old, kept), needs_restart=needs_restart
        )


def _refuse(error: str) -> None:
    logger().error("the new configuration is refused; the old one stays", error=error)


def _holding_on(old: Config, new: Config) -> Config:
    """The new one, but for what the parent holds."""
    listen = msgspec.structs.replace(
        new.listen,
        public=old.listen.public,
        private=old.listen.private,
        gateway=old.listen.gateway,
    )
    catalog = msgspec.structs.replace(
        new.catalog,
        url=old.catalog.url,
        data_folder=old.catalog.data_folder,
        node=old.catalog.node,
    )
    return msgspec.structs.replace(new, listen=listen, catalog=catalog)


def concerned(old: Config, new: Config) -> list[str]:
    """The roles to which what has changed is anything."""
    if old == new:
        return []
    drawing = any(getattr(old, name) != getattr(new, name) for name in _OF_RENDERER)
    return [role for role in ROLES if role != "render" or drawing]


def _other_roles(old: Config, new: Config) -> list[str]:
    """Roles that only one of the two has a use for."""
    return sorted(set(wanted_roles(old)) ^ set(wanted_roles(new)))
