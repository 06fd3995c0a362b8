"""The quarantine: bounded in every direction, never in anyone's way."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from archiver import sqlite
from archiver.errors import InboxUnavailableError
from archiver.inbox import quarantine, quarantine_file
from archiver.inbox.quarantine import Quarantine, Rejected
from archiver.inbox.quarantined import Quarantined
from archiver.sqlite import open_reader, open_writer
from tests.archiver.disks import locked
from tests.clocks import NOON, FrozenClock

REJECTED = Rejected(
    source="doitong",
    path_token="",
    received_at=NOON,
    peer="192.0.2.7",
    reason="wrong signature",
    headers=((b"X-Doitong-Signature", b"sha256=00"),),
    body=b"{}",
)


def request(number: int, **changes: object) -> Rejected:
    """The one refused request of that number, each from an address of its own."""
    given = {"body": b"%d" % number, "peer": f"2001:db8::{number:x}", **changes}
    return replace(REJECTED, **given)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox" / "quarantine.db"


@pytest.fixture
async def kept(path: Path) -> AsyncIterator[Quarantine]:
    """A quarantine at work."""
    kept = Quarantine(path)
    await kept.start()
    yield kept
    await kept.close()


def bodies(path: Path) -> list[bytes]:
    """What a stranger reads in the file."""
    reader = open_reader(path)
    try:
        return [body for (body,) in reader.execute("SELECT body FROM rejected ORDER BY id")]
    finally:
        reader.close()


async def test_a_refused_request_is_kept_whole(path: Path, kept: Quarantine) -> None:
    """All that is needed to verify it once more is there."""
    assert kept.offer(REJECTED)
    await kept.close()
    reader = open_reader(path)
    row = reader.execute(
        "SELECT source, path_token, received_at, peer, reason, body FROM rejected"
    ).fetchone()
    (headers,) = reader.execute("SELECT headers FROM rejected").fetchone()
    reader.close()
    millis = round(NOON.timestamp() * 1000)
    assert row == ("doitong", "", millis, "192.0.2.7", "wrong signature", b"{}")
    assert b"X-Doitong-Signature" in headers


async def test_the_same_request_is_kept_once(path: Path, kept: Quarantine) -> None:
    """Repeating oneself takes no room; a copy under another signature replaces no original."""
    later = FrozenClock().advance(minutes=1)
    kept.offer(REJECTED)
    kept.offer(replace(REJECTED, received_at=later))
    kept.offer(replace(REJECTED, headers=(), received_at=later, reason="no signature"))
    await kept.close()
    reader = open_reader(path)
    rows = reader.execute(
        "SELECT received_at, last_at, reason FROM rejected ORDER BY id"
    ).fetchall()
    reader.close()
    first, second = (round(at.timestamp() * 1000) for at in (NOON, later))
    assert rows == [(first, second, "wrong signature"), (second, 0, "no signature")]
    assert [it.last_at for it in quarantine.refused(path)] == [later, later]


async def test_one_address_has_a_quota_for_a_while(
    path: Path, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood from one address leaves room for the others, and is forgiven in the end."""
    monkeypatch.setattr(quarantine, "MAX_BYTES_PER_PEER", 5_000)
    clock = FrozenClock()

    def offer(number: int, peer: str) -> bool:
        body = b"%04d" % number + b"x" * 900
        return kept.offer(request(number, peer=peer, body=body, received_at=clock()))

    flood = [offer(number, "192.0.2.7") for number in range(20)]
    assert flood == [True] * 5 + [False] * 15
    assert offer(1001, "192.0.2.8")
    clock.advance(minutes=9)
    assert not offer(1002, "192.0.2.7")
    clock.advance(minutes=1)
    assert offer(1003, "192.0.2.7")
    await kept.close()
    assert len(bodies(path)) == 7


async def test_a_full_queue_drops(path: Path, kept: Quarantine) -> None:
    """However fast refused requests come, only so many wait in memory."""
    answers = [kept.offer(request(number)) for number in range(quarantine.MAX_WAITING + 5)]
    assert answers == [True] * quarantine.MAX_WAITING + [False] * 5
    await kept.close()
    assert len(bodies(path)) == quarantine.MAX_WAITING


