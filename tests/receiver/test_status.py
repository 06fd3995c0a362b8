"""`holdfast status`: the same facts as JSON and to people, the most urgent first."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.live import Live

from archiver import clock
from archiver.catalog import Catalog, Tables
from archiver.catalog.schema import migrate
from archiver.ledger import keep
from receiver.cli import main
from receiver.commands import status as room
from receiver.commands.status_line import Line, Urgency, by_urgency, lasting
from receiver.commands.status_lines import lines
from receiver.commands.status_recovery import is_late
from receiver.settings import Backup
from tests.archiver.generated import linked
from tests.receiver.deliveries import delivery, record
from tests.service import HOLDFAST, write_config

NOW = clock.now()


@pytest.fixture(autouse=True)
def _clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long other tests took since this file was read."""
    monkeypatch.setattr(clock, "now", lambda: NOW)


def filled(folder: Path, work: Callable[[Tables], None]) -> Path:
    """An archive with an alive archive role and whatever `work` writes; its configuration."""

    def all_of_it(tables: Tables) -> None:
        tables.deliveries.beat("archive", now=clock.now())
        work(tables)

    async def write() -> None:
        catalog = Catalog(folder / "catalog.db")
        await catalog.start()
        await catalog.write(all_of_it)
        await catalog.close()

    migrate(folder / "catalog.db")
    asyncio.run(write())
    (folder / "inbox").mkdir(mode=0o700, exist_ok=True)
    return write_config(folder)


def told(config: Path) -> tuple[dict[str, Any], list[str]]:
    """What is printed as JSON, and the lines for people."""
    as_json, said = (
        CliRunner().invoke(main, ["--config", str(config), "status", *more])
        for more in (["--json"], [])
    )
    assert (as_json.exit_code, said.exit_code, as_json.stderr, said.stderr) == (0, 0, "", "")
    return json.loads(as_json.stdout), said.stdout.splitlines()


def test_a_calm_archive_is_calm(tmp_path: Path) -> None:
    """What waits for nothing begins with the first loss that there is not, and fits a screen."""
    facts, said = told(filled(tmp_path, lambda tables: None))
    assert said[0] == "first loss   nothing waits to be fetched"
    assert said[1].startswith("archive role last seen ")
    assert facts["links"] == {"dying_within_the_hour": 0, "overdue": 0}
    assert all(line.urgency is Urgency.CALM for line in lines(facts))
    assert len(said) <= 24


@pytest.mark.parametrize("command", ["status", "search"])
def test_a_damaged_catalog_is_not_waited_for(tmp_path: Path, command: str) -> None:
    """It does not mend by itself, so what mends it is said."""
    config = filled(tmp_path, lambda tables: None)
    (tmp_path / "catalog.db").write_bytes(b"this is no database at all" * 400)
    done = CliRunner().invoke(main, ["--config", str(config), command])
    assert done.exit_code == 1
    for said in ("is damaged", "holdfast doctor", "holdfast restore", "holdfast rebuild"):
        assert said in done.stderr
    assert "by itself" not in done.stderr


def test_links_that_die_within_the_hour_come_first(tmp_path: Path) -> None:
    """With their number, and those that may be dead already."""

    def work(tables: Tables) -> None:
        for number in range(3):
            keep(tables, None, linked(str(number)), now=NOW)
        for subject, minutes in enumerate((-5, 20, 90), start=1):
            tables.connection.execute(
                "UPDATE jobs SET deadline_at = ? WHERE kind = 'fetch' AND subject = ?",
                (int((NOW + timedelta(minutes=minutes)).timestamp() * 1000), subject),
            )

    facts, said = told(filled(tmp_path, work))
    assert facts["links"] == {"dying_within_the_hour": 1, "overdue": 1}
    assert facts["seconds_to_first_loss"] == -300
    assert said[0] == (
        "first loss   was due 5 min ago; 1 link dies within the hour; 1 may be dead already"
    )


def test_what_came_is_told_by_provider_and_outcome(tmp_path: Path) -> None:
    """With the secrets that verified it, those that never did among them."""
    config = filled(tmp_path, lambda tables: None)
    heard = [
        delivery(body, received_at=NOW - timedelta(hours=hours), verified_by=label)
        for body, hours, label in ((b"a", 3, "old"), (b"b", 2, "test"), (b"c", 40, "test"))
    ]
    asyncio.run(record(tmp_path / "inbox" / "receive.db", *heard))
    facts, said = told(config)
    assert facts["deliveries"]["doitong"] == {
        "absorbed": 0,
        "unparsed": 0,
        "waiting": 2,
        "last_seconds_ago": 7200,
    }
    assert [(one["label"], one["configured"]) for one in facts["secrets"]] == [
        ("old", False), ("test", True),
    ]  # fmt: skip
    assert "deliveries   doitong: 2 waiting in 24 h, the last 2.0 h ago" in said
    assert (
        "secret       doitong old verified a webhook 3.0 h ago, and is configured no more" in said
    )
    assert "secret       doitong test verified a webhook 2.0 h ago" in said


def test_a_silent_provider_is_noticed(tmp_path: Path) -> None:
    """Whose webhooks have stopped, while generations of it are under way."""

    def work(tables: Tables) -> None:
        keep(tables, None, linked("waits"), now=NOW)
        tables.connection.execute(
            "UPDATE generations SET state = 'running', first_heard_at = ?",
            (int((NOW - timedelta(hours=20)).timestamp() * 1000),),
        )

    config = filled(tmp_path, work)
    heard = [
        delivery(b"%d" % number, received_at=NOW - timedelta(hours=9, seconds=number))
        for number in range(48)
    ]
    asyncio.run(record(tmp_path / "inbox" / "receive.db", *heard))
    facts, said = told(config)
    [silent] = facts["silences"]
    assert (silent["provider"], silent["heard"]) == ("doitong", "pushed")
    [line] = [line for line in said if line.startswith("silent")]
    assert "doitong: no webhook for 9.0 h, usually every 30 min" in line


