"""Bytes in flight: what they weigh, that they come back as they came, that nothing stays behind."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.body import Body, Budget, collect
from archiver.media import Flaw, Walker
from archiver.models import Fault

MIB = 2**20


async def arriving(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Chunks as a network brings them: others get their turn in between."""
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


async def content(body: Body) -> bytes:
    """All bytes of a body."""
    return b"".join([chunk async for chunk in body.chunks()])


async def take(
    chunks: AsyncIterator[bytes],
    declared_bytes: int | None,
    budget: Budget,
    spool_dir: Path,
    max_memory_bytes: int = 16 * MIB,
) -> Body:
    """`collect` with a walker that nobody asks."""
    return await collect(
        chunks,
        declared_bytes,
        budget=budget,
        spool_dir=spool_dir,
        walker=Walker(),
        max_memory_bytes=max_memory_bytes,
    )


@given(st.lists(st.integers(0, 10), max_size=20))
def test_a_budget_serves_everybody_in_turn(sizes: list[int]) -> None:
    """Whatever is asked of it, it is never overdrawn, nobody is passed over or left waiting."""

    async def scenario() -> None:
        budget, served = Budget(10), list[int]()

        async def borrow(turn: int, size: int) -> None:
            await budget.acquire(size)
            served.append(turn)
            assert budget.held_bytes <= budget.total_bytes
            await asyncio.sleep(0)
            budget.release(size)

        await asyncio.gather(*(borrow(turn, size) for turn, size in enumerate(sizes)))
        assert served == list(range(len(sizes)))
        assert budget.held_bytes == 0

    asyncio.run(scenario())


async def test_a_budget_refuses_what_it_can_never_give() -> None:
    """Asking for more than all of it fails at once instead of waiting for ever."""
    with pytest.raises(ValueError, match="11 bytes asked of a budget of 10"):
        await Budget(10).acquire(11)


async def test_nobody_jumps_the_queue() -> None:
    """A small wish is refused while a larger one waits, or large ones would starve."""
    budget = Budget(10)
    await budget.acquire(6)
    waiting = asyncio.create_task(budget.acquire(6))
    await asyncio.sleep(0)
    assert not budget.try_acquire(1)
    budget.release(6)
    await waiting
    assert budget.try_acquire(4)


@pytest.mark.parametrize("granted", [False, True])
async def test_who_gives_up_waiting_holds_nothing(granted: bool) -> None:
    """Cancelled while waiting, or in the very moment of its turn, it lets the next one in."""
    budget = Budget(10)
    await budget.acquire(6)
    first = asyncio.create_task(budget.acquire(10))
    second = asyncio.create_task(budget.acquire(4))
    await asyncio.sleep(0)
    if granted:
        budget.release(6)
    first.cancel()
    await asyncio.wait([first])
    await second
    assert first.cancelled()
    assert budget.held_bytes == (4 if granted else 10)


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=40), max_size=8),
    declared=st.booleans(),
    total_bytes=st.integers(0, 200),
    max_memory_bytes=st.integers(0, 200),
)
def test_a_body_is_what_came(
    chunks: list[bytes], declared: bool, total_bytes: int, max_memory_bytes: int
) -> None:
    """In memory or on disk, it reads the same again and again, and leaves nothing when closed."""
    whole = b"".join(chunks)

    async def scenario(spool_dir: Path) -> None:
        budget, size = Budget(total_bytes), len(whole) if declared else None
        taking = take(arriving(chunks), size, budget, spool_dir, max_memory_bytes)
        async with await taking as body:
            assert (len(whole), hashlib.sha256(whole).digest()) == (body.size_bytes, body.sha256)
            assert [await content(body), await content(body)] == [whole, whole]
            assert budget.held_bytes in (0, len(whole))
            assert list(spool_dir.iterdir()) == []
        assert budget.held_bytes == 0

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


