"""`holdfast doctor`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

import click
from rich.text import Text

from archiver import clock
from archiver.errors import ConfigError
from receiver.cli import ConfigFile
from receiver.commands.output import console, json_option, one_line
from receiver.doctor import examine, unreadable
from receiver.doctor.finding import Finding, Verdict
from receiver.doctor.patient import Patient

_EPILOG = """\b
Examples: holdfast doctor --quick
          holdfast doctor --json | jq 'select(.verdict != "ok")'
Exit codes: 0 nothing fails, though something may warn; 1 something fails."""

_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


@click.command(epilog=_EPILOG)
@click.option("--quick", is_flag=True, help="Leave out what reads whole databases.")
@click.option("--online", is_flag=True, help="Ask providers whether they take our keys, for free.")
@json_option
@click.pass_obj
def command(file: ConfigFile, /, quick: bool, online: bool, as_json: bool) -> None:
    """Look at all that has to be well, and say of what is not how it is cured.

    Disk, databases, secrets, doors, the way out, the bucket, what draws: beside a running service
    or without one. Nothing is changed: its probes are taken away again.
    JSON is a line for each finding.
    """
    counts = Counter[Verdict]()
    for finding in _examined(file, quick=quick, online=online):
        counts[finding.verdict] += 1
        if as_json:
            click.echo(json.dumps(asdict(finding)))
        else:
            _tell(finding)
    if not as_json:
        click.echo(", ".join(f"{counts[it]} {it}" for it in Verdict), err=True)
    raise SystemExit(1 if counts[Verdict.FAIL] else 0)


def _examined(file: ConfigFile, *, quick: bool, online: bool) -> Iterator[Finding]:
    try:
        said, config = file.said(), file.load()
    except ConfigError as error:
        yield unreadable(error)
        return
    patient = Patient(config=config, now=clock.now, online=online, said=said, config_file=file.name)
    yield from examine(patient, quick=quick)


def _tell(finding: Finding) -> None:
    """One line, however long: whoever looks for `fail` finds the cure beside it."""
    cure = f": {finding.cure}" if finding.cure else ""
    said = one_line(f"{finding.sentence}{cure}", width=4000)
    line = Text.assemble(
        (f"{finding.verdict:5}", _STYLES[finding.verdict]), f"{finding.check:10} {said}"
    )
    console().print(line, soft_wrap=True)
