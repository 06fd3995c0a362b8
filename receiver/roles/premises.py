"""What the parent of a service holds for its roles: the archive's locks, listeners, metrics."""

from __future__ import annotations

import fcntl
import shutil
import socket
from pathlib import Path
from typing import TextIO

from archiver.durable import make_folder
from archiver.errors import ConfigError
from receiver.config import host_and_port


def take(folder: Path, name: str) -> TextIO:
    """Takes the lock of that name for as long as the file is held and this process lives.

    Raises ConfigError if another process has it: two services would fetch each other's links.
    """
    try:
        make_folder(folder)
        lock = (folder / f"{name}.lock").open("w")
    except OSError as error:
        raise _cannot_hold(folder, error) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise ConfigError(
            f"a service already runs on the archive in {folder}: stop it first, or let "
            "catalog.url name another"
        ) from error
    return lock


def bind(listen: str, name: str) -> socket.socket:
    """A listening socket at `host:port`, as the setting `name` says; raises ConfigError."""
    host, port = host_and_port(listen, name)
    try:
        return socket.create_server((host, port), family=_family(host), backlog=1024)
    except OSError as error:
        raise ConfigError(f"{name} = {listen!r} cannot be bound: {error.strerror}") from error


def address(bound: socket.socket) -> str:
    """Where a socket is bound, as `host:port`."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def metrics_folder(folder: Path) -> Path:
    """Where the processes of the service whose archive lies in `folder` share their counts."""
    return folder / "metrics"


def begin_metrics(folder: Path, *, anew: bool) -> None:
    """Makes that folder; `anew`: without the counts of dead processes, which would only add up.

    A part of a service that is started by itself leaves those of the others alone.
    """
    metrics = metrics_folder(folder)
    if anew:
        shutil.rmtree(metrics, ignore_errors=True)
    try:
        metrics.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_hold(folder, error) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _cannot_hold(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{folder} cannot hold the archive: {error.strerror}; let catalog.url name a place where "
        "holdfast may write"
    )
