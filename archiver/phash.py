"""What a picture looks like, in 64 bits: those of pictures that look alike differ in few.

The hash by discrete cosine transform of C. Zauner, "Implementation and Benchmarking of Perceptual
Image Hash Functions" (2010), 3.2: which of the 64 slowest waves in a small grey picture are
stronger than their median. It is reckoned in whole numbers, so every machine finds the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np

# Any: arrays, whose library is not read by the type checker.
Array = Any

BITS = 64
SIDE = 32

_WAVES = 8
# Of a grey level, which is what rounding and compressing a picture may change of a wave.
_ONE = 1 << 16
_NOISE = 2 * _ONE * _ONE


def phash(grey: Array) -> int | None:
    """The hash of a picture made 32 x 32 pixels of 256 levels of grey, whatever its shape was.

    It comes as a signed number, as a column keeps it. None: all of it is as good as one colour,
    and any bits would be those of noise.
    """
    waves = _COSINES @ np.asarray(grey, dtype=np.int64) @ _COSINES.T
    rest = waves.ravel()[1:]  # the first is no wave but the brightness
    if np.abs(rest).max() <= _NOISE:
        return None
    bits = waves.ravel() > np.median(waves) + _NOISE
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)


def distances(hashes: Array, one: int) -> Array:
    """In how many bits each of some hashes, unsigned numbers in an array, differs from `one`."""
    return np.bitwise_count(hashes ^ np.int64(one).view(np.uint64))


def _cosines() -> Array:
    """The slowest waves of a row, orthonormal, in parts of `_ONE`."""
    place, wave = np.arange(SIDE) + 0.5, np.arange(_WAVES)[:, None]
    cosines = np.cos(np.pi / SIDE * wave * place) * np.sqrt(2 / SIDE)
    cosines[0] /= np.sqrt(2)
    return np.rint(_ONE * cosines).astype(np.int64)


_COSINES = _cosines()
