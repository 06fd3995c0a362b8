"""What every Desk promises, whether it stands beside the archive or is reached over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from archiver import lifecycle
from archiver.blobs import BlobStore
from archiver.blobs.folder import FolderBlobs
from archiver.body import Budget
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.leases import MAX_CRASHES
from archiver.catalog.renders import RENDERER
from archiver.catalog.schema import migrate
from archiver.desk import Commission, Desk, Verdict
from archiver.desk.catalog import CatalogDesk
from archiver.errors import FetchError, LeaseLostError, NotOfferedError
from archiver.ledger import keep
from archiver.merging import merge
from archiver.models import (
    Asset,
    DeliveryRef,
    Failure,
    FailureClass,
    Fault,
    Generation,
    GenerationParams,
    GenerationState,
    InputObservation,
    Observation,
    Origin,
    Rendering,
    Slot,
    SlotObservation,
)
from archiver.store import Store
from archiver.work import JobKind
from tests.clocks import FrozenClock

MIB = 1 << 20
LINK = "https://cdn.doitong.com/out/a.jpg?Expires=4102444800&Signature=hush"
BROKEN = Failure(failure_class=FailureClass.RENDERABLE, code="500", message="broken")
MODERATED = Failure(failure_class=FailureClass.POLICY, message="not this fox")
DRAWN = Rendering(
    drawn_with="stable-diffusion-v1-5/stable-diffusion-v1-5@451f4fe",
    software="holdfast 0.1.0, diffusers 0.42.1",
    device="cpu, 2 threads",
    seed=(1 << 64) - 1,
    notes=("ignored: upscale: nothing here knows of it", "中"),
)


def png(shade: int = 0) -> bytes:
    """A picture; each shade is another."""
    file = BytesIO()
    Image.new("L", (8, 6), shade).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True, kw_only=True)
class House:
    """An archive, and the desk under test in front of it; time stands still until it is told."""

    desk: Desk
    archive: CatalogDesk
    catalog: Catalog
    reader: CatalogReader
    blobs: BlobStore
    clock: FrozenClock
    folder: Path

    async def hear(self, generation_id: str = "fox", **said: Any) -> Generation:
        """One thing more is heard of a generation."""
        observation = Observation(provider="doitong", generation_id=generation_id, **said)

        def absorb(tables: Tables) -> Generation:
            before = tables.generations.load("doitong", generation_id)
            after = merge(
                before,
                observation,
                heard_in=DeliveryRef(inbox="an inbox", position=1),
                received_at=self.clock(),
                link_lifetime=timedelta(hours=24),
            )
            return keep(tables, before, after, now=self.clock())

        return await self.catalog.write(absorb)

    async def lose(self, generation_id: str = "fox", prompt: str = "a fox", **said: Any) -> int:
        """The provider fails a generation; the archive number of its first picture."""
        told = {"state": GenerationState.FAILED, "failure": BROKEN, **said}
        params = told.pop("params", GenerationParams(prompt=prompt, seed=7))
        generation = await self.hear(generation_id, params=params, **told)
        return _number(generation.slots[-1])

    async def store(
        self, generation_id: str, index: int, body: bytes, origin: Origin = Origin.PROVIDER
    ) -> Asset:
        """Brings a picture into the bucket and its slot, as other rooms do."""

        async def chunks() -> AsyncIterator[bytes]:
            yield body

        asset = await self.archive.store.take_in(
            chunks(), len(body), origin=origin, provenance={}, now=self.clock
        )

        def settle(tables: Tables) -> None:
            before = tables.generations.load("doitong", generation_id)
            assert before is not None
            keep(tables, before, lifecycle.archive(before, index, asset), now=self.clock())

        await self.catalog.write(settle)
        return asset

    async def slot(self, number: int) -> Slot:
        """A slot as it stands."""

        def find(tables: Tables) -> Slot:
            generation = tables.generations.load_slot(number)
            assert generation is not None
            return next(slot for slot in generation.slots if slot.number == number)

        return await self.reader.read(find)

    async def stands(self, number: int) -> str:
        """Its state and the reason."""
        slot = await self.slot(number)
        return f"{slot.state}: {slot.reason}"

    async def job(self, number: int) -> tuple[str, int]:
        """The state of the slot's render job, and its attempts."""
        row = await self.reader.read(lambda tables: tables.jobs.of(JobKind.RENDER, number))
        assert row is not None
        return row.state.value, row.attempts

    async def claim(self, worker: str = "one", **how: Any) -> Commission:
        """A claim that finds something."""
        commission = await self.desk.claim(worker, **how)
        assert commission is not None
        return commission

    async def complete(
        self, commission: Commission, body: bytes | None = None, drawn: Rendering = DRAWN
    ) -> None:
        """Brings a picture that was drawn."""
        path = self.folder / "drawn.png"
        path.write_bytes(png() if body is None else body)
        await self.desk.complete(commission, path, drawn)

    async def pass_lease(self, commission: Commission) -> None:
        """So much time that the lease has run out."""
        self.clock.advance(seconds=commission.lease_seconds + 1)


