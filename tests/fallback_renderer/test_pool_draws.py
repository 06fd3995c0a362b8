"""The pool with the engine itself, and a small checkpoint."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fallback_renderer.checkpoints import Checkpoints, from_tree
from fallback_renderer.messages import Drawn, FailureKind
from fallback_renderer.pool import NotDrawnError, Pool
from fallback_renderer.request import RenderRequest
from fallback_renderer.settings import Engine, Render
from tests.fallback_renderer.requests import drawn
from tests.fallback_renderer.test_pool import children, linux

pytestmark = linux


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Checkpoints:
    """Two checkpoints, one of which has no weights."""
    folder = tmp_path_factory.mktemp("checkpoints")
    subprocess.run(
        [sys.executable, "-m", "fallback_renderer.tiny", str(folder / "tiny")], check=True
    )
    (folder / "lost").mkdir()
    return from_tree(
        {
            "tiny": {"family": "sd15", "models": ["tiny"], "path": str(folder / "tiny")},
            "lost": {"family": "sd15", "models": ["lost"], "path": str(folder / "lost")},
        }
    )


async def draw(pool: Pool, request: RenderRequest, png: Path, **options: Any) -> Drawn:
    return await pool.draw(
        request, provider="doitong", generation_id="7", index=0, model="tiny", png=png, **options
    )


async def test_a_killed_drawing_is_drawn_again_the_same(tmp_path: Path, table: Checkpoints) -> None:
    """To the byte, in another child."""
    request = drawn(
        table=table, provider="doitong", model="tiny", seed=7, steps=50, width=64, height=64
    )
    before = children()
    killed: list[int] = []

    def kill(_step: int, _steps: int) -> None:
        if not killed:
            (child,) = children() - before
            os.kill(child, 9)
            killed.append(child)

    pool = Pool(Render(engine=Engine(device="cpu", threads=1)))
    first = await draw(pool, request, tmp_path / "first.png", progress=kill)
    second = await draw(pool, request, tmp_path / "second.png")
    await pool.close()

    assert len(killed) == 1
    assert (first.seed, first.width, first.drawn_with) == (7, 64, "tiny")
    assert first.device == second.device == "cpu, 1 thread"
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


async def test_a_child_survives_what_is_not_its_fault(tmp_path: Path, table: Checkpoints) -> None:
    """Lost weights, and a drawing canceled between two of its steps."""
    asked: dict[str, Any] = {"table": table, "provider": "doitong", "width": 64, "height": 64}
    under_way = asyncio.Event()
    pool = Pool(Render(engine=Engine(device="cpu", threads=1)))
    await pool.start()
    before = children()

    with pytest.raises(NotDrawnError) as caught:
        await draw(pool, drawn(model="lost", **asked), tmp_path / "lost.png")
    task = asyncio.create_task(
        draw(
            pool,
            drawn(model="tiny", steps=500, **asked),
            tmp_path / "canceled.png",
            progress=lambda *_: under_way.set(),
        )
    )
    await under_way.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await draw(pool, drawn(model="tiny", steps=2, **asked), tmp_path / "a.png")

    assert caught.value.kind is FailureKind.REFUSED
    assert not (tmp_path / "canceled.png").exists()
    assert children() == before
    await pool.close()
