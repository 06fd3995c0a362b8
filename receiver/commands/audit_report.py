"""How `holdfast audit` shows how far it is, and what it has found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from archiver.catalog import CatalogReader, Tables, assets
from archiver.catalog.fixity import AuditRow, Checked, Fixity, Stored
from archiver.moments import to_text
from archiver.recovery.sample import Sample
from receiver.commands.output import console, echo_json, one_line, table

# Rows read in one transaction, and of one object's slots as many as are named.
_PAGE = 200
_NAMED_SLOTS = 10


@dataclass(kw_only=True)
class Summary:
    """What a run has come to so far."""

    checked: int
    finished: bool
    missing: int = 0
    damaged: int = 0
    unreadable: int = 0
    mended: int = 0

    @property
    def lost(self) -> int:
        """How many objects were not as they should be, mended or not."""
        return self.missing + self.damaged + self.mended


class _Words(ProgressColumn):
    """How many objects and bytes, and how fast."""

    def render(self, task: Task) -> Text:
        size_bytes, seconds = task.fields["size_bytes"], task.elapsed or 1.0
        rate = (
            f"{task.fields['objects'] / seconds:,.0f} objects/s, {decimal(size_bytes / seconds)}/s"
        )
        return Text(f"{task.completed:,.0f} of {task.total:,.0f} objects, {rate}")


@contextmanager
def progress(total: int, done: int) -> Iterator[Callable[[Sequence[Stored]], None]]:
    """A bar on stderr, where that is a terminal; what it yields is told of each portion."""
    terminal = Console(stderr=True, highlight=False)
    bar = Progress(
        BarColumn(),
        _Words(),
        TimeRemainingColumn(),
        console=terminal,
        transient=True,
        disable=not terminal.is_terminal,
    )
    size_bytes = objects = 0
    with bar:
        task = bar.add_task("", total=total, completed=done, size_bytes=0, objects=0)

        def told(stored: Sequence[Stored]) -> None:
            nonlocal size_bytes, objects
            size_bytes += sum(one.size_bytes for one in stored)
            objects += len(stored)
            bar.update(task, advance=len(stored), size_bytes=size_bytes, objects=objects)

        yield told


def tell_plan(
    reader: CatalogReader, sample: Sample | None, how: str, bandwidth: int | None, *, as_json: bool
) -> None:
    """How much would be looked at."""
    with reader.view() as tables:
        total, total_bytes = tables.fixity.amount()
    objects = sample.count(total) if sample else total
    read_bytes = total_bytes * objects // total if total and how == "bytes" else 0
    seconds = round(read_bytes / bandwidth) if bandwidth else None
    if as_json:
        told = {"objects": objects, "of": total, "how": how, "read_bytes": read_bytes}
        echo_json({**told, "least_seconds": seconds, "dry_run": True})
        return
    click.echo(f"{objects:,} of {total:,} objects would be looked at")
    if how == "bytes":
        lasting = f", in {seconds:,} s at least" if seconds is not None else ""
        click.echo(f"and about {decimal(read_bytes)} be read{lasting}")


def report(reader: CatalogReader, audit: AuditRow, *, as_json: bool) -> Summary:
    """Prints whatever was amiss, object by object, and what it comes to."""
    with reader.view() as tables:
        audit = tables.fixity.audit(audit.id)
    summary = Summary(checked=audit.checked, finished=audit.ended_at is not None)
    listing = table("number", "generation", "found", "what is amiss", "what can be done")
    for finding in _findings(reader, audit):
        _count(summary, finding)
        if as_json:
            echo_json(finding)
        else:
            listing.add_row(*_row(finding))
    if as_json:
        began = {"how": audit.how, "sample": audit.sample, "begun_at": to_text(audit.begun_at)}
        echo_json({"audit": began, **asdict(summary)})
        return summary
    if listing.row_count:
        console().print(listing)
    click.echo(_in_words(summary), err=True)
    return summary


def _findings(reader: CatalogReader, audit: AuditRow) -> Iterator[dict[str, Any]]:
    """All that was amiss, page by page."""
    above = b""
    while True:
        with reader.view() as tables:
            found = tables.fixity.found(audit.begun_at, above=above, limit=_PAGE)
            told = [_finding(tables, checked) for checked in found]
        yield from told
        if len(found) < _PAGE:
            return
        above = found[-1].sha256


def _finding(tables: Tables, checked: Checked) -> dict[str, Any]:
    numbers = assets.slots_with_digest(tables.connection, checked.sha256)
    slots = [_slot(tables, number, checked) for number in numbers[:_NAMED_SLOTS]]
    stored = next(iter(tables.fixity.stored([checked.sha256])), None)
    return {
        "outcome": checked.outcome.value,
        "mended_at": to_text(checked.mended_at),
        "reason": checked.reason,
        "advice": _advice(checked, stored),
        "sha256": checked.sha256.hex(),
        "key": stored.blob_key if stored else None,
        "slots": slots,
        "more_slots": len(numbers) - len(slots),
    }


def _slot(tables: Tables, number: int, checked: Checked) -> dict[str, Any]:
    generation = tables.generations.load_slot(number)
    assert generation is not None  # a slot is of a generation
    slot = next(slot for slot in generation.slots if slot.number == number)
    origins = [asset.origin.value for asset in slot.assets if asset.sha256 == checked.sha256]
    named = {"provider": generation.provider, "id": generation.id, "slot": slot.index}
    return {"number": number, **named, "origin": origins[0] if origins else None}


def _advice(checked: Checked, stored: Stored | None) -> str:
    if checked.mended_at is not None or stored is None:
        return ""
    if checked.outcome is Fixity.UNREADABLE:
        return "mend what the reason names, and audit again"
    return (
        f"bring {stored.blob_key} back from an older version or a copy of the bucket, and audit "
        "again; or draw its prompt anew into a file: holdfast render --prompt"
    )


def _count(summary: Summary, finding: dict[str, Any]) -> None:
    name = "mended" if finding["mended_at"] else finding["outcome"]
    setattr(summary, name, getattr(summary, name) + 1)


def _row(finding: dict[str, Any]) -> tuple[str, str, str, str, str]:
    first = finding["slots"][0] if finding["slots"] else None
    more = len(finding["slots"]) - 1 + finding["more_slots"]
    name = one_line(f"{first['provider']}/{first['id']}", width=40) if first else ""
    return (
        str(first["number"]) if first else "",
        f"{name} and {more} more" if more > 0 else name,
        "mended" if finding["mended_at"] else finding["outcome"],
        one_line(finding["reason"], width=200),
        finding["advice"],
    )


def _in_words(summary: Summary) -> str:
    counts = {name: getattr(summary, name) for name in ("missing", "damaged", "unreadable")}
    counts["amiss and mended"] = summary.mended
    amiss = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    so_far = "" if summary.finished else " so far"
    return f"{summary.checked:,} objects looked at{so_far}: {amiss or 'nothing is amiss'}"
