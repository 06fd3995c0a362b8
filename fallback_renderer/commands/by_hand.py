"""A prompt of one's own, planned, or drawn into a file; the archive knows nothing of it."""

from __future__ import annotations

from pathlib import Path

from archiver.errors import ConfigError
from archiver.models import GenerationParams
from fallback_renderer.asked import Asked
from fallback_renderer.commands.output import Bar, Told, told_plan
from fallback_renderer.drawing import model_name, random_seed
from fallback_renderer.params import plan_render
from fallback_renderer.pool import NotDrawnError, Pool
from fallback_renderer.request import NotRenderable, RenderRequest
from fallback_renderer.settings import Render

PROVIDER = "by hand"
_NAME = "the prompt"


def plan_prompt(render: Render, asked: GenerationParams) -> Told:
    """What would be drawn."""
    return told_plan(_NAME, {}, _plan(render, asked))


async def draw_prompt(render: Render, asked: GenerationParams, out: Path | None, bar: Bar) -> Told:
    """Draws into `out`, or into a file named after the seed."""
    request = _plan(render, asked)
    if isinstance(request, NotRenderable):
        return told_plan(_NAME, {}, request)
    png = (out or Path(f"drawn-{request.seed}.png")).absolute()
    if not png.parent.is_dir():
        raise ConfigError(f"--out {out}: there is no folder {png.parent}")
    bar.begin(png.name)
    pool = Pool(render)
    try:
        drawn = await pool.draw(
            request,
            provider=PROVIDER,
            generation_id="",
            index=0,
            model=model_name(asked, None),
            png=png,
            progress=bar.step,
        )
    except NotDrawnError as error:
        return Told(name=_NAME, names={}, reason=str(error))
    finally:
        await pool.close()
    how = {
        "drawn_with": drawn.drawn_with,
        "seed": drawn.seed,
        "width": drawn.width,
        "height": drawn.height,
        "flagged": drawn.flagged,
        "software": drawn.software,
        "device": drawn.device,
    }
    notes = tuple(map(str, drawn.notes))
    return Told(name=str(out or png.name), names={"file": str(png)}, how=how, notes=notes)


def _plan(render: Render, asked: GenerationParams) -> RenderRequest | NotRenderable:
    by_hand = Asked(provider=PROVIDER, params=asked)
    return plan_render(by_hand, render.table, random_seed=random_seed())
