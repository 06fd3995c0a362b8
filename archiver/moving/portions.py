"""A table in a file, a portion of it at a time, so that no writer's log is held for long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from archiver.sqlite import Connection

_MOST_ROWS = 2_000
_MOST_BYTES = 8 << 20

Row = tuple[Any, ...]


def portion(
    source: Connection,
    select: str,
    key: Sequence[str],
    after: Row | None,
    *,
    key_of: Callable[[Row], Row],
) -> tuple[list[Row], Row | None]:
    """The rows beyond a key, in its order, and the last one's key; None if there are no more.

    As of one moment, which is over when they are returned. Raises Error.
    """
    names = ", ".join(key)
    beyond = f" WHERE ({names}) > ({', '.join('?' * len(key))})" if after is not None else ""
    rows: list[Row] = []
    size_bytes = 0
    with closing(source.execute(f"{select}{beyond} ORDER BY {names}", after or ())) as found:
        for row in found:
            rows.append(row)
            size_bytes += sum(len(value) for value in row if isinstance(value, bytes | str))
            if len(rows) >= _MOST_ROWS or size_bytes > _MOST_BYTES:
                return rows, key_of(row)
    return rows, None