async def test_only_the_newest_are_kept(
    path: Path, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of rows is bounded; the oldest go first."""
    monkeypatch.setattr(quarantine_file, "MAX_ROWS", 10)
    for number in range(25):
        kept.offer(request(number))
    await kept.close()
    assert [b"%d" % number for number in range(15, 25)] == bodies(path)


async def test_the_file_is_bounded_in_bytes(
    path: Path, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few large bodies cannot fill the disk either."""
    monkeypatch.setattr(quarantine_file, "MAX_BYTES", 1 << 20)
    for number in range(200):
        kept.offer(request(number, body=b"%d" % number + b"x" * 65_536))
        if number % 4 == 3:
            await asyncio.sleep(0)  # lets the writer take what waits
    await kept.close()
    held = bodies(path)
    assert sum(map(len, held)) <= 1 << 20
    assert held == sorted(held, key=lambda body: int(body.rstrip(b"x")))


async def test_no_trouble_of_the_file_is_anyones(
    path: Path, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A locked file or a closed one loses copies silently, and copies alone."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    complaints: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    earlier, locking = Quarantine(path), Quarantine(path)
    await earlier.start()
    earlier.offer(request(0))
    await earlier.close()
    await locking.start()
    with locked(path):
        locking.offer(request(1))
        await locking.close()
    assert bodies(path) == [b"0"]
    locking.offer(request(2))  # closed by now
    await asyncio.sleep(0)
    kept.offer(request(3))
    await kept.close()
    assert bodies(path) == [b"0", b"3"]
    gc.collect()  # what nobody has asked for complains when it goes
    assert complaints == []


async def test_a_file_that_is_only_locked_is_not_begun_anew(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be opened just now is not damaged, and keeps what it holds."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    writer = open_writer(path)
    writer.execute("CREATE TABLE older (id INTEGER) STRICT")
    locking = Quarantine(path)
    await locking.start()
    with locked(path):
        locking.offer(request(1))
        await locking.close()
    writer.close()
    reader = open_reader(path)
    assert reader.execute("SELECT name FROM sqlite_schema").fetchall() == [("older",)]
    reader.close()


def test_what_cannot_be_read_tells_of_no_refusals(path: Path) -> None:
    """Neither a file that is missing nor one that is none keeps an operator from the rest."""
    assert quarantine.refused(path) == []
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no database" * 1000)
    assert quarantine.refused(path) == []


async def test_strangers_cost_no_fsync(path: Path) -> None:
    """Nobody was promised that these survive a power cut."""
    connection = quarantine_file.open_file(path)
    assert connection.execute("PRAGMA synchronous").fetchone() == (0,)
    connection.close()


async def test_a_damaged_file_is_begun_anew(path: Path) -> None:
    """What nobody was promised must not keep webhooks from being received."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all" * 100)
    kept = Quarantine(path)
    await kept.start()
    assert kept.offer(request(1))
    await kept.close()
    assert bodies(path) == [b"1"]


def dropped(path: Path) -> dict[str, int]:
    """How many were not kept, by reason."""
    return {it.why: it.count for it in Quarantined(path).dropped()}


async def test_what_can_never_be_verified_pushes_nothing_else_out(
    path: Path, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many come without a signature, from however many addresses; they are counted."""
    monkeypatch.setattr(quarantine_file, "MAX_ROWS", 10)
    for number in range(8):
        kept.offer(request(number))
    for number in range(100, 200):
        kept.offer(request(number, hopeless=True))
    kept.offer(request(8))
    await kept.close()
    expected = [*range(8), 199, 8]
    assert bodies(path) == [b"%d" % number for number in expected]
    assert dropped(path) == {"too old": 99}


async def test_the_hopeless_go_first_for_want_of_room_as_well(
    path: Path, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large bodies without a signature leave those with one alone."""
    monkeypatch.setattr(quarantine_file, "MAX_BYTES", 1 << 20)
    for number in range(100):
        body = b"%03d" % number + b"x" * 65_536
        kept.offer(request(number, body=body, hopeless=number >= 5))
        if number % 4 == 3:
            await asyncio.sleep(0)  # lets the writer take what waits
    await kept.close()
    held = [int(body[:3]) for body in bodies(path)]
    assert held[:5] == [0, 1, 2, 3, 4]
    assert held[5:] == [*range(held[5], 100)]


async def test_the_hopeless_have_a_quota_and_a_queue_of_their_own(
    path: Path, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy that nobody trusts all come from one address."""
    monkeypatch.setattr(quarantine, "MAX_BYTES_PER_PEER", 5_000)
    body, peer = b"x" * 900, "192.0.2.7"
    flood = [
        kept.offer(request(number, body=body + b"%d" % number, peer=peer, hopeless=True))
        for number in range(9)
    ]
    assert flood == [True] * 5 + [False] * 4
    assert kept.offer(request(9, body=body, peer=peer))
    monkeypatch.setattr(quarantine, "MAX_WAITING", 12)
    assert not kept.offer(request(10, hopeless=True))
    assert kept.offer(request(11))
    await kept.close()
    assert dropped(path) == {"too much from one address": 4, "too many at once": 1}


async def test_what_was_verified_since_is_not_pushed_out(
    path: Path, kept: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until the receiving process has taken it in, which lets it go."""
    for number in range(3):
        kept.offer(request(number))
    await kept.close()
    quarantined = Quarantined(path)
    quarantined.mark({1: "2026-11", 99: "gone"})
    assert quarantined.waiting() == 1
    monkeypatch.setattr(quarantine_file, "MAX_ROWS", 3)
    again = Quarantine(path)
    await again.start()
    for number in range(3, 6):
        again.offer(request(number))
    await again.let_go([])  # a commit after theirs
    assert bodies(path) == [b"0", b"4", b"5"]
    await again.let_go([1])
    assert (bodies(path), quarantined.waiting()) == ([b"4", b"5"], 0)
    await again.close()


async def test_an_older_file_is_brought_up_to_date(path: Path) -> None:
    """By whoever opens it first, its writer or a command; what it holds stays."""
    path.parent.mkdir()
    writer = open_writer(path)
    writer.executescript(quarantine_file._SCHEMA.partition("CREATE TABLE IF NOT EXISTS dropped")[0])
    writer.execute(
        "INSERT INTO rejected VALUES (7,'doitong','',1,'peer','why',x'00',x'90',x'7b7d')"
    )
    writer.close()
    quarantined = Quarantined(path)
    (kept,) = quarantined.after(0, limit=9)
    assert (kept.id, kept.rejected.hopeless, kept.last_at, kept.verified_by) == (
        7,
        False,
        None,
        None,
    )
    assert quarantined.dropped() == []
    quarantine_file.open_file(path).close()
    assert quarantined.get(7) == kept


async def test_a_quarantine_is_leafed_through_both_ways(path: Path, kept: Quarantine) -> None:
    """Page by page; and where there is no file there is nothing."""
    assert Quarantined(path.with_name("none.db")).newest() == 0
    assert Quarantined(path.with_name("none.db")).before(9, limit=9) == []
    for number in range(5):
        kept.offer(request(number))
    await kept.close()
    quarantined = Quarantined(path)
    assert quarantined.newest() == 5
    assert [it.id for it in quarantined.before(4, limit=2)] == [3, 2]
    assert [it.id for it in quarantined.after(3, limit=9)] == [4, 5]
    found = quarantined.get(5)
    assert found is not None
    assert found.rejected == request(4)
    assert quarantined.get(6) is None


def test_a_quarantine_that_cannot_be_read_says_so(path: Path) -> None:
    """To a command, with the path; its writer begins it anew."""
    path.parent.mkdir()
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(InboxUnavailableError, match=r"quarantine\.db"):
        Quarantined(path).newest()
    with pytest.raises(InboxUnavailableError, match=r"quarantine\.db"):
        Quarantined(path).mark({1: "a"})


async def test_what_is_too_old_is_let_go(path: Path, kept: Quarantine) -> None:
    """But not what came again since."""
    clock = FrozenClock()
    for number in range(3):
        kept.offer(request(number, received_at=clock()))
    later = clock.advance(days=30)
    kept.offer(request(1, received_at=later))
    kept.offer(request(3, received_at=later))
    await kept.forget(later - timedelta(days=7))
    await kept.close()
    assert bodies(path) == [b"1", b"3"]
