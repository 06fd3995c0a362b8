"""Nothing that was acknowledged and is in a backup, or still here, is missed after a restore."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver import clock
from archiver.errors import BackupError
from archiver.inbox.sqlite import SqliteInboxReader
from archiver.prunings import Pruning, Prunings
from archiver.recovery.restore_plan import Fate
from archiver.sqlite import open_writer
from receiver.roles.restored import owned
from receiver.settings import CatalogTable
from tests.conftest import EXAMPLES
from tests.receiver.ruins import Ruins, fates
from tests.service import PATIENCE_SECONDS

RESTORE, KEEP, ASIDE, RENAME = Fate.RESTORE, Fate.KEEP, Fate.ASIDE, Fate.RENAME


@pytest.fixture
def ruins(tmp_path: Path) -> Ruins:
    return Ruins(folder=tmp_path / "archive", bucket=tmp_path / "bucket")


async def test_everything_is_lost_and_comes_back(ruins: Ruins) -> None:
    """Catalog and inboxes; what was heard and not yet absorbed when the backup was taken, too."""
    before = await ruins.hear(count=3)
    await ruins.absorb()
    waiting = await ruins.hear(count=2) + await ruins.hear("gateway")
    index = await ruins.back_up()
    lost = await ruins.hear()
    for path in (ruins.catalog, ruins.inbox("receive"), ruins.inbox("gateway")):
        ruins.lose(path)
    steps, restored = await ruins.bring_back()
    stamp = f"{index.taken_at:%Y%m%dt%H%M%Sz}"
    assert fates(steps) == {
        "catalog.db": [RESTORE],
        f"inbox/gateway.{stamp}.db": [RESTORE],
        f"inbox/receive.{stamp}.db": [RESTORE],
    }
    assert restored is not None
    assert restored.aside is None
    assert ruins.known() == set(before)
    fresh = await ruins.hear()
    await ruins.absorb()
    assert ruins.known() == {*before, *waiting, *fresh}
    assert not {*lost} & ruins.known()


async def test_a_lost_catalog_goes_on_from_inboxes_that_are_still_there(ruins: Ruins) -> None:
    """They know more than their backup, so they are left as they are, and nothing is missed."""
    before = await ruins.hear(count=3)
    await ruins.absorb()
    await ruins.back_up()
    since = await ruins.hear(count=3)
    await ruins.absorb()
    ruins.lose(ruins.catalog)
    steps, _ = await ruins.bring_back()
    assert fates(steps) == {"catalog.db": [RESTORE], "inbox/receive.db": [KEEP]}
    await ruins.absorb()
    assert ruins.known() == {*before, *since}


async def test_a_lost_inbox_comes_back_beside_the_one_that_was_begun_since(ruins: Ruins) -> None:
    """The catalog, being newer, stays; what comes in now is absorbed, though its positions are
    below those that were absorbed of the lost inbox."""
    before = await ruins.hear(count=5)
    await ruins.absorb()
    index = await ruins.back_up()
    between = await ruins.hear(count=2)
    await ruins.absorb()
    ruins.lose(ruins.inbox("receive"))
    fresh = await ruins.hear()
    steps, _ = await ruins.bring_back()
    stamp = f"{index.taken_at:%Y%m%dt%H%M%Sz}"
    assert fates(steps) == {"catalog.db": [KEEP], f"inbox/receive.{stamp}.db": [RESTORE]}
    fresh += await ruins.hear(count=3)
    await ruins.absorb()
    assert ruins.known() == {*before, *between, *fresh}
    assert len(ruins.told()) == len(before) + len(fresh)


async def test_a_service_that_began_without_its_catalog_is_put_aside(ruins: Ruins) -> None:
    """It made an empty one and went on; what that one knew was heard, and so it is known again."""
    before = await ruins.hear(count=3)
    await ruins.absorb()
    await ruins.back_up()
    for path in (ruins.catalog, ruins.inbox("receive")):
        ruins.lose(path)
    fresh = await ruins.hear(count=2)
    await ruins.absorb()
    assert ruins.known() == set(fresh)
    steps, restored = await ruins.bring_back()
    assert fates(steps)["catalog.db"] == [ASIDE, RESTORE]
    assert restored is not None
    assert restored.aside is not None
    assert [path.name for path in restored.aside.glob("*.db")] == ["catalog.db"]
    await ruins.absorb()
    assert ruins.known() == {*before, *fresh}


async def test_what_is_broken_is_put_aside(ruins: Ruins) -> None:
    """Whole files are not made of it, but somebody may."""
    before = await ruins.hear(count=3)
    await ruins.absorb()
    await ruins.back_up()
    ruins.spoil(ruins.catalog)
    ruins.spoil(ruins.inbox("receive"))
    steps, restored = await ruins.bring_back()
    assert [*fates(steps).values()] == [[ASIDE, RESTORE], [ASIDE], [RESTORE]]
    assert restored is not None
    assert restored.aside is not None
    found = sorted(str(path.relative_to(restored.aside)) for path in restored.aside.rglob("*.db"))
    assert found == ["catalog.db", "inbox/receive.db"]
    fresh = await ruins.hear()
    await ruins.absorb()
    assert ruins.known() == {*before, *fresh}


async def test_an_inbox_that_went_another_way_is_absorbed_as_another(ruins: Ruins) -> None:
    """An old copy was put back by hand and went on: its positions mean other deliveries now."""
    before = await ruins.hear(count=2)
    ruins.keep_copy("receive", "copy")
    between = await ruins.hear(count=3)
    await ruins.absorb()
    await ruins.back_up()
    ruins.put_back("receive", "copy")
    elsewhere = await ruins.hear(count=2)
    ruins.lose(ruins.catalog)
    steps, _ = await ruins.bring_back()
    assert fates(steps)["inbox/receive.db"] == [RENAME]
    await ruins.absorb()
    assert ruins.known() == {*before, *between, *elsewhere}


@pytest.mark.parametrize("heard_first", [0, 1, 3, 9])
async def test_an_older_copy_put_back_by_hand_is_noticed(ruins: Ruins, heard_first: int) -> None:
    """Without any restore, and however many new deliveries have taken the others' positions."""
    before = await ruins.hear(count=2)
    ruins.keep_copy("receive", "copy")
    between = await ruins.hear(count=3)
    await ruins.absorb()
    ruins.put_back("receive", "copy")
    fresh = await ruins.hear(count=heard_first)
    await ruins.absorb()
    fresh += await ruins.hear()
    await ruins.absorb()
    assert ruins.known() == {*before, *between, *fresh}


