"""`holdfast show`."""

from __future__ import annotations

import string
from typing import Any

import click

from archiver import clock
from archiver.catalog import Tables, assets
from archiver.errors import HoldfastError
from archiver.models import Generation
from archiver.story import fixity_story, generation_story
from receiver.cli import ConfigFile
from receiver.commands.archive import open_archive
from receiver.commands.output import console, echo_json, json_option, one_line, typed


class NotFoundError(HoldfastError):
    """Nothing in the archive goes by that name."""


@click.command(
    epilog="""\b
Examples: holdfast show 42, holdfast show doitong/1f2e3d…, holdfast show sha256:9f86d081
Exit codes: 0 it is shown, 1 nothing is called that."""
)
@click.argument("name", metavar="ID")
@json_option
@click.pass_obj
def command(file: ConfigFile, name: str, as_json: bool) -> None:
    """Show one generation, named PROVIDER/GENERATION-ID, by archive number or sha256 prefix."""
    archive, name = open_archive(file.load()), typed(name)
    with archive.view() as tables:
        generation = _find(tables, name)
        if generation is None:
            raise NotFoundError(
                f"nothing is known of {name!r}; an ID is PROVIDER/GENERATION-ID, an archive "
                "number, or at least 4 hex digits of a sha256"
            )
        story = generation_story(tables, generation, now=clock.now())
        for told, slot in zip(story["slots"], generation.slots, strict=True):
            told["fixity"] = fixity_story(tables, slot)
    if as_json:
        echo_json(story)
    else:
        _print(story)


def _find(tables: Tables, name: str) -> Generation | None:
    provider, slash, generation_id = name.partition("/")
    if slash:
        return tables.generations.load(provider, generation_id)
    if name.isascii() and name.isdigit() and len(name) <= 18:
        return tables.generations.load_slot(int(name))
    hexadecimal = name.lower().removeprefix("sha256:")
    if len(hexadecimal) < 4 or set(hexadecimal) - set(string.hexdigits):
        return None
    prefix = bytes.fromhex(hexadecimal[: len(hexadecimal) // 2 * 2])
    for number in assets.slots_with_digest(tables.connection, prefix):
        found = tables.generations.load_slot(number)
        digests = [it.sha256.hex() for slot in found.slots for it in slot.assets] if found else []
        if any(digest.startswith(hexadecimal) for digest in digests):
            return found
    return None


def _print(story: dict[str, Any]) -> None:
    out = console()
    out.print(one_line(f"{story['provider']}/{story['id']}", width=200), style="bold")
    _field(out, "state", story["state"])
    _field(out, "prompt", story["params"].get("prompt"))
    asked = [f"{name} {value}" for name, value in story["params"].items() if name != "prompt"]
    _field(out, "asked for", ", ".join(asked))
    for name in ("service", "track_id", "cost", "created_at", "completed_at", "first_heard_at"):
        _field(out, name.replace("_", " "), story[name])
    _field(out, "failure", _why(story["failure"]))
    for slot in story["slots"]:
        out.print(f"slot {slot['index']}, archive number {slot['number']}", style="bold")
        _field(out, "state", f"{slot['state']}: {slot['drawing'] or slot['reason']}")
        for asset in slot["assets"]:
            size = f"{asset['width']}x{asset['height']}" if asset["width"] else ""
            _field(out, asset["origin"], f"{asset['media_type']} {size} {asset['size_bytes']} B")
            _field(out, "bytes", asset["blob_key"])
            _rendering(out, asset["rendering"])
        for found in slot["fixity"]:
            reason = f": {found['reason']}" if found["reason"] else ""
            _field(out, "audited", f"{found['checked_at']}, {found['outcome']}{reason}")
        for link in slot["links"]:
            _field(out, "link", f"{link['location']} until {link['expires_at']}")
            _field(out, "link lost", _why(link["failure"]))
        for job in slot["jobs"]:
            _field(out, job["kind"], _job(job))
    for job in story["jobs"]:
        _field(out, job["kind"], _job(job))
    for told in story["deliveries"]:
        _field(out, told["heard"], f"{told['received_at']} said {told['state']}")


def _rendering(out: Any, drawn: dict[str, Any] | None) -> None:
    if drawn is None:
        return
    _field(out, "drawn with", f"{drawn['drawn_with']}, seed {drawn['seed']}")
    _field(out, "drawn by", f"{drawn['software']}, on {drawn['device']}")
    if drawn["flagged"]:
        _field(out, "flagged", "the safety checker saw something: kept, but not shown")
    for note in drawn["notes"]:
        _field(out, "note", note)


def _field(out: Any, name: str, value: object) -> None:
    if value not in (None, ""):
        out.print(f"  {name:14} {one_line(str(value), width=200)}")


def _why(failure: dict[str, str] | None) -> str:
    return f"{failure['class']}: {failure['message'] or failure['code']}" if failure else ""


def _job(job: dict[str, Any]) -> str:
    tried = f", {job['attempts']} attempts" if job["attempts"] else ""
    later = f", next try {job['next_try_at']}" if job["next_try_at"] else ""
    reason = f": {job['reason']}" if job["reason"] else ""
    return f"{job['state']}{tried}{later}{reason}"