@asynccontextmanager
async def open_house(folder: Path, blobs: BlobStore | None = None) -> AsyncIterator[House]:
    """An empty archive in `folder` with its own desk; give another bucket if it matters."""
    path, clock = folder / "catalog.db", FrozenClock()
    migrate(path)
    catalog, reader = Catalog(path), CatalogReader(path)
    await catalog.start()
    bucket = blobs or FolderBlobs(folder / "bucket")
    desk = CatalogDesk(
        catalog=catalog,
        reader=reader,
        store=Store(bucket, Budget(MIB), folder / "spool"),
        now=clock,
        random=lambda: 0.5,
    )
    try:
        yield House(
            desk=desk,
            archive=desk,
            catalog=catalog,
            reader=reader,
            blobs=bucket,
            clock=clock,
            folder=folder,
        )
    finally:
        await catalog.close()
        reader.close()


def _number(slot: Slot) -> int:
    assert slot.number is not None
    return slot.number


class DeskContract:
    """Subclass it with a fixture `house`, whose `desk` is the one under test.

    `told_instead`: what it says in place of a reason that is not its caller's to read.
    """

    told_instead = ""

    # Claiming -----------------------------------------------------------------------------------

    async def test_where_nothing_is_lost_nothing_waits(self, house: House) -> None:
        """What the provider may still deliver is nobody's to draw."""
        await house.hear(
            state=GenerationState.RUNNING, params=GenerationParams(prompt="a fox", samples=2)
        )
        assert await house.desk.claim("one") is None
        assert await house.desk.claim("one", fresh=True) is None

    async def test_a_commission_says_all_that_drawing_takes(self, house: House) -> None:
        """The request and which picture of it; neither whose it is nor where links lead."""
        params = GenerationParams(prompt="ein Fuchs im Schnee ❄", seed=(1 << 64) - 1, samples=2)
        slots = (SlotObservation(index=0, url=LINK), SlotObservation(index=1, failure=BROKEN))
        number = await house.lose(
            state=GenerationState.PARTIAL, params=params, slots=slots, account="7f", failure=None
        )
        commission = await house.claim()
        told = commission.generation
        assert (told.provider, told.id, told.params) == ("doitong", "fox", params)
        assert (commission.index, commission.slot.number) == (1, number)
        assert commission.lease_seconds > 0
        assert told.first_heard_at == house.clock()
        [link] = told.slots[0].links
        assert (told.account, link.location, link.host) == (None, "", "")

    async def test_of_two_that_claim_at_once_one_has_it(self, house: House) -> None:
        """A slot is drawn by one."""
        await house.lose()
        claims = await asyncio.gather(*(house.desk.claim(f"worker {n}") for n in range(4)))
        assert len([claim for claim in claims if claim is not None]) == 1

    async def test_what_was_lost_first_is_drawn_first(self, house: House) -> None:
        """Each slot once, in the order in which they were lost."""
        numbers = [await house.lose(name) for name in ("one", "two", "three")]
        drawn = [(await house.claim()).slot.number for _ in numbers]
        assert drawn == numbers
        assert await house.desk.claim("one") is None

    async def test_who_claims_or_keeps_was_seen(self, house: House) -> None:
        """Whether a renderer lives at all is known, also while there is nothing to draw."""

        async def seen_at() -> object:
            return await house.reader.read(lambda tables: tables.deliveries.last_beat_at(RENDERER))

        assert await seen_at() is None
        await house.desk.claim("one")
        assert await seen_at() == house.clock()
        await house.lose()
        commission = await house.claim()
        house.clock.advance(seconds=20)
        await house.desk.keep(commission)
        assert await seen_at() == house.clock()

    # Completing ---------------------------------------------------------------------------------

    async def test_a_picture_becomes_the_slots(self, house: House) -> None:
        """Bytes, how they were drawn, where they come from; and the manifest is wanted."""
        number = await house.lose()
        await house.complete(await house.claim(), png(9))
        slot = await house.slot(number)
        [asset] = slot.assets
        assert await house.stands(number) == "rendered: drawn by the fallback renderer"
        assert (asset.origin, asset.rendering) == (Origin.FALLBACK, DRAWN)
        assert (asset.media_type, asset.width, asset.height) == ("image/png", 8, 6)
        async with house.blobs.read(asset.blob_key) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == png(9)
        head = await house.blobs.head(asset.blob_key)
        assert head is not None
        assert head.media_type == "image/png"
        assert head.metadata == {
            "provider": "doitong",
            "generation": "fox",
            "slot": "0",
            "origin": "fallback",
        }
        assert (await house.job(number))[0] == "completed"
        assert await house.desk.claim("one", fresh=True) is None

    async def test_what_the_safety_checker_flagged_is_held(self, house: House) -> None:
        """It is kept, and never called rendered, nor drawn again."""
        number = await house.lose()
        flagged = Rendering(drawn_with="x", software="y", device="z", seed=1, flagged=True)
        await house.complete(await house.claim(), drawn=flagged)
        assert await house.stands(number) == "held: flagged by the safety checker"
        assert [asset.rendering for asset in (await house.slot(number)).assets] == [flagged]
        assert await house.desk.claim("one", fresh=True) is None

    async def test_a_picture_that_is_gone_is_drawn_again(self, house: House) -> None:
        """Whoever emptied the folder, the renderer is told and may go on."""
        number = await house.lose()
        commission = await house.claim()
        with pytest.raises(FetchError, match="the drawn picture is gone"):
            await house.desk.complete(commission, house.folder / "gone.png", DRAWN)
        await house.desk.fail(commission, Verdict.RETRY, "it is gone")
        assert await house.job(number) == ("scheduled", 1)

    async def test_completing_twice_is_completing_once(self, house: House) -> None:
        """Whoever lost the answer asks again, and nothing changes."""
        number = await house.lose()
        commission = await house.claim()
        await house.complete(commission)
        before = await house.slot(number)
        house.clock.advance(seconds=1)
        await house.complete(commission)
        assert await house.slot(number) == before

    @pytest.mark.parametrize("body", [b"", b"GIF89a", png()[:-5], png()[:-20] + b"x" * 20])
    async def test_what_is_no_whole_png_is_refused(self, house: House, body: bytes) -> None:
        """It is nobody's picture; the lease is still held, and what follows is the renderer's."""
        number = await house.lose()
        commission = await house.claim()
        with pytest.raises(FetchError) as refused:
            await house.complete(commission, body)
        assert refused.value.fault is not Fault.OURS
        assert (await house.slot(number)).assets == ()
        assert await house.desk.keep(commission)

    async def test_a_picture_of_another_kind_is_refused(self, house: House) -> None:
        """Only PNG can be stamped with where it comes from as we do it."""
        number = await house.lose()
        file = BytesIO()
        Image.new("L", (8, 6)).save(file, "JPEG")
        with pytest.raises(FetchError):
            await house.complete(await house.claim(), file.getvalue())
        assert (await house.slot(number)).assets == ()

    async def test_a_picture_that_is_there_already_is_the_slots_too(self, house: House) -> None:
        """The same request drawn twice gives the same bytes, which lie in the bucket once."""
        numbers = [await house.lose(name) for name in ("one", "two")]
        for _ in numbers:
            await house.complete(await house.claim())
        first, second = [(await house.slot(number)).assets[0].blob_key for number in numbers]
        assert first == second

    # Leases -------------------------------------------------------------------------------------

    async def test_a_kept_lease_stays(self, house: House) -> None:
        """However long a drawing takes, while its renderer says so."""
        await house.lose()
        commission = await house.claim()
        for _ in range(4):
            house.clock.advance(seconds=commission.lease_seconds - 1)
            assert await house.desk.keep(commission)
            assert await house.desk.claim("two") is None
        await house.complete(commission)

    async def test_a_renderer_that_fell_silent_is_replaced(self, house: House) -> None:
        """Its lease runs out, another draws, and the first can no longer change anything."""
        number = await house.lose()
        stale = await house.claim()
        await house.pass_lease(stale)
        fresh = await house.claim("two")
        assert (fresh.job_id, fresh.fence > stale.fence) == (stale.job_id, True)
        with pytest.raises(LeaseLostError):
            await house.desk.keep(stale)
        with pytest.raises(LeaseLostError):
            await house.complete(stale)
        for verdict in Verdict:
            with pytest.raises(LeaseLostError):
                await house.desk.fail(stale, verdict, "too late")
        assert (await house.slot(number)).assets == ()
        await house.complete(fresh, png(1))
        assert await house.job(number) == ("completed", 2)

    async def test_a_lease_that_nobody_else_has_is_lost_all_the_same(self, house: House) -> None:
        """Once it was seen to have run out, it is anybody's again."""
        number, other = await house.lose("one"), await house.lose("two")
        stale = await house.claim(number=number)
        await house.pass_lease(stale)
        await house.claim("two", number=other)
        with pytest.raises(LeaseLostError):
            await house.desk.keep(stale)
        with pytest.raises(LeaseLostError):
            await house.complete(stale)
        assert await house.job(number) == ("available", 1)

    async def test_what_kills_its_renderers_is_held(self, house: House) -> None:
        """Not even one that has just started is given it; by hand it may be tried."""
        number = await house.lose()
        for _ in range(MAX_CRASHES):
            while (commission := await house.desk.claim("one")) is None:
                house.clock.advance(minutes=1)  # who has died of it often lets it rest
            await house.pass_lease(commission)
        assert await house.desk.claim("one", fresh=True) is None
        assert await house.job(number) == ("held", MAX_CRASHES)
        assert (await house.claim(number=number)).slot.number == number

    # No longer wanted ---------------------------------------------------------------------------

    async def test_an_original_that_arrives_ends_the_drawing(self, house: House) -> None:
        """The renderer is told, and what it brings all the same is not taken."""
        number = await house.lose()
        commission = await house.claim()
        await house.hear(
            state=GenerationState.SUCCEEDED, slots=(SlotObservation(index=0, url=LINK),)
        )
        assert not await house.desk.keep(commission)
        with pytest.raises(LeaseLostError):
            await house.complete(commission)
        assert (await house.slot(number)).state == "linked"
        assert await house.desk.claim("one", fresh=True) is None

    async def test_an_original_leads_over_what_was_drawn(self, house: House) -> None:
        """Both stay."""
        number = await house.lose()
        await house.complete(await house.claim())
        original = await house.store("fox", 0, png(5))
        slot = await house.slot(number)
        assert (slot.state, slot.leading_asset) == ("archived", original)
        assert {asset.origin for asset in slot.assets} == {Origin.PROVIDER, Origin.FALLBACK}

    async def test_moderation_ends_the_drawing(self, house: House) -> None:
        """Policy wins over whatever is under way: nothing drawn becomes anybody's."""
        number = await house.lose()
        commission = await house.claim()
        await house.hear(state=GenerationState.FAILED, failure=MODERATED)
        assert not await house.desk.keep(commission)
        with pytest.raises(LeaseLostError):
            await house.complete(commission)
        assert (await house.slot(number)).assets == ()
        assert await house.stands(number) == "held: moderation, never drawn: not this fox"
        assert await house.desk.claim("one", fresh=True) is None

    # Not drawn ----------------------------------------------------------------------------------

    async def test_a_refusal_holds_until_a_renderer_starts(self, house: House) -> None:
        """It is said why, nobody is asked in vain again, and the next start is another chance."""
        number = await house.lose()
        await house.desk.fail(await house.claim(), Verdict.REFUSED, "no checkpoint draws it")
        assert await house.stands(number) == "held: not drawn: no checkpoint draws it"
        assert await house.desk.claim("one") is None
        await house.hear(state=GenerationState.FAILED, failure=BROKEN)  # a redelivery
        assert await house.desk.claim("one") is None
        again = await house.claim("two", fresh=True)
        assert again.slot.number == number
        await house.desk.fail(again, Verdict.REFUSED, "no checkpoint draws it")
        assert await house.desk.claim("one") is None

    async def test_a_refusal_ends_when_more_is_known(self, house: House) -> None:
        """Another request is another drawing, and it is offered by itself."""
        number = await house.lose()
        await house.desk.fail(await house.claim(), Verdict.REFUSED, "no checkpoint draws it")
        await house.hear(
            state=GenerationState.FAILED, params=GenerationParams(model="stable-diffusion")
        )
        assert await house.stands(number) == "held: no renderer: broken"
        assert (await house.claim()).generation.params.model == "stable-diffusion"

    async def test_what_is_learnt_meanwhile_is_not_refused_with_the_rest(
        self, house: House
    ) -> None:
        """A refusal is of what the renderer was given."""
        await house.lose()
        commission = await house.claim()
        await house.hear(state=GenerationState.FAILED, params=GenerationParams(model="flux"))
        await house.desk.fail(commission, Verdict.REFUSED, "no model is known")
        assert (await house.claim()).generation.params.model == "flux"

    async def test_what_was_given_up_is_final(self, house: House) -> None:
        """No renderer tries it by itself, not even one that has just started."""
        number = await house.lose()
        await house.desk.fail(await house.claim(), Verdict.DISCARDED, "it killed its child twice")
        assert await house.stands(number) == "held: not drawn: it killed its child twice"
        assert (await house.job(number))[0] == "discarded"
        assert await house.desk.claim("one", fresh=True) is None

    async def test_final_stays_final_after_a_death_by_hand(self, house: House) -> None:
        """What was tried by hand, and killed its renderer, is offered to no other."""
        number = await house.lose()
        await house.desk.fail(await house.claim(), Verdict.DISCARDED, "it killed its child twice")
        await house.pass_lease(await house.claim(number=number))
        assert await house.desk.claim("two", fresh=True) is None
        assert (await house.job(number))[0] == "discarded"

    async def test_a_trouble_of_ours_is_tried_again(self, house: House) -> None:
        """After a wait that grows, and the slot says nothing of it."""
        number = await house.lose()
        await house.desk.fail(await house.claim(), Verdict.RETRY, "the disk is full")
        assert await house.stands(number) == "held: no renderer: broken"
        assert await house.desk.claim("one") is None
        house.clock.advance(seconds=60)
        assert (await house.claim()).slot.number == number
        assert await house.job(number) == ("running", 2)

    async def test_what_is_given_back_was_never_tried(self, house: House) -> None:
        """Another has it at once, its attempt uncounted."""
        number = await house.lose()
        await house.desk.fail(await house.claim(), Verdict.RELEASED, "told to stop")
        assert (await house.claim("two")).slot.number == number
        assert await house.job(number) == ("running", 1)

    async def test_a_reason_gives_nothing_away(self, house: House) -> None:
        """It stands where anybody may read it, so it is short, one line, and holds no URL's key."""
        number = await house.lose()
        reason = "see\nhttps://b.example/a?X-Amz-Signature=hush " + "x" * 5000
        await house.desk.fail(await house.claim(), Verdict.REFUSED, reason)
        stands = await house.stands(number)
        assert stands.startswith("held: not drawn: see https://b.example/a?… xxx")
        assert (len(stands) < 600, "hush" in stands) == (True, False)

    # By hand ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("verdict", [Verdict.REFUSED, Verdict.DISCARDED, Verdict.RETRY])
    async def test_by_hand_a_slot_may_be_tried_whatever_was_said(
        self, house: House, verdict: Verdict
    ) -> None:
        """Also before others that wait, and it is drawn like any."""
        number = await house.lose("one")
        await house.desk.fail(await house.claim(), verdict, "not now")
        await house.lose("two")
        commission = await house.claim(number=number)
        await house.complete(commission)
        assert await house.stands(number) == "rendered: drawn by the fallback renderer"

    async def test_by_hand_it_is_said_why_not(self, house: House) -> None:
        """Each with the words that its slot says; and nothing is changed by asking."""
        running = await house.lose("running")
        await house.claim("the other")
        drawn = await house.lose("drawn")
        await house.complete(await house.claim())
        archived = await house.lose("archived")
        await house.store("archived", 0, png(5))
        canceled = await house.lose("canceled", state=GenerationState.CANCELED, failure=None)
        for number, words in {
            running: "is being drawn already, by the other",
            drawn: "rendered: drawn by the fallback renderer",
            archived: "archived: the provider's picture is in the bucket",
            canceled: "canceled at the provider",
            await house.lose("moderated", failure=MODERATED): "moderation, never drawn: not this",
            await house.lose("waiting", state=GenerationState.RUNNING, failure=None): "waiting for",
            await house.lose("no prompt", prompt=" "): "no prompt is known to draw it from",
            999: "no slot has the archive number 999",
        }.items():
            with pytest.raises(NotOfferedError, match=self.told_instead or words):
                await house.desk.claim("one", number=number)
        assert await house.desk.claim("one") is None

    # The request's own pictures -----------------------------------------------------------------

    async def test_the_requests_own_pictures_are_given(self, house: House) -> None:
        """Those of this generation, and nothing else that lies in the bucket."""
        named = (InputObservation(role="init_image", url=LINK),)
        await house.lose(inputs=named)
        commission = await house.claim()
        [slot] = [slot for slot in commission.generation.slots if slot.role]
        await house.desk.fail(commission, Verdict.REFUSED, "its init_image is not in the archive")
        own = await house.store("fox", slot.index, png(7))
        await house.lose("other")
        other = await house.store("other", 0, png(8))
        commission = await house.claim()  # for the picture is there now
        chunks = house.desk.picture(commission, own.blob_key)
        assert b"".join([chunk async for chunk in chunks]) == png(7)
        for key in (other.blob_key, "../catalog.db", "blobs/sha256/00/00.png"):
            with pytest.raises(NotOfferedError):
                _ = [chunk async for chunk in house.desk.picture(commission, key)]
        await house.pass_lease(commission)
        await house.claim("two")
        with pytest.raises(LeaseLostError):
            _ = [chunk async for chunk in house.desk.picture(commission, own.blob_key)]
