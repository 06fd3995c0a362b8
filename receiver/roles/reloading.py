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
from receiver.effective import changed
from receiver.roles.activation import Notifier
from receiver.roles.supervisor import Supervisor, wanted_roles
from receiver.sections import secrets_of
from receiver.settings import Config

# What the parent has taken at its start, and holds.
_HELD = frozenset({"listen.public", "listen.private", "listen.gateway", "catalog.url"})


class Reloader:
    """Reloads a service's configuration whenever it is told to.

    `reread` blocks, and raises ConfigError for one that no role should get.
    """

    def __init__(
        self, supervisor: Supervisor, reread: Callable[[], Config], manager: Notifier
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
        old = self._supervisor.config
        try:
            new = await asyncio.to_thread(self._reread)
        except ConfigError as error:
            _refuse(str(error))
            return
        log.conceal(secrets_of(new))
        kept = _holding_on(old, new)
        role = await self._supervisor.hand_out(kept) if kept != old else ""
        if role:
            _refuse(f"the role {role} cannot start with it; its log line says why")
            return
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
    catalog = msgspec.structs.replace(new.catalog, url=old.catalog.url)
    return msgspec.structs.replace(new, listen=listen, catalog=catalog)


def _other_roles(old: Config, new: Config) -> list[str]:
    """Roles that only one of the two has a use for."""
    return sorted(set(wanted_roles(old)) ^ set(wanted_roles(new)))
