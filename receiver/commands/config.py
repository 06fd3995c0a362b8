"""`holdfast config`: is the configuration well, and what does it come to?"""

from __future__ import annotations

import click

from archiver.errors import ConfigError
from receiver.checking import mistakes
from receiver.cli import ConfigFile
from receiver.commands.output import echo_json, json_option
from receiver.config import from_tree
from receiver.effective import as_toml, shown, source

_EXIT_CODES = "Exit codes: 0 well, 1 something is wrong with the configuration, 2 wrong usage."


@click.group(
    epilog=f"""\b
Examples: holdfast --config /etc/holdfast/holdfast.toml config check
          holdfast config show | grep -v default
{_EXIT_CODES}"""
)
def command() -> None:
    """Check the configuration, or show what takes effect and who says so. Nothing is changed.

    A running service takes a changed configuration, and changed files of secrets, when it gets
    SIGHUP: `systemctl reload holdfast`, or `kill -HUP` with the number of its first process.
    """


@command.command(epilog=_EXIT_CODES)
@json_option
@click.pass_obj
def check(file: ConfigFile, as_json: bool) -> None:
    """Read everything, the files of secrets too, and say what any role would refuse.

    Nothing is connected to: whether the bucket can be reached is asked by `holdfast doctor`.

    Example: holdfast config check && systemctl reload holdfast
    """
    try:
        wrong = mistakes(file.load())
    except ConfigError as error:
        wrong = [str(error)]
    if as_json:
        echo_json({"file": file.name, "well": not wrong, "mistakes": wrong})
    elif not wrong:
        click.echo(f"{file.name}: well")
    for mistake in wrong if not as_json else ():
        click.echo(f"{file.name}: {mistake}", err=True)
    if wrong:
        raise SystemExit(1)


@command.command(epilog=_EXIT_CODES)
@json_option
@click.pass_obj
def show(file: ConfigFile, as_json: bool) -> None:
    """Show every setting as it takes effect, as TOML, and who says so: the comment.

    In place of a secret stands the beginning of its SHA-256, by which two can be told apart, and
    of a URL its query is left out.

    Example: holdfast config show --json
    """
    said = file.said()
    config = from_tree(said.tree, where=file.name)
    if not as_json:
        click.echo(as_toml(config, said))
        return
    settings = {
        ".".join(it.place): {"value": it.value, "from": source(said, it)}
        for it in shown(config, said)
    }
    echo_json(settings)
