"""A limit on how many bytes pass in a second, shared by all that read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Bandwidth:
    """`bytes_per_second` at most over any longer time; None: as many as come."""

    def __init__(
        self,
        bytes_per_second: float | None,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._bytes_per_second = bytes_per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._free_at = 0.0

    async def spend(self, size_bytes: int) -> None:
        """Returns when it is these bytes' turn, after those of all who asked before."""
        if self._bytes_per_second is None:
            return
        now = self._monotonic()
        turn_at = max(self._free_at, now)
        self._free_at = turn_at + size_bytes / self._bytes_per_second
        if turn_at > now:
            await self._sleep(turn_at - now)
