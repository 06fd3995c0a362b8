"""What the engine adds to a picture, beside diffusers' own pipeline called as anybody would.

    python -m benchmarks.render [--rounds 9] [--checkpoint sdxl=/models/sdxl] [--device cuda]

Both draw the same request into the same PNG, interleaved, on weights that each has loaded itself;
without `--checkpoint` on small ones of random weights, whose pictures are quick enough that
everything around them shows. The pixels are compared first, for a faster other picture is nothing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import diffusers
import torch
from PIL import Image

from archiver.models import GenerationParams
from benchmarks.harness import median, print_table
from fallback_renderer.asked import Asked
from fallback_renderer.checkpoints import from_tree
from fallback_renderer.engine import Engine
from fallback_renderer.engine.quiet import hushed
from fallback_renderer.params import plan_render
from fallback_renderer.request import RenderRequest
from fallback_renderer.settings import Engine as Settings
from tests.fallback_renderer import zoo

PIPELINES = {
    "sd15": "StableDiffusionPipeline",
    "sd21": "StableDiffusionPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "flux": "FluxPipeline",
    "sd3": "StableDiffusion3Pipeline",
}
PROMPT = "a lighthouse in a storm"
# A side in pixels and a number of steps: once next to nothing, once as much as a thumbnail takes.
SMALL = ((64, 2), (256, 8))
REAL = ((1024, 30),)
ALLOWED_RATIO, ALLOWED_MS = 1.02, 5.0


def request_for(family: str, folder: Path, side: int, steps: int) -> RenderRequest:
    """The request that both draw."""
    table = {"it": {"family": family, "path": str(folder), "default": True}}
    params = GenerationParams(
        task="text-to-image",
        prompt=PROMPT,
        width=side,
        height=side,
        steps=steps,
        guidance_scale=4.0,
        seed=7,
    )
    request = plan_render(
        Asked(provider="modelslab", params=params), from_tree(table), random_seed=1
    )
    assert isinstance(request, RenderRequest)
    return request


def bare(family: str, folder: Path, device: str) -> diffusers.DiffusionPipeline:
    """The pipeline with nothing but its numbers' width and its device chosen."""
    with hushed():
        pipe = getattr(diffusers, PIPELINES[family]).from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            torch_dtype=torch.float32 if device == "cpu" else torch.bfloat16,
        )
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def draw_bare(pipe: diffusers.DiffusionPipeline, request: RenderRequest) -> bytes:
    """What one writes who wants a picture, and its file."""
    width, height = request.canvas
    with hushed():
        image = pipe(
            prompt=request.prompt,
            width=width,
            height=height,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(request.seed),
        ).images[0]
    file = BytesIO()
    image.save(file, "PNG", compress_level=4)
    return file.getvalue()


def milliseconds(draw: Callable[[], object]) -> float:
    """How long it took."""
    begun_at = time.perf_counter()
    draw()
    return 1000 * (time.perf_counter() - begun_at)


def measure(
    family: str, folder: Path, device: str, side: int, steps: int, rounds: int
) -> tuple[str, ...]:
    """One row: both, so many times, taking turns at being first."""
    request = request_for(family, folder, side, steps)
    # One thread on a CPU: with more the same picture takes now longer, now shorter.
    engine = Engine(Settings(device=device, threads=1 if device == "cpu" else 0))
    pipe = bare(family, folder, device)
    ways = {
        "bare": lambda: draw_bare(pipe, request),
        "engine": lambda: engine.draw(request).png,
    }
    with Image.open(BytesIO(ways["bare"]())) as one, Image.open(BytesIO(ways["engine"]())) as other:
        same = one.tobytes() == other.tobytes()
    pairs = []
    for number in range(rounds):
        order = list(ways) if number % 2 else list(reversed(ways))
        took = {name: milliseconds(ways[name]) for name in order}
        pairs.append((took["bare"], took["engine"]))
    beyond = median([engine - ALLOWED_RATIO * bare for bare, engine in pairs])
    return (
        f"{family} {side}x{side}, {steps} steps",
        f"{median([bare for bare, _ in pairs]):.1f} ms",
        f"{median([engine for _, engine in pairs]):.1f} ms",
        f"{median([engine / bare for bare, engine in pairs]):.3f}x",
        f"{beyond:+.1f} ms",
        "yes" if beyond <= ALLOWED_MS else "NO",
        "same" if same else "other",
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--checkpoint", action="append", metavar="FAMILY=FOLDER", default=[])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        named = [text.partition("=")[::2] for text in given.checkpoint]
        sizes = REAL if named else SMALL
        if not named:
            with hushed():
                zoo.build(Path(name))
            named = [(family, str(Path(name) / family)) for family in zoo.FAMILIES]
        rows = [
            measure(family, Path(folder), given.device, side, steps, given.rounds)
            for family, folder in named
            for side, steps in sizes
        ]
    columns = ("what", "bare", "engine", "ratio", f"beyond {ALLOWED_RATIO}x", "≤ 5 ms", "pixels")
    print_table(f"render on {given.device}, {given.rounds} rounds", columns, rows)
    if given.device == "cpu":
        print("No GPU here: what a GPU's offload, half precision and compiling bring is not shown.")


if __name__ == "__main__":
    main()
