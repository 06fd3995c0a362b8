"""Signed URLs: when they say that they die."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from archiver import expiry
from archiver.expiry import FAMILIES, expires_at
from archiver.moments import from_millis, to_millis, to_text
from tests.fuzz.target import Sabotage, Target

EARLY = datetime(2001, 9, 9, 2, tzinfo=UTC)
OF_EARLY = f"exp={int(EARLY.timestamp())}"


def law(data: bytes) -> None:
    """A moment in UTC that can be stored and said, and never a later one for saying more.

    Nothing before the query matters, nor anything behind a #; of two moments the earlier counts.
    """
    url = data.decode("utf-8", "surrogateescape")
    moment = expires_at(url)
    query = url.partition("#")[0].partition("?")[2]
    assert moment == expires_at(f"https://b.example/a%20b.png?{query}#a?exp=1400000000")
    if moment is not None:
        assert moment.tzinfo is UTC
        stored = from_millis(to_millis(moment))
        assert timedelta(0) <= moment - stored < timedelta(milliseconds=1)
        assert datetime.fromisoformat(to_text(moment)).tzinfo
    both = expires_at(f"https://b.example/?{OF_EARLY}&{query}")
    assert both == min(EARLY, moment or EARLY) or "exp" in query.lower()


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="giving a date its zone", owner=expiry, name="_iso", instead=datetime.fromisoformat
    ),
    words=(
        *(f"&{name}=".encode() for family in FAMILIES for name in (*family.says, *family.beside)),
        *(b"20261121T120000Z", b"2026-11-21T12:00:00+02:00", b"1795348800", b"9999-12-31", b"?"),
        *(b"0001-01-01T00:00:00", b'{"DateLessThan":{"AWS:EpochTime":', b"%", b"-23:59"),
    ),
)
