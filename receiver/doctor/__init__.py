"""The doctor: looks at everything that has to be well, and says of each what to do if it is not.

A check is a function from a patient to what it has found; what measures and what judges are two
functions wherever they can be. Nothing is changed: a probe in the bucket and a file on the disk are
taken away again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from archiver.errors import ConfigError, HoldfastError
from archiver.redact import redact
from receiver.checking import mistakes
from receiver.doctor import bucket, database, disk, drawing, permissions, secrets, server, way_out
from receiver.doctor.finding import Finding, Judged, Verdict, fail, ok
from receiver.doctor.patient import Check, Patient


class Only(Enum):
    """When a check is left out."""

    NEVER = "never"
    WITHOUT_S3 = "without s3"
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
    Row("server", server.server),
    Row("catalog", database.catalog),
    Row("service", database.service),
    Row("fsync", disk.flush),
    Row("clock", disk.disk_clock),
    Row("space", disk.space),
    Row("folders", permissions.folders),
    Row("files", permissions.files),
    Row("logs", database.logs),
    Row("secrets", secrets.secrets),
    Row("keys", secrets.keys),
    Row("online", way_out.online),
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
    failed = set[str]()
    if not patient.config.bucket.url.startswith("s3:"):
        left_out.add(Only.WITHOUT_S3)
    for row in CHECKS:
        if row.left_out in left_out:
            continue
        for finding in performed(row, patient):
            if finding.verdict is Verdict.FAIL:
                # Whoever finds the same catalog unusable has nothing more to say.
                if finding.sentence in failed:
                    continue
                failed.add(finding.sentence)
            yield finding


def performed(row: Row, patient: Patient) -> Iterator[Finding]:
    """What one check finds; one that cannot be carried out has failed, with the reason."""
    try:
        for judged in row.check(patient):
            yield _finding(row, judged)
    except HoldfastError as error:
        yield _finding(row, fail(str(error)))
    except OSError as error:
        where = f"{error.filename} " if error.filename else ""
        yield _finding(
            row, fail(f"{where}could not be looked at ({error.strerror})", disk.ACCESS_CURE)
        )
    except Exception as error:  # whatever it is, the other checks are worth having
        yield _finding(row, fail(f"it could not be looked at: {type(error).__name__}: {error}"))


def unreadable(error: ConfigError) -> Finding:
    """What is found where there is no configuration, so that nothing can be looked at."""
    return _finding(CHECKS[0], fail(str(error)))


def _finding(row: Row, judged: Judged) -> Finding:
    """Some of it was said by the configuration, or by a server."""
    return Finding(
        check=row.name,
        verdict=judged.verdict,
        sentence=redact(judged.sentence),
        cure=redact(judged.cure),
    )
