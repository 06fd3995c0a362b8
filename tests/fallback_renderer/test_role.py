"""A renderer draws what a desk gives it, and tells the desk how that ended, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from archiver.desk import Commission, Verdict
from archiver.errors import (
    BucketError,
    CatalogUnavailableError,
    ConfigError,
    FetchError,
    LeaseLostError,
)
from archiver.lifecycle import settle
from archiver.models import (
    Asset,
    Fault,
    Generation,
    GenerationParams,
    GenerationState,
    Origin,
    Rendering,
    Slot,
)
from fallback_renderer import role
from fallback_renderer.drawing import Ended, Studio
from fallback_renderer.messages import Drawn, FailureKind
from fallback_renderer.notes import ignored
from fallback_renderer.pool import NotDrawnError, Pool
from fallback_renderer.role import Renderer, work_for
from fallback_renderer.settings import Engine, Render
from tests.fallback_renderer.requests import INIT, TABLE

PNG = b"\x89PNG, as good as drawn"
PATIENCE_SECONDS = 30
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
# Nobody has to wait for a heart that beats this fast.
LEASE_SECONDS = 0.03

UNAVAILABLE = CatalogUnavailableError("the disk is full")
OUT = FetchError(Fault.OURS, "the bucket is out")


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk with nothing to do is asked again at once."""
    monkeypatch.setattr(role, "IDLE_SECONDS", 0.0001)


def commission(
    number: int = 1, *, index: int = 0, inputs: Sequence[Asset] = (), **params: Any
) -> Commission:
    """What is claimed for a generation that failed, through nobody's fault."""
    asked = {"task": "text-to-image", "prompt": "a cat", "model": "sd-2.1", "seed": 42}
    given = tuple(
        Slot(index=-1 - place, role="init_image", assets=(asset,))
        for place, asset in enumerate(inputs)
    )
    generation = Generation(
        provider="modelslab",
        id=f"g{number}",
        state=GenerationState.FAILED,
        params=GenerationParams(**{**asked, **params}),
        first_heard_at=NOON,
        slots=(*given, *(Slot(index=it) for it in range(index + 1))),
    )
    return Commission(
        target="all of it",
        job_id=number,
        fence=3,
        lease_seconds=LEASE_SECONDS,
        generation=settle(generation),
        index=index,
    )


def picture() -> Asset:
    """A picture that a request named."""
    assert INIT.blob_key is not None
    return Asset(
        origin=Origin.PROVIDER,
        sha256=b"\xaa" * 32,
        blob_key=INIT.blob_key,
        size_bytes=9,
        media_type="image/png",
        width=8,
        height=8,
        archived_at=NOON,
    )


