"""A checkpoint built as Stable Diffusion 1.5 is, but small and of random weights.

For the demonstration, whose pictures only show that everything around drawing works, and for tests.

    python -m fallback_renderer.tiny FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

from fallback_renderer.engine.quiet import hush

WIDTH = 32
NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def build(folder: Path) -> None:
    """Writes the checkpoint, under 3 MB and always the same, to be loaded as any other."""
    hush()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sd15().save_pretrained(folder)


def sd15(**parts: Any) -> diffusers.StableDiffusionPipeline:
    """The pipeline, with weights from torch's own random numbers; `parts` replace its own."""
    words = tokenizer()
    return diffusers.StableDiffusionPipeline(
        **{
            "vae": vae(),
            "text_encoder": text_encoder(words),
            "tokenizer": words,
            "unet": unet(),
            "scheduler": diffusers.PNDMScheduler(
                skip_prk_steps=True, set_alpha_to_one=False, **NOISE
            ),
            "safety_checker": None,
            "feature_extractor": None,
            "requires_safety_checker": False,
        }
        | parts
    )


def tokenizer(**settings: Any) -> transformers.CLIPTokenizer:
    """CLIP's own kind, but one that knows no words: bytes, bytes that end a word, two marks."""
    letters = sorted(ByteLevel.alphabet())
    ends = [f"{letter}</w>" for letter in letters]
    tokens = [*letters, *ends, "<|startoftext|>", "<|endoftext|>"]
    return transformers.CLIPTokenizer(
        vocab={token: place for place, token in enumerate(tokens)},
        merges=[],
        model_max_length=77,
        **settings,
    )


def text_encoder(
    words: transformers.CLIPTokenizer, kind: Any = None, **settings: Any
) -> transformers.CLIPTextModel:
    """A text encoder; its configuration has the odd `eos_token_id` of every real checkpoint's."""
    settings = {"hidden_size": WIDTH, "num_hidden_layers": 3, "projection_dim": WIDTH} | settings
    config = transformers.CLIPTextConfig(
        vocab_size=len(words),
        intermediate_size=2 * WIDTH,
        num_attention_heads=4,
        bos_token_id=0,
        eos_token_id=2,
        **settings,
    )
    return (kind or transformers.CLIPTextModel)(config).eval()


def vae(**settings: Any) -> diffusers.AutoencoderKL:
    """A VAE of four levels, so that a latent stands for 8x8 pixels as in the real ones."""
    levels = 4
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=64,
        **settings,
    ).eval()


def unet(**settings: Any) -> diffusers.UNet2DConditionModel:
    """A UNet of two levels, attending at the full size as the real one does."""
    settings = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 4,
        "cross_attention_dim": WIDTH,
    } | settings
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        norm_num_groups=8,
        block_out_channels=(16, 32),
        **settings,
    ).eval()


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: python -m fallback_renderer.tiny FOLDER")
    build(Path(sys.argv[1]))
