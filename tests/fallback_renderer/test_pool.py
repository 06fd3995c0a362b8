"""The pool of one child: what harms a child harms one drawing at most, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvloop

from archiver.errors import ConfigError
from fallback_renderer.messages import Drawn, FailureKind
from fallback_renderer.pool import NotDrawnError, Pool, life
from fallback_renderer.settings import Engine, Render
from tests.fallback_renderer.requests import drawn

ENGINE = "tests.fallback_renderer.faulty_engine"

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@asynccontextmanager
async def pooled(**settings: Any) -> AsyncIterator[Pool]:
    """A pool that does not wait between its children, nor for ever for one of them."""
    options = {
        name: settings.pop(name) for name in ("patience_seconds", "sleep") if name in settings
    }
    options = {"patience_seconds": 30.0, "sleep": Naps(), **options}
    pool = Pool(Render(**settings), engine=ENGINE, **options)
    try:
        yield pool
    finally:
        await pool.close()


class Naps:
    """Time that passes at once, but for idle times: those pass when a test says so."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.idle: list[asyncio.Event] = []

    async def __call__(self, seconds: float) -> None:
        if seconds == Render().idle_seconds:
            self.idle.append(asyncio.Event())
            await self.idle[-1].wait()
        else:
            self.asked.append(seconds)


async def draw(pool: Pool, folder: Path, prompt: str = "a cat", **options: Any) -> Drawn:
    """A small picture, of so many steps."""
    request = drawn(
        prompt=prompt,
        provider="doitong",
        seed=options.pop("seed", 7),
        steps=options.pop("steps", 4),
        width=64,
        height=64,
    )
    return await pool.draw(
        request,
        provider="doitong",
        generation_id="7",
        index=0,
        model="flux-pro",
        png=folder / "drawn.png",
        **options,
    )


def pid_of(picture: Drawn) -> int:
    """The process that drew it."""
    return int(picture.device.split()[0])


def children() -> set[int]:
    """The children of this process, also those that are dead and not buried."""
    pids: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended just now
            pids |= set(map(int, (task / "children").read_text().split()))
    return pids


def fds() -> set[str]:
    """What this process has open."""
    return {f"{fd} {fd.readlink()}" for fd in Path("/proc/self/fd").iterdir() if fd.exists()}


async def until(true: Callable[[], bool]) -> None:
    """Until it is so."""
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.01)


async def test_one_child_draws_one_picture_after_another(tmp_path: Path) -> None:
    """Orders that come together wait for each other."""
    async with pooled() as pool:
        ready = await pool.start()
        first, second, third = await asyncio.gather(*(draw(pool, tmp_path) for _ in range(3)))

    assert first.device == second.device == third.device == ready.device
    assert first.seed == 7
    assert (tmp_path / "drawn.png").stat().st_size > 0


async def test_progress_is_heard(tmp_path: Path) -> None:
    """The last step always."""
    heard: list[tuple[int, int]] = []
    async with pooled() as pool:
        await draw(pool, tmp_path, progress=lambda *steps: heard.append(steps))

    assert heard[-1] == (4, 4)


DEADLY = {
    "exit": "the child ended with exit status 3",
    "crash": "the child was ended by SIGSEGV",
    "be killed": "the child was ended by SIGKILL",
    "babble": "the child wrote what is no answer",
}


@pytest.mark.parametrize(("prompt", "reason"), DEADLY.items())
async def test_a_drawing_that_ends_two_children_is_poison(
    tmp_path: Path, prompt: str, reason: str
) -> None:
    """It is told what ended them; the next drawing is drawn as if nothing had been."""
    async with pooled() as pool:
        with pytest.raises(NotDrawnError, match=f"{reason}.*; again: {reason}") as caught:
            await draw(pool, tmp_path, prompt)

        assert caught.value.kind is FailureKind.POISON
        assert (await draw(pool, tmp_path)).seed == 7


@pytest.mark.parametrize("prompt", ["crash", "run out of memory", "fail"])
async def test_what_ends_one_child_is_drawn_by_the_next(tmp_path: Path, prompt: str) -> None:
    """For the child, or the machine, may have been to blame."""
    async with pooled() as pool:
        before = await draw(pool, tmp_path)
        after = await draw(pool, tmp_path, prompt, init_image=tmp_path / "once")

    assert pid_of(after) != pid_of(before)


