"""`holdfast demo`: the whole service beside a simulated provider, and a dozen generations."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from secrets import token_hex

import click

from archiver import log
from archiver.errors import ConfigError
from archiver.process import stop_on_signals
from receiver.commands.demo_cases import cases
from receiver.commands.demo_drawing import DRAWN, NOT_DRAWN, TABLE, can_draw, draw
from receiver.commands.demo_show import DemoFailedError, Show
from receiver.config import load
from receiver.roles.premises import take
from receiver.roles.supervisor import Supervisor, wanted_roles
from receiver.settings import Config
from receiver.simulator import Simulator

FOLDER = Path("holdfast-data/demo")

CONFIG = """\
# The configuration of `holdfast demo`, written anew by each run. A real one is in the README.
[listen]
public = "{public}"
private = "{private}"
[catalog]
url = "sqlite:///{folder}/catalog.db"
[bucket]
url = "{bucket}"
[providers.doitong]
secrets = {{ demo = "{secret}" }}
download_hosts = ["127.0.0.1"]
[egress]
# Only because the simulated provider lives on this machine.
allow_http = true
allow_ports = [{cdn_port}]
allow_cidrs = ["127.0.0.0/8"]
[archive]
patience_seconds = 3
"""


@click.command(
    epilog="""\b
Example: holdfast demo --once
Exit codes: 0 all ended well, or it was told to end, 1 it did not, or could not begin."""
)
@click.option("--once", is_flag=True, help="End after the table; exit 0 only if all ended well.")
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    show_default=True,
    help="Where the demo keeps its archive.",
)
def command(once: bool, folder: Path) -> None:
    """Run the service with a simulated provider; watch a dozen webhooks become pictures."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--data {folder} cannot be made: {error.strerror}") from error
    asyncio.run(_demo(folder.absolute(), once=once))


async def _demo(folder: Path, *, once: bool) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    drawn = can_draw()
    async with AsyncExitStack() as stack:
        stack.enter_context(take(folder, "demo"))
        logs = stack.enter_context((folder / "holdfast.log").open("a"))
        log.configure("supervisor", file=logs)
        secret = token_hex(16)
        simulator = await stack.enter_async_context(
            Simulator(secret.encode(), port=_port(8090), slow_link_seconds=2.0)
        )
        config = _configure(folder, secret, int(simulator.base_url.rpartition(":")[2]), drawn=drawn)
        supervisor = Supervisor(config, set(wanted_roles(config)) - {"render"}, stderr=logs)
        supervisor.bind()
        ready = asyncio.Event()
        service = [asyncio.create_task(supervisor.run(stop, ready=ready.set))]
        if drawn:
            service.append(asyncio.create_task(draw(config, folder, logs=logs, stop=stop)))
        show = Show(
            simulator=simulator,
            config=config,
            folder=folder,
            cases=cases(drawn=drawn),
            service=service,
        )
        try:
            await _until(ready, service, stop)
            if not stop.is_set():
                afterword = DRAWN if drawn else NOT_DRAWN
                showing = asyncio.create_task(show.run(afterword=afterword, once=once))
                await _either(showing, stop)
                if not once:
                    told = asyncio.create_task(stop.wait())
                    await asyncio.wait([*service, told], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            await asyncio.wait(service)  # all of them, whichever has failed
            await asyncio.gather(*service)


async def _either(showing: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Waits for the show to end, or ends it when told to stop."""
    told = asyncio.create_task(stop.wait())
    await asyncio.wait([showing, told], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if stop.is_set():
        showing.cancel()
    with suppress(asyncio.CancelledError):
        await showing


async def _until(
    ready: asyncio.Event, service: list[asyncio.Task[None]], stop: asyncio.Event
) -> None:
    waits = [asyncio.create_task(event.wait()) for event in (ready, stop)]
    await asyncio.wait([*waits, *service], return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


def _configure(folder: Path, secret: str, cdn_port: int, *, drawn: bool) -> Config:
    """Writes the demo's configuration where the other commands can be pointed to it."""
    text = CONFIG.format(
        public=f"127.0.0.1:{_port(8080)}",
        private=f"127.0.0.1:{_port(8081)}",
        folder=folder,
        bucket=(folder / "bucket").as_uri(),
        secret=secret,
        cdn_port=cdn_port,
    )
    file = folder / "holdfast.toml"
    file.write_text(text + TABLE.format(folder=folder) if drawn else text)
    return load(file, environ={})


def _port(preferred: int) -> int:
    """The usual port if nobody has it, else any free one."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            bound: int = probe.getsockname()[1]
            return bound
    raise DemoFailedError("no port is free on 127.0.0.1")
