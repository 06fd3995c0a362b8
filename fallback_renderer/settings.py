"""What a renderer is told: the table `[render]`, and where the archive is that it draws for."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from archiver.drivers import is_on_server, with_password
from archiver.errors import ConfigError
from archiver.log import Style
from fallback_renderer.checkpoints import Checkpoint, Checkpoints, from_tree

Count = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Device = Annotated[str, msgspec.Meta(pattern="^(auto|cpu|mps|cuda(:[0-9]+)?)$")]

NO_CHECKPOINT = """there is nothing to draw with. Put into holdfast.toml:

    [render.checkpoints.sdxl]
    family = "sdxl"
    path = "/models/sdxl"           # a folder in the layout of diffusers, safetensors only
    models = ["sd-xl"]              # the providers' models that it draws
    default = true                  # and any other"""

# What makes a folder a checkpoint.
INDEX = "model_index.json"

_NAMED_FILES = ("loras", "embeddings", "vaes")
_UNKNOWN = re.compile(r"object contains unknown field `(.*)`", re.IGNORECASE).fullmatch


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration; an unknown name in it is a mistake, never ignored."""


class Credentials(Section, frozen=True):
    """The own certificate (a PEM chain, the leaf first) and its key, to sign what is drawn with."""

    certificate_file: str
    key_file: str


class Engine(Section, frozen=True):
    """How the child draws.

    `memory_bytes` is what loaded checkpoints may take together; 0 is 85 % of the GPU's memory, or
    8 GiB of a CPU's. `threads` is fixed for a whole life, for pixels depend on it; 0 is one for
    each processor. `compile` trades a slow first picture for faster ones, on a GPU only.
    """

    device: Device = "auto"
    memory_bytes: Count = 0
    threads: Count = 0
    compile: bool = False

    @property
    def thread_count(self) -> int:
        """How many threads draw: in a container the processors are fewer than the machine's."""
        if self.threads:
            return self.threads
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1


class Render(Section, frozen=True):
    """All of it, paths absolute.

    The child ends after `idle_seconds` without work. To load a checkpoint, which may have to be
    downloaded first, it is given `load_seconds`; a drawing of more than `draw_seconds` is given up
    for good. `child_memory_bytes` bounds the child's address space, 0 does not; not for CUDA,
    which reserves more than it uses.
    """

    checkpoints: dict[str, dict[str, Any]] = {}
    engine: Engine = Engine()
    credentials: Credentials | None = None
    idle_seconds: Seconds = 900.0
    load_seconds: Seconds = 3600.0
    draw_seconds: Seconds = 1800.0
    child_memory_bytes: Count = 0

    @property
    def table(self) -> Checkpoints:
        """The checkpoints, checked; raises ConfigError naming the setting."""
        return from_tree(self.checkpoints)


class CatalogTable(msgspec.Struct, frozen=True, kw_only=True):
    """Where the catalog lies: `sqlite:///` and an absolute path, or on a PostgreSQL."""

    url: str
    password: str = ""
    data_folder: str = ""
    allow_unsafe_sqlite: bool = False

    def __repr__(self) -> str:
        """What may be shown."""
        return f"{type(self).__name__}(url={self.url!r})"

    @property
    def where(self) -> Path | str:
        """The catalog's file, or the URL by which its server is reached: a secret."""
        if is_on_server(self.url):
            return with_password(self.url, self.password)
        return Path(self.url.removeprefix("sqlite:///"))

    @property
    def folder(self) -> Path:
        """What lies on this machine."""
        where = self.where
        return where.parent if isinstance(where, Path) else Path(self.data_folder)


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """Where the bytes go."""

    url: str
    endpoint: str | None = None
    region: str | None = None


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Of holdfast's whole configuration what a renderer goes by; all else is passed over."""

    catalog: CatalogTable
    bucket: Bucket
    log: Style = Style()
    render: dict[str, Any] = {}


def from_settings(tree: Mapping[str, Any]) -> Render:
    """Checks the table `[render]`, already read; raises ConfigError naming the setting.

    A relative path in it means: from where this process runs, which is where it was typed. Without
    a checkpoint there is nothing to draw with, which is a mistake wherever this is asked for.
    """
    try:
        render = msgspec.convert(tree, Render, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(_complaint(str(error))) from error
    if not render.checkpoints:
        raise ConfigError(NO_CHECKPOINT)
    placed = {
        name: msgspec.to_builtins(_placed(checkpoint))
        for name, checkpoint in render.table.by_name.items()
    }
    credentials = render.credentials and _at_hand(render.credentials)
    return msgspec.structs.replace(render, checkpoints=placed, credentials=credentials)


def require_weights(render: Render) -> None:
    """Sees that the files which the table names are here; raises ConfigError naming the setting.

    Not asked of whoever only plans: the weights may lie where there is a GPU.
    """
    for name, checkpoint in render.table.by_name.items():
        where = f"render.checkpoints.{name}"
        if checkpoint.path and not (Path(checkpoint.path) / INDEX).is_file():
            raise ConfigError(
                f"{where}.path: there is no checkpoint in {checkpoint.path}: it has no {INDEX}"
            )
        for setting in _NAMED_FILES:
            for part, file in getattr(checkpoint, setting).items():
                if not Path(file).exists():
                    raise ConfigError(f"{where}.{setting}.{part}: there is no {file}")


def _placed(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with all that lies on this machine named by absolute paths."""
    files = {
        setting: {name: _absolute(file) for name, file in getattr(checkpoint, setting).items()}
        for setting in _NAMED_FILES
    }
    path = checkpoint.path and _absolute(checkpoint.path)
    return msgspec.structs.replace(checkpoint, path=path, **files)


def _at_hand(credentials: Credentials) -> Credentials:
    """The credentials by absolute paths, if their files are there."""
    files = {name: _absolute(file) for name, file in msgspec.structs.asdict(credentials).items()}
    for name, file in files.items():
        if not Path(file).is_file():
            raise ConfigError(f"render.credentials.{name}: there is no file {file}")
    return Credentials(**files)


def _absolute(path: str) -> str:
    return str(Path(path).absolute())


def _complaint(said: str) -> str:
    """msgspec's words with the setting's own name in front."""
    what, _, place = said.partition(" - at `$")
    setting = f"render{place.rstrip('`')}"
    unknown = _UNKNOWN(what)
    if unknown:
        return f"no setting is called {setting}.{unknown[1]}"
    return f"{setting}: {what[:1].lower()}{what[1:]}"