async def test_two_ends_that_are_not_alike_are_trouble(tmp_path: Path) -> None:
    """They prove nothing against the request, so it may be tried another time."""
    async with pooled() as pool:
        with pytest.raises(NotDrawnError, match=r"SIGSEGV; again: .*KeyError") as caught:
            await draw(pool, tmp_path, "crash, then fail", init_image=tmp_path / "once")

    assert caught.value.kind is FailureKind.TROUBLE


@pytest.mark.parametrize("prompt", ["hang", "seize"])
async def test_a_drawing_that_never_ends_is_poison(tmp_path: Path, prompt: str) -> None:
    """At once, for another try would take as long; its child is killed, whatever it holds."""
    async with pooled(draw_seconds=0.5) as pool:
        await pool.start()
        with pytest.raises(NotDrawnError, match=r"within 0\.5 seconds \(render") as caught:
            await draw(pool, tmp_path, prompt, init_image=tmp_path / "once")

        assert caught.value.kind is FailureKind.POISON
        assert (await draw(pool, tmp_path)).seed == 7


@pytest.mark.parametrize(
    ("prompt", "kind", "reason"),
    [
        ("have no weights", FailureKind.REFUSED, "no weights: fetch them"),
        ("run out of memory", FailureKind.TROUBLE, "CUDA is out of memory"),
        ("fail", FailureKind.REFUSED, "KeyError"),
    ],
)
async def test_a_failure_says_whose_it_is(
    tmp_path: Path, prompt: str, kind: FailureKind, reason: str
) -> None:
    """The engine's own word, and the pool goes on."""
    async with pooled() as pool:
        with pytest.raises(NotDrawnError, match=reason) as caught:
            await draw(pool, tmp_path, prompt)

        assert caught.value.kind is kind
        assert (await draw(pool, tmp_path)).seed == 7


async def test_memory_is_bounded(tmp_path: Path) -> None:
    """What takes more than a child may have is refused it, and is our trouble."""
    async with pooled(child_memory_bytes=1 << 30) as pool:
        with pytest.raises(NotDrawnError, match="MemoryError") as caught:
            await draw(pool, tmp_path, "hoard")

        assert caught.value.kind is FailureKind.TROUBLE
        assert (await draw(pool, tmp_path)).seed == 7


@pytest.mark.parametrize("device", ["cuda:1", "cuda:2"])
async def test_what_the_operator_must_mend_is_no_drawings_fault(
    tmp_path: Path, device: str
) -> None:
    """It is said at the start as with the first picture, and nothing is tried again."""
    naps = Naps()
    async with pooled(engine=Engine(device=device), sleep=naps) as pool:
        with pytest.raises(ConfigError):
            await pool.start()
        with pytest.raises(ConfigError):
            await draw(pool, tmp_path)

    assert naps.asked == []


@pytest.mark.parametrize("device", ["cuda:3", "cuda:4"])
async def test_a_child_that_cannot_start_is_waited_for(tmp_path: Path, device: str) -> None:
    """Longer each time, so that a broken machine is not kept busy by it."""
    naps = Naps()
    async with pooled(engine=Engine(device=device), sleep=naps) as pool:
        for _ in range(4):
            with pytest.raises(NotDrawnError, match="exit status") as caught:
                await draw(pool, tmp_path)
            assert caught.value.kind is FailureKind.TROUBLE

    assert naps.asked == [0.2, 0.4, 0.8]


