"""The demo's renderer: the real one, with a small checkpoint of random weights, made on the spot.

Making it takes what draws, and so is done by another process: this one stays small.
"""

from __future__ import annotations

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

from archiver.errors import HoldfastError
from receiver.roles.supervisor import Supervisor
from receiver.settings import Config

TABLE = """\
[render.checkpoints.demo]
family = "sd15"
path = "{folder}/random-weights"
default = true
tiny = true
steps = 4
"""

DRAWN = """
What was lost has been drawn again. The weights are random here, and so is what they draw: with a
checkpoint of your own in [render.checkpoints] it is the picture."""

NOT_DRAWN = """
What was lost waits for a renderer. To see it drawn, pip install 'holdfast[render]' (some gigabytes
with a GPU's libraries), and run the demo again."""


class NoWeightsError(HoldfastError):
    """The demo's checkpoint could not be made."""


def can_draw() -> bool:
    """Whether the extra `render` is installed, without loading any of it."""
    return all(find_spec(name) is not None for name in ("torch", "diffusers", "transformers"))


async def draw(config: Config, folder: Path, *, logs: TextIO, stop: asyncio.Event) -> None:
    """Draws what is lost until told to stop, once there are weights to draw with."""
    weights = folder / "random-weights"
    if not weights.is_dir():
        made = weights.with_suffix(".new")
        if not await _make(made, logs, stop):
            return
        made.rename(weights)  # what is there is whole
    supervisor = Supervisor(config, ("render",), stderr=logs)
    supervisor.bind()
    await supervisor.run(stop)


async def _make(folder: Path, logs: TextIO, stop: asyncio.Event) -> bool:
    """Whether it was made before the demo was told to stop."""
    maker = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "fallback_renderer.tiny", str(folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=logs,
        stderr=logs,
        start_new_session=True,  # Ctrl-C is for the demo, which ends it
    )
    ended, told = asyncio.create_task(maker.wait()), asyncio.create_task(stop.wait())
    await asyncio.wait({ended, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not ended.done():
        maker.kill()
        await ended
        return False
    if maker.returncode:
        raise NoWeightsError(f"no weights could be made for the demo (see {logs.name})")
    return True
