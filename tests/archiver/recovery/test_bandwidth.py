"""The limit holds over all who read at once, and costs nothing where there is none."""

from __future__ import annotations

from archiver.recovery.bandwidth import Bandwidth


class Time:
    """A clock that only sleepers move."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds


async def test_bytes_take_their_time() -> None:
    """Ten pieces of a tenth of a second each: the last may begin when nine have passed."""
    time = Time()
    bandwidth = Bandwidth(1000, monotonic=time.monotonic, sleep=time.sleep)
    for _ in range(10):
        await bandwidth.spend(100)
    assert round(time.seconds - 100, 6) == 0.9


async def test_a_pause_is_not_saved_up() -> None:
    """Whoever has read nothing for an hour may not read an hour's bytes at once."""
    time = Time()
    bandwidth = Bandwidth(1000, monotonic=time.monotonic, sleep=time.sleep)
    await bandwidth.spend(100)
    time.seconds += 3600
    began = time.seconds
    for _ in range(3):
        await bandwidth.spend(1000)
    assert round(time.seconds - began, 6) == 2.0


async def test_without_a_limit_nobody_waits() -> None:
    """However much passes."""
    time = Time()
    bandwidth = Bandwidth(None, monotonic=time.monotonic, sleep=time.sleep)
    await bandwidth.spend(10**12)
    await bandwidth.spend(1)
    assert time.seconds == 100.0
