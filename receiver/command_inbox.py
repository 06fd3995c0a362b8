"""The inbox of what commands hear: what they submit, watch and adopt, with or without a service."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path

from archiver.durable import make_folder
from archiver.errors import InboxUnavailableError
from archiver.inbox import OwnedInbox
from receiver.settings import CatalogTable, Config
from receiver.stores import inboxes_of

_ROLE = "command"


@asynccontextmanager
async def command_inbox(config: Config) -> AsyncIterator[OwnedInbox]:
    """Open while inside; the service absorbs it like any other, now or at its next start.

    Commands share a file, being slow: SQLite lets one write at a time. On a server an inbox has
    one writer, and submitting may take hours, so each command at work has one of its own: the first
    that no other command of this machine has, so that there are never more than commands were at
    work at once. Raises InboxUnavailableError.
    """
    with _role(config.catalog) as role:
        inbox = inboxes_of(config.catalog).writer(role)
        await inbox.start()
        try:
            yield inbox
        finally:
            await inbox.close()


@contextmanager
def _role(catalog: CatalogTable) -> Iterator[str]:
    if not catalog.is_on_server:
        yield _ROLE
        return
    for number in count(1):
        role = _ROLE if number == 1 else f"{_ROLE}-{number}"
        held = _lock(catalog.folder, role)
        if held is not None:
            try:
                yield role
            finally:
                os.close(held)
            return


def _lock(folder: Path, role: str) -> int | None:
    """The kernel lets go of it with the process, however that ends; None if another has it."""
    try:
        make_folder(folder)
        held = os.open(folder / f"{role}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _cannot_lock(folder, error) from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        return None
    except OSError as error:
        os.close(held)
        raise _cannot_lock(folder, error) from error
    return held


def _cannot_lock(folder: Path, error: OSError) -> InboxUnavailableError:
    return InboxUnavailableError(
        f"no command can lock its inbox in {folder} ({error.strerror}); nothing was acknowledged: "
        "let the user that runs holdfast write there, or let catalog.data_folder name another"
    )