async def test_what_was_ordered_out_of_an_inbox_is_not_taken_from_its_older_copy(
    ruins: Ruins,
) -> None:
    """Once it is absorbed anew, no order is left that meant what lay at its positions before."""
    await ruins.hear(count=2)
    ruins.keep_copy("receive", "copy")
    await ruins.hear(count=3)
    await ruins.absorb()
    inbox = SqliteInboxReader(ruins.inbox("receive"))
    with closing(open_writer(ruins.catalog)) as catalog:
        Prunings(catalog).order([Pruning(inbox=inbox.uuid, first=3, last=5)], ready=True)
    inbox.close()
    ruins.put_back("receive", "copy")
    await ruins.hear(count=4)
    await ruins.absorb()
    with closing(open_writer(ruins.catalog)) as catalog:
        assert Prunings(catalog).ready() == []


async def test_a_restore_that_was_done_has_nothing_to_do(ruins: Ruins) -> None:
    """Typed again, before and after the service has gone on."""
    await ruins.hear(count=3)
    await ruins.absorb()
    await ruins.back_up()
    ruins.lose(ruins.catalog)
    ruins.lose(ruins.inbox("receive"))
    await ruins.bring_back()
    assert (await ruins.bring_back())[1] is None
    await ruins.hear()
    await ruins.absorb()
    steps, again = await ruins.bring_back()
    assert again is None
    assert {fate for found in fates(steps).values() for fate in found} == {KEEP}


async def test_a_backup_of_what_was_restored_is_as_good(ruins: Ruins) -> None:
    """Inboxes that lie beside the others are backed up as well, and keep their names."""
    before = await ruins.hear(count=3)
    await ruins.absorb()
    for _ in range(2):
        await ruins.back_up()
        for path in (ruins.catalog, *(ruins.folder / "inbox").glob("*.db")):
            ruins.lose(path)
        await ruins.bring_back()
        before += await ruins.hear()
        await ruins.absorb()
    assert ruins.known() == set(before)
    assert len([*(ruins.folder / "inbox").glob("*.db")]) == 3


async def test_nothing_is_changed_by_a_backup_that_is_damaged(ruins: Ruins) -> None:
    """Whichever of its objects it is, and in whatever way."""
    await ruins.hear(count=3)
    await ruins.absorb()
    index = await ruins.back_up()
    ruins.spoil(ruins.catalog)
    before = ruins.catalog.read_bytes()
    ruins.lose(ruins.inbox("receive"))
    for file in index.files:
        place = ruins.bucket / file.key
        whole = place.read_bytes()
        for harmed in (whole[:-1], whole[:50] + b"!" + whole[51:], b"", whole + b"more"):
            place.write_bytes(harmed)
            with pytest.raises(BackupError, match="nothing was changed"):
                await ruins.bring_back()
        place.write_bytes(whole)
    assert ruins.catalog.read_bytes() == before
    assert [path.name for path in (ruins.folder / "inbox").glob("*.db")] == []
    assert not (ruins.folder / "restoring").exists()
    assert (await ruins.bring_back())[1] is not None