@dataclass
class ScriptedDesk:
    """A desk that offers what it is given, and remembers what it was told.

    `troubles` are raised, one for each call of the method they are named after.
    """

    offers: list[Commission] = field(default_factory=list)
    troubles: dict[str, list[Exception]] = field(default_factory=dict)
    wanted: bool = True
    claims: list[bool] = field(default_factory=list)
    kept: asyncio.Event = field(default_factory=asyncio.Event)
    ends: list[tuple[int, object, object]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def claim(self, worker: str, *, fresh: bool = False) -> Commission | None:
        self.claims.append(fresh)
        self._maybe_fail("claim")
        return self.offers.pop(0) if self.offers else None

    async def keep(self, commission: Commission) -> bool:
        self.kept.set()
        self._maybe_fail("keep")
        return self.wanted

    async def picture(self, commission: Commission, blob_key: str) -> AsyncIterator[bytes]:
        self._maybe_fail("picture")
        for chunk in (b"of ", blob_key.encode()):
            yield chunk

    async def complete(self, commission: Commission, png: Path, rendering: Rendering) -> None:
        self._maybe_fail("complete")
        self.ends.append((commission.job_id, png.read_bytes(), rendering))
        self._notice()

    async def fail(self, commission: Commission, verdict: Verdict, reason: str) -> None:
        self._maybe_fail("fail")
        self.ends.append((commission.job_id, verdict, reason))
        self._notice()

    def _maybe_fail(self, method: str) -> None:
        self._notice()
        troubles = self.troubles.get(method)
        if troubles:
            raise troubles.pop(0)

    def _notice(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, what: Callable[[], bool]) -> None:
        """Returns once it has come to that."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not what():
                await self.changed.wait()


@dataclass
class ScriptedPool:
    """A pool that draws at once, or fails, or draws until it is canceled."""

    error: Exception | None = None
    endless: bool = False
    orders: list[dict[str, Any]] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    canceled: bool = False

    async def draw(self, request: Any, *, png: Path, progress: Any, **facts: Any) -> Drawn:
        read = {
            name: path.read_bytes() if isinstance(path, Path) else path
            for name, path in facts.items()
        }
        self.orders.append({"seed": request.seed, **read})
        png.write_bytes(PNG)
        self.begun.set()
        if self.error is not None:
            raise self.error
        if self.endless:
            try:
                await asyncio.Event().wait()
            finally:
                self.canceled = True
        return Drawn(
            width=8,
            height=8,
            flagged=True,
            notes=(ignored("upscale", "no"),),
            seed=request.seed,
            drawn_with="weights",
            software="holdfast",
            device="cpu",
            draw_seconds=0.1,
        )


RENDERING = Rendering(
    drawn_with="weights",
    software="holdfast",
    device="cpu",
    seed=42,
    flagged=True,
    notes=("ignored: upscale: no",),
)


@dataclass(frozen=True, kw_only=True)
class Work:
    """A renderer between a desk and a pool."""

    desk: ScriptedDesk
    pool: ScriptedPool
    spool: Path
    renderer: Renderer
    stop: asyncio.Event

    async def attend(self, given: Commission) -> Ended:
        """One commission to its end; nothing is left of its files."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            ended = await self.renderer.attend(given, self.stop)
        assert list(self.spool.iterdir()) == []
        return ended

    async def run_until(self, what: Callable[[], bool]) -> None:
        """The renderer's whole life, to the moment when it has come to that."""
        life = asyncio.create_task(self.renderer.run(self.stop))
        reached = asyncio.create_task(self.desk.until(what))
        await asyncio.wait({life, reached}, return_when=asyncio.FIRST_COMPLETED)
        self.stop.set()
        reached.cancel()
        with suppress(asyncio.CancelledError):
            await reached
        await asyncio.wait_for(life, PATIENCE_SECONDS)
        assert list(self.spool.iterdir()) == []


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Everything at hand, and nothing wrong yet."""
    desk, pool = ScriptedDesk(), ScriptedPool()
    studio = Studio(desk=desk, pool=pool, checkpoints=TABLE)
    renderer = Renderer(studio, name="me", spool=tmp_path)
    return Work(desk=desk, pool=pool, spool=tmp_path, renderer=renderer, stop=asyncio.Event())


async def test_what_is_claimed_is_drawn_and_handed_in(work: Work) -> None:
    """Picture after picture, each with what is to be known of how it was drawn."""
    work.desk.offers += [commission(1), commission(2, index=1)]
    await work.run_until(lambda: len(work.desk.ends) == 2)

    drawn_second = replace(RENDERING, seed=43)
    assert work.desk.ends == [(1, PNG, RENDERING), (2, PNG, drawn_second)]
    facts = {"provider": "modelslab", "model": "sd-2.1", "init_image": None, "mask_image": None}
    assert work.pool.orders == [
        {"seed": 42, "generation_id": "g1", "index": 0, **facts},
        {"seed": 43, "generation_id": "g2", "index": 1, **facts},
    ]


async def test_who_has_just_started_asks_for_what_others_refused(work: Work) -> None:
    """Once, and that is when the desk has heard it."""
    work.desk.troubles["claim"] = [UNAVAILABLE, UNAVAILABLE]
    await work.run_until(lambda: len(work.desk.claims) >= 6)

    assert work.desk.claims[:6] == [True, True, True, False, False, False]


async def test_an_outage_is_said_once_and_waited_out(work: Work) -> None:
    """However long the archive is away, the log has a line for its going and one for its return."""
    work.desk.troubles["claim"] = [UNAVAILABLE] * 5
    work.desk.offers.append(commission())
    with capture_logs() as lines:
        await work.run_until(lambda: bool(work.desk.ends))

    assert [line["event"] for line in lines] == [
        "the archive cannot be reached",
        "the archive is back",
    ]


async def test_its_own_pictures_are_brought_to_the_drawing(work: Work) -> None:
    """As files, for as long as it is drawn."""
    given = commission(task="image-to-image", inputs=[picture()])
    await work.attend(given)

    [order] = work.pool.orders
    assert (order["init_image"], order["mask_image"]) == (f"of {INIT.blob_key}".encode(), None)


REFUSED = {
    "moderated after all": (
        lambda it: replace(it, generation=settle(replace(it.generation, moderated=True))),
        "moderation, never drawn",
    ),
    "canceled": (
        lambda it: replace(it, generation=replace(it.generation, canceled=True)),
        "canceled at the provider",
    ),
    "no checkpoint": (
        lambda it: commission(model="imagen", task="text-to-video"),
        "there is no pipeline here for text-to-video",
    ),
    "no picture": (
        lambda it: commission(task="inpainting"),
        "its init_image is not in the archive",
    ),
}


@pytest.mark.parametrize(("changed", "reason"), REFUSED.values(), ids=REFUSED)
async def test_what_may_not_or_cannot_be_drawn_is_refused(
    work: Work, changed: Callable[[Commission], Commission], reason: str
) -> None:
    """Whatever the desk says: nobody is asked to draw it."""
    ended = await work.attend(changed(commission()))

    assert work.desk.ends == [(1, Verdict.REFUSED, reason)]
    assert (ended.verdict, ended.reason, work.pool.orders) == (Verdict.REFUSED, reason, [])


FAILURES = [
    (NotDrawnError(FailureKind.REFUSED, "no weights"), Verdict.REFUSED, "no weights"),
    (NotDrawnError(FailureKind.POISON, "it kills"), Verdict.DISCARDED, "it kills"),
    (NotDrawnError(FailureKind.TROUBLE, "no memory"), Verdict.RETRY, "no memory"),
    (OSError(28, "No space left on device"), Verdict.RETRY, "[Errno 28] No space left on device"),
    (ZeroDivisionError("one of ours"), Verdict.RETRY, "a fault of holdfast: ZeroDivisionError"),
]


@pytest.mark.parametrize(("error", "verdict", "reason"), FAILURES)
async def test_why_it_was_not_drawn_decides_what_follows(
    work: Work, error: Exception, verdict: Verdict, reason: str
) -> None:
    """The request's fault, its danger, or our trouble; a bug of ours is no fault of the request."""
    work.pool.error = error
    ended = await work.attend(commission())

    assert work.desk.ends == [(1, verdict, reason)]
    assert (ended.verdict, ended.reason) == (verdict, reason)


@pytest.mark.parametrize("trouble", [UNAVAILABLE, BucketError("out")])
async def test_a_picture_that_cannot_be_brought_is_tried_again_later(
    work: Work, trouble: Exception
) -> None:
    """The bucket's trouble is not the request's."""
    work.desk.troubles["picture"] = [trouble]
    await work.attend(commission(task="image-to-image", inputs=[picture()]))

    assert work.desk.ends == [(1, Verdict.RETRY, str(trouble))]


@pytest.mark.parametrize("troubles", [[UNAVAILABLE], [OUT], [BucketError("out")] * 3])
async def test_a_finished_picture_is_held_on_to(work: Work, troubles: list[Exception]) -> None:
    """While bucket or catalog are in trouble it is handed in again, and drawn once."""
    work.desk.troubles["complete"] = troubles
    await work.attend(commission())

    assert work.desk.ends == [(1, PNG, RENDERING)]
    assert len(work.pool.orders) == 1


async def test_a_picture_that_the_desk_finds_damaged_is_drawn_again(work: Work) -> None:
    """It is no use handing the same bytes in again."""
    work.desk.troubles["complete"] = [FetchError(Fault.SHORT, "no whole PNG")]
    ended = await work.attend(commission())

    assert work.desk.ends == [(1, Verdict.RETRY, "no whole PNG")]
    assert (ended.rendering, ended.reason) == (None, "no whole PNG")


@pytest.mark.parametrize("method", ["complete", "fail"])
async def test_who_has_lost_the_lease_says_no_more(work: Work, method: str) -> None:
    """Another has the slot, or nobody wants it: its outcome changes nothing."""
    if method == "fail":
        work.pool.error = NotDrawnError(FailureKind.REFUSED, "no")
    work.desk.troubles[method] = [LeaseLostError("another has it")]
    ended = await work.attend(commission())

    assert work.desk.ends == []
    assert (ended.verdict, ended.reason) == (Verdict.RELEASED, "another has it")


async def test_the_lease_is_kept_while_it_is_drawn(work: Work) -> None:
    """A beat that does not get through is no reason to stop."""
    work.pool.endless = True
    work.desk.troubles["keep"] = [UNAVAILABLE]
    attending = asyncio.create_task(work.attend(commission()))
    for _ in range(3):
        await asyncio.wait_for(work.desk.kept.wait(), PATIENCE_SECONDS)
        work.desk.kept.clear()
    assert not attending.done()
    work.desk.wanted = False
    await attending

    assert work.pool.canceled


LOST = {
    "no longer wanted": ({}, False, "it is no longer wanted"),
    "another's": ({"keep": [LeaseLostError("another has it")]}, True, "another has it"),
}


@pytest.mark.parametrize(("troubles", "wanted", "reason"), LOST.values(), ids=LOST)
async def test_what_is_not_wanted_is_drawn_no_further(
    work: Work, troubles: dict[str, list[Exception]], wanted: bool, reason: str
) -> None:
    """The original has come, say: the drawing is called off and given back."""
    work.pool.endless = True
    work.desk.troubles, work.desk.wanted = troubles, wanted
    await work.attend(commission())

    assert work.pool.canceled
    assert work.desk.ends == [(1, Verdict.RELEASED, reason)]


async def test_who_is_told_to_stop_gives_back_what_is_under_way(work: Work) -> None:
    """Untried, so that whoever comes next can begin with it at once."""
    work.pool.endless = True
    work.desk.offers.append(commission())
    life = asyncio.create_task(work.renderer.run(work.stop))
    await asyncio.wait_for(work.pool.begun.wait(), PATIENCE_SECONDS)
    work.stop.set()
    await asyncio.wait_for(life, PATIENCE_SECONDS)

    assert work.pool.canceled
    assert work.desk.ends == [(1, Verdict.RELEASED, "its renderer was told to stop")]
    assert list(work.spool.iterdir()) == []


async def test_who_is_told_to_stop_waits_for_no_archive(work: Work) -> None:
    """One that is out is told once more, and then the lease may run out by itself."""
    work.desk.troubles["complete"] = [OUT] * 1000
    work.desk.offers.append(commission())
    await work.run_until(lambda: len(work.desk.troubles["complete"]) < 998)

    assert work.desk.ends == [(1, Verdict.RETRY, "the bucket is out")]


MENDING = {
    "the desk turns it away": (None, {"keep": [ConfigError("the token is unknown")]}),
    "nothing can draw": (ConfigError("pip install"), {}),
}


@pytest.mark.parametrize(("error", "troubles"), MENDING.values(), ids=MENDING)
async def test_what_only_the_operator_can_mend_ends_the_renderer(
    work: Work, error: Exception | None, troubles: dict[str, list[Exception]]
) -> None:
    """Trying again would be of no use; what it holds is given back first."""
    work.pool.error, work.pool.endless = error, error is None
    work.desk.troubles = troubles
    work.desk.offers += [commission(1), commission(2)]
    with pytest.raises(ConfigError) as caught:
        await asyncio.wait_for(work.renderer.run(work.stop), PATIENCE_SECONDS)

    assert work.desk.ends == [(1, Verdict.RELEASED, str(caught.value))]
    assert list(work.spool.iterdir()) == []


async def test_told_to_stop_it_waits_for_no_child(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose libraries take for ever to load is ended, and nothing has been claimed for it."""
    squares = "tests.fallback_renderer.faulty_engine"
    monkeypatch.setattr(role, "Pool", partial(Pool, engine=squares))
    others = _children()
    never_ready = Render(engine=Engine(device="cuda:5"))
    working = asyncio.create_task(
        work_for(work.desk, never_ready, spool=work.spool, stop=work.stop)
    )
    while _children() == others:
        await asyncio.sleep(0.01)
    work.stop.set()
    await asyncio.wait_for(working, PATIENCE_SECONDS)

    assert _children() == others
    assert work.desk.claims == []


def _children() -> set[str]:
    files = Path("/proc/self/task").glob("*/children")
    return {pid for file in files for pid in file.read_text().split()}
