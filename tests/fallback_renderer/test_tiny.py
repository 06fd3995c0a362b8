"""The checkpoint of the demonstration."""

from __future__ import annotations

from fallback_renderer import tiny
from fallback_renderer.checkpoints import from_tree
from tests.fallback_renderer.requests import drawn, noted


def contents(folder):
    """Every file's bytes."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_small_and_always_the_same(tmp_path) -> None:
    """So that it can be built wherever it is wanted, and draws the same there."""
    tiny.build(tmp_path / "one")
    tiny.build(tmp_path / "other")

    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    assert sum(map(len, contents(tmp_path / "one").values())) < 3_000_000


def test_it_draws_like_any_other(tmp_path, engine) -> None:
    """And the picture says that its weights are random."""
    tiny.build(tmp_path / "tiny")
    table = {"family": "sd15", "path": str(tmp_path / "tiny"), "default": True, "tiny": True}
    request = drawn(table=from_tree({"tiny": table}), width=64, height=64, steps=2)

    picture = engine.draw(request)

    assert (picture.width, picture.height) == (64, 64)
    assert "substituted: model: the weights are random: this only demonstrates" in noted(request)
