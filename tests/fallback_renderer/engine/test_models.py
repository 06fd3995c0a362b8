"""Which checkpoints stay loaded."""

from __future__ import annotations

import gc
import weakref

import pytest

from fallback_renderer.checkpoints import Checkpoint, Family
from fallback_renderer.engine import CheckpointError
from fallback_renderer.engine.devices import Device
from fallback_renderer.engine.models import Models
from fallback_renderer.engine.quiet import hushed

SIZE_BYTES = 1_400_000  # about what one of these takes


@pytest.fixture(autouse=True)
def _hushed():
    with hushed():
        yield


@pytest.fixture
def models():
    """Makes a cache for that many of them."""

    def make(count):
        device = Device(name="cpu", description="cpu", memory_bytes=int(count * SIZE_BYTES))
        return Models(device, compiled=False)

    return make


@pytest.fixture
def checkpoint(zoo):
    """One of those that are built alike, by its name."""

    def at(name, **said):
        return Checkpoint(family=Family.SD15, path=str(zoo / name), default=True, **said)

    return at


def test_the_last_used_stay(models, checkpoint) -> None:
    """What was drawn with longest ago goes first."""
    loaded = models(2.5)
    first, second = loaded.get(checkpoint("sd15")), loaded.get(checkpoint("sd21"))

    assert loaded.get(checkpoint("sd15")) is first
    loaded.get(checkpoint("overflowing"))

    assert loaded.get(checkpoint("sd15")) is first
    assert loaded.get(checkpoint("sd21")) is not second
    assert loaded.size_bytes <= 2.5 * SIZE_BYTES


def test_what_goes_is_gone_before_the_next_comes(models, checkpoint) -> None:
    """Two large ones side by side may be more than the machine has."""
    loaded = models(1.5)
    unet = weakref.ref(loaded.get(checkpoint("sd15")).pipe.unet)

    loaded.get(checkpoint("sd21"))

    assert unet() is None


def test_one_that_is_too_large_is_the_only_one(models, checkpoint) -> None:
    """It is loaded all the same."""
    loaded = models(0.5)

    for name in ("sd15", "sd21"):
        model = loaded.get(checkpoint(name))

        assert loaded.get(checkpoint(name)) is model
        assert loaded.size_bytes == model.size_bytes


def test_what_is_put_on_for_a_picture_makes_no_other_checkpoint(models, checkpoint) -> None:
    """Tables may share weights; other numbers are other weights."""
    loaded = models(9)
    plain = loaded.get(checkpoint("sd15"))

    assert loaded.get(checkpoint("sd15", loras={"a": "/a.safetensors"}, steps=4)) is plain
    assert loaded.get(checkpoint("sd15", dtype="bfloat16")) is not plain


def test_a_failure_costs_no_other(models, checkpoint) -> None:
    """What is loaded already stays where one cannot be."""
    loaded = models(9)
    model = loaded.get(checkpoint("sd15"))

    with pytest.raises(CheckpointError):
        loaded.get(checkpoint("nowhere"))

    assert loaded.get(checkpoint("sd15")) is model


def test_all_can_be_let_go(models, checkpoint) -> None:
    """For when memory runs out."""
    loaded = models(9)
    unet = weakref.ref(loaded.get(checkpoint("sd15")).pipe.unet)

    loaded.clear()
    gc.collect()

    assert (unet(), loaded.size_bytes) == (None, 0)
