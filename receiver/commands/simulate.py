"""`holdfast simulate`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from archiver.errors import ConfigError
from archiver.process import stop_on_signals
from receiver.config import host_and_port
from receiver.simulator import Simulator, fault_table

_EPILOG = (
    "\b\nExample: holdfast simulate --secret-file secret\n"
    "Exit codes: 0 it was told to end, 1 it cannot listen there.\n\n"
    "Faults are asked for by the header X-Simulate: twice,dead_link or by simulate:twice,dead_link "
    "in a prompt.\n\n" + "\n\n".join(f"\b\n{table}" for table in fault_table().split("\n\n"))
)

_SETTINGS = """to reach it, put into holdfast.toml, with the providers' other settings:

    [providers.dashscope]               # the same for modelslab and doitong
    base_url = "{url}"
    download_hosts = ["127.0.0.1"]
    keys = {{ main = "practice" }}        # models: stable-diffusion-xl, stable-diffusion-v1.5
    [egress]
    allow_http = true
    allow_ports = [{port}]
    allow_cidrs = ["127.0.0.0/8"]
"""


@click.command(epilog=_EPILOG)
@click.option("--listen", default="127.0.0.1:8090", show_default=True, metavar="HOST:PORT")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The file with the webhook secret to sign with.",
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="An account of DashScope and ModelsLab; may be repeated.  [default: any but `wrong`; "
    "Doitong's is always `practice`]",
)
@click.option("--events-url", metavar="URL", help="Where EventBridge posts DashScope's events.")
def command(listen: str, secret_file: Path, keys: tuple[str, ...], events_url: str | None) -> None:
    """Run providers to practise against: Doitong, DashScope, ModelsLab and their bad days."""
    host, port = host_and_port(listen, "--listen")
    simulator = Simulator(
        secret=secret_file.read_bytes().strip(),
        host=host,
        port=port,
        api_keys=keys,
        events_url=events_url,
    )
    try:
        asyncio.run(_simulate(simulator))
    except OSError as error:
        raise ConfigError(f"--listen = {listen!r} cannot be bound: {error.strerror}") from error


async def _simulate(simulator: Simulator) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    async with simulator:
        url = simulator.base_url
        click.echo(f"the simulated provider listens on {url}", err=True)
        click.echo(_SETTINGS.format(url=url, port=url.rpartition(":")[2]), err=True)
        await stop.wait()
