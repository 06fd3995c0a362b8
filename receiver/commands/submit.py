"""`holdfast submit`."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from uuid import uuid4

import click
import msgspec

from archiver import clock
from archiver.errors import HoldfastError
from archiver.models import GenerationParams
from archiver.process import stop_on_signals
from receiver.cli import ConfigFile
from receiver.commands.output import echo_json, json_option
from receiver.commands.submit_progress import SubmitProgress, label, line, row_as_json
from receiver.providers.submitters import SUBMITTERS
from receiver.settings import Config
from receiver.submission.batch import Row, read_batch, read_row
from receiver.submission.board import ENDED, Board, Shown, State
from receiver.submission.entries import Event, check_same_account, check_unchanged
from receiver.submission.journal import Journal, opened
from receiver.submission.plan import sentences
from receiver.submission.run import Order, carry_out, in_doubt, journal_of, mended, order, resend

# More than this is not sent without a word.
_MANY = 20

_EPILOG = (
    "\b\nExample: holdfast submit 'a lighthouse in a storm' --provider doitong\n\n"
    "Exit codes: 0 all archived (with --no-wait: submitted), 1 an error or a pause, 3 some held or "
    "dead. Whatever ends it, the same command goes on where it was: FILE.journal says what was "
    "sent, and nothing is sent twice."
)


class UnconfirmedError(HoldfastError):
    """So many rows are not sent without the operator's word."""


def _param_options(command: Callable[..., None]) -> Callable[..., None]:
    for field in reversed(fields(GenerationParams)):
        if field.name not in ("task", "prompt"):
            option = f"--{field.name.replace('_', '-')}"
            kind = field.type.removesuffix(" | None").upper()
            help_text = _HELP.get(field.name)
            command = click.option(option, metavar=kind, help=help_text)(command)
    return command


_HELP = {
    "model": "The model; of Doitong the service.  [default there: stable-diffusion]",
    "version": "The model's version; of ModelsLab v6 or enterprise.",
}


@click.command(epilog=_EPILOG)
@click.argument("prompt", required=False)
@click.option("--provider", type=click.Choice(list(SUBMITTERS)), help="For rows that name none.")
@click.option(
    "--batch",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A .csv or .ndjson file; columns: prompt, negative_prompt and so on, provider, name.",
)
@click.option("--key", metavar="LABEL", help="The label of the API key.  [default: the first]")
@click.option("--yes", is_flag=True, help=f"Send more than {_MANY} rows without asking.")
@click.option("--no-wait", is_flag=True, help="Return once all is submitted.")
@click.option("--no-webhook", is_flag=True, help="Ask for no webhook, even if public_url is set.")
@click.option("--resend", is_flag=True, help="Send again what may have been begun or not.")
@json_option
@_param_options
@click.pass_obj
def command(
    file: ConfigFile,
    /,
    prompt: str | None,
    provider: str | None,
    batch: Path | None,
    key: str | None,
    yes: bool,
    no_wait: bool,
    no_webhook: bool,
    resend: bool,
    as_json: bool,
    **params: str | None,
) -> None:
    """Submit PROMPT, or every row of a batch, and see it through to its archive."""
    config = file.load()
    said = {name: value for name, value in params.items() if value is not None}
    if batch is not None and (prompt is not None or said):
        raise click.UsageError("with --batch its columns say what to draw")
    alone = batch is None
    if batch is None:
        if prompt is None:
            raise click.UsageError("there is nothing to draw: give a PROMPT or a --batch")
        if provider is None:
            raise click.UsageError("say to whom: --provider NAME")
        row = read_row(1, {"prompt": prompt, **said}, provider, where="the command line")
        batch = _batch_of_one(config, row)
    rows = read_batch(batch.name, batch.read_bytes(), provider)
    ordered = order(config, rows, key=key, wait=not no_wait, webhooks=not no_webhook)
    with opened(journal_of(batch)) as journal:
        check_unchanged(rows, journal.standings, batch=batch.name)
        _prepare(ordered, journal, send_again=resend, yes=yes)
        code = _submit(ordered, journal, _resume(batch, provider, key, no_wait), as_json=as_json)
    if alone and code == 0:
        batch.unlink()
        journal_of(batch).unlink()
    raise SystemExit(code)


