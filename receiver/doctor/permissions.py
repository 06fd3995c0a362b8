"""Whether others of this machine could read what is confidential."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from receiver.doctor.finding import Judged, fail, ok, warn
from receiver.doctor.patient import Patient
from receiver.layers import Place
from receiver.sections import Section

_ROOT = 0


def folders(patient: Patient) -> Iterator[Judged]:
    """Whether others of this machine could read what opens pictures."""
    catalog = patient.config.catalog
    secret = (catalog.inbox_folder, catalog.folder / "accounts.key")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in secret if path.exists()}
    open_to_others = [path for path, mode in modes.items() if mode & 0o077]
    if open_to_others:
        named = " and ".join(f"{path} ({modes[path]:04o})" for path in open_to_others)
        yield fail(
            f"others may read {named}, where full links and keys' secrets lie",
            f"chmod go= {' '.join(map(str, open_to_others))}",
        )
    elif not catalog.inbox_folder.exists():
        yield warn(f"there is no {catalog.inbox_folder} yet", "start the service once")
    else:
        yield ok(f"nobody else may read {catalog.inbox_folder}")


def files(patient: Patient) -> Iterator[Judged]:
    """Whether others could read the secrets of the configuration, or the bucket's backups."""
    secret = list(_secret_places(patient.config))
    named = {Path(file) for place in secret for file in _files_of(patient, place)}
    told = dict.fromkeys(sorted(named), "a secret lies in it")
    if any(_is_plain(patient, place) for place in secret):
        told[Path(patient.config_file)] = "secrets lie in it"
    well = True
    for path, why in told.items():
        chmod = shut(*_mode_and_owner(path)) if path.is_file() else ""
        if chmod:
            well = False
            yield warn(f"others may read {path}, and {why}", f"chmod {chmod} {_quoted(path)}")
    root = _bucket_folder(patient)
    if root is not None and root.is_dir() and stat.S_IMODE(root.stat().st_mode) & 0o007:
        well = False
        yield warn(
            f"others may read the bucket {root}, where backups lie, with all that the inboxes hold",
            f"chmod o= {_quoted(root)}",
        )
    if well:
        yield ok("nobody else may read the files of secrets, or a bucket on this machine")


def shut(mode: int, owner: int) -> str:
    """What chmod(1) has to take away from a file of secrets; "" if nothing.

    A file of root's is given to its reader by its group.
    """
    if owner == _ROOT:
        return "o=" if mode & 0o007 else ""
    return "go=" if mode & 0o077 else ""


def _mode_and_owner(path: Path) -> tuple[int, int]:
    about = path.stat()
    return stat.S_IMODE(about.st_mode), about.st_uid


def _secret_places(table: Section, place: Place = ()) -> Iterator[Place]:
    """Where the configuration has secrets, by the names that lead there."""
    yield from ((*place, name) for name in table.secret_names())
    for name in table.__struct_fields__:
        inner = getattr(table, name)
        if isinstance(inner, Section):
            yield from _secret_places(inner, (*place, name))


def _files_of(patient: Patient, place: Place) -> list[str]:
    """The files that a secret was said to lie in."""
    found = _said(patient, (*place[:-1], f"{place[-1]}_file"))
    return list(found.values()) if isinstance(found, Mapping) else [found] if found else []


def _is_plain(patient: Patient, place: Place) -> bool:
    """Whether the file of the configuration has such a secret itself."""
    sources = patient.said.sources.items()
    return bool(_said(patient, place)) and any(
        it[: len(place)] == place and source == patient.config_file for it, source in sources
    )


def _said(patient: Patient, place: Place) -> Any:
    found: Any = patient.said.tree
    for name in place:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _bucket_folder(patient: Patient) -> Path | None:
    parts = urlsplit(patient.config.bucket.url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
