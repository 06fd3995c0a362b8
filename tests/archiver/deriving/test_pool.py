"""The pool: what a picture does to a child harms that picture's preview, and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from archiver.deriving.messages import Made, Refused
from archiver.deriving.pool import MEMORY_BYTES, MODULE, NoChildError, Pool
from tests.archiver.media_bodies import IEND, png, png_chunk
from tests.archiver.scenes import encoded, scene
from tests.service import eventually

FAULTY = "tests.archiver.deriving.faulty_picture"

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

# Of one bit: 81 million pixels, and four bytes for each of them once it is RGB.
BROAD = png(9000, 9000, png_chunk(b"IDAT", zlib.compress(bytes(9000 * 1126), 1)), IEND)

_names = count()


@asynccontextmanager
async def pooled(**given: Any) -> AsyncIterator[Pool]:
    """A pool whose children do as their pictures say."""
    pool = Pool(**{"children": 1, "module": FAULTY, **given})
    try:
        yield pool
    finally:
        await pool.close()


def picture(folder: Path, says: str = "") -> Path:
    """One that says so."""
    path = folder / f"{next(_names)}.picture"
    path.write_text(says)
    return path


async def made(pool: Pool, folder: Path, says: str = "") -> Made:
    """The preview of such a picture."""
    answer = await pool.make(picture(folder, says))
    assert isinstance(answer, Made), answer
    return answer


def alive(pid: int) -> bool:
    """Whether there is such a process that is not dead yet."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_one_child_makes_one_preview_after_another(tmp_path: Path) -> None:
    """Those that come together wait for each other."""
    async with pooled() as pool:
        answers = await asyncio.gather(*(made(pool, tmp_path, "wait") for _ in range(3)))
    assert len({answer.width for answer in answers}) == 1


async def test_as_many_children_as_there_may_be(tmp_path: Path) -> None:
    """None before it is needed, and none too many."""
    async with pooled(children=2) as pool:
        await made(pool, tmp_path)
        answers = await asyncio.gather(*(made(pool, tmp_path, "wait") for _ in range(6)))
    assert len({answer.width for answer in answers}) == 2


async def test_a_child_gives_way_to_all_others(tmp_path: Path) -> None:
    """It has the lowest priority, and its memory is bounded before it sees a picture."""
    async with pooled() as pool:
        answer = await made(pool, tmp_path)
    assert answer.height == 19
    if sys.platform == "linux":
        assert answer.phash == MEMORY_BYTES


async def test_a_child_is_told_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a stranger's picture made it do, it has no key to the bucket."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    async with pooled() as pool:
        await made(pool, tmp_path, "look for secrets")


@pytest.mark.parametrize("says", ["exit", "crash", "be killed"])
async def test_a_picture_that_ends_two_children_is_refused(tmp_path: Path, says: str) -> None:
    """The next one is decoded as if nothing had been."""
    async with pooled() as pool:
        answer = await pool.make(picture(tmp_path, f"{says}, then {says}"))
        await made(pool, tmp_path)
    assert answer == Refused(reason="it has twice ended the process that was to decode it")


async def test_a_child_that_ends_may_have_been_to_blame_itself(tmp_path: Path) -> None:
    """The kernel kills whom it likes; another child decodes the picture."""
    async with pooled() as pool:
        first = await made(pool, tmp_path)
        assert (await made(pool, tmp_path, "be killed, then ")).width != first.width


async def test_what_died_at_rest_is_replaced(tmp_path: Path) -> None:
    """No picture is to blame for it, and none is refused."""
    async with pooled() as pool:
        first = await made(pool, tmp_path)
        os.kill(first.width, signal.SIGKILL)
        assert (await made(pool, tmp_path)).width != first.width


async def test_what_takes_too_long_is_refused(tmp_path: Path) -> None:
    """Its child is ended, the next picture has another."""
    async with pooled(seconds=0.3) as pool:
        first = await made(pool, tmp_path)
        answer = await pool.make(picture(tmp_path, "hang"))
        second = await made(pool, tmp_path)
    assert answer == Refused(reason="it was not decoded within 0.3 seconds")
    assert first.width != second.width
    assert not alive(first.width)


async def test_whoever_gives_up_leaves_no_child_at_work(tmp_path: Path) -> None:
    """A service that is told to stop does not wait for a picture."""
    async with pooled() as pool:
        first = await made(pool, tmp_path)
        hanging = asyncio.create_task(pool.make(path := picture(tmp_path, "hang")))
        assert await eventually(_seen(path))
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert not alive(first.width)
        await made(pool, tmp_path)


def _seen(path: Path) -> Callable[[], Any]:
    async def seen() -> bool | None:
        return path.with_suffix(".seen").exists() or None

    return seen


async def test_closing_ends_the_children(tmp_path: Path) -> None:
    """All of them, and all that were opened to speak with them."""
    async with pooled() as pool:
        pid = (await made(pool, tmp_path)).width
        assert alive(pid)
    assert not alive(pid)


async def test_prints_are_no_answers(tmp_path: Path) -> None:
    """Whatever a library writes to stdout goes to the log."""
    async with pooled() as pool:
        await made(pool, tmp_path, "print, then print")


@linux
async def test_memory_is_bounded(tmp_path: Path) -> None:
    """What asks for more is refused, and the child lives on."""
    async with pooled(memory_bytes=1 << 29) as pool:
        first = await made(pool, tmp_path)
        assert await pool.make(picture(tmp_path, "hoard")) == Refused(reason="out of memory")
        assert (await made(pool, tmp_path)).width == first.width


@linux
async def test_a_picture_that_wants_too_much_memory_is_refused(tmp_path: Path) -> None:
    """By the decoder itself, at the bound that its process has."""
    (tmp_path / "large").write_bytes(BROAD)
    (tmp_path / "small").write_bytes(encoded(scene(1)))
    async with pooled(module=MODULE, memory_bytes=1 << 28) as pool:
        refused = await pool.make(tmp_path / "large")
        answer = await pool.make(tmp_path / "small")
    assert refused == Refused(reason="to decode it takes more memory than a preview is worth")
    assert isinstance(answer, Made)


async def test_where_no_child_can_be_started_it_is_our_trouble(tmp_path: Path) -> None:
    """No picture is refused for it."""
    async with pooled(module="tests.archiver.deriving.nowhere") as pool:
        with pytest.raises(NoChildError, match="can be started"):
            await pool.make(picture(tmp_path))


PARENT = """
import asyncio, sys
from pathlib import Path
from archiver.deriving.pool import Pool

async def main():
    pool = Pool(children=2, module=sys.argv[1])
    print((await pool.make(Path(sys.argv[2]))).width, flush=True)
    await asyncio.gather(*(pool.make(Path(sys.argv[3])) for _ in range(2)))

asyncio.run(main())
"""


@linux
async def test_children_do_not_outlive_their_parent(tmp_path: Path) -> None:
    """Neither one at rest nor one that is at a picture without end."""
    words = (FAULTY, picture(tmp_path), hanging := picture(tmp_path, "hang"))
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *words], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert await eventually(_seen(hanging))
    parent.kill()
    parent.communicate()

    async def ended() -> bool | None:
        return not alive(pid) or None

    assert await eventually(ended)
