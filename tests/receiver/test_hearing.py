"""What came lately, which secrets verify it, and who is silent: judged from sums alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.egress import EgressPolicy
from archiver.inbox.quarantine import Refused
from archiver.inbox.readmission import OUT_OF_QUARANTINE
from archiver.inbox.tallies import Tally
from archiver.models import Heard
from receiver.config import from_tree
from receiver.eventbridge import Terms, read_claim
from receiver.hearing import (
    WRONG_SECRET,
    Deliveries,
    SecretUse,
    Silence,
    by_source,
    disbelieved,
    labels_of,
    secret_use,
    silences,
)
from receiver.path_tokens import PathTokens, mint
from receiver.signatures import DOITONG_HEADER, Verdict, Verifier, sign
from tests.clocks import NOON
from tests.receiver.signed_events import signed


def tally(hours_ago: float = 1, daily: int = 100, **said: object) -> Tally:
    """Pushed by Doitong, the last of them so many hours ago, unless said otherwise."""
    given = {
        "source": "doitong",
        "heard": Heard.PUSHED,
        "verified_by": "new",
        "count": daily,
        "waiting": 0,
        "daily": daily,
        "last_at": NOON - timedelta(hours=hours_ago),
        **said,
    }
    return Tally(**given)


def test_deliveries_by_source_and_outcome() -> None:
    """Ways and labels together; nothing counts twice, and more cannot be unparsed than came."""
    found = [
        tally(count=10, waiting=3),
        tally(count=5, heard=Heard.POLLED, hours_ago=0.5),
        tally(count=1, source="modelslab"),
    ]
    assert by_source(found, {"doitong": 2, "modelslab": 7, "elsewhere": 1}) == {
        "doitong": Deliveries(
            absorbed=10, unparsed=2, waiting=3, last_at=NOON - timedelta(hours=0.5)
        ),
        "modelslab": Deliveries(
            absorbed=0, unparsed=1, waiting=0, last_at=NOON - timedelta(hours=1)
        ),
    }


def test_the_use_of_secrets() -> None:
    """Configured or not, used or not; what came out of the quarantine counts as verified."""
    found = [
        tally(verified_by="new", hours_ago=3),
        tally(verified_by=f"new{OUT_OF_QUARANTINE}", hours_ago=2),
        tally(verified_by="old", hours_ago=30),
        tally(verified_by="poll", heard=Heard.POLLED),
    ]

    def use(label: str, hours_ago: float | None, *, configured: bool = True) -> SecretUse:
        last_at = None if hours_ago is None else NOON - timedelta(hours=hours_ago)
        return SecretUse(provider="doitong", label=label, configured=configured, last_at=last_at)

    assert secret_use(found, {"doitong": ["new", "never"]}) == [
        use("never", None),
        use("new", 2),
        use("old", 30, configured=False),
    ]


def test_labels_are_those_of_the_configuration() -> None:
    """DashScope's events are verified by EventBridge, whichever rule they are of."""
    config = from_tree(
        {
            "providers": {
                "doitong": {"secrets": {"a": "x", "b": "y"}},
                "modelslab": {},
                "dashscope": {"events": True, "secrets": {"rule": "z"}},
            }
        }
    )
    assert labels_of(config.providers) == {
        "doitong": ("a", "b"),
        "modelslab": (),
        "dashscope": ("eventbridge",),
    }


# Of refusals their source, reason and hours ago; then how long ago Doitong's last was verified.
SIGNATURE = "the signature matches none of our secrets"
REFUSALS: dict[str, tuple[list[tuple[str, str, float]], float | None, list[tuple[str, bool]]]] = {
    "nothing refused": ([], None, []),
    "since the last": ([("doitong", SIGNATURE, 1)], 2, [("doitong", True)]),
    "and nothing ever verified": ([("doitong", SIGNATURE, 1)], None, [("doitong", True)]),
    "since the last, of this hour": ([("doitong", SIGNATURE, 0.2)], 0.5, [("doitong", False)]),
    "long ago, and none since": ([("doitong", SIGNATURE, 30)], 40, [("doitong", False)]),
    "before the last": ([("doitong", SIGNATURE, 2)], 1, []),
    "for no signature at all": ([("doitong", "no signature header", 1)], 2, []),
    "of another": ([("modelslab", SIGNATURE, 2)], 1, [("modelslab", False)]),
}