@pytest.mark.parametrize(
    ("declared", "max_memory", "held"),
    [(True, 16 * MIB, 5 * MIB), (False, 16 * MIB, 5 * MIB), (True, MIB, 0), (False, MIB, 0)],
)
async def test_a_large_body_goes_to_disk(
    tmp_path: Path, declared: bool, max_memory: int, held: int
) -> None:
    """Above the limit for memory a body weighs nothing, and comes back in decent pieces."""
    budget, chunks = Budget(64 * MIB), [bytes([n]) * (MIB // 2) for n in range(10)]
    folder, size = tmp_path / "made" / "when needed", 5 * MIB if declared else None
    async with await take(arriving(chunks), size, budget, folder, max_memory) as body:
        assert budget.held_bytes == held
        assert await content(body) == b"".join(chunks)


async def test_an_undeclared_body_never_waits_for_memory(tmp_path: Path) -> None:
    """With the budget exhausted it goes to disk, so that two can never wait for each other."""
    budget = Budget(10)
    await budget.acquire(8)
    async with await take(arriving([b"abc"]), None, budget, tmp_path) as body:
        assert budget.held_bytes == 8
        assert await content(body) == b"abc"


async def test_the_walker_sees_all_of_it(tmp_path: Path) -> None:
    """The bytes are judged on their way."""
    walker = Walker()
    chunks = arriving([b"<ht", b"ml>"])
    body = await collect(chunks, 6, budget=Budget(MIB), spool_dir=tmp_path, walker=walker)
    await body.close()
    verdict = walker.finish()
    assert isinstance(verdict, Flaw)
    assert (Fault.NOT_MEDIA, "HTML" in verdict.reason) == (verdict.fault, True)


@pytest.mark.parametrize("max_memory", [0, MIB])
async def test_a_transfer_that_fails_leaves_nothing(tmp_path: Path, max_memory: int) -> None:
    """What the source raises passes through, with memory and disk given back."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise ConnectionError("gone")

    budget = Budget(MIB)
    with pytest.raises(ConnectionError, match="gone"):
        await take(broken(), 100, budget, tmp_path, max_memory)
    assert budget.held_bytes == 0


async def test_a_disk_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The caller learns that its own disk failed."""
    (tmp_path / "file").touch()
    budget = Budget(MIB)
    with pytest.raises(NotADirectoryError):
        await take(arriving([b"abc"]), None, budget, tmp_path / "file" / "x", 1)
    assert budget.held_bytes == 0


async def test_a_small_body_is_at_hand() -> None:
    """Bytes already in memory make a body without ceremony."""
    async with Body.of(b"{}") as body:
        assert (2, hashlib.sha256(b"{}").digest()) == (body.size_bytes, body.sha256)
        assert await content(body) == b"{}"


class Counted(bytes):
    """Bytes that are counted while they live."""

    alive_bytes: ClassVar = 0
    most_bytes: ClassVar = 0

    def __init__(self, *_: object) -> None:
        Counted.alive_bytes += len(self)
        Counted.most_bytes = max(Counted.most_bytes, Counted.alive_bytes)

    def __del__(self) -> None:
        Counted.alive_bytes -= len(self)


@pytest.mark.parametrize("declared", [True, False])
async def test_memory_is_bounded_by_the_budget(tmp_path: Path, declared: bool) -> None:
    """64 bodies of 8 MiB pass a budget of 64 MiB; beyond it lives only what each has in hand."""
    budget, chunk_bytes, transfers = Budget(64 * MIB), MIB // 4, 64
    most_held = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal most_held
        for _ in range(32):
            await asyncio.sleep(0)
            yield Counted(chunk_bytes)
            most_held = max(most_held, budget.held_bytes)

    async def transfer() -> None:
        size = 8 * MIB if declared else None
        async with await take(source(), size, budget, tmp_path) as body:
            assert sum([len(chunk) async for chunk in body.chunks()]) == 8 * MIB

    Counted.most_bytes = 0
    await asyncio.gather(*(transfer() for _ in range(transfers)))
    # A transfer that spools has up to a piece in hand, and the chunk that completes it.
    in_hand_bytes = chunk_bytes if declared else MIB + chunk_bytes
    assert 32 * MIB < most_held <= budget.total_bytes
    assert Counted.most_bytes <= budget.total_bytes + transfers * in_hand_bytes
    assert (budget.held_bytes, Counted.alive_bytes) == (0, 0)