def test_an_inbox_that_cannot_be_read_is_said_first(tmp_path: Path) -> None:
    """It may hold what nobody knows of."""
    config = filled(tmp_path, lambda tables: None)
    (tmp_path / "inbox" / "gateway.db").write_bytes(b"this is no database at all" * 100)
    facts, said = told(config)
    assert len(facts["unreadable"]) == 1
    assert said[0].startswith(f"inbox        the inbox {tmp_path}/inbox/gateway.db cannot be read")


REFUSED = {"source": "doitong", "reason": "why", "count": 1}


AMISS = {
    "a link that may be dead": (
        {"seconds_to_first_loss": -9, "links": {"dying_within_the_hour": 0, "overdue": 1}},
        Urgency.LOSS,
        "was due 9 s ago; 1 may be dead already",
    ),
    "the archive role": ({"archive_beat_seconds_ago": 31.0}, Urgency.LOSS, "nothing is fetched"),
    "it never ran": ({"archive_beat_seconds_ago": None}, Urgency.LOSS, "never ran"),
    "a long backlog": ({"backlog": 10_000}, Urgency.AMISS, "10,000 deliveries not yet"),
    "unparsed": ({"unparsed": 2}, Urgency.AMISS, "2 deliveries not understood"),
    "a hold": ({"holds": {"needs the operator": 2}}, Urgency.AMISS, "2 needs the operator"),
    "the disk": ({"disk": {"free_bytes": 1, "min_free_bytes": 2}}, Urgency.LOSS, "too full"),
    "refused just now": (
        {"refused": [{**REFUSED, "last_seconds_ago": 30.0}]},
        Urgency.AMISS,
        "30 s ago: why",
    ),
    "a late backup": ({"backup_is_late": True}, Urgency.AMISS, "the log says why"),
}


@pytest.mark.parametrize(("fact", "urgency", "says"), AMISS.values(), ids=AMISS)
def test_what_is_amiss_comes_before_what_is_calm(
    tmp_path: Path, fact: dict[str, Any], urgency: Urgency, says: str
) -> None:
    """One line, at the top, and of that colour."""
    facts, _ = told(filled(tmp_path, lambda tables: None))
    first = lines(facts | fact)[0]
    assert (first.urgency, says in first.sentence) == (urgency, True)


def test_what_was_refused_long_ago_is_history(tmp_path: Path) -> None:
    """It is told, and alarms nobody."""
    facts, _ = told(filled(tmp_path, lambda tables: None))
    found = lines(facts | {"refused": [{**REFUSED, "last_seconds_ago": 4000.0}]})
    [line] = [line for line in found if line.subject == "refused"]
    assert line.urgency is Urgency.CALM


def test_lines_of_one_urgency_stay_in_their_order() -> None:
    """A screen that is looked at again and again must not dance."""
    told = [Line(subject=str(it), sentence="", urgency=Urgency(it % 3)) for it in range(9)]
    assert [line.subject for line in by_urgency(told)] == list("036147258")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2.0 h"), (172800, "2.0 days")],
)
def test_times_are_said_as_people_do(seconds: float, text: str) -> None:
    """In the largest unit of which there are two."""
    assert lasting(seconds) == text


@pytest.mark.parametrize(
    ("hours_ago", "every_hours", "late"),
    [(None, 24, False), (35, 24, False), (37, 24, True), (99, 0, False)],
)
def test_a_backup_is_late(hours_ago: float | None, every_hours: float, late: bool) -> None:
    """By half of the time between two; where none is made none is late."""
    seconds_ago = None if hours_ago is None else hours_ago * 3600
    assert is_late(seconds_ago, Backup(every_hours=every_hours)) is late


@pytest.mark.parametrize("as_json", [True, False])
def test_watching_goes_on_until_ctrl_c(tmp_path: Path, as_json: bool) -> None:
    """In a pipe a line of JSON, or a block, for each look; Ctrl-C ends it well."""
    config = filled(tmp_path, lambda tables: None)
    command = [HOLDFAST, "--config", str(config), "status", "--watch", *["--json"] * as_json]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as watching:
        assert watching.stdout is not None
        looks = 0
        for line in watching.stdout:
            looks += (json.loads(line)["backlog"] == 0) if as_json else line == "\n"
            if looks == 2:
                break
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=30)
    assert (watching.returncode, errors) == (0, "")


def test_a_catalog_that_is_gone_for_a_while_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As while it is rebuilt: the sentence stands there instead, and the next look is another."""
    config = filled(tmp_path, lambda tables: None)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            (tmp_path / "catalog.db").rename(tmp_path / "away")
        elif len(pauses) == 2:
            (tmp_path / "away").rename(tmp_path / "catalog.db")
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr(room.time, "sleep", pause)
    done = CliRunner().invoke(main, ["--config", str(config), "status", "--watch", "--json"])
    assert done.exit_code == 0
    assert min(pauses) >= 1
    looks = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["error" in look for look in looks] == [False, True, False]
    assert "there is no archive" in looks[1]["error"]


def test_a_terminal_is_painted_in_place(tmp_path: Path) -> None:
    """What is lost unless somebody looks is red; the same lines, in two columns."""
    facts, said = told(filled(tmp_path, lambda tables: None))
    table = room._table(facts | {"archive_beat_seconds_ago": None})
    assert table.rows[0].style == "bold red"
    assert len(table.rows) == len(said)
    with Live(auto_refresh=False) as live:
        live.update(table, refresh=True)
