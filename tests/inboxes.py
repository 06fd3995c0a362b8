"""The inbox files of a test's archive, as a store."""

from __future__ import annotations

from pathlib import Path

from archiver.inbox.stores import InboxStore, inbox_store


def inboxes_in(folder: Path) -> InboxStore:
    """Those in `folder`, beside whose own folder the catalog lies."""
    return inbox_store(folder.parent / "catalog.db", folder=folder, node="here")
