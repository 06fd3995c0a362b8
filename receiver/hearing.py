"""How hearing goes: what came lately, which secrets verify it, and who is unusually silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from archiver.inbox.quarantine import Refused
from archiver.inbox.readmission import OUT_OF_QUARANTINE
from archiver.inbox.tallies import Tally
from archiver.models import Heard
from receiver.eventbridge import VERIFIED_BY
from receiver.provider_tables import Providers

DAY = timedelta(days=1)

# Ten times as long as usual is unusual, but nobody is told of a few minutes.
_UNUSUAL = 10
_SHORTEST_SILENCE = timedelta(minutes=10)

# Why a request is refused that is whole, but proves itself with another secret than ours: of
# `signatures`, `path_tokens` and `eventbridge`, in this order.
WRONG_SECRET = frozenset(
    {
        "the signature matches none of our secrets",
        "the path's token was made with none of our secrets",
        "the token is none of our rules'",
    }
)
_LATELY = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliveries:
    """What came of one source: `unparsed` was not understood, `waiting` not yet looked at."""

    absorbed: int
    unparsed: int
    waiting: int
    last_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretUse:
    """When a secret, by its label, last verified a webhook; None: none of those looked at.

    Unless `configured` it no longer verifies any.
    """

    provider: str
    label: str
    configured: bool
    last_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """A provider that says nothing, though generations of it are under way."""

    provider: str
    heard: Heard
    seconds: float
    usual_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Disbelief:
    """Webhooks of a provider that were refused for a wrong secret since one was last verified.

    `count` of them wait, be they older or not. `alone`: within the last hour none was verified, and
    some were refused.
    """

    provider: str
    count: int
    last_at: datetime
    alone: bool


def labels_of(providers: Providers) -> Mapping[str, Collection[str]]:
    """By which labels each provider's webhooks are verified.

    DashScope's events show the token of a rule, and which one is not kept.
    """
    labels: dict[str, Collection[str]] = {}
    for name, api in providers.all.items():
        labels[name] = tuple(api.secrets)
    if providers.dashscope:
        labels["dashscope"] = (VERIFIED_BY,) if providers.dashscope.events else ()
    return labels


def by_source(found: Sequence[Tally], unparsed: Mapping[str, int]) -> Mapping[str, Deliveries]:
    """What came of each source, of which so many `unparsed` in the same time."""
    counts, waiting, last_at = Counter[str](), Counter[str](), dict[str, datetime]()
    for one in found:
        counts[one.source] += one.count
        waiting[one.source] += one.waiting
        last_at[one.source] = max(one.last_at, last_at.get(one.source, one.last_at))
    told = {source: min(unparsed.get(source, 0), count) for source, count in counts.items()}
    return {
        source: Deliveries(
            absorbed=counts[source] - waiting[source] - told[source],
            unparsed=told[source],
            waiting=waiting[source],
            last_at=last_at[source],
        )
        for source in sorted(counts)
    }


def secret_use(
    found: Sequence[Tally], labels: Mapping[str, Collection[str]]
) -> Sequence[SecretUse]:
    """Every configured secret, `labels` by provider, and those that have verified without being so.

    What came out of the quarantine was verified by a person's order, and counts as well.
    """
    last_at: dict[tuple[str, str], datetime] = {}
    for one in found:
        if one.heard is Heard.PUSHED:
            name = one.source, one.verified_by.removesuffix(OUT_OF_QUARANTINE)
            last_at[name] = max(one.last_at, last_at.get(name, one.last_at))
    configured = {(provider, label) for provider, own in labels.items() for label in own}
    return [
        SecretUse(
            provider=provider,
            label=label,
            configured=(provider, label) in configured,
            last_at=last_at.get((provider, label)),
        )
        for provider, label in sorted(configured | last_at.keys())
    ]


def disbelieved(
    refusals: Sequence[Refused], used: Sequence[SecretUse], *, now: datetime
) -> Sequence[Disbelief]:
    """Of whom the newest webhooks were refused, as where a secret is wrong: ours, or a forger's."""
    found = []
    wrong = [one for one in refusals if one.reason in WRONG_SECRET]
    for provider in sorted({one.source for one in wrong}):
        own = [one for one in wrong if one.source == provider]
        last_at = max(one.last_at for one in own)
        verified = [one.last_at for one in used if one.provider == provider and one.last_at]
        if any(last_at <= it for it in verified):
            continue
        found.append(
            Disbelief(
                provider=provider,
                count=sum(one.count for one in own),
                last_at=last_at,
                alone=all(it < now - _LATELY for it in verified) and last_at >= now - _LATELY,
            )
        )
    return found


def silences(
    found: Sequence[Tally], waited_since: Mapping[str, datetime], *, now: datetime
) -> Sequence[Silence]:
    """Who has said nothing for ten times as long as is usual, and for ten minutes at least.

    `waited_since` says of each provider that still owes an answer since when. What is usual is
    told by the day before the last word: of webhooks, or where there are none, of answers to our
    questions. Who was asked for nothing until just now was not silent before.
    """
    silent = []
    for provider, since in sorted(waited_since.items()):
        heard, spoken = _spoken(found, provider)
        if not spoken:
            continue
        usual = DAY / sum(one.daily for one in spoken)
        lasts = now - max(since, *(one.last_at for one in spoken))
        if lasts > max(_UNUSUAL * usual, _SHORTEST_SILENCE):
            silent.append(
                Silence(
                    provider=provider,
                    heard=heard,
                    seconds=lasts.total_seconds(),
                    usual_seconds=usual.total_seconds(),
                )
            )
    return silent


def _spoken(found: Sequence[Tally], provider: str) -> tuple[Heard, Sequence[Tally]]:
    for heard in (Heard.PUSHED, Heard.POLLED):
        spoken = [one for one in found if one.source == provider and one.heard is heard]
        if any(one.daily for one in spoken):
            return heard, spoken
    return Heard.PUSHED, ()
