"""`holdfast work`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from archiver import log
from archiver.errors import ConfigError
from archiver.process import stop_on_signals
from fallback_renderer.commands import ConfigFile, configuration
from fallback_renderer.remote import HttpDesk
from fallback_renderer.role import work_for
from fallback_renderer.settings import Render, from_settings

# What waits has waited for hours; the archive has others to answer.
MOST_IDLE_SECONDS = 10.0


@click.command(
    epilog="""\b
Example: holdfast work --server https://archive.example --token-file token
Exit codes: 0 it was told to end, 1 the server refuses it, or nothing can be drawn here."""
)
@click.option(
    "--role", type=click.Choice(["render"]), default="render", show_default=True, help="What to do."
)
@click.option(
    "--server", required=True, metavar="URL", help="The private listener of the service, https://…"
)
@click.option(
    "--token-file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help='A file with a token of the scope "worker".',
)
@click.option(
    "--allow-http", is_flag=True, help="Send the token in the clear, on your own network."
)
@click.pass_obj
def command(file: ConfigFile, role: str, server: str, token_file: Path, allow_http: bool) -> None:
    """Draw on this machine what the service at URL has lost, until SIGTERM or Ctrl-C.

    Of the configuration only [render] and [log] are read: no archive and no bucket need be here.
    """
    config = configuration(file)
    render = from_settings(config.render)
    desk = HttpDesk(server, _token(token_file), allow_http=allow_http)
    log.configure(role, config.log)
    asyncio.run(_work(render, desk))


async def _work(render: Render, desk: HttpDesk) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    with TemporaryDirectory(prefix="holdfast-") as spool:
        async with desk:
            await work_for(
                desk, render, spool=Path(spool), stop=stop, most_idle_seconds=MOST_IDLE_SECONDS
            )
    log.logger().info("stopped")


def _token(file: Path) -> str:
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--token-file {file} cannot be read as text") from error
    if not token.isprintable() or not token:
        raise ConfigError(f"--token-file {file} must hold the token, and nothing else")
    return token
