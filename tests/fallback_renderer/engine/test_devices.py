"""What draws, as far as a machine without a GPU can show."""

from __future__ import annotations

import os

import pytest
import torch

from archiver.errors import ConfigError
from fallback_renderer.checkpoints import Checkpoint, Family
from fallback_renderer.engine.devices import Device, choose
from fallback_renderer.settings import Engine


@pytest.fixture(autouse=True)
def _threads():
    """Gives the number back that the other tests draw with."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_threads_are_fixed() -> None:
    """Pixels depend on how many there are."""
    device = choose(Engine(device="cpu", threads=3))

    assert torch.get_num_threads() == 3
    assert device.description == "cpu, 3 threads"


def test_by_default_each_processor_has_one() -> None:
    """Those that the process may run on."""
    choose(Engine(device="cpu"))

    assert torch.get_num_threads() == len(os.sched_getaffinity(0))


def test_memory_is_what_the_settings_say() -> None:
    """Or 8 GiB of a machine's."""
    assert choose(Engine(device="cpu", memory_bytes=5)).memory_bytes == 5
    assert choose(Engine(device="cpu")).memory_bytes == 8 * 2**30


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU, auto is another device")
def test_without_a_gpu_the_processor_draws() -> None:
    """Nothing has to be configured."""
    assert choose(Engine()).name in ("cpu", "mps")


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("cuda", "auto", torch.bfloat16),
        ("cuda:1", "float16", torch.float16),
        ("cuda", "float32", torch.float32),
        ("cpu", "auto", torch.float32),
        ("mps", "auto", torch.float32),
        ("cpu", "float16", torch.float32),
        ("cpu", "bfloat16", torch.bfloat16),
    ],
)
def test_a_gpu_draws_in_half_the_bits(name, dtype, expected) -> None:
    """In the kind that does not overflow, unless the checkpoint's table wants the other."""
    device = Device(name=name, description=name, memory_bytes=1)
    checkpoint = Checkpoint(family=Family.SD15, path="/x", default=True, dtype=dtype)

    assert device.dtype_for(checkpoint) is expected


@pytest.mark.parametrize("device", ["cuda", "cuda:97", "mps"])
def test_a_device_that_is_not_here_is_the_operator_s_to_mend(device, monkeypatch) -> None:
    """Before anything is loaded for it, and with the setting's name."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    with pytest.raises(ConfigError, match=rf"^render\.engine\.device: .* no {device} on"):
        choose(Engine(device=device))
