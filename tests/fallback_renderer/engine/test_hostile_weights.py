"""Weights that would run code: none of them is ever unpickled, and no code beside them is run."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from contextlib import suppress
from pathlib import Path

import diffusers
import pytest
import torch

import fallback_renderer
from fallback_renderer import tiny
from fallback_renderer.checkpoints import Checkpoint, Family, from_tree
from fallback_renderer.engine import CheckpointError, Engine
from fallback_renderer.engine.devices import Device
from fallback_renderer.engine.loading import load, locate
from fallback_renderer.engine.quiet import hushed
from fallback_renderer.settings import Engine as Settings
from tests.fallback_renderer.requests import drawn

CPU = Device(name="cpu", description="cpu", memory_bytes=2**30)
SMALL = {"width": 64, "height": 64, "steps": 1, "seed": 7, "safety_checker": False}
CODE = """
from pathlib import Path
import diffusers
Path({ran!r}).touch()
class Evil(diffusers.UNet2DConditionModel): pass
"""


class Evil:
    """What is pickled so that whoever unpickles it makes a file."""

    def __init__(self, ran: Path) -> None:
        self._ran = str(ran)

    def __reduce__(self):
        return open, (self._ran, "w")


@pytest.fixture(autouse=True)
def _hushed():
    with hushed():
        yield


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A checkpoint with nothing wrong about it."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.build(folder)
    return folder


@pytest.fixture
def ran(tmp_path):
    """The file that is there as soon as any of it has run."""
    return tmp_path / "ran"


@pytest.fixture
def evil(tmp_path, ran):
    """A pickle, in each of the forms that torch reads."""
    torch.save({"a": torch.zeros(1), "b": Evil(ran)}, tmp_path / "zipped")
    (tmp_path / "bare").write_bytes(pickle.dumps(Evil(ran)))
    return [(tmp_path / name).read_bytes() for name in ("zipped", "bare")]


@pytest.fixture
def hostile(clean, tmp_path):
    """A copy of the checkpoint, to be spoilt."""
    return Path(shutil.copytree(clean, tmp_path / "hostile"))


def opened(folder):
    """The checkpoint there, located and loaded."""
    checkpoint = Checkpoint(family=Family.SD15, path=str(folder), default=True)
    return load(locate(checkpoint), checkpoint, CPU)


def test_these_pickles_do_run(evil, ran, tmp_path, record_property) -> None:
    """Wherever somebody unpickles them, so that it would be seen."""
    for body in evil:
        (tmp_path / "weights.pt").write_bytes(body)
        with suppress(RuntimeError):  # it finds no weights, and has run by then
            torch.load(tmp_path / "weights.pt", weights_only=False)
        assert ran.exists()
        ran.unlink()
    record_property("control", "torch.load, told to trust: runs it")


PARTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}


@pytest.mark.parametrize("ending", [".bin", ".pt", ".pth", ".ckpt", ".safetensors", ".h5"])
@pytest.mark.parametrize("part", PARTS)
def test_pickled_weights_are_refused(part, ending, hostile, evil, ran) -> None:
    """Under every name, also that of what cannot be pickled."""
    name = PARTS[part]
    (hostile / part / f"{name}.safetensors").unlink()
    names = {name, "pytorch_model" if part == "text_encoder" else name}
    for body in evil:
        for one in names:
            (hostile / part / f"{one}{ending}").write_bytes(body)
        with pytest.raises(CheckpointError, match="cannot be loaded as sd15"):
            opened(hostile)
        assert not ran.exists()


def test_pickles_beside_weights_are_left_alone(hostile, evil, ran) -> None:
    """The safe ones are taken, and nothing else is looked at."""
    for part, name in PARTS.items():
        for ending in (".bin", ".pt", ".ckpt"):
            (hostile / part / f"{name}{ending}").write_bytes(evil[0])
    (hostile / "sd15.ckpt").write_bytes(evil[0])
    assert opened(hostile).pipe.unet is not None
    assert not ran.exists()


@pytest.mark.parametrize("kind", ["loras", "embeddings", "vaes"])
@pytest.mark.parametrize("form", [0, 1])
def test_what_is_put_on_is_not_unpickled(kind, form, clean, evil, ran, tmp_path) -> None:
    """A LoRA, an embedding or a VAE that only calls itself safe: drawn without it, and noted."""
    disguised = tmp_path / "disguised" / "one.safetensors"
    disguised.parent.mkdir()
    disguised.write_bytes(evil[form])
    for name in ("one.bin", "one.pt", "pytorch_lora_weights.bin"):
        disguised.with_name(name).write_bytes(evil[form])
    checkpoint = {"family": "sd15", "path": str(clean), "models": ["sd15"]}
    table = from_tree({"sd15": {**checkpoint, kind: {"one": str(disguised)}}})
    asked = {"vaes": {"vae": "one"}, "loras": {"loras": "one"}}.get(kind, {"embeddings": "one"})
    request = drawn(
        provider="by hand", table=table, model="sd15", prompt="a cat, one", **SMALL, **asked
    )
    picture = Engine(Settings(device="cpu", threads=1)).draw(request)
    assert [note for note in picture.notes if "one" in str(note)]
    assert not ran.exists()


def test_a_vae_in_a_folder_is_not_unpickled_either(clean, evil, ran, tmp_path) -> None:
    """Its folder may hold anything."""
    folder = Path(shutil.copytree(clean / "vae", tmp_path / "vae"))
    (folder / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "diffusion_pytorch_model.bin").write_bytes(evil[0])
    checkpoint = {"family": "sd15", "path": str(clean), "models": ["sd15"]}
    table = from_tree({"sd15": {**checkpoint, "vaes": {"one": str(folder)}}})
    request = drawn(provider="by hand", table=table, model="sd15", vae="one", **SMALL)
    picture = Engine(Settings(device="cpu", threads=1)).draw(request)
    assert [note for note in picture.notes if "vae: one" in str(note)]
    assert not ran.exists()


def test_code_beside_weights_is_never_run(hostile, ran, record_property) -> None:
    """A checkpoint may name a class of its own; whoever trusted it would run it."""
    (hostile / "unet" / "evil.py").write_text(CODE.format(ran=str(ran)))
    index = hostile / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"unet": ["evil", "Evil"]}))
    with pytest.raises(CheckpointError, match="cannot be loaded as sd15"):
        opened(hostile)
    assert not ran.exists()
    diffusers.StableDiffusionPipeline.from_pretrained(hostile, trust_remote_code=True)
    assert ran.exists()
    record_property("control", "trust_remote_code: runs it")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer"])
def test_nor_is_code_that_a_part_asks_for(part, hostile, ran) -> None:
    """`auto_map` says where a part's own code is."""
    (hostile / part / "evil.py").write_text(CODE.format(ran=str(ran)))
    names = ("AutoModel", "AutoConfig", "AutoTokenizer")
    asked = {"auto_map": dict.fromkeys(names, "evil.Evil")}
    for config in hostile.glob(f"{part}/*config.json"):
        config.write_text(json.dumps(json.loads(config.read_text()) | asked))
    with suppress(CheckpointError):
        opened(hostile)
    assert not ran.exists()


