"""The command `holdfast`. Each subcommand's module is loaded when it is typed, not before.

Exit codes: 0 well, 1 an error, 2 wrong usage.
"""

from __future__ import annotations

import importlib
import os
from importlib.metadata import version
from pathlib import Path

import click

from archiver import log
from archiver.errors import HoldfastError
from receiver.config import load
from receiver.layers import DEFAULT_FILE, Layered, gather
from receiver.settings import Config

# name → what `--help` says of it; the command is `command` of its module.
COMMANDS = {
    "adopt": "Take in what a provider lists and holdfast never heard of.",
    "audit": "Look whether every object in the bucket is whole, and mend what can be.",
    "backup": "Back the catalog and all inboxes up into the bucket, now.",
    "config": "Check the configuration, or show what it comes to.",
    "demo": "Run the service against a simulated provider and watch webhooks become pictures.",
    "deliveries": "Show what was heard and what became of it; absorb or verify it once more.",
    "doctor": "Look at all that has to be well, and say of what is not how it is cured.",
    "export": "Take what a query finds out of the archive: pictures, or what is known of them.",
    "forget": "Have a generation, a slot or a picture vanish for ever, everywhere.",
    "jobs": "Show the units of work; try some now, hold, release or cancel them.",
    "migrate": "Move an archive that has outgrown its files to a PostgreSQL, beside its service.",
    "rebuild": "Make the index anew out of the bucket alone, or compare it with the bucket.",
    "reindex": "Fill the search index anew, should it ever be in doubt.",
    "render": "Draw again what a provider lost, or see what would be drawn for it.",
    "rescue": "Find everything that is not safe, and save what can be saved.",
    "restore": "Bring the newest backup back, and what the bucket was told since.",
    "serve": "Run the service: receive webhooks, archive their results, answer the API.",
    "search": "Find pictures by words and by everything known about them.",
    "send": "Send one signed test webhook to a URL.",
    "show": "Show all that is known of a generation, an archive number or a sha256 prefix.",
    "simulate": "Run only the simulated provider, to practise against.",
    "status": "Show what is safe, what is not yet, and when the first link dies.",
    "submit": "Submit one prompt or a batch, and see each through to its archived picture.",
    "watch": "Remember a generation that was submitted elsewhere, and see it through.",
    "work": "Draw on this machine for a service on another.",
}

# Those of the wing that draws, which this one does not import; all others are of receiver.commands.
_MODULES = {
    "render": "fallback_renderer.commands.render",
    "work": "fallback_renderer.commands.work",
}


class Commands(click.Group):
    """A group whose commands are modules, imported by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        name = _MODULES.get(cmd_name, f"receiver.commands.{cmd_name}")
        module = importlib.import_module(name)
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table itself, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Turns our own errors into one sentence on stderr and exit code 1."""
        try:
            return super().invoke(ctx)
        except HoldfastError as error:
            raise click.ClickException(str(error)) from error


class ConfigFile:
    """Where the configuration is to be read from, until a command wants it."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @property
    def name(self) -> str:
        """What it is called, be it there or not."""
        return str(self._file or DEFAULT_FILE)

    def said(self) -> Layered:
        """What file and environment say, unchecked; raises ConfigError."""
        return gather(self._file, environ=os.environ)

    def load(self, **flags: object) -> Config:
        """The configuration under these flags (dots in names written as two underscores)."""
        dotted = {name.replace("__", "."): value for name, value in flags.items()}
        return load(self._file, flags=dotted)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="HOLDFAST_CONFIG",
    help="The configuration file.  [default: holdfast.toml, if it is there]",
)
@click.version_option(version("holdfast"), prog_name="holdfast")
@click.pass_context
def main(context: click.Context, file: Path | None) -> None:
    """Makes AI-image providers' dying result links permanent, and finds the pictures again."""
    # On stderr, for a command's stdout is what it was asked for.
    log.configure(context.invoked_subcommand or "holdfast", log.Style(level="warning"))
    context.obj = ConfigFile(file)
