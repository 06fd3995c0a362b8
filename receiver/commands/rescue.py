"""`holdfast rescue`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from functools import partial

import click

from archiver.catalog.migrating import migrate
from archiver.process import stop_on_signals
from archiver.recovery.rescue_plan import Step
from archiver.recovery.survey import count_safe
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive, writing
from receiver.commands.consent import agreed, dry_run_option, yes_option
from receiver.commands.output import echo_json, json_option
from receiver.commands.rescue_bucket import BucketRescue
from receiver.commands.rescue_report import (
    Course,
    count_orders,
    print_plan,
    progress,
    step_as_json,
    tell,
)
from receiver.deliveries import log_of
from receiver.inboxes import Inboxes
from receiver.rescue import Rescue, exit_code
from receiver.stores import inboxes_of

_EPILOG = """\b
Example: holdfast rescue --dry-run
Exit codes: 0 everything is safe, or waits as it should; 1 something is not yet safe, or was not
tried; 2 wrong usage; 3 something is gone for ever, and the list says what."""


@click.command(epilog=_EPILOG)
@dry_run_option
@yes_option
@click.option(
    "--bucket", is_flag=True, help="List the bucket, too: what it lacks, and what nobody knows."
)
@json_option
@click.pass_obj
def command(file: ConfigFile, dry_run: bool, yes: bool, bucket: bool, as_json: bool) -> None:
    """Find everything that is not safe, say what can be done about it, and have it done.

    Pictures whose links live come first, the earliest death at the head; then silent generations,
    deliveries that were not understood or were refused and are authentic by the secrets of now,
    work that died with its worker, and what was held or given up. It only orders: the running
    service does the work. What a person holds or has cancelled stays so. It ends when all was
    tried once, and says what was saved, what is held and why, and what is gone for ever. It may be
    stopped and started at any time.

    With --bucket, objects that are missing are fetched again while links to them live, and marked
    where none does; `holdfast audit` looks at the bytes as well.
    """
    config = file.load()
    archive = open_archive(config)
    migrate(config.catalog.where)
    with (
        closing(archive),
        closing(log_of(archive, config.catalog)) as log,
        closing(Inboxes(inboxes_of(config.catalog))) as inboxes,
    ):
        rescue = Rescue(config=config, archive=archive, log=log, inboxes=inboxes)
        in_bucket = BucketRescue(config=config, archive=archive, inboxes=inboxes)
        if bucket:
            with progress() as bar:
                listing = bar.add_task("listing the bucket", total=None)
                rescue.compared = asyncio.run(in_bucket.look(lambda n: bar.advance(listing, n)))
        steps = asyncio.run(rescue.look())
        if not as_json:
            print_plan(steps)
        if dry_run:
            if as_json:
                echo_json({"dry_run": True, "steps": [step_as_json(step) for step in steps]})
            raise SystemExit(exit_code(steps))
        orders = count_orders(steps)
        if orders:
            agreed(f"order all that? {orders} are tried now", yes=yes)
        course = asyncio.run(_carry_out(rescue, in_bucket, steps, orders))
    tell(course, as_json=as_json)
    code = exit_code(course.left)
    raise SystemExit(code if course.ended or code == 3 else 1)


async def _carry_out(
    rescue: Rescue, in_bucket: BucketRescue, steps: Sequence[Step], orders: int
) -> Course:
    course, stop = Course(), asyncio.Event()
    stop_on_signals(stop)
    safe = count_safe(rescue.archive)
    with progress() as bar:
        ordering = bar.add_task("ordering", total=orders)
        ordered = partial(bar.advance, ordering)
        async with writing(rescue.config) as catalog:
            course.not_done = await rescue.order(catalog, steps, stop=stop, progress=ordered)
            if rescue.compared.missing and not stop.is_set():
                rescue.compared = await in_bucket.mend(catalog, rescue.compared, stop, ordered)
        following, most = bar.add_task("saving", total=None), 0

        def show(left: int) -> None:
            nonlocal most
            most = max(most, left)
            bar.update(following, total=most, completed=most - left)

        course.ended = await rescue.follow(stop, show)
        course.served = stop.is_set() or rescue.is_served()
        course.saved = max(0, count_safe(rescue.archive) - safe)
        course.left = await rescue.look()
    return course
