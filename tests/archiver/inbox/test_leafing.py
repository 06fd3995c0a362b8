"""Leafing through what is no inbox; what else leaves say is in `tests.contracts.inbox_store`."""

from __future__ import annotations

from pathlib import Path

import pytest

from archiver.errors import InboxUnavailableError
from archiver.inbox.sqlite_leaves import SqliteLeaves


@pytest.mark.parametrize("content", [b"no database" * 1000, b""])
def test_what_is_no_inbox_says_so(tmp_path: Path, content: bytes) -> None:
    """With the path, for whoever has to look at its disk."""
    path = tmp_path / "web.db"
    path.write_bytes(content)
    with pytest.raises(InboxUnavailableError, match=r"web\.db"):
        SqliteLeaves(path)
