"""Loaded checkpoints: those drawn with last stay, as far as the memory goes."""

from __future__ import annotations

from collections import OrderedDict

from fallback_renderer.checkpoints import Checkpoint
from fallback_renderer.engine.devices import Device
from fallback_renderer.engine.loading import Model, load, locate, weigh
from fallback_renderer.engine.memory import give_back

_Key = tuple[str | None, ...]


class Models:
    """The checkpoints that are loaded, each once; not for several threads.

    One that is larger than all the memory they share is still loaded, and the only one.
    """

    def __init__(self, device: Device, *, compiled: bool) -> None:
        self._device = device
        self._compiled = compiled
        self._loaded: OrderedDict[_Key, Model] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """What all of them take together."""
        return sum(model.size_bytes for model in self._loaded.values())

    def get(self, checkpoint: Checkpoint) -> Model:
        """The checkpoint, loaded if it is not yet; raises CheckpointError."""
        key = _key(checkpoint)
        if key not in self._loaded:
            folder = locate(checkpoint)
            # First, for two large ones side by side may be more than the machine has.
            self._make_room(weigh(folder, checkpoint, self._device.dtype_for(checkpoint)))
            model = load(folder, checkpoint, self._device, compiled=self._compiled)
            self._loaded[key] = model
        self._loaded.move_to_end(key)
        return self._loaded[key]

    def clear(self) -> None:
        """Lets all of them go."""
        self._loaded.clear()
        give_back()

    def _make_room(self, wanted_bytes: int) -> None:
        while self._loaded and self.size_bytes + wanted_bytes > self._device.memory_bytes:
            self._loaded.popitem(last=False)
            give_back()


def _key(checkpoint: Checkpoint) -> _Key:
    """What decides about the weights; what is put on them for one picture does not."""
    where = (checkpoint.path, checkpoint.hub, checkpoint.revision, checkpoint.variant)
    return (*where, checkpoint.dtype, checkpoint.family)
