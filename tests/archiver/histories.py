"""What may become of one generation: things heard, and things that our own work brought about."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from archiver.lifecycle import archive, lose_link, release_links
from archiver.links import url_sha256
from archiver.models import Failure, Generation, Origin
from tests.archiver.heard import FAILURES, HEARINGS, URLS, Hearing, asset, hear


class Lost(NamedTuple):
    """A link came to a bad end."""

    slot: int
    url: str
    failure: Failure


class Stored(NamedTuple):
    """A picture was put into the bucket."""

    slot: int
    origin: Origin


class Released(NamedTuple):
    """The operator mended something."""


Outcome = Lost | Stored | Released
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Lost, slot=st.integers(0, 3), url=URLS.filter(bool), failure=FAILURES),
    st.builds(Stored, slot=st.integers(0, 3), origin=st.sampled_from(Origin)),
    st.just(Released()),
)
Event = Hearing | Outcome
HISTORIES: st.SearchStrategy[list[Event]] = st.lists(HEARINGS | OUTCOMES, max_size=6)


def happen(known: Generation, *events: Event) -> Generation:
    """What is known after these, in this order."""
    for event in events:
        match event:
            case Hearing():
                known = hear(event, known=known)
            case Lost(index, url, failure):
                known = lose_link(known, index, url_sha256(url), failure)
            case Stored(index, origin):
                known = archive(known, index, asset(origin))
            case Released():
                known = release_links(known)
    return known


def possible(outcome: Outcome, known: Generation) -> bool:
    """Whether there is a slot, and a link of it, to which this can happen."""
    if isinstance(outcome, Released):
        return True
    slot = known.slot(outcome.slot)
    if isinstance(outcome, Stored) or slot is None:
        return slot is not None
    return url_sha256(outcome.url) in {link.url_sha256 for link in slot.links}