@pytest.mark.parametrize(("refusals", "verified", "found"), REFUSALS.values(), ids=list(REFUSALS))
def test_webhooks_that_are_not_believed(
    refusals: list[tuple[str, str, float]], verified: float | None, found: list[tuple[str, bool]]
) -> None:
    """Only what a right secret would have verified, and only if nothing was verified since."""
    refused = [
        Refused(source=source, reason=reason, count=7, last_at=NOON - timedelta(hours=hours))
        for source, reason, hours in refusals
    ]
    last_at = None if verified is None else NOON - timedelta(hours=verified)
    used = [SecretUse(provider="doitong", label="a", configured=True, last_at=last_at)]
    said = disbelieved(refused, used, now=NOON)
    assert [(one.provider, one.alone) for one in said] == found
    assert all(one.count == 7 for one in said)


def test_the_reasons_are_those_that_are_given() -> None:
    """By each of the rooms that verify, to what another secret has made."""
    webhook = [(DOITONG_HEADER.encode(), sign("theirs", b"{}").encode())]
    path = f"/webhooks/modelslab/{mint('theirs', b'a nonce')}"
    terms = Terms(certificate_hosts=(), policy=EgressPolicy(), tokens=("ours",))
    event = signed("https://here", b"{}", certificate_url="https://there/a.pem", at=NOON)
    stranger = read_claim(event, terms, NOON)
    assert isinstance(stranger, Verdict)
    given = {
        Verifier(DOITONG_HEADER, {"a": "ours"}).verify(webhook, b"{}").reason,
        PathTokens({"a": "ours"}).verify([], b"{}", path).reason,
        stranger.reason,
    }
    assert given == WRONG_SECRET


# The last word's age in hours, how many came within the day before it, for how long an answer is
# owed, and whether that is unusual: 100 a day are one in 864 s.
SILENCES = {
    "as usual": (2.3, 100, 9, None),
    "ten times as long": (2.5, 100, 9, 2.5),
    "owed only just": (9, 100, 2.3, None),
    "owed for long enough": (9, 100, 2.5, 2.5),
    "many a minute, and some minutes": (0.16, 100_000, 9, None),
    "many a minute, and a quarter of an hour": (0.25, 100_000, 9, 0.25),
    "one a day": (200, 1, 200, None),
    "one a day, ten days ago": (250, 1, 300, 250),
    "nothing owed": (250, 100, None, None),
}


@pytest.mark.parametrize(
    ("hours_ago", "daily", "owed", "silent"), SILENCES.values(), ids=list(SILENCES)
)
def test_unusual_silence(
    hours_ago: float, daily: int, owed: float | None, silent: float | None
) -> None:
    """Ten times as long as usual, ten minutes at least, and only where something is owed."""
    since = {} if owed is None else {"doitong": NOON - timedelta(hours=owed)}
    usual_seconds = pytest.approx(86400 / daily, abs=1e-3)
    expected = (
        [
            Silence(
                provider="doitong",
                heard=Heard.PUSHED,
                seconds=silent * 3600,
                usual_seconds=usual_seconds,
            )
        ]
        if silent
        else []
    )
    assert silences([tally(hours_ago, daily)], since, now=NOON) == expected


def test_webhooks_that_stop_are_noticed_though_questions_are_answered() -> None:
    """Answers to our questions count only where there never was a webhook."""
    owed = {"doitong": NOON - timedelta(hours=9)}
    polled = tally(0, 5000, heard=Heard.POLLED)
    [silent] = silences([tally(5, 500), polled], owed, now=NOON)
    assert silent.heard is Heard.PUSHED
    assert silences([polled], owed, now=NOON) == []
    [silent] = silences([tally(5, 500, heard=Heard.POLLED)], owed, now=NOON)
    assert silent.heard is Heard.POLLED
    told = tally(5, 500, heard=Heard.REMEMBERED)
    assert silences([told], owed, now=NOON) == []


@given(st.floats(0, 500), st.integers(1, 10**5), st.floats(0, 500), st.floats(0, 100))
def test_silence_does_not_end_by_going_on(
    hours_ago: float, daily: int, owed: float, more: float
) -> None:
    """Who is silent now is still silent later, if nothing else has come."""
    found, since = [tally(hours_ago, daily)], {"doitong": NOON - timedelta(hours=owed)}
    if silences(found, since, now=NOON):
        assert silences(found, since, now=NOON + timedelta(hours=more))
