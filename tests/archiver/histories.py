"""What may become of one generation: things heard, and things that our own work brought about."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import strategies as st

from archiver.drawing import drawn_from
from archiver.lifecycle import archive, lose, lose_link, refuse, release_links, stop_asking
from archiver.links import url_sha256
from archiver.models import Failure, Generation, Origin, Undrawn
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


class Refused(NamedTuple):
    """A renderer said that it does not draw a slot."""

    slot: int
    final: bool


class Released(NamedTuple):
    """The operator mended something."""


class Asked(NamedTuple):
    """The provider was asked and had no other link."""


class GivenUp(NamedTuple):
    """No end was heard of in a day."""

    failure: Failure


Outcome = Lost | Stored | Refused | Released | Asked | GivenUp
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Lost, slot=st.integers(0, 3), url=URLS.filter(bool), failure=FAILURES),
    st.builds(Stored, slot=st.integers(0, 3), origin=st.sampled_from(Origin)),
    st.builds(Refused, slot=st.integers(0, 3), final=st.booleans()),
    st.just(Released()),
    st.just(Asked()),
    st.builds(GivenUp, failure=FAILURES),
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
            case Refused(index, final):
                target = drawn_from(known)
                undrawn = Undrawn(target=target, reason="no checkpoint", final=final)
                known = refuse(known, index, undrawn)
            case Released():
                known = release_links(known)
            case Asked():
                known = stop_asking(known)
            case GivenUp(failure):
                known = lose(known, failure)
    return known


def possible(outcome: Outcome, known: Generation) -> bool:
    """Whether there is a slot, and a link of it, to which this can happen."""
    if isinstance(outcome, Asked | Refused):
        return False  # what it says is of what was known when it was asked
    if not isinstance(outcome, Lost | Stored):
        return True
    slot = known.slot(outcome.slot)
    if isinstance(outcome, Stored) or slot is None:
        return slot is not None
    return url_sha256(outcome.url) in {link.url_sha256 for link in slot.links}