async def test_a_child_that_is_never_ready_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would keep every drawing waiting."""
    monkeypatch.setattr(life, "START_SECONDS", 0.5)
    async with pooled(engine=Engine(device="cuda:5")) as pool:
        with pytest.raises(NotDrawnError, match=r"not ready within 0\.5 seconds") as caught:
            await draw(pool, tmp_path)

    assert caught.value.kind is FailureKind.TROUBLE


async def test_a_picture_ends_the_waiting(tmp_path: Path) -> None:
    """What draws is not broken, so the next loss counts as the first again."""
    naps = Naps()
    async with pooled(sleep=naps) as pool:
        for number in range(3):
            await draw(pool, tmp_path, "exit", init_image=tmp_path / str(number))

    assert naps.asked == [0.2, 0.2, 0.2]


async def test_an_idle_child_ends(tmp_path: Path) -> None:
    """And gives its memory back; the next drawing has another."""
    naps = Naps()
    async with pooled(sleep=naps) as pool:
        before = await draw(pool, tmp_path)
        await until(lambda: len(naps.idle) == 1)
        naps.idle[0].set()
        await until(lambda: pid_of(before) not in children())
        after = await draw(pool, tmp_path)

    assert pid_of(after) != pid_of(before)


async def test_a_child_that_draws_is_not_idle(tmp_path: Path) -> None:
    """Idle time begins anew with the end of each drawing."""
    naps = Naps()
    async with pooled(sleep=naps) as pool:
        before = await draw(pool, tmp_path)
        await until(lambda: len(naps.idle) == 1)
        naps.idle[0].set()
        await draw(pool, tmp_path)
        after = await draw(pool, tmp_path)

    assert pid_of(after) == pid_of(before)


async def test_a_child_that_dies_while_idle_costs_nothing(tmp_path: Path) -> None:
    """Not even one of the next drawing's tries, nor any waiting."""
    naps = Naps()
    async with pooled(sleep=naps) as pool:
        before = await draw(pool, tmp_path)
        os.kill(pid_of(before), 9)
        await until(lambda: pid_of(before) not in children())
        for _ in range(3):
            await asyncio.sleep(0)  # the loop hears of it
        after = await draw(pool, tmp_path)

    assert pid_of(after) != pid_of(before)
    assert naps.asked == []
    gc.collect()  # what is left of the first would complain


async def canceled(drawing: Awaitable[Drawn], under_way: asyncio.Event, times: int = 1) -> None:
    """Cancels a drawing once it is under way, and waits for its end."""
    task = asyncio.ensure_future(drawing)
    await under_way.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_canceled_drawing_has_stopped(tmp_path: Path) -> None:
    """Long before its last step; the child stays, and draws what comes next."""
    under_way = asyncio.Event()
    heard: list[int] = []

    def progress(step: int, steps: int) -> None:
        under_way.set()
        heard.append(step)

    async with pooled() as pool:
        before = await pool.start()
        await canceled(draw(pool, tmp_path, "slowly", steps=500, progress=progress), under_way)
        after = await draw(pool, tmp_path, seed=8)

    assert (after.device, after.seed) == (before.device, 8)
    assert heard[-1] < 500


@pytest.mark.parametrize(("patience_seconds", "times"), [(0.1, 1), (60.0, 2)])
async def test_a_child_that_does_not_stop_is_killed(
    tmp_path: Path, patience_seconds: float, times: int
) -> None:
    """When patience is at its end, or when it is canceled again."""
    under_way = asyncio.Event()
    mark = tmp_path / "once"
    async with pooled(patience_seconds=patience_seconds) as pool:
        before = await pool.start()
        watching = asyncio.create_task(until(mark.exists))
        watching.add_done_callback(lambda _: under_way.set())
        await canceled(draw(pool, tmp_path, "seize", init_image=mark), under_way, times)
        after = await draw(pool, tmp_path)

    assert after.device != before.device


async def test_a_fault_of_who_listens_cancels_the_drawing(tmp_path: Path) -> None:
    """What `progress` raises reaches who called, and the child is free for the next."""

    def progress(step: int, steps: int) -> None:
        raise LookupError

    async with pooled() as pool:
        before = await pool.start()
        with pytest.raises(LookupError):
            await draw(pool, tmp_path, "slowly", steps=500, progress=progress)
        after = await draw(pool, tmp_path, seed=8)

    assert (after.device, after.seed) == (before.device, 8)


@linux
async def test_canceling_a_start_leaves_nothing(tmp_path: Path) -> None:
    """No child that nobody waits for any more, however far it has come."""
    async with pooled() as pool:
        before = children()
        for turns in range(10):
            task = asyncio.create_task(draw(pool, tmp_path))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

            assert children() == before
        assert (await draw(pool, tmp_path)).seed == 7


async def test_who_waits_for_a_turn_may_leave(tmp_path: Path) -> None:
    """The drawing under way is another's and goes on."""
    under_way = asyncio.Event()
    async with pooled() as pool:
        first = asyncio.create_task(
            draw(pool, tmp_path, "slowly", steps=30, progress=lambda *_: under_way.set())
        )
        await under_way.wait()
        second = asyncio.create_task(draw(pool, tmp_path))
        await asyncio.sleep(0)
        second.cancel()

        assert (await first).seed == 7
        assert second.cancelled()


