"""What is known of credit: the newest balance of each account, and what was spent on which day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from archiver.catalog import Tables
from archiver.catalog.credits import AccountBalance, Credit
from tests.archiver.catalog.scratch import scratch
from tests.archiver.generated import linked
from tests.clocks import NOON

BALANCE = AccountBalance(
    provider="doitong", account="7f", credits=50.0, required=100.0, heard_at=NOON
)
BALANCES = st.builds(
    AccountBalance,
    provider=st.sampled_from(["doitong", "modelslab"]),
    account=st.sampled_from(["", "7f"]),
    credits=st.sampled_from([0.0, 12.5, 50.0]),
    required=st.sampled_from([20.0, 100.0]),
    heard_at=st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours)),
)


def begin(
    tables: Tables,
    generation_id: str,
    *,
    cost: float | None,
    hours: float = 1,
    account: str | None = "7f",
) -> None:
    """A generation that was first heard of so many hours after noon."""
    known = linked(generation_id)
    heard_at = NOON + timedelta(hours=hours)
    changed = replace(known, key=None, cost=cost, account=account, first_heard_at=heard_at)
    tables.generations.save(None, changed)


def test_a_balance_is_known_with_what_came_after(tables: Tables) -> None:
    """The account's generations since, and their cost as far as the provider has said it."""
    tables.credits.put(BALANCE)
    begin(tables, "before", cost=10, hours=-1)
    begin(tables, "at once", cost=10, hours=0)
    assert tables.credits.known() == [Credit(balance=BALANCE, begun=0, spent=0.0)]
    begin(tables, "after", cost=12.5)
    begin(tables, "later", cost=20, hours=2)
    begin(tables, "at a price unknown", cost=None)
    begin(tables, "of another's", cost=40, account="a0")
    begin(tables, "of nobody's", cost=40, account=None)
    assert tables.credits.known() == [Credit(balance=BALANCE, begun=3, spent=32.5)]


def test_an_account_that_showed_no_key(tables: Tables) -> None:
    """It has a balance of its own, and the generations whose account nobody knows."""
    keyless = replace(BALANCE, account="", credits=7.0)
    tables.credits.put(BALANCE)
    tables.credits.put(keyless)
    begin(tables, "of nobody's", cost=2, account=None)
    assert tables.credits.known() == [
        Credit(balance=keyless, begun=1, spent=2.0),
        Credit(balance=BALANCE, begun=0, spent=0.0),
    ]


@given(heard=st.lists(BALANCES, max_size=6), data=st.data())
def test_the_newest_balance_wins_in_any_order(
    migrated: Path, heard: list[AccountBalance], data: st.DataObject
) -> None:
    """However often and in whatever order balances are heard, one of the newest is known."""
    again = data.draw(st.lists(st.sampled_from(heard), max_size=3)) if heard else []

    def known(order: list[AccountBalance]) -> list[AccountBalance]:
        with scratch(migrated) as tables:
            for balance in order:
                tables.credits.put(balance)
            return [credit.balance for credit in tables.credits.known()]

    newest = known(heard)
    accounts = {(balance.provider, balance.account) for balance in heard}
    assert {(balance.provider, balance.account) for balance in newest} == accounts
    for balance in newest:
        same = [
            it for it in heard if (it.provider, it.account) == (balance.provider, balance.account)
        ]
        assert balance in same
        assert balance.heard_at == max(it.heard_at for it in same)
    assert newest == known(data.draw(st.permutations(heard + again)))


def test_what_was_spent_is_told_by_day(tables: Tables) -> None:
    """Days are UTC's; what came before, or at a price that nobody said, does not count."""
    for number, (hours, cost) in enumerate(
        [(-12.001, 1), (-12, 2), (0, 4.5), (11.999, 8), (12, 16), (13, None), (36, None)]
    ):
        begin(tables, str(number), cost=cost, hours=hours)
    days = {("doitong", date(2026, 11, 21)): 14.5, ("doitong", date(2026, 11, 22)): 16.0}
    assert tables.credits.spent_by_day(NOON - timedelta(hours=12)) == days
    assert tables.credits.spent_by_day(NOON + timedelta(hours=12, milliseconds=1)) == {}
