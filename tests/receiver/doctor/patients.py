"""Patients for the doctor."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from archiver.catalog.schema import migrate
from archiver.sqlite import open_writer
from receiver.config import from_tree
from receiver.doctor.finding import Judged, Verdict
from receiver.doctor.patient import Patient
from tests.clocks import NOON


def patient(folder: Path, *, online: bool = False, **tables: Any) -> Patient:
    """An archive in `folder` at noon, that need not be there; tables are the configuration's."""
    tree = {
        "catalog": {"url": f"sqlite:///{folder}/catalog.db", "min_free_bytes": 1},
        "bucket": {"url": (folder / "bucket").as_uri()},
        "providers": {"doitong": {"secrets": {"test": "a long webhook secret"}}},
        **tables,
    }
    return Patient(config=from_tree(tree), now=lambda: NOON, online=online)


def archive(folder: Path, *statements: str) -> Path:
    """Makes the catalog of a patient, and does these to it."""
    path = folder / "catalog.db"
    migrate(path)
    (folder / "inbox").mkdir(mode=0o700, exist_ok=True)
    connection = open_writer(path)
    for statement in statements:
        connection.execute(statement)
    connection.close()
    return path


def verdicts(found: Iterable[Judged]) -> list[Verdict]:
    """How bad each is."""
    return [judged.verdict for judged in found]