@linux
async def test_nothing_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No process, dead or alive, no open file, no complaint of the event loop.

    Not even of a child that had others, which hold on to its pipes.
    """
    before = fds(), children()
    with structlog.testing.capture_logs() as logged:
        for prompt in ("a cat", "crash", "babble", "fork and hang"):
            async with pooled(draw_seconds=0.5) as pool:
                with suppress(NotDrawnError):
                    await draw(pool, tmp_path, prompt)
    gc.collect()

    await until(lambda: (fds(), children()) == before)
    assert [record for record in caplog.records if record.name == "asyncio"] == []
    assert "a child did not end in time and is killed" not in {line["event"] for line in logged}


def test_the_other_loop_does_as_well(tmp_path: Path) -> None:
    """Roles run on uvloop, whose processes and pipes are its own."""

    async def live() -> list[FailureKind | int]:
        came_to: list[FailureKind | int] = []
        async with pooled(draw_seconds=2) as pool:
            for prompt in ("a cat", "crash", "hang", "a cat"):
                try:
                    came_to.append((await draw(pool, tmp_path, prompt)).seed)
                except NotDrawnError as error:
                    came_to.append(error.kind)
        return came_to

    assert uvloop.run(live()) == [7, FailureKind.POISON, FailureKind.POISON, 7]


PARENT = """
import asyncio, json, sys
from pathlib import Path
from archiver import log
from fallback_renderer.pool import Pool
from fallback_renderer.settings import Render
from tests.fallback_renderer.requests import drawn

log.configure("render")

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

async def main(prompt, side, times):
    pool = Pool(Render(), engine="tests.fallback_renderer.faulty_engine")
    request = drawn(prompt=prompt, provider="doitong", seed=7, width=side, height=side)
    sizes = []
    for _ in range(times):
        await pool.draw(
            request, provider="doitong", generation_id="7", index=0, model="", png=Path("a.png")
        )
        sizes.append(resident_bytes())
    await pool.close()
    print(json.dumps({"grown": sizes[-1] - sizes[0], "modules": list(sys.modules)}))

asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
"""


def parent(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """A fresh interpreter that has pictures drawn."""
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@linux
def test_the_renderer_stays_small(tmp_path: Path) -> None:
    """It never sees what draws, nor a pixel: pictures of 16 MB pass it by."""
    with parent(tmp_path, "a cat", "2048", "20") as process:
        said, complaints = process.communicate(timeout=120)

    assert process.returncode == 0, complaints.decode()
    told = json.loads(said)
    heavy = {"c2pa", "diffusers", "numpy", "torch", "transformers", "PIL.Image"}
    assert heavy.isdisjoint(told["modules"])
    assert told["grown"] < 1 << 20


@linux
@pytest.mark.parametrize("prompt", ["hang", "seize"])
def test_no_child_outlives_its_parent(tmp_path: Path, prompt: str) -> None:
    """Even if that is killed, and the child holds on to its interpreter."""
    with parent(tmp_path, prompt, "64", "1") as process:
        assert process.stderr is not None
        while b"does not end" not in process.stderr.readline():
            assert process.poll() is None
        process.kill()
        # The child has the same stderr, so its end comes only when both are gone.
        process.communicate(timeout=60)


async def test_loading_has_its_own_time_and_is_no_drawing(tmp_path: Path) -> None:
    """A download that takes long proves nothing against the request that waits for it."""
    async with pooled(load_seconds=0.5, draw_seconds=0.1) as pool:
        await pool.start()
        with pytest.raises(NotDrawnError, match=r"within 0\.5 seconds \(render\.load") as caught:
            await draw(pool, tmp_path, "load for ever")

        assert caught.value.kind is FailureKind.TROUBLE


async def test_what_only_the_operator_can_mend_is_said_so(tmp_path: Path) -> None:
    """As before the first drawing, and the child is at rest: whoever asks again is told again."""
    async with pooled() as pool:
        before = await draw(pool, tmp_path)
        for _ in range(2):
            with pytest.raises(ConfigError, match="it has expired"):
                await draw(pool, tmp_path, "want a certificate")

        assert pid_of(await draw(pool, tmp_path)) == pid_of(before)
