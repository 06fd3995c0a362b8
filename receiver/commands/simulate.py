"""`holdfast simulate`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from archiver.errors import ConfigError
from receiver.config import host_and_port
from receiver.roles.supervisor import stop_on_signals
from receiver.simulator import FAULTS, Simulator


@click.command(
    epilog="Faults for X-Simulate: " + "; ".join(f"{name}: {what}" for name, what in FAULTS.items())
)
@click.option("--listen", default="127.0.0.1:8090", show_default=True, metavar="HOST:PORT")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The file with the webhook secret to sign with.",
)
def command(listen: str, secret_file: Path) -> None:
    """Run a provider to practise against: Doitong's endpoints, a CDN, webhooks and faults."""
    secret = secret_file.read_bytes().strip()
    try:
        asyncio.run(_simulate(listen, secret))
    except OSError as error:
        raise ConfigError(f"--listen = {listen!r} cannot be bound: {error.strerror}") from error


async def _simulate(listen: str, secret: bytes) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    host, port = host_and_port(listen, "--listen")
    async with Simulator(secret=secret, host=host, port=port) as simulator:
        click.echo(f"the simulated provider listens on {simulator.base_url}", err=True)
        await stop.wait()
