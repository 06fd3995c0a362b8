"""Refused requests held against the secrets as they are configured now.

A signature over the body alone (Doitong's) is as good as on the day it came. EventBridge signs its
own time and our rule's token as well: the time was judged at the door to keep copies of old events
out, which do no harm where events are only hints, so here each is judged as of its own time; the
token was cut out of what is kept, so each that is configured is tried in its place. A path's token
(ModelsLab's) is not kept at all, so that nobody can tell any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from archiver.inbox.quarantine import Rejected
from archiver.inbox.quarantined import Kept, Quarantined
from receiver.confidential import CUT_OUT
from receiver.eventbridge import TIMESTAMP, TOKEN
from receiver.settings import Config
from receiver.signatures import Headers, Verdict
from receiver.sources import verifiers
from receiver.webhook import Source

_PAGE = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_MILLIS = 10**14

_NOT_KEPT = Verdict(
    verified_by=None,
    reason="the token of its path is not kept; the provider is asked instead",
    ask_again=True,
)
_NO_DOOR = Verdict(
    verified_by=None, reason="no webhooks of this source are taken in", ask_again=True
)


@dataclass(kw_only=True)
class Findings:
    """What came of all that were refused.

    `authentic` maps the ids of those that are to be taken in to the label of their secret, and
    `known` are how many of them were pushed once more since. `forged` and `undecided` count the
    others by reason: the first fit no secret, of the second nobody can tell.
    """

    authentic: dict[int, str] = field(default_factory=dict)
    known: int = 0
    waiting: int = 0
    forged: Counter[tuple[str, str]] = field(default_factory=Counter)
    undecided: Counter[tuple[str, str]] = field(default_factory=Counter)


class Judge:
    """The doors of a configuration, for requests that are no longer at the door."""

    def __init__(self, config: Config) -> None:
        self._at = _EPOCH
        self._doors = verifiers(config, now=lambda: self._at)
        dashscope = config.providers.dashscope
        self._tokens = tuple(dashscope.secrets.values()) if dashscope else ()

    async def verdict(self, rejected: Rejected) -> Verdict:
        """Whether it is authentic; with `ask_again` nobody can tell, or not now."""
        door = self._doors.get(rejected.source)
        if door is None:
            return _NO_DOOR
        if rejected.source == "modelslab":
            return _NOT_KEPT
        self._at = _own_time(rejected)
        verdict = _NO_DOOR
        for headers in self._worded(rejected.headers):
            verdict = await _judged(door, headers, rejected.body)
            if verdict.verified_by is not None:
                break
        return verdict

    def _worded(self, headers: Sequence[tuple[bytes, bytes]]) -> Iterator[Headers]:
        """The headers as they may have been before a token was cut out of them."""
        cut_out = CUT_OUT.encode()
        if not any(name.lower() == TOKEN and value == cut_out for name, value in headers):
            yield headers
            return
        for token in self._tokens:
            yield [
                (name, token.encode() if name.lower() == TOKEN else value)
                for name, value in headers
            ]


async def examine(
    config: Config,
    quarantined: Quarantined,
    *,
    was_pushed_since: Callable[[Kept], bool],
    progress: Callable[[int], None] = lambda _: None,
) -> Findings:
    """Judges all that lies in the quarantine at this moment; changes nothing.

    `progress` is told how many more were judged. Raises InboxUnavailableError and, for secrets
    that cannot be used, ConfigError.
    """
    judge, findings = Judge(config), Findings()
    reached, newest = 0, quarantined.newest()
    while page := [kept for kept in quarantined.after(reached, limit=_PAGE) if kept.id <= newest]:
        for kept in page:
            if kept.verified_by is not None:
                findings.waiting += 1
                continue
            verdict = await judge.verdict(kept.rejected)
            if verdict.verified_by is not None:
                findings.authentic[kept.id] = verdict.verified_by
                findings.known += was_pushed_since(kept)
            else:
                counted = findings.undecided if verdict.ask_again else findings.forged
                counted[kept.rejected.source, verdict.reason] += 1
        reached = page[-1].id
        progress(len(page))
    return findings


def _own_time(rejected: Rejected) -> datetime:
    """When its sender says that it was sent, else when it came."""
    told = (value for name, value in rejected.headers if name.lower() == TIMESTAMP)
    millis = next(told, b"").strip()
    if not (millis.isdigit() and int(millis[:20]) < _MOST_MILLIS):
        return rejected.received_at
    return _EPOCH + timedelta(milliseconds=int(millis))


async def _judged(door: Source, headers: Headers, body: bytes) -> Verdict:
    verdict = door.verify(headers, body, "")
    return verdict if isinstance(verdict, Verdict) else await verdict
