"""Files that nobody waits for any more."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from archiver.handles import opened


async def test_a_file_is_opened(tmp_path: Path) -> None:
    """On a thread, and whoever asked closes it."""
    (tmp_path / "a").write_bytes(b"bytes")
    with await opened((tmp_path / "a").open) as file:
        assert file.read() == "bytes"
    with pytest.raises(FileNotFoundError):
        await opened((tmp_path / "b").open)


@pytest.mark.parametrize("fails", [False, True])
async def test_whoever_is_cancelled_leaves_none_open(tmp_path: Path, fails: bool) -> None:
    """Also where it was opened, or failed to, after that."""
    begun, goes_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    files: list[BinaryIO] = []

    def slowly() -> BinaryIO:
        loop.call_soon_threadsafe(begun.set)
        goes_on.wait(30)
        files.append((tmp_path / "a").open("rb" if fails else "xb"))
        return files[-1]

    waiting = asyncio.create_task(opened(slowly))
    await begun.wait()
    for _ in range(3):
        waiting.cancel()
        await asyncio.sleep(0)
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [file.closed for file in files] == ([] if fails else [True])
