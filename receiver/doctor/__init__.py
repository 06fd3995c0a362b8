"""The doctor: looks at everything that has to be well, and says of each what to do if it is not.

A check is a function from a patient to what it has found; what measures and what judges are two
functions wherever they can be. Nothing is changed but a probe in the bucket and a file on the disk,
which are taken away again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from archiver.errors import HoldfastError
from archiver.redact import redact
from receiver.checking import mistakes
from receiver.doctor import bucket, database, disk, drawing, secrets, way_out
from receiver.doctor.finding import Finding, Judged, fail, ok
from receiver.doctor.patient import Check, Patient


class Only(Enum):
    """When a check is left out."""

    NEVER = "never"
    WITHOUT_S3 = "without s3"
    OFFLINE = "offline"
    QUICK = "quick"


@dataclass(frozen=True, slots=True)
class Row:
    """One check, by what it is called."""

    name: str
    check: Check
    left_out: Only = Only.NEVER


def configuration(patient: Patient) -> Iterator[Judged]:
    """Whether every role could start with it."""
    found = mistakes(patient.config)
    for sentence in found:
        yield fail(sentence)
    if not found:
        yield ok("every role can start with this configuration")


# In this order; what takes long comes last.
CHECKS = (
    Row("config", configuration),
    Row("sqlite", database.library),
    Row("catalog", database.catalog),
    Row("service", database.service),
    Row("fsync", disk.flush),
    Row("clock", disk.disk_clock),
    Row("space", disk.space),
    Row("folders", disk.folders),
    Row("logs", database.logs),
    Row("secrets", secrets.secrets),
    Row("keys", secrets.keys),
    Row("online", way_out.online, Only.OFFLINE),
    Row("doors", secrets.doors),
    Row("egress", way_out.egress),
    Row("proxies", way_out.proxies),
    Row("bucket", bucket.bucket),
    Row("clock", bucket.bucket_clock, Only.WITHOUT_S3),
    Row("uploads", bucket.uploads, Only.WITHOUT_S3),
    Row("backup", database.backup),
    Row("renderer", drawing.renderer),
    Row("gpu", drawing.gpu),
    Row("inboxes", database.inboxes, Only.QUICK),
    Row("integrity", database.integrity, Only.QUICK),
)


def examine(patient: Patient, *, quick: bool = False) -> Iterator[Finding]:
    """All that is found, check by check; `quick` leaves out what reads whole files."""
    left_out = {Only.QUICK} if quick else set()
    if not patient.online:
        left_out.add(Only.OFFLINE)
    if not patient.config.bucket.url.startswith("s3:"):
        left_out.add(Only.WITHOUT_S3)
    for row in CHECKS:
        if row.left_out not in left_out:
            yield from performed(row, patient)


def performed(row: Row, patient: Patient) -> Iterator[Finding]:
    """What one check finds; one that cannot be carried out has failed, with the reason."""
    try:
        for judged in row.check(patient):
            yield _finding(row, judged)
    except HoldfastError as error:
        yield _finding(row, fail(str(error)))
    except Exception as error:  # whatever it is, the other checks are worth having
        said = redact(f"{type(error).__name__}: {error}")
        yield _finding(row, fail(f"it could not be looked at ({said})"))


def _finding(row: Row, judged: Judged) -> Finding:
    return Finding(
        check=row.name, verdict=judged.verdict, sentence=judged.sentence, cure=judged.cure
    )
