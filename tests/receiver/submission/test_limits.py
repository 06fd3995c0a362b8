"""No more is sent than a plan allows, and no later than it must be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.catalog.activity import Recent
from receiver.provider_tables import Limits
from receiver.submission.batch import read_batch
from receiver.submission.entries import UNTOUCHED, Event, Standing
from receiver.submission.limits import DAY, MINUTE, History, Turn, least_seconds, next_turn
from receiver.submission.past import history
from receiver.submission.plan import sentences

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def ago(*seconds: float) -> tuple[datetime, ...]:
    return tuple(NOW - timedelta(seconds=each) for each in seconds)


@pytest.mark.parametrize(
    ("limits", "past", "expected"),
    [
        (Limits(), History(requested_at=ago(0, 0), begun_at=ago(0, 0), under_way=("a",)), NOW),
        (Limits(per_minute=2), History(requested_at=ago(50)), NOW),
        (Limits(per_minute=2), History(requested_at=ago(50, 10)), NOW + 10 * SECOND),
        (Limits(per_minute=2), History(requested_at=ago(1, 61, 60)), NOW),
        (Limits(per_minute=1), History(requested_at=ago(5, 10)), NOW + 55 * SECOND),
        (Limits(per_day=2), History(begun_at=ago(7, 86_000)), NOW + 400 * SECOND),
        (Limits(parallel=2), History(under_way=("a",)), NOW),
        (Limits(parallel=2), History(under_way=("a", "b")), None),
        (Limits(), History(rest_until=NOW + SECOND), NOW + SECOND),
        (Limits(), History(rest_until=NOW - SECOND), NOW),
        (
            Limits(per_minute=1),
            History(requested_at=ago(10), rest_until=NOW + 5 * SECOND),
            NOW + 50 * SECOND,
        ),
    ],
)
def test_next_turn(limits: Limits, past: History, expected: datetime | None) -> None:
    """The latest of what the limits ask for; None while as many are under way as may be."""
    assert next_turn(limits, past, NOW).at == expected


def test_the_reason_is_told() -> None:
    """What a row waits for is the operator's to know."""
    waits = next_turn(Limits(per_minute=3), History(requested_at=ago(1, 2, 3)), NOW)
    full = next_turn(Limits(parallel=1), History(under_way=("row 7",)), NOW)

    assert waits == Turn(at=NOW + 57 * SECOND, because="3 requests a minute")
    assert full == Turn(at=None, because="1 at once: row 7 under way")


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 40))
def test_no_window_holds_more_than_its_limit(per_minute: int, per_day: int, rows: int) -> None:
    """Sent as the turns say, any minute and any day has at most what is allowed, and at once."""
    limits, now, sent = Limits(per_minute=per_minute, per_day=per_day), NOW, []
    for _ in range(rows):
        turn = next_turn(limits, History(requested_at=tuple(sent), begun_at=tuple(sent)), now)
        assert turn.at is not None
        now = turn.at
        sent.append(now)

    for window, most in ((MINUTE, per_minute), (DAY, per_day)):
        counts = [sum(at - window < other <= at for other in sent) for at in sent]
        assert max(counts) <= most
    assert (sent[-1] - NOW).total_seconds() >= least_seconds(limits, rows)
    assert sent[0] == NOW


def test_what_the_past_holds() -> None:
    """Own rows and others' generations count once each; what has ended or was forgotten is done."""
    rows = read_batch("b.csv", b"prompt\na\nb\nc\nd\n", "doitong")
    standings = {
        1: Standing(event=Event.SUBMITTED, generation_id="one", sent_at=NOW - 9 * SECOND),
        2: Standing(event=Event.SUBMITTED, generation_id="two", sent_at=NOW - 8 * SECOND),
        3: Standing(event=Event.SENDING, sent_at=NOW - 7 * SECOND),
        4: Standing(event=Event.WAITING, sent_at=NOW - 6 * SECOND),
    }
    heard = [
        Recent(id="one", first_heard_at=NOW, has_ended=False),
        Recent(id="theirs", first_heard_at=NOW - 5 * SECOND, has_ended=False),
        Recent(id="ended", first_heard_at=NOW - 4 * SECOND, has_ended=True),
        Recent(id="forgotten", first_heard_at=NOW - 7200 * SECOND, has_ended=False),
    ]

    past = history(
        rows,
        lambda number: standings.get(number, UNTOUCHED),
        heard,
        requested_at=ago(6),
        on_their_way={3},
        drawn=lambda row: row.number == 2,
        now=NOW,
        rest_until=None,
    )

    assert set(past.under_way) == {"row 1", "row 3", "theirs"}
    assert sorted(past.begun_at) == sorted(ago(9, 8, 7, 5, 4, 7200))
    assert sorted(past.requested_at) == sorted(ago(6, 5, 4, 7200))


def test_the_plan_is_said_beforehand() -> None:
    """Rows, pictures, credits where a price is known, and the time that the limits cost."""
    rows = read_batch(
        "b.csv",
        b"provider,model,prompt,samples\n" + b"doitong,,a,\n" * 25 + b"dashscope,m,b,4\n",
        None,
    )
    limits = {
        "doitong": Limits(per_minute=10, credits_per_picture=20, warn_credits=400),
        "dashscope": Limits(),
    }

    [doitong, dashscope] = sentences(rows, limits)
    assert doitong == (
        "25 rows to doitong, 25 pictures, some 500 credits, beyond warn_credits = 400, "
        "at least 0:02:00 at the rate of its limits"
    )
    assert dashscope == "1 rows to dashscope, 4 pictures"
