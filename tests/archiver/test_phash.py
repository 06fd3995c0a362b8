"""Perceptual hashes: alike for what looks alike, and only for that."""

from __future__ import annotations

import io
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from scipy.fft import dctn

from archiver.looks import DISTANCE
from archiver.phash import SIDE, distances, phash
from tests.archiver.scenes import encoded, scene

SEEDS = range(12)
HASHES = st.integers(-(2**63), 2**63 - 1)


def hash_of(picture: Image.Image) -> int:
    grey = picture.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    found = phash(np.asarray(grey))
    assert found is not None
    return found


def distance(one: int, other: int) -> int:
    """In how many bits they differ, counted by hand."""
    return ((one ^ other) & (2**64 - 1)).bit_count()


def compressed(picture: Image.Image, quality: int) -> Image.Image:
    return Image.open(io.BytesIO(encoded(picture, "JPEG", quality=quality)))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "compressed": lambda it: compressed(it, 85),
    "compressed beyond recognition of details": lambda it: compressed(it, 20),
    "half as large": lambda it: it.resize((it.width // 2, it.height // 2)),
    "larger": lambda it: it.resize((it.width * 2, it.height * 2)),
    "squeezed": lambda it: it.resize((it.width, it.height // 2)),
    "brighter": lambda it: it.point(lambda level: int(level * 1.08)),
    "blurred": lambda it: it.filter(ImageFilter.GaussianBlur(3)),
    "without colours": lambda it: it.convert("L"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_picture_still_looks_like_itself(change: Callable[[Image.Image], Image.Image]) -> None:
    """Whatever is done to it that a person would hardly notice."""
    far = [distance(hash_of(it), hash_of(change(it))) for it in map(scene, SEEDS)]
    assert max(far) <= DISTANCE


def test_different_pictures_are_far_apart() -> None:
    """Farther than is looked by default; around half of all bits differ."""
    hashes = [hash_of(scene(seed)) for seed in SEEDS]
    far = [distance(one, other) for one, other in combinations(hashes, 2)]
    assert min(far) > DISTANCE
    assert 28 < sum(far) / len(far) < 36


def test_the_bits_are_the_same_everywhere() -> None:
    """They are kept for ever and compared with those of other machines."""
    place = np.arange(SIDE)
    grey = (place[:, None] * 7 + place**2 * 13) % 256
    assert phash(grey) == -2947561218185486467


def test_whole_numbers_are_exact_enough() -> None:
    """The bits are those that the textbook's transform gives, above the median by two levels."""
    for seed in SEEDS:
        grey = np.asarray(scene(seed).convert("L").resize((SIDE, SIDE)))
        waves = dctn(grey.astype(float), norm="ortho")[:8, :8].ravel()
        bits = "".join(str(int(wave > np.median(waves) + 2)) for wave in waves)
        found = phash(grey)
        assert found is not None
        assert f"{found % 2**64:064b}" == bits


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_one_colour_looks_like_nothing(level: int) -> None:
    """Its bits would be those of noise; so would they be if there is little more than noise."""
    grey = np.full((SIDE, SIDE), level)
    assert phash(grey) is None
    assert phash(grey + np.indices(grey.shape).sum(axis=0) % 2) is None


def test_a_speck_is_something() -> None:
    """A small thing on an empty page is told from a small thing elsewhere."""
    page = Image.new("L", (320, 320), 255)
    specks = [page.copy(), page.copy()]
    specks[0].paste(0, (30, 30, 60, 60))
    specks[1].paste(0, (200, 240, 230, 270))
    assert distance(*map(hash_of, specks)) > DISTANCE


@given(st.lists(HASHES, max_size=9), HASHES)
def test_distances_are_counted_bit_by_bit(hashes: list[int], one: int) -> None:
    """Of any 64 bits, whichever sign they make."""
    found = distances(np.array(hashes, np.int64).view(np.uint64), one)
    assert found.tolist() == [distance(one, other) for other in hashes]
