"""What is put on a checkpoint for one picture: a VAE, LoRAs, merged tokens.

Whatever is put on comes off when the stack closes. What cannot be put on is noted, and the picture
is drawn without it.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from fallback_renderer.engine.loading import Model
from fallback_renderer.engine.remarks import NoEffectError, left_off
from fallback_renderer.engine.vaes import load_vae
from fallback_renderer.notes import Note, unavailable
from fallback_renderer.request import Lora, Part, RenderRequest

try:
    import tomesd
except ImportError:
    tomesd = None

_MERGED = 0.5  # of the tokens; its authors recommend no more


def put_on(model: Model, request: RenderRequest, stack: ExitStack) -> list[Note]:
    """Everything that the request wants on its checkpoint but embeddings."""
    notes: list[Note] = []
    if request.vae:
        notes += _put_on_vae(model, request.vae, stack)
    if request.loras:
        stack.callback(model.pipe.unload_lora_weights)
        notes += _put_on_loras(model.pipe, request.loras)
    if request.tomesd:
        notes += _merge_tokens(model, request.seed, stack)
    return notes


def _put_on_vae(model: Model, part: Part, stack: ExitStack) -> list[Note]:
    pipe, own = model.pipe, model.pipe.vae
    try:
        vae = load_vae(Path(part.path), own)
    except Exception as error:
        return [left_off("vae", part.name, error)]
    stack.callback(setattr, pipe, "vae", own)
    pipe.vae = vae
    if model.offloaded:  # only parts that the pipeline knows of take their turn
        pipe.maybe_free_model_hooks()
    else:
        vae.to(own.device)
    return []


def _put_on_loras(pipe: Any, loras: tuple[Lora, ...]) -> list[Note]:
    notes: list[Note] = []
    strengths: dict[str, float] = {}
    for place, lora in enumerate(loras):
        adapter = f"lora_{place}"
        note = _put_on_lora(pipe, lora, adapter)
        if note:
            notes.append(note)
        else:
            strengths[adapter] = lora.strength
    if strengths:
        pipe.set_adapters(list(strengths), adapter_weights=list(strengths.values()))
    else:
        pipe.unload_lora_weights()  # what does not fit may have come half
    return notes


def _put_on_lora(pipe: Any, lora: Lora, adapter: str) -> Note | None:
    path = Path(lora.path)
    try:
        pipe.load_lora_weights(
            path.parent,
            weight_name=path.name,
            adapter_name=adapter,
            use_safetensors=True,
            local_files_only=True,
        )
        _check_fit(pipe, adapter)
    except Exception as error:
        if any(adapter in adapters for adapters in pipe.get_list_adapters().values()):
            pipe.delete_adapters(adapter)
        return left_off("loras", lora.name, error)
    return None


def _check_fit(pipe: Any, adapter: str) -> None:
    """Layers of another family are passed over without a word; text encoders many have in common.

    Raises ValueError if there is nothing for what draws, NoEffectError if that is all zeros.
    """
    adapters = pipe.get_list_adapters()
    if adapter not in (*adapters.get("unet", ()), *adapters.get("transformer", ())):
        raise ValueError("none of its layers is in what draws")
    network = getattr(pipe, "unet", None) or pipe.transformer
    weights = network.named_parameters()
    if not any(bool(it.any()) for name, it in weights if f".lora_B.{adapter}." in name):
        raise NoEffectError


def _merge_tokens(model: Model, seed: int, stack: ExitStack) -> list[Note]:
    pipe = model.pipe
    if tomesd is None:
        return [unavailable("tomesd", "it is not installed here: no tokens are merged")]
    if model.compiled:
        return [unavailable("tomesd", "no tokens can be merged in compiled blocks")]
    # Merged where the UNet first attends; in SDXL that is not before half the size.
    attending = ["CrossAttn" in kind for kind in pipe.unet.config.down_block_types]
    stack.callback(tomesd.remove_patch, pipe)
    tomesd.apply_patch(pipe, ratio=_MERGED, max_downsample=2 ** attending.index(True))
    torch.manual_seed(seed)  # it draws which ones from torch's own random numbers
    return []
