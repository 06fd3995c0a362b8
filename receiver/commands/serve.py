"""`holdfast serve`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import click

from archiver import log
from archiver.errors import ConfigError
from archiver.process import stop_on_signals
from receiver.checking import mistakes, require_sources
from receiver.cli import ConfigFile
from receiver.layers import DEFAULT_FILE
from receiver.roles.activation import Notifier, take_over
from receiver.roles.reloading import Reloader
from receiver.roles.supervisor import ROLES, Supervisor
from receiver.sections import secrets_of
from receiver.settings import Config


@click.command(
    epilog="""\b
Example: holdfast serve --public 0.0.0.0:8080
Exit codes: 0 it was told to end, and has in order, 1 a role can never start, and why is logged."""
)
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

    SIGHUP has the configuration and the files of secrets read anew: what is well is handed to the
    roles, and nobody is refused meanwhile; what is wrong is told in the log and changes nothing.

    Listening sockets called public, private or gateway that systemd hands over are served in
    place of those named here.
    """

    # It would end the process until somebody listens to it.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if file.name == str(DEFAULT_FILE) and DEFAULT_FILE.exists():
        file = ConfigFile(DEFAULT_FILE)  # what was there must not be gone later

    def read() -> Config:
        return file.load(listen__public=public, listen__private=private, listen__gateway=gateway)

    config = read()
    require_sources(config)
    log.configure("supervisor", config.log)
    log.conceal(secrets_of(config))
    for mistake in mistakes(config):
        log.logger().warning("the configuration has a mistake", error=mistake)
    asyncio.run(_serve(config, roles, lambda old: _without_new_mistakes(old, read())))


def _without_new_mistakes(old: Config, new: Config) -> Config:
    """The new one; raises ConfigError if some role would refuse it that did not refuse the old."""
    known = mistakes(old)
    if wrong := [mistake for mistake in mistakes(new) if mistake not in known]:
        raise ConfigError("; ".join(wrong))
    return new


async def _serve(
    config: Config, roles: tuple[str, ...], reread: Callable[[Config], Config]
) -> None:
    stop, reload, serving = asyncio.Event(), asyncio.Event(), asyncio.Event()
    stop_on_signals(stop)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload.set)
    supervisor = Supervisor(config, roles)
    manager = Notifier(os.environ)
    supervisor.bind(take_over(os.environ))
    log.logger().info("listening", **supervisor.addresses, archive=str(config.catalog.folder))

    def ready() -> None:
        log.logger().info("ready")
        manager.ready()
        serving.set()

    async def reload_when_told() -> None:
        await serving.wait()
        await Reloader(supervisor, reread, manager).run(reload)

    reloading = asyncio.create_task(reload_when_told())
    try:
        await supervisor.run(stop, ready=ready, stopping=manager.stopping)
    finally:
        reloading.cancel()
