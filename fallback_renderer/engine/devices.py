"""What draws: a GPU or the processor, in which numbers, and how much memory it may fill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from archiver.errors import ConfigError
from fallback_renderer.checkpoints import Checkpoint
from fallback_renderer.settings import Engine

_CPU_BYTES = 8 * 2**30
_GPU_SHARE = 0.85  # the rest is for what is drawn, which takes more the larger it is


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """`name` is torch's, `description` people's; loaded checkpoints share `memory_bytes`."""

    name: str
    description: str
    memory_bytes: int

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU by way of CUDA (or ROCm, which goes by the same name)."""
        return self.name.startswith("cuda")

    def dtype_for(self, checkpoint: Checkpoint) -> Any:
        """The numbers to draw in: the checkpoint's where it says so, else what the device likes."""
        said = checkpoint.dtype
        if said == "auto":
            said = "bfloat16" if self.is_cuda else "float32"
        elif said == "float16" and not self.is_cuda:
            said = "float32"  # elsewhere half numbers overflow into black pictures, or crawl
        return getattr(torch, said)


def choose(settings: Engine) -> Device:
    """The device that the settings mean; fixes for good how many threads draw on a processor.

    Pixels depend on that number, and on which algorithms cuDNN happens to try. Raises ConfigError
    if there is no such device.
    """
    name = _found() if settings.device == "auto" else settings.device
    _require(name)
    threads = settings.thread_count
    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if name.startswith("cuda"):
        facts = torch.cuda.get_device_properties(name)
        return Device(
            name=name,
            description=facts.name,
            memory_bytes=settings.memory_bytes or int(facts.total_memory * _GPU_SHARE),
        )
    return Device(
        name=name,
        description=f"{name}, {threads} thread{'s' * (threads > 1)}",
        memory_bytes=settings.memory_bytes or _CPU_BYTES,
    )


def _found() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _require(name: str) -> None:
    """Raises ConfigError if the device is not here, or torch knows none of its kind."""
    kind, _, number = name.partition(":")
    count = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind in count and int(number or 0) >= count[kind]:
        raise ConfigError(
            f"render.engine.device: torch {torch.__version__} finds no {name} on this machine; "
            'see that its driver is installed, and that torch is built for it, or say "auto"'
        )
