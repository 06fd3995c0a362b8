"""What the process between the renderer and its engine costs, and what it is worth.

    python -m benchmarks.render_hop [--rounds 5] [--orders 200]

`hop`: an order to an engine that draws nothing, from the call to the picture in its file. `cancel`:
how many steps are begun after a drawing is canceled. `crash`: from the kill of a child that was to
draw until another has drawn it, with the engine itself and a small checkpoint. `parent`: what the
renderer's own memory grew by, over all these pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from PIL import Image

from archiver import log
from archiver.errors import HoldfastError
from archiver.models import GenerationParams
from benchmarks.harness import median, print_table, python
from fallback_renderer.asked import Asked
from fallback_renderer.checkpoints import from_tree
from fallback_renderer.messages import Drawn
from fallback_renderer.notes import Note
from fallback_renderer.params import plan_render
from fallback_renderer.pool import ENGINE, Pool
from fallback_renderer.request import RenderRequest
from fallback_renderer.settings import Engine as Settings
from fallback_renderer.settings import Render

SIDE = 64
STEP_SECONDS = 0.02
STEPS = 500


class OutOfMemoryError(HoldfastError):
    """Never raised; an engine has one."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """As the real engine's."""

    png: bytes
    width: int = SIDE
    height: int = SIDE
    flagged: bool = False
    notes: tuple[Note, ...] = ()


class Engine:
    """Draws nothing, or takes its time over each step and writes down when it began it."""

    device = software = "none"

    def __init__(self, settings: Settings) -> None:
        file = io.BytesIO()
        Image.new("RGB", (SIDE, SIDE)).save(file, "PNG")
        self._png = file.getvalue()

    def draw(
        self,
        request: RenderRequest,
        *,
        init_image: Path | None,
        mask_image: Path | None,
        step: Callable[[int, int], None],
    ) -> Picture:
        """Where there is an `init_image`, the file for the times of its steps."""
        if init_image is not None:
            begun_at = []
            try:
                for done in range(STEPS):
                    begun_at.append(time.monotonic())
                    time.sleep(STEP_SECONDS)
                    step(done + 1, STEPS)
            finally:
                init_image.write_text(json.dumps(begun_at))
        return Picture(png=self._png)


class Bench:
    """A pool in a folder, and the request that it is given."""

    def __init__(self, folder: Path, engine: str, *, steps: int = 1) -> None:
        self.pool = Pool(Render(engine=Settings(device="cpu", threads=1)), engine=engine)
        self._folder = folder
        table = {"tiny": {"family": "sd15", "default": True, "path": str(folder / "tiny")}}
        params = GenerationParams(
            task="text-to-image", prompt="a cat", width=SIDE, height=SIDE, steps=steps, seed=1
        )
        asked = Asked(provider="doitong", params=params)
        request = plan_render(asked, from_tree(table), random_seed=1)
        assert isinstance(request, RenderRequest)
        self._request = request

    async def draw(self, **options: Any) -> Drawn:
        """One picture of the small checkpoint."""
        return await self.pool.draw(
            self._request,
            provider="doitong",
            generation_id="7",
            index=0,
            model="tiny",
            png=self._folder / "drawn.png",
            **options,
        )


async def hops(folder: Path, orders: int) -> list[float]:
    """Seconds of each order."""
    bench = Bench(folder, "benchmarks.render_hop")
    await bench.draw()
    seconds = []
    for _ in range(orders):
        begun_at = time.perf_counter()
        await bench.draw()
        seconds.append(time.perf_counter() - begun_at)
    await bench.pool.close()
    return seconds


async def steps_after_cancel(folder: Path) -> int:
    """How many steps were begun after a drawing was canceled."""
    bench = Bench(folder, "benchmarks.render_hop")
    times, under_way = folder / "times.json", asyncio.Event()
    drawing = asyncio.create_task(bench.draw(init_image=times, progress=lambda *_: under_way.set()))
    await under_way.wait()
    canceled_at = time.monotonic()
    drawing.cancel()
    await asyncio.wait([drawing])
    await bench.pool.close()
    return sum(begun_at > canceled_at for begun_at in json.loads(times.read_text()))


async def crash(folder: Path) -> float:
    """Seconds from the end of a child that was to draw until another has drawn it."""
    bench = Bench(folder, ENGINE, steps=4)
    await bench.draw()
    (child,) = _children()
    drawing = asyncio.create_task(bench.draw())
    await asyncio.sleep(0)  # it is ordered
    killed_at = time.perf_counter()
    os.kill(child, signal.SIGKILL)
    await drawing
    seconds = time.perf_counter() - killed_at
    await bench.pool.close()
    return seconds


async def rounds(folder: Path, count: int, orders: int) -> dict[str, list[float]]:
    """Everything measured, so many times."""
    found: dict[str, list[float]] = {"hop": [], "cancel": [], "crash": []}
    await hops(folder, 10)
    before_bytes = _resident_bytes()
    for _ in range(count):
        found["hop"] += [1000 * seconds for seconds in await hops(folder, orders)]
        found["cancel"].append(await steps_after_cancel(folder))
        found["crash"].append(await crash(folder))
    found["parent"] = [(_resident_bytes() - before_bytes) / 1e6]
    return found


def _children() -> list[int]:
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--orders", type=int, default=200)
    given = parser.parse_args()
    log.configure("bench", file=io.StringIO())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build = [python(), "-m", "fallback_renderer.tiny", str(folder / "tiny")]
        subprocess.run(build, check=True)
        found = uvloop.run(rounds(folder, given.rounds, given.orders))
    units = {"hop": "ms", "cancel": "steps", "crash": "s", "parent": "MB more"}
    rows = [
        (name, f"{median(values):.2f} {units[name]}", f"{min(values):.2f}–{max(values):.2f}")
        for name, values in found.items()
    ]
    print_table(f"render hop, {given.rounds} rounds", ("what", "median", "min–max"), rows)


if __name__ == "__main__":
    main()
