"""What an account has done of late, by the journal, the board and the catalog together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta

from archiver.catalog.activity import Recent
from receiver.submission.batch import Row
from receiver.submission.entries import Event, Standing
from receiver.submission.limits import History

# What was begun longer ago and never ended has been forgotten by somebody.
FORGOTTEN = timedelta(hours=1)


def history(
    rows: Iterable[Row],
    standing: Callable[[int], Standing],
    heard: Collection[Recent],
    *,
    requested_at: Iterable[datetime],
    on_their_way: Collection[int],
    drawn: Callable[[Row], bool],
    now: datetime,
    rest_until: datetime | None,
) -> History:
    """The history of one provider: of these rows, and of what the catalog `heard` from others.

    `on_their_way` are the rows whose request is not answered yet, `drawn` says of which the
    provider is done with. Accounts of one provider are counted together.
    """
    own = [(row, standing(row.number)) for row in rows]
    ids = {stands.generation_id for _, stands in own}
    others = [one for one in heard if one.id not in ids]
    fresh = now - FORGOTTEN
    begun = [
        (row, stands.event, stands.sent_at)
        for row, stands in own
        if stands.sent_at is not None and stands.event in (Event.SENDING, Event.SUBMITTED)
    ]
    under_way = [one.id for one in others if not one.has_ended and one.first_heard_at > fresh]
    under_way += [
        f"row {row.number}"
        for row, event, sent_at in begun
        if row.number in on_their_way
        or (event is Event.SUBMITTED and sent_at > fresh and not drawn(row))
    ]
    heard_at = [one.first_heard_at for one in others]
    return History(
        requested_at=(*requested_at, *heard_at),
        begun_at=(*(sent_at for _, _, sent_at in begun), *heard_at),
        under_way=tuple(under_way),
        rest_until=rest_until,
    )