def _batch_of_one(config: Config, row: Row) -> Path:
    """A prompt is a batch of one, written down where an interrupted one can go on from."""
    said = {name: value for name, value in asdict(row.params).items() if value is not None}
    folder = config.catalog.folder / "submitted"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{clock.now():%Y%m%d-%H%M%S}-{uuid4().hex[:6]}.ndjson"
    with path.open("wb") as file:
        file.write(msgspec.json.encode({"provider": row.provider, **said}) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def _resume(batch: Path, provider: str | None, key: str | None, no_wait: bool) -> str:
    """What to type to go on."""
    config_file = click.get_current_context().find_root().params.get("file")
    words = ["holdfast", *(("--config", str(config_file)) if config_file else ())]
    words += ["submit", "--batch", str(batch)]
    for option, value in (("--provider", provider), ("--key", key)):
        words += (option, value) if value else ()
    return shlex.join([*words, *(("--no-wait",) if no_wait else ())])


def _prepare(ordered: Order, journal: Journal, *, send_again: bool, yes: bool) -> None:
    """What is to be said and asked before anything is sent."""
    doubtful = in_doubt(ordered.rows, journal) if send_again else []
    if not send_again:
        accounts = {provider: key.label for provider, key in ordered.keys.items()}
        check_same_account(ordered.rows, journal.standings, accounts)
    for row in (*doubtful, *mended(ordered.rows, journal)):
        resend(row, journal)
    limits = {provider: api.limits for provider, api in ordered.apis.items()}
    waiting = [row for row in ordered.rows if journal.standing(row.number).event is Event.WAITING]
    for sentence in sentences(waiting, limits) if len(ordered.rows) > 1 else ():
        click.echo(sentence, err=True)
    if len(waiting) <= _MANY or yes:
        return
    if not sys.stdin.isatty():
        raise UnconfirmedError(f"{len(waiting)} rows are to be sent: say --yes if that is meant")
    if not click.confirm("Send them?", err=True):
        raise UnconfirmedError("nothing was sent")


def _submit(ordered: Order, journal: Journal, resume: str, *, as_json: bool) -> int:
    """Sends, follows and tells; the exit code."""
    warn_credits = {name: api.limits.warn_credits for name, api in ordered.apis.items()}
    progress = SubmitProgress(len(ordered.rows), warn_credits)
    board = Board(ordered.rows, progress.tell)
    error: HoldfastError | None = None
    with progress:
        try:
            interrupted = asyncio.run(_carry_out(ordered, journal, board, progress))
        except HoldfastError as paused:
            error, interrupted = paused, False
    shown = [(row, board.of(row)) for row in ordered.rows]
    _print(shown, as_json=as_json)
    if error is not None or interrupted:
        why = f"Error: {error}" if error else "stopped; nothing is lost"
        click.echo(f"{why}\nto go on: {resume}", err=True)
        return 1
    if in_doubt(ordered.rows, journal):
        click.echo(f"to send again what may have been begun or not: {resume} --resend", err=True)
    return 3 if any(it.state in (State.HELD, State.DEAD) for _, it in shown) else 0


async def _carry_out(
    ordered: Order, journal: Journal, board: Board, progress: SubmitProgress
) -> bool:
    """Whether it was stopped before its end."""
    stop = asyncio.Event()
    stop_on_signals(stop)
    await carry_out(ordered, journal, board, note=progress.note, stop=stop)
    waited_for = ENDED if ordered.wait else {*ENDED, State.SUBMITTED, State.RUNNING}
    return stop.is_set() and any(board.of(row).state not in waited_for for row in ordered.rows)


def _print(shown: Sequence[tuple[Row, Shown]], *, as_json: bool) -> None:
    for row, it in shown:
        if as_json:
            echo_json(row_as_json(row, it))
        else:
            click.echo(f"{label(row)}: {line(row, it)}")