LOADS = {"from_pretrained", "download", "load_lora_weights", "snapshot_download", "load_config"}
UNSAFE = {"torch.load", "pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
UNSAFE |= {"load_textual_inversion", "from_single_file", "load_checkpoint", "hub.load"}


def test_every_load_says_that_it_is_safe(record_property) -> None:
    """Each call that reads weights: safe ones only, from here or of a pinned commit, no code."""
    found = 0
    for path in sorted(Path(fallback_renderer.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imported = {getattr(node, "module", None), *(it.name for it in node.names)}
                assert not imported & UNSAFE, path
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            called, said = ast.unparse(node.func), {it.arg for it in node.keywords}
            assert not any(called.endswith(unsafe) for unsafe in UNSAFE), (path, called)
            assert "trust_remote_code" not in said
            assert "custom_pipeline" not in said
            if node.func.attr in LOADS:
                found += 1
                assert node.func.attr == "load_config" or _is_true(node, "use_safetensors"), called
                pinned = "revision" in said and node.func.attr == "download"
                assert pinned or _is_true(node, "local_files_only"), called
    assert found == 5
    record_property("result", f"{found} loads, 0 that unpickle or run code")


def _is_true(call: ast.Call, name: str) -> bool:
    said = [it.value for it in call.keywords if it.arg == name]
    return [getattr(it, "value", None) for it in said] == [True]
