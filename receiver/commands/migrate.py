"""`holdfast migrate`."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from archiver import clock
from archiver.catalog.usage import InUseError, alone
from archiver.drivers import is_on_server, server_room
from archiver.errors import ConfigError, MoveError
from archiver.sqlite import require_safe_version
from receiver.cli import ConfigFile
from receiver.commands.consent import dry_run_option
from receiver.commands.migrate_report import progress, tell, tell_plan
from receiver.commands.output import json_option
from receiver.config import has_password, secret_in
from receiver.roles.premises import take
from receiver.roles.supervisor import ROLES
from receiver.settings import CatalogTable, Config

if TYPE_CHECKING:
    from archiver.moving.move import Moved, Moving

_EXIT_CODES = """\b
Exit codes: 0 moved: all rows are there and compared; 1 an error; 2 wrong usage; 3 not moved yet,
for a service runs, or rows differ, and the lines say what."""


@click.group(epilog=_EXIT_CODES)
def command() -> None:
    """Move an archive to another kind of database."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    """What was typed."""

    to: str
    password_file: Path | None
    dry_run: bool
    as_json: bool

    def target(self, catalog: CatalogTable) -> CatalogTable:
        """The table `[catalog]` of the archive where it is to go; raises ConfigError."""
        secret = secret_in(str(self.password_file), "--password-file") if self.password_file else ""
        return replace(
            catalog,
            url=self.to,
            password=secret,
            password_file=str(self.password_file.absolute()) if self.password_file else "",
            data_folder=str(catalog.folder),
            node=catalog.node_name,
        )


def _url(_context: click.Context, _option: click.Parameter, typed: str) -> str:
    # Neither sentence shows what was typed: it may have a password in it.
    if not is_on_server(typed):
        raise click.BadParameter("that is not postgresql://user@host/database")
    if has_password(typed):
        raise click.BadParameter(
            "that has a password in it, which would be shown wherever the URL is: put it into a "
            "file, and name that with --password-file"
        )
    return typed


@command.command(
    "sqlite-to-postgres",
    epilog=f"""\b
Example: holdfast migrate sqlite-to-postgres --to postgresql://holdfast@db/holdfast --dry-run
{_EXIT_CODES}""",
)
@click.option(
    "--to", required=True, callback=_url, metavar="URL", help="postgresql://user@host/database"
)
@click.option(
    "--password-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file that holds the password.",
)
@dry_run_option
@json_option
@click.pass_obj
def sqlite_to_postgres(file: ConfigFile, /, **typed: Any) -> None:
    """Copy catalog and inboxes to a PostgreSQL, compare every row, and say what to configure.

    Type it while the service runs: almost all is copied then. Stop the service and type the same
    again: the rest is copied and all of it compared. It may be stopped at any moment and typed
    again. Nothing is ever changed in the files that are moved.
    """
    config, order = file.load(), _Order(**typed)
    require_safe_version(allow_unsafe=config.catalog.allow_unsafe_sqlite)
    catalog, target = config.catalog.path, order.target(config.catalog)
    room = server_room("archiver.moving.move")
    with progress(order.as_json) as told:
        moving: Moving = room.Moving(
            catalog=catalog,
            inbox_folder=config.catalog.inbox_folder,
            url=target.where,
            node=target.node_name,
            now=clock.now,
            progress=told,
        )
        if order.dry_run:
            planned = moving.plan()
        else:
            moved = _move(config, moving)
    if order.dry_run:
        tell_plan(planned, as_json=order.as_json)
    else:
        raise SystemExit(tell(moved, target, as_json=order.as_json))


def _move(config: Config, moving: Moving) -> Moved:
    """Moves what can be; all of it if nobody else writes the archive meanwhile."""
    try:
        with ExitStack() as locks:
            is_alone = _nobody_writes(config.catalog, locks)
            if not is_alone:
                locks.close()  # whoever starts meanwhile must not be kept from it
            return moving.run(alone=is_alone)
    except KeyboardInterrupt as error:
        raise MoveError("stopped; the same command goes on") from error


def _nobody_writes(catalog: CatalogTable, locks: ExitStack) -> bool:
    """Whether all roles are stopped and no command is at work, which then stays so."""
    if not catalog.path.exists():
        return False
    try:
        for role in ROLES:
            locks.enter_context(take(catalog.folder, role))
        locks.enter_context(alone(catalog.path))
    except (ConfigError, InUseError):
        return False
    return True
