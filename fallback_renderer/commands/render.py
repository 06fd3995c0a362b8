"""`holdfast render`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from archiver.models import GenerationParams
from fallback_renderer.commands import ConfigFile, configuration
from fallback_renderer.commands.by_hand import draw_prompt, plan_prompt
from fallback_renderer.commands.lost import draw_lost, plan_lost
from fallback_renderer.commands.output import Bar, say
from fallback_renderer.settings import from_settings, require_weights


@click.command(
    epilog="\b\nExample: holdfast render --plan doitong/1f2e3d…\n"
    "Exit codes: 0 all is drawn (with --plan: can be), 1 something is not; why is said."
)
@click.argument("target", required=False)
@click.option("--plan", is_flag=True, help="Only say what would be drawn, and how.")
@click.option("--prompt", help="Draw this instead, into a file and not into the archive.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="That file.")
@click.option("--model", help="As a provider calls it.  [default: the default checkpoint]")
@click.option("--negative-prompt", metavar="TEXT")
@click.option("--width", type=click.IntRange(min=1), metavar="PIXELS")
@click.option("--height", type=click.IntRange(min=1), metavar="PIXELS")
@click.option("--steps", type=click.IntRange(min=1), metavar="COUNT")
@click.option("--seed", type=click.IntRange(0, (1 << 64) - 1), metavar="NUMBER")
@click.option("--guidance-scale", type=float, metavar="NUMBER")
@click.option("--scheduler", metavar="NAME", help="As a provider calls it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def command(
    file: ConfigFile,
    /,
    target: str | None,
    plan: bool,
    prompt: str | None,
    out: Path | None,
    as_json: bool,
    **params: Any,
) -> None:
    """Draw again what TARGET has lost: PROVIDER/GENERATION-ID, or the archive number of one slot.

    Here and now, with or without a service beside it, and also what renderers have refused or
    given up; but never what moderation has stopped.
    """
    if (target is None) == (prompt is None):
        raise click.UsageError("say what to draw: either a TARGET of the archive, or a --prompt")
    if target is not None and any(value is not None for value in (out, *params.values())):
        raise click.UsageError(
            "a TARGET is drawn as its own request says, into the archive: leave the other options, "
            "which go with --prompt"
        )
    config = configuration(file)
    render = from_settings(config.render)
    if not plan:
        require_weights(render)
    asked = GenerationParams(task="text-to-image", prompt=prompt, **params)
    with Bar() as bar:
        if target is None and plan:
            told = [plan_prompt(render, asked)]
        elif target is None:
            told = [asyncio.run(draw_prompt(render, asked, out, bar))]
        elif plan:
            told = plan_lost(config, render, target)
        else:
            told = asyncio.run(draw_lost(config, render, target, bar))
    say(told, as_json=as_json)
    raise SystemExit(1 if any(it.reason is not None for it in told) else 0)
