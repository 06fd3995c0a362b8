"""`holdfast deliveries`: what was heard, as it was heard, and what became of it."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from typing import Any

import click

from archiver.catalog import CatalogReader
from archiver.errors import UnreadableError
from archiver.inbox.quarantined import Kept
from archiver.models import Delivery, Heard
from archiver.moments import to_text
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.deliveries_again import replay, reverify
from receiver.commands.deliveries_filter import (
    EXIT_CODES,
    delivery_filter,
    delivery_filter_options,
)
from receiver.commands.output import console, echo_json, json_option, one_line, table, typed
from receiver.decoding import decoded
from receiver.deliveries import log_of
from receiver.delivery_lines import DeliveryLine
from receiver.exchange import decode

_EPILOG = f"""\b
Examples: holdfast deliveries list --state unparsed --since 24h
          holdfast deliveries show receive:17 --raw
          holdfast deliveries replay --state unparsed
          holdfast deliveries reverify --dry-run
{EXIT_CODES}"""


@click.group(epilog=_EPILOG)
def command() -> None:
    """Show what was heard and what became of it; absorb some once more, or verify them again.

    A delivery is called INBOX:POSITION, as in receive:17. What was refused is in the quarantine,
    and only listed by --state quarantined.
    """


command.add_command(replay)
command.add_command(reverify)


@command.command("list", epilog=EXIT_CODES)
@delivery_filter_options
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--cursor", help="Go on where an earlier page ended.")
@json_option
@click.pass_obj
def list_deliveries(
    file: ConfigFile, /, limit: int, cursor: str | None, as_json: bool, **said: Any
) -> None:
    """List deliveries, the newest first; nothing is changed.

    Example: holdfast deliveries list --source doitong --state unparsed
    """
    config = file.load()
    archive = open_archive(config)
    with closing(log_of(archive, config.catalog)) as log:
        try:
            lines, more = log.page(delivery_filter(archive, said), cursor=cursor, limit=limit)
        except ValueError as error:
            raise click.UsageError("--cursor is none that a list has printed") from error
    if as_json:
        echo_json({"deliveries": [line_as_json(line) for line in lines], "cursor": more})
        return
    rows = table("delivery", "received at", "source", "heard", "bytes", "state", "")
    for line in lines:
        size = "pruned" if line.size_bytes is None else str(line.size_bytes)
        what = line.reason or ", ".join(f"{it.provider}/{it.generation_id}" for it in line.said)
        when = to_text(line.received_at)
        rows.add_row(
            line.name, when, line.source, line.heard, size, line.state, one_line(what, width=200)
        )
    if lines:
        console().print(rows)
    else:
        click.echo("no such deliveries", err=True)
    if more is not None:
        click.echo(f"go on with --cursor {more}", err=True)


@command.command(epilog=EXIT_CODES)
@click.argument("name", metavar="INBOX:POSITION")
@click.option("--raw", is_flag=True, help="Print the body alone, byte for byte as it was kept.")
@json_option
@click.pass_obj
def show(file: ConfigFile, name: str, raw: bool, as_json: bool) -> None:
    """Show one delivery: headers, body, and what became of it; nothing is changed.

    API keys and tokens were cut out before it was kept; links are whole, and each is a key to its
    picture.

    Example: holdfast deliveries show receive:17 --raw
    """
    config = file.load()
    archive = open_archive(config)
    with closing(log_of(archive, config.catalog)) as log:
        heard, line = log.find(typed(name))
    if raw:
        body = heard.rejected.body if isinstance(heard, Kept) else heard.body
        click.echo(body or b"", nl=False)
        return
    told = line_as_json(line) | _whole(archive, heard, line)
    if as_json:
        echo_json(told)
    else:
        _print(told)


def line_as_json(line: DeliveryLine) -> dict[str, Any]:
    """A delivery in a line, as plain values."""
    return {
        "id": line.name,
        "inbox": line.ref.inbox,
        "position": line.ref.position,
        "source": line.source,
        "heard": line.heard.value,
        "received_at": to_text(line.received_at),
        "peer": line.peer,
        "verified_by": line.verified_by,
        "size_bytes": line.size_bytes,
        "state": line.state.value,
        "reason": line.reason,
        "generations": [
            {"provider": it.provider, "id": it.generation_id, "state": it.state} for it in line.said
        ],
    }


def _whole(archive: CatalogReader, heard: Delivery | Kept, line: DeliveryLine) -> dict[str, Any]:
    if isinstance(heard, Kept):
        rejected = heard.rejected
        headers, body, path_token = rejected.headers, rejected.body, rejected.path_token
        again = heard.verified_by is not None
        said: Any = _value(body)
    else:
        headers, path_token = heard.headers, heard.path_token
        with archive.view() as tables:
            again = line.ref in tables.outcomes.asked_again()
        said = _said(heard)
    return {
        "path_token": path_token,
        "is_about_to_be_absorbed_again": again,
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in headers],
        "body": said,
    }


def _said(delivery: Delivery) -> Any:
    """The body as its sender meant it: a document, an exchange, or what can be shown of it."""
    if delivery.body is None:
        return None
    try:
        body = decoded(delivery.headers, delivery.body)
        if delivery.heard not in (Heard.POLLED, Heard.OVERHEARD):
            return _value(body)
        exchange = decode(body)
    except UnreadableError:
        return _value(delivery.body)
    return {
        "method": exchange.method,
        "path": exchange.path,
        "request": _value(exchange.request),
        "status": exchange.status,
        "answer": _value(exchange.answer),
        "account": exchange.account,
    }


def _value(body: bytes) -> Any:
    """JSON if it is some, else text, else base64 with its name."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        pass
    try:
        return body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}


def _print(told: dict[str, Any]) -> None:
    out = console()
    out.print(told["id"], style="bold")
    for name in ("source", "heard", "received_at", "peer", "verified_by", "size_bytes", "state"):
        out.print(f"  {name.replace('_', ' '):14} {one_line(str(told[name]), width=200)}")
    if told["reason"]:
        out.print(f"  {'reason':14} {one_line(told['reason'], width=500)}")
    for it in told["generations"]:
        said = one_line(f"{it['provider']}/{it['id']} {it['state']}", width=200)
        out.print(f"  {'said':14} {said}")
    if told["is_about_to_be_absorbed_again"]:
        out.print(f"  {'again':14} it is about to be absorbed once more")
    for name, value in told["headers"]:
        out.print(f"  {one_line(name, width=40)}: {one_line(value, width=500)}")
    if told["size_bytes"] is None:
        out.print("  the body has been pruned")
    else:
        # In ASCII: no text of a stranger's steers the terminal.
        click.echo(json.dumps(told["body"], indent=2))
