"""`holdfast send`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import aiohttp
import click
import msgspec

from archiver import clock
from archiver.errors import ConfigError, HoldfastError
from receiver.cli import ConfigFile
from receiver.commands.output import echo_json, json_option
from receiver.settings import Config
from receiver.signatures import DOITONG_HEADER, sign

SEND_SECONDS = 30


class NotSentError(HoldfastError):
    """The webhook could not be delivered at all."""


@click.command(
    epilog="""\b
Example: holdfast send http://127.0.0.1:8080/webhooks/doitong
Exit codes: 0 it was answered 2xx, 1 it was not."""
)
@click.argument("url")
@click.option("--id", "generation_id", help="The generation's id.  [default: a new one]")
@click.option("--link", help="The result URL it names.")
@click.option(
    "--status",
    default="completed",
    show_default=True,
    help="The status it says: processing, completed, failed.",
)
@click.option("--body", type=click.File("rb"), help="Send this file's bytes instead.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Sign with this file's secret.  [default: the first configured one]",
)
@json_option
@click.pass_obj
def command(
    file: ConfigFile,
    url: str,
    generation_id: str | None,
    link: str | None,
    status: str,
    body: BinaryIO | None,
    secret_file: Path | None,
    as_json: bool,
) -> None:
    """Send one webhook, signed as Doitong signs, to URL, to see whether it is taken."""
    secret = _secret_in(secret_file) if secret_file else _configured_secret(file.load())
    now = clock.now().astimezone(UTC)
    wire = body.read() if body else _webhook(generation_id or _new_id(), status, link, now)
    answer_status, answer_text = asyncio.run(_post(url, wire, sign(secret, wire)))
    if as_json:
        echo_json({"status": answer_status, "answer": answer_text.strip()})
    else:
        click.echo(f"{answer_status} {answer_text.strip()}")
    if not 200 <= answer_status < 300:
        raise SystemExit(1)


def _secret_in(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--secret-file {file} cannot be read as text") from error


def _configured_secret(config: Config) -> str:
    doitong = config.providers.doitong
    if doitong is None or not doitong.secrets:
        raise ConfigError(
            "there is no secret to sign with: configure providers.doitong.secrets, or give one "
            "with --secret-file"
        )
    return next(iter(doitong.secrets.values()))


def _new_id() -> str:
    return f"test-{uuid4().hex[:12]}"


def _webhook(generation_id: str, status: str, link: str | None, now: datetime) -> bytes:
    """The documented payload ("Webhook payload" of doitong-stable-diffusion)."""
    moment = now.isoformat(timespec="seconds").replace("+00:00", "Z")
    payload = {
        "id": generation_id,
        "status": status,
        "url": link,
        "service": "stable-diffusion",
        "createdAt": moment,
        "completedAt": moment,
        "metadata": {"duration": None, "width": 1920, "height": 1080},
    }
    return msgspec.json.encode(payload)


async def _post(url: str, wire: bytes, signature: str) -> tuple[int, str]:
    timeout = aiohttp.ClientTimeout(total=SEND_SECONDS)
    headers = {DOITONG_HEADER: signature, "Content-Type": "application/json"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, data=wire, headers=headers) as answer,
        ):
            return answer.status, await answer.text()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise NotSentError(f"{url} cannot be reached: {type(error).__name__}: {error}") from error
