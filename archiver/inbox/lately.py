"""What all inboxes have taken in lately: of what source, in what way, verified by what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from archiver.errors import InboxUnavailableError
from archiver.inbox.stores import InboxStore
from archiver.inbox.tallies import Tally

MOST_ROWS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Lately:
    """What all inboxes of an archive took in since some moment.

    `backlog` is all that is not yet absorbed, however long ago it came. `exact`: no more came since
    than was looked at. `unreadable` has a sentence on each inbox that cannot be read.
    """

    found: Sequence[Tally]
    backlog: int
    exact: bool
    unreadable: Sequence[str]


def lately(
    store: InboxStore, *, since: datetime, reached: Callable[[str], int], rows: int = MOST_ROWS
) -> Lately:
    """The newest `rows` of each inbox, added up.

    `reached` says of an inbox by its own name up to which position it is absorbed.
    """
    found: list[Tally] = []
    unreadable: list[str] = []
    backlog, exact = 0, True
    try:
        names = store.names()
    except InboxUnavailableError as error:
        return Lately(found=(), backlog=0, exact=False, unreadable=[str(error)])
    for name in names:
        try:
            own = store.added_up(name, since=since, reached=reached, rows=rows)
        except InboxUnavailableError as error:
            unreadable.append(str(error))
            continue
        exact = exact and sum(one.count for one in own.found) < rows
        found += own.found
        backlog += own.backlog
    return Lately(found=found, backlog=backlog, exact=exact, unreadable=unreadable)
