"""`holdfast status` on credit: what was spent on which day, what was left, and when to worry."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from archiver import clock
from archiver.catalog import Catalog, Tables
from archiver.catalog.credits import AccountBalance
from archiver.catalog.schema import migrate
from receiver.cli import main
from tests.archiver.generated import linked
from tests.service import write_config

# The command asks the house clock, so it is not for a test to say what day it is.
NOW = clock.now()


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """A generation of so many hours ago."""

    hours_ago: float
    cost: float | None
    account: str = "7f"


def at(hours_ago: float) -> datetime:
    return NOW - timedelta(hours=hours_ago)


def fill(folder: Path, *, balances: dict[str, float], begun: list[Begun]) -> None:
    """Makes a catalog; the balances by account were heard of a day ago."""

    def work(tables: Tables) -> None:
        for account, credits_ in balances.items():
            tables.credits.put(
                AccountBalance(
                    provider="doitong",
                    account=account,
                    credits=credits_,
                    required=100.0,
                    heard_at=at(24),
                )
            )
        for number, one in enumerate(begun):
            known = replace(linked(str(number)), account=one.account, cost=one.cost)
            tables.generations.save(None, replace(known, first_heard_at=at(one.hours_ago)))

    async def write() -> None:
        catalog = Catalog(folder / "catalog.db")
        await catalog.start()
        await catalog.write(work)
        await catalog.close()

    migrate(folder / "catalog.db")
    asyncio.run(write())


def status(folder: Path, *, low_credits: int = 0) -> tuple[dict[str, Any], str]:
    """What it prints as JSON and to people."""
    file = write_config(folder, providers_doitong_limits={"low_credits": low_credits})
    as_json, told = (
        CliRunner().invoke(main, ["--config", str(file), "status", *more])
        for more in (["--json"], [])
    )
    assert (as_json.exit_code, as_json.stderr, told.exit_code, told.stderr) == (0, "", 0, "")
    return json.loads(as_json.stdout), told.stdout


def test_nothing_is_said_where_nothing_is_known(tmp_path: Path) -> None:
    """People are spared two lines about nothing."""
    fill(tmp_path, balances={}, begun=[Begun(hours_ago=1, cost=None)])
    said, told = status(tmp_path)
    assert (said["spend"], said["balances"]) == ({}, [])
    assert "spend" not in told
    assert "credit" not in told


def test_what_was_spent_on_which_day(tmp_path: Path) -> None:
    """Of the last seven days, today in UTC among them."""
    costs = {5 * 24: 20, 2 * 24: 12.5, 8 * 24: 1000}
    begun = [Begun(hours_ago=hours, cost=cost) for hours, cost in costs.items()]
    days = [at(hours).date().isoformat() for hours in costs]
    fill(tmp_path, balances={}, begun=begun)
    said, told = status(tmp_path)
    assert said["spend"] == {"doitong": {days[0]: 20.0, days[1]: 12.5}}
    assert f"spend        doitong: 20 on {days[0]}, 12.5 on {days[1]} (credits)\n" in told


REFUSED = "a request for 100 was refused, and none was accepted since: buy credits"
LOW = "no more than low_credits = 40: buy credits"
ONE = [Begun(hours_ago=1, cost=12.5)]

WARNINGS: dict[str, tuple[list[Begun], int, str | None]] = {
    "refused last": ([], 0, REFUSED),
    "accepted before": ([Begun(hours_ago=25, cost=1)], 0, REFUSED),
    "another's accepted since": ([Begun(hours_ago=1, cost=1, account="a0")], 0, REFUSED),
    "accepted since, no warning wanted": (ONE, 0, None),
    "accepted since, and little is left": (ONE, 40, LOW),
    "accepted since, and enough is left": (ONE, 37, None),
    "accepted since at a price unknown": ([Begun(hours_ago=1, cost=None)], 40, None),
    "more was spent since than there was": ([Begun(hours_ago=1, cost=50.5)], 40, None),
    "all was spent since": ([Begun(hours_ago=1, cost=50)], 40, LOW),
}


@pytest.mark.parametrize(("begun", "low_credits", "warning"), WARNINGS.values(), ids=WARNINGS)
def test_the_last_known_balance(
    tmp_path: Path, begun: list[Begun], low_credits: int, warning: str | None
) -> None:
    """What is left of it warns, and so does a refusal after which nothing was accepted."""
    fill(tmp_path, balances={"7f": 50.0}, begun=begun)
    said, told = status(tmp_path, low_credits=low_credits)
    [balance] = said["balances"]
    assert balance.pop("heard_seconds_ago") >= 24 * 3600
    assert balance == {
        "provider": "doitong",
        "account": "7f",
        "credits": 50.0,
        "spent_since": sum(
            one.cost or 0.0 for one in begun if one.account == "7f" and one.hours_ago < 24
        ),
        "warning": warning,
    }
    [line] = [line for line in told.splitlines() if line.startswith("credit")]
    assert line.startswith("credit       doitong of account 7f: 50 ")
    assert line.endswith(f" ago; {warning}" if warning else " ago")


def test_each_account_has_a_line(tmp_path: Path) -> None:
    """One that showed no key has no name; large sums are written out."""
    fill(tmp_path, balances={"7f": 1234567.5, "": 0.1 + 0.2}, begun=[])
    said, told = status(tmp_path)
    assert [one["account"] for one in said["balances"]] == [None, "7f"]
    assert "credit       doitong: 0.3 " in told
    assert "credit       doitong of account 7f: 1234567.5 " in told
