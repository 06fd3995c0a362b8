"""The safety checker of a checkpoint: it looks at a picture, and blackens none.

Whoever keeps the picture decides who may see it; a black one would be lost for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image


@dataclass(frozen=True, kw_only=True, slots=True)
class Checker:
    """The checkpoint's own network and what prepares a picture for it."""

    network: Any
    extractor: Any

    def flags(self, image: Image.Image) -> bool:
        """Whether it recognises one of the concepts that it was trained to."""
        pixels = self.extractor(image, return_tensors="pt").pixel_values
        to_blacken = torch.zeros(1, 1)  # instead of the picture
        seen = pixels.to(device=self.network.device, dtype=self.network.dtype)
        _, flagged = self.network(images=to_blacken, clip_input=seen)
        return bool(flagged[0])