async def test_a_backup_of_a_newer_holdfast_is_refused(ruins: Ruins) -> None:
    """Its tables may mean what this version does not know."""
    await ruins.hear()
    await ruins.absorb()
    index = await ruins.back_up()
    ruins.lose(ruins.catalog)
    place = ruins.bucket / f"backups/{index.taken_at:%Y%m%dt%H%M%Sz}/index.json"
    told = json.loads(place.read_bytes())
    told["steps"].append("999_from_the_future")
    place.write_text(json.dumps(told))
    with pytest.raises(BackupError, match="newer than this one"):
        await ruins.bring_back()


# Single things that happen, and whole stories that would hardly come together by themselves.
HAPPENINGS = (
    *(
        (step,)
        for step in (
            "hear", "hear at the gateway", "absorb", "back up", "restore", "lose the catalog",
            "lose an inbox", "spoil an inbox", "spoil the catalog", "copy an inbox",
            "put the copy back",
        )
    ),
    ("copy an inbox", "hear", "absorb", "put the copy back", "hear"),
    ("copy an inbox", "hear", "hear", "absorb", "back up", "put the copy back", "hear", "restore"),
    ("hear", "absorb", "back up", "hear", "absorb", "lose an inbox", "restore", "hear"),
    ("hear", "back up", "hear", "absorb", "lose the catalog", "absorb", "restore"),
)  # fmt: skip
STEPS = st.lists(st.sampled_from(HAPPENINGS), min_size=1, max_size=5).map(
    lambda happenings: [step for happening in happenings for step in happening]
)


HARMS: dict[str, Callable[[Ruins], None]] = {
    "lose the catalog": lambda ruins: ruins.lose(ruins.catalog),
    "lose an inbox": lambda ruins: ruins.lose(ruins.inbox("receive")),
    "spoil the catalog": lambda ruins: ruins.spoil(ruins.catalog),
    "spoil an inbox": lambda ruins: ruins.spoil(ruins.inbox("receive")),
    "copy an inbox": lambda ruins: ruins.keep_copy("receive", "copy"),
    "put the copy back": lambda ruins: ruins.put_back("receive", "copy"),
}


@given(steps=STEPS)
@settings(max_examples=EXAMPLES // 4, suppress_health_check=[HealthCheck.too_slow])
async def test_whatever_happens_all_that_is_there_is_absorbed(steps: list[str]) -> None:
    """Any history of losses, copies put back by hand, backups and restores: once it is absorbed,
    the catalog knows every delivery that lies in any inbox, and all that the last backup knew that
    was restored."""
    with tempfile.TemporaryDirectory() as folder:
        ruins = Ruins(folder=Path(folder) / "archive", bucket=Path(folder) / "bucket")
        backed_up: set[str] = set()
        expected: set[str] = set()
        await ruins.hear()
        await ruins.absorb()
        for step in steps:
            if "catalog" in step:
                expected = set()
            if step == "restore" and backed_up:
                await ruins.bring_back()
                expected = backed_up
                assert backed_up <= ruins.known()
            elif step == "back up" and ruins.whole():
                await ruins.back_up()
                backed_up = ruins.known()
            else:
                await _do(ruins, step)
        if ruins.usable():
            await ruins.absorb()
            told = {json.loads(body)["id"] for body in ruins.told()}
            assert told <= ruins.known()
            assert expected <= ruins.known()


async def _do(ruins: Ruins, step: str) -> None:
    role = "gateway" if "gateway" in step else "receive"
    if "hear" in step and ruins.can_hear(role):
        await ruins.hear(role)
    if step == "absorb" and ruins.usable():
        await ruins.absorb()
    if step in HARMS:
        HARMS[step](ruins)


async def test_a_restored_inbox_is_owned_by_the_archive(ruins: Ruins) -> None:
    """Nobody hears into it, and still what was forgotten is taken out of it; one that is broken
    stops nobody."""
    await ruins.hear(count=3)
    await ruins.absorb()
    await ruins.back_up()
    ruins.lose(ruins.catalog)
    ruins.lose(ruins.inbox("receive"))
    await ruins.forget("g1")
    await ruins.bring_back()
    (restored,) = (ruins.folder / "inbox").glob("*.db")
    ruins.spoil_new(ruins.folder / "inbox" / "gateway.20200101t000000z.db")
    table = CatalogTable(url=f"sqlite:///{ruins.catalog}")
    async with owned(table):
        gives_up_at = clock.monotonic() + PATIENCE_SECONDS
        while b'"g1"' in b"".join(ruins.told()):
            assert clock.monotonic() < gives_up_at
            await asyncio.sleep(0.01)
    left = {json.loads(body)["id"] for body in ruins.told()}
    assert left == {"g0", "g2"}
    assert restored.exists()
