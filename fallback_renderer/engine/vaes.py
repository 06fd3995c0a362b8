"""A VAE that stands in for a checkpoint's own: a folder, or one file as they are passed around."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.torch import load_file


def load_vae(path: Path, own: Any) -> Any:
    """The VAE of a folder, or of a .safetensors file that is built as `own` is.

    Raises OSError or SafetensorError if it cannot be read, ValueError or RuntimeError if its
    latents are not of the checkpoint's shape.
    """
    if path.is_dir():
        vae = diffusers.AutoModel.from_pretrained(
            str(path), dtype=own.dtype, use_safetensors=True, local_files_only=True
        )
    else:
        vae = type(own).from_config(own.config).to(own.dtype)
        tensors = load_file(path)
        if vae.state_dict().keys() - tensors.keys():
            tensors = convert_ldm_vae_checkpoint(tensors, own.config)
        vae.load_state_dict(tensors)
    if _latents(vae) != _latents(own):
        raise ValueError(f"its latents are {_latents(vae)}, not {_latents(own)}")
    return vae.eval()


def _latents(vae: Any) -> tuple[int, int]:
    """Their channels, and how often they are halved."""
    return vae.config.latent_channels, len(vae.config.block_out_channels)
