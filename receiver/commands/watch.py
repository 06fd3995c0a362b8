"""`holdfast watch`."""

from __future__ import annotations

import asyncio
from typing import BinaryIO

import click

from archiver import clock
from archiver.errors import HoldfastError, UnreadableError
from archiver.inbox import Recorded
from receiver.cli import ConfigFile
from receiver.command_inbox import command_inbox
from receiver.commands.output import echo_json, json_option
from receiver.providers import PROVIDERS
from receiver.remembered import remembered
from receiver.settings import Config


class NoSuchRequestError(HoldfastError):
    """The file given as the request is none that the provider could have understood."""


@click.command(
    epilog="""\b
Example: holdfast watch dashscope 1f2e3d… --request submitted.json
Exit codes: 0 it is remembered, 1 it could not be written down, or the request is none."""
)
@click.argument("provider", type=click.Choice(sorted(PROVIDERS)))
@click.argument("generation_id", metavar="ID")
@click.option(
    "--request",
    type=click.File("rb"),
    help="The file (or - for stdin) with the request as it was submitted; it holds the prompt.",
)
@json_option
@click.pass_obj
def command(
    file: ConfigFile,
    provider: str,
    generation_id: str,
    request: BinaryIO | None,
    as_json: bool,
) -> None:
    """Remember a generation that was submitted elsewhere, and see it through to its archive.

    The service asks the provider about it with the key in providers.NAME.keys.
    """
    body = request.read() if request else b""
    known = asyncio.run(_remember(file.load(), provider, generation_id, body))
    if as_json:
        echo_json({"provider": provider, "id": generation_id, "known": known})
    else:
        click.echo(f"{provider}/{generation_id} {'was known already' if known else 'is watched'}")


async def _remember(config: Config, provider: str, generation_id: str, body: bytes) -> bool:
    try:
        delivery = remembered(provider, generation_id, body, by="command watch", now=clock.now())
    except UnreadableError as error:
        raise NoSuchRequestError(f"--request: {error}") from error
    async with command_inbox(config) as inbox:
        return await inbox.append(delivery) is Recorded.DUPLICATE
