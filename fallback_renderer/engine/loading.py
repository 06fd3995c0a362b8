"""From a folder or the hub into memory: a checkpoint's weights, safetensors alone."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import huggingface_hub
import torch
from safetensors import safe_open

from archiver.redact import redact
from fallback_renderer.checkpoints import Checkpoint
from fallback_renderer.engine.devices import Device
from fallback_renderer.engine.errors import CheckpointError
from fallback_renderer.engine.memory import is_out_of_memory
from fallback_renderer.engine.pipelines import class_name
from fallback_renderer.engine.safety import Checker
from fallback_renderer.request import Task
from fallback_renderer.settings import INDEX

_PART = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """A loaded checkpoint: its pipeline for text, and the scheduler that came with it.

    The safety checker is taken out of the pipeline, which would blacken what it flags. `offloaded`
    says that the parts of the pipeline take turns on the device, `compiled` that nothing can be
    done to the blocks of what draws any more.
    """

    pipe: Any
    scheduler: Any
    checker: Checker | None
    size_bytes: int
    offloaded: bool
    compiled: bool


def locate(checkpoint: Checkpoint) -> Path:
    """The folder of the weights, downloaded first where need be; raises CheckpointError.

    The hub is asked only for what is not here, and not at all where HF_HUB_OFFLINE forbids it.
    """
    if checkpoint.path is not None:
        folder = Path(checkpoint.path)
        if not (folder / INDEX).is_file():
            raise CheckpointError(f"there is no checkpoint in {folder}: it has no {INDEX}")
        return folder
    try:
        return _fetch(checkpoint, local_files_only=True)
    except Exception as error:
        if huggingface_hub.constants.HF_HUB_OFFLINE:
            raise _not_to_be_had(checkpoint, error) from error
    try:
        return _fetch(checkpoint, local_files_only=False)
    except Exception as error:
        raise _not_to_be_had(checkpoint, error) from error


def weigh(folder: Path, checkpoint: Checkpoint, dtype: Any) -> int:
    """About how many bytes the weights in a folder will take, from the heads of their files."""
    numbers = 0
    for file in folder.glob("*/*.safetensors"):
        variants = [_PART.sub("", part) for part in file.name.split(".")[1:-1]]
        if checkpoint.variant in variants if checkpoint.variant else not variants:
            with safe_open(file, framework="pt") as tensors:
                shapes = (tensors.get_slice(name).get_shape() for name in tensors.keys())  # noqa: SIM118
                numbers += sum(math.prod(shape) for shape in shapes)
    return numbers * int(dtype.itemsize)


def load(folder: Path, checkpoint: Checkpoint, device: Device, *, compiled: bool = False) -> Model:
    """The checkpoint on its device; raises CheckpointError."""
    try:
        pipe = _open(folder, checkpoint, device.dtype_for(checkpoint))
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"{checkpoint.source} cannot be loaded as {checkpoint.family}: {_brief(error)}. "
            f"The folder must be as diffusers saves it, with .safetensors: {folder}"
        ) from error
    size_bytes = _size_bytes(pipe)
    offloaded = device.is_cuda and size_bytes > device.memory_bytes
    checker = _take_checker(pipe)
    place(pipe, device, offloaded=offloaded)
    if checker and not offloaded:
        checker.network.to(device.name)
    return Model(
        pipe=pipe,
        scheduler=pipe.scheduler,
        checker=checker,
        size_bytes=size_bytes,
        offloaded=offloaded,
        compiled=compiled and device.is_cuda and compile_blocks(pipe),
    )


def place(pipe: Any, device: Device, *, offloaded: bool) -> None:
    """Puts a pipeline onto its device, or makes its parts take turns there."""
    if device.is_cuda:
        for part in (pipe.vae, getattr(pipe, "unet", None)):
            if part is not None:
                part.to(memory_format=torch.channels_last)
    if offloaded:
        pipe.enable_model_cpu_offload(device=device.name)
    else:
        pipe.to(device.name)


def compile_blocks(pipe: Any) -> bool:
    """Has the blocks that what draws repeats compiled when they are first used.

    False, and nothing is done, where it repeats none that diffusers could name.
    """
    network = getattr(pipe, "unet", None) or pipe.transformer
    if not network._repeated_blocks:
        return False
    network.compile_repeated_blocks(fullgraph=True)
    return True


def _fetch(checkpoint: Checkpoint, *, local_files_only: bool) -> Path:
    return Path(
        diffusers.DiffusionPipeline.download(
            checkpoint.hub,
            revision=checkpoint.revision,
            variant=checkpoint.variant,
            use_safetensors=True,
            local_files_only=local_files_only,
        )
    )


def _open(folder: Path, checkpoint: Checkpoint, dtype: Any) -> Any:
    wanted = class_name(checkpoint.family, Task.TEXT_TO_IMAGE)
    found = diffusers.DiffusionPipeline.load_config(folder, local_files_only=True)["_class_name"]
    if found != wanted:
        raise ValueError(f"it is made for {found}, not {wanted}")
    pipe = getattr(diffusers, wanted).from_pretrained(
        folder,
        dtype=dtype,
        variant=checkpoint.variant,
        use_safetensors=True,
        local_files_only=True,
    )
    _check_tokenizers(pipe)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _check_tokenizers(pipe: Any) -> None:
    """One whose files are missing is made up without a word, and knows none of them."""
    for name, tokenizer in pipe.components.items():
        encoder = pipe.components.get(name.replace("tokenizer", "text_encoder"))
        if name.startswith("tokenizer") and tokenizer is not None and encoder is not None:
            known, needed = len(tokenizer), encoder.config.vocab_size
            if 2 * known < needed:
                raise ValueError(f"its {name} knows {known} of {needed} tokens")


def _take_checker(pipe: Any) -> Checker | None:
    network = getattr(pipe, "safety_checker", None)
    if network is None or pipe.feature_extractor is None:
        return None
    pipe.safety_checker = None
    return Checker(network=network, extractor=pipe.feature_extractor)


def _size_bytes(pipe: Any) -> int:
    parts = (part for part in pipe.components.values() if isinstance(part, torch.nn.Module))
    tensors = {
        tensor.data_ptr(): tensor.nbytes
        for part in parts
        for tensor in (*part.parameters(), *part.buffers())
    }
    return sum(tensors.values())


def _not_to_be_had(checkpoint: Checkpoint, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.source} is not on this machine, and not to be had: {_brief(error)}. "
        f"Try `hf download {checkpoint.hub} --revision {checkpoint.revision}`"
    )


def _brief(error: Exception) -> str:
    text = redact(str(error)).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
