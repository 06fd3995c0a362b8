"""`holdfast forget`."""

from __future__ import annotations

import asyncio
import string
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict

import click

from archiver import clock
from archiver.catalog import CatalogReader, Tables, assets
from archiver.catalog.migrating import migrate
from archiver.errors import HoldfastError
from archiver.recovery.forget_plan import ForgetPlan, Target, plan
from archiver.tombstone import REASON
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive, writing
from receiver.commands.consent import agreed, dry_run_option, yes_option
from receiver.commands.forget_bodies import take_out_bodies
from receiver.commands.output import console, echo_json, json_option, table, typed
from receiver.roles.bucket import bucket_of
from receiver.roles.upkeep import forget_of
from receiver.settings import Config

_EPILOG = """\b
Example: holdfast forget doitong/86ecf553 --reason erasure --dry-run
Exit codes: 0 it is forgotten; 1 not all of it yet, and the same again goes on; 2 wrong usage."""

# A picture is named by enough of its digest that no other is meant.
_LEAST_DIGITS = 16


class UnknownError(HoldfastError):
    """Nothing in the archive goes by that name, so there is nothing to forget."""


def _reason(_context: click.Context, _option: click.Parameter, given: str) -> str:
    if not REASON.fullmatch(given):
        raise click.BadParameter(
            f"{given!r} is no code such as erasure or takedown-7: it stays in the bucket, so it "
            "says nothing of what was forgotten"
        )
    return given


@click.command(epilog=_EPILOG)
@click.argument("names", metavar="TARGET…", nargs=-1, required=True)
@click.option(
    "--reason", callback=_reason, default="requested", show_default=True, help="Why, as a code."
)
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def command(
    file: ConfigFile, names: tuple[str, ...], reason: str, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Have things vanish for ever: from the bucket, its manifests and segments, the catalog, the
    search, and the inboxes.

    TARGET is a generation (PROVIDER/ID), a slot (its archive number), or a picture
    (sha256:DIGEST: every slot that holds it). Of a slot its picture and links vanish, and its
    generation stays. A signed tombstone without content stays, so that no redelivery, rebuild or
    backup brings it back. A picture that other slots show stays for them.

    Beside a running service or without one; typed again, it goes on where it was.
    """
    config = file.load()
    reader = open_archive(config)
    migrate(config.catalog.where)
    try:
        with reader.view() as tables:
            targets = [target for name in names for target in _targets(tables, typed(name))]
            planned = plan(tables, [*dict.fromkeys(targets)], now=clock.now())
        _tell(planned, everything=dry_run, as_json=as_json)
        if dry_run:
            return
        agreed("Forget all of this for ever?", yes=yes)
        left = asyncio.run(_forget(config, reader, planned, reason))
    finally:
        reader.close()
    if not as_json:
        _tell_rest(config)
    if left:
        click.echo(f"{left} bodies are still in the inboxes: type the same again", err=True)
        raise SystemExit(1)


async def _forget(config: Config, reader: CatalogReader, planned: ForgetPlan, reason: str) -> int:
    """How many bodies are still there that should not be."""
    blobs = bucket_of(config, reader)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(blobs.close)
        catalog = await stack.enter_async_context(writing(config))
        await forget_of(config, blobs, catalog, reader).forget(planned.targets, reason=reason)
        return await take_out_bodies(config, catalog, reader, planned.deliveries)


def _targets(tables: Tables, name: str) -> list[Target]:
    """What a name means; raises UnknownError if that is nothing."""
    provider, slash, generation_id = name.partition("/")
    if name.startswith("sha256:"):
        found = _slots(tables, _with_digest(tables, name.removeprefix("sha256:").lower()))
    elif slash:
        whole = Target(provider=provider, id=generation_id)
        known = tables.generations.load(*whole.name) or tables.tombstones.of([whole.name])
        found = [whole] if known else []
    elif name.isascii() and name.isdigit() and len(name) <= 18:
        found = _slots(tables, [int(name)])
    else:
        found = []
    if not found:
        raise UnknownError(
            f"nothing is known of {name!r}: a target is PROVIDER/ID, an archive number, or "
            f"sha256: and at least {_LEAST_DIGITS} digits"
        )
    return found


def _with_digest(tables: Tables, digits: str) -> Sequence[int]:
    if len(digits) < _LEAST_DIGITS or set(digits) - set(string.hexdigits):
        return []
    prefix = bytes.fromhex(digits[: len(digits) // 2 * 2])
    return assets.slots_with_digest(tables.connection, prefix)


def _slots(tables: Tables, numbers: Sequence[int]) -> list[Target]:
    found = []
    for number in numbers:
        generation = tables.generations.load_slot(number)
        for slot in generation.slots if generation else ():
            if generation and slot.number == number:
                name = generation.provider, generation.id
                found.append(Target(provider=name[0], id=name[1], index=slot.index))
    return found


def _tell(planned: ForgetPlan, *, everything: bool, as_json: bool) -> None:
    """What vanishes, in numbers or, if `everything`, one by one."""
    if as_json:
        echo_json(asdict(planned))
        return
    rows = table("what", "how many")
    for what, count in (
        ("generations with all that is known of them", planned.generations),
        ("slots with their links", planned.slots),
        ("pictures with their thumbnails, out of the bucket", planned.pictures),
        ("pictures that stay, for other slots show them", len(planned.shared)),
        ("segments written anew", len(planned.segments)),
        ("deliveries whose bodies go", len(planned.deliveries)),
        ("… of which speak of other generations as well", planned.mixed),
        ("… of which wait until links of others are fetched", planned.waiting),
    ):
        if count:
            rows.add_row(what, f"{count:,}")
    console().print(rows)
    if everything:
        for key in (*planned.objects, *(f"{it}…" for it in planned.segments)):
            click.echo(key)
        for key in planned.shared:
            click.echo(f"{key} stays")
        for delivery in planned.deliveries:
            click.echo(f"inbox {delivery.inbox} position {delivery.first}")


def _tell_rest(config: Config) -> None:
    """What is out of its reach, for now or for ever."""
    click.echo(
        "forgotten. Backups that were taken before still hold it, and go as newer ones are taken "
        f"(backup.keep); refused requests go after {config.quarantine.keep_days:g} days "
        "(quarantine.keep_days); a bucket with versioning keeps what is deleted until its "
        "lifecycle rules end that",
        err=True,
    )
