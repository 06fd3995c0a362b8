"""The table `[render]` is checked whole, and its paths lead to the same places from anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from archiver.errors import ConfigError
from fallback_renderer.settings import Configuration, Render, from_settings, require_weights
from receiver.config import from_tree
from receiver.roles.process import Orders
from tests.fallback_renderer.requests import COMMIT

CHECKPOINT: dict[str, Any] = {"family": "sd15", "default": True, "path": "weights"}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths are the test's own."""
    monkeypatch.chdir(tmp_path)


def with_checkpoint(**said: Any) -> dict[str, Any]:
    """A table `[render]` with one checkpoint of the name `mine`."""
    return {"checkpoints": {"mine": {**CHECKPOINT, **said}}}


def test_a_checkpoint_is_all_that_need_be_said() -> None:
    """Everything else has a default."""
    render = from_settings(with_checkpoint())

    assert msgspec.structs.replace(render, checkpoints={}) == Render()


def test_every_path_is_made_absolute() -> None:
    """Of weights, of what is mixed into them, and of the credentials; absolute ones stay."""
    for name in ("chain.pem", "key.pem"):
        Path(name).touch()
    files = {
        "loras": {"detail": "loras/detail.safetensors"},
        "embeddings": {"calm": "/elsewhere/calm.safetensors"},
        "vaes": {"soft": "vaes/soft"},
    }
    credentials = {"certificate_file": "chain.pem", "key_file": "key.pem"}
    render = from_settings({**with_checkpoint(**files), "credentials": credentials})
    mine, here = render.table.by_name["mine"], Path.cwd()

    assert mine.path == f"{here}/weights"
    assert mine.loras == {"detail": f"{here}/loras/detail.safetensors"}
    assert mine.embeddings == {"calm": "/elsewhere/calm.safetensors"}
    assert mine.vaes == {"soft": f"{here}/vaes/soft"}
    assert render.credentials is not None
    assert render.credentials.certificate_file == f"{here}/chain.pem"
    assert render.credentials.key_file == f"{here}/key.pem"


def test_a_repository_is_no_path() -> None:
    """What is fetched by name and commit is left as it is."""
    hub = {"path": None, "hub": "owner/name", "revision": COMMIT}
    mine = from_settings(with_checkpoint(**hub)).table.by_name["mine"]

    assert (mine.path, mine.source) == (None, f"owner/name@{COMMIT}")


def test_what_was_checked_may_be_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the child does, wherever it runs: the same comes out."""
    render = from_settings(with_checkpoint(steps=4))
    monkeypatch.chdir("/")

    assert from_settings(msgspec.json.decode(msgspec.json.encode(render))) == render


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "nothing to draw with": ({}, "there is nothing to draw with. Put into holdfast.toml:"),
    "an unknown setting": ({"idle": 1}, "no setting is called render.idle"),
    "an unknown one deep down": (
        {"engine": {"devise": "cpu"}},
        "no setting is called render.engine.devise",
    ),
    "a wrong type": ({"draw_seconds": "long"}, "render.draw_seconds: expected `float`"),
    "no time at all": ({"idle_seconds": 0}, "render.idle_seconds: expected `float` > 0.0"),
    "an unknown device": ({"engine": {"device": "gpu"}}, "render.engine.device: "),
    "no table": ({"checkpoints": 7}, "render.checkpoints: expected `object`, got `int`"),
    "an unknown family": (with_checkpoint(family="sd16"), "render.checkpoints.mine.family: "),
    "no place": (with_checkpoint(path=None), "render.checkpoints.mine: say either path"),
    "credentials that are not there": (
        {
            **with_checkpoint(),
            "credentials": {"certificate_file": "chain.pem", "key_file": "key.pem"},
        },
        "render.credentials.certificate_file: there is no file /",
    ),
}


@pytest.mark.parametrize(("tree", "names"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_by_its_setting(tree: dict[str, Any], names: str) -> None:
    """Whoever reads the sentence knows where to look."""
    with pytest.raises(ConfigError, match=f"^{re.escape(names)}"):
        from_settings(tree)


def test_the_environment_may_say_numbers() -> None:
    """A variable is text, and is read as what the setting is."""
    assert from_settings({**with_checkpoint(), "idle_seconds": "2.5"}).idle_seconds == 2.5


def test_a_renderer_reads_its_part_of_the_whole_configuration() -> None:
    """Out of the orders that every role is given, and out of what commands have loaded."""
    config = from_tree(
        {
            "catalog": {"url": "sqlite:///some/catalog.db", "allow_unsafe_sqlite": True},
            "bucket": {"url": "s3://archive", "endpoint": "http://127.0.0.1:9", "region": "eu"},
            "render": with_checkpoint(),
        }
    )
    wire = msgspec.json.decode(msgspec.json.encode(Orders(config=config)))
    told = msgspec.convert(wire["config"], Configuration)

    assert told == msgspec.convert(config, Configuration, from_attributes=True)
    assert (told.catalog.where, told.catalog.folder) == (
        config.catalog.where,
        config.catalog.folder,
    )
    assert "hush" not in repr(msgspec.structs.replace(told.catalog, password="hush"))
    assert (told.catalog.allow_unsafe_sqlite, told.render) == (True, with_checkpoint())
    assert (told.bucket.url, told.bucket.endpoint, told.bucket.region) == (
        "s3://archive",
        "http://127.0.0.1:9",
        "eu",
    )


@pytest.mark.parametrize(
    ("table", "missing"),
    [
        ({}, "path: there is no checkpoint in /"),
        ({"path": "weights", "loras": {"fog": "fog.safetensors"}}, "loras.fog: there is no /"),
        ({"path": "weights", "vaes": {"soft": "soft"}}, "vaes.soft: there is no /"),
    ],
)
def test_who_draws_must_have_the_weights(
    table: dict[str, Any], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is claimed; who only plans need not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model_index.json").touch()
    bare = {"loras": {}, "embeddings": {}, "vaes": {}, "path": "elsewhere"}
    render = from_settings(with_checkpoint(**{**bare, **table}))

    with pytest.raises(ConfigError, match=rf"^render\.checkpoints\.mine\.{re.escape(missing)}"):
        require_weights(render)
    require_weights(from_settings(with_checkpoint(**{**bare, "path": "weights"})))
