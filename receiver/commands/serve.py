"""`holdfast serve`."""

from __future__ import annotations

import asyncio
import os

import click

from archiver import log
from archiver.errors import ConfigError
from archiver.process import stop_on_signals
from receiver.cli import ConfigFile
from receiver.roles.activation import Notifier, take_over
from receiver.roles.supervisor import ROLES, Supervisor
from receiver.settings import Config
from receiver.sources import verifiers

NO_PROVIDER = """no provider is configured, so there is nothing to receive. Put into holdfast.toml:

    [providers.doitong]
    secrets = { "2026-11" = "the webhook secret from Doitong's dashboard" }

or try `holdfast demo`, which brings a provider of its own."""


@click.command()
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    help="Run only this role (may be given again).  [default: all]",
)
@click.option("--public", metavar="HOST:PORT", help="Where webhooks come in.")
@click.option("--private", metavar="HOST:PORT", help="Where the API and metrics are.")
@click.option("--gateway", metavar="HOST:PORT", help="Where clients reach the providers.")
@click.pass_obj
def command(
    file: ConfigFile,
    roles: tuple[str, ...],
    public: str | None,
    private: str | None,
    gateway: str | None,
) -> None:
    """Run the service until SIGTERM or Ctrl-C; a second one ends it at once.

    Listening sockets called public, private or gateway that systemd hands over are served in
    place of those named here.
    """
    config = file.load(listen__public=public, listen__private=private, listen__gateway=gateway)
    doors, apis = verifiers(config), config.providers.all.values()
    if not doors and not any(api.gateway or api.keys for api in apis):
        raise ConfigError(NO_PROVIDER)
    log.configure("supervisor")
    asyncio.run(_serve(config, roles))


async def _serve(config: Config, roles: tuple[str, ...]) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    supervisor = Supervisor(config, roles)
    manager = Notifier(os.environ)
    supervisor.bind(take_over(os.environ))
    log.logger().info("listening", **supervisor.addresses, archive=str(config.catalog.folder))

    def ready() -> None:
        log.logger().info("ready")
        manager.ready()

    await supervisor.run(stop, ready=ready, stopping=manager.stopping)
