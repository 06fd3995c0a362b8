"""Filling the search index: what an older version left out, or everything anew.

It goes portion by portion, each in a transaction of its own, so that nobody who writes has to wait
for long; whoever stops it in between has lost nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from archiver.catalog import Catalog, Tables
from archiver.ledger import index_anew

_PORTION = 200


async def fill(
    catalog: Catalog,
    *,
    everything: bool = False,
    progress: Callable[[int], None] = lambda count: None,
) -> int:
    """Indexes the generations that are not yet, or `everything`; the answer is how many.

    `progress` is told of so many more after each portion. Raises CatalogUnavailableError.
    """
    count, last = 0, 0
    while keys := await catalog.write(partial(_portion, above=last, everything=everything)):
        count, last = count + len(keys), keys[-1]
        progress(len(keys))
    return count


def _portion(tables: Tables, *, above: int, everything: bool) -> list[int]:
    keys = (
        tables.generations.keys(above=above, limit=_PORTION)
        if everything
        else tables.cards.unindexed(above=above, limit=_PORTION)
    )
    found = (tables.generations.load_key(key) for key in keys)
    index_anew(tables, [generation for generation in found if generation is not None])
    return keys
