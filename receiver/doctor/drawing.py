"""What draws: the exact versions that it was made for, its weights, and a GPU. torch stays away."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version

from receiver.doctor.finding import Judged, fail, ok, warn
from receiver.doctor.patient import Patient

# Of the wing that draws, which this one does not import.
_SETTINGS = "fallback_renderer.settings"

_PIN = re.compile(r"([\w.-]+)==([\w.+-]+)\s*;.*extra == ['\"]render['\"]")
_GPU = ("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
_SECONDS = 20


def renderer(patient: Patient) -> Iterator[Judged]:
    """Whether what draws is installed as it was tested, and its checkpoints are in their places."""
    if not patient.config.render.get("checkpoints"):
        yield ok("no checkpoint is configured, so nothing is drawn here")
        return
    yield judge_pins(pins(requires("holdfast") or ()), _installed)
    settings = importlib.import_module(_SETTINGS)
    render = settings.from_settings(patient.config.render)
    settings.require_weights(render)
    for name, checkpoint in render.table.by_name.items():
        yield ok(f"checkpoint {name} is {checkpoint.source}")


def pins(required: Sequence[str]) -> Mapping[str, str]:
    """The exact versions that the extra `render` asks for."""
    found = (_PIN.match(one) for one in required)
    return {pin[1].lower(): pin[2] for pin in found if pin}


def judge_pins(wanted: Mapping[str, str], installed: Callable[[str], str | None]) -> Judged:
    """The versions wanted, and a function from a name to the version installed, or None."""
    have = {name: installed(name) for name in wanted}
    missing = [name for name, version_ in have.items() if version_ is None]
    if missing:
        return fail(
            f"{', '.join(missing)} is not installed, so nothing can be drawn",
            "pip install 'holdfast[render]'",
        )
    # A build's own addition, as in 2.13.0+cpu, is no other version.
    other = [
        f"{name} {version_} for {wanted[name]}"
        for name, version_ in have.items()
        if str(version_).partition("+")[0] != wanted[name]
    ]
    if other:
        return warn(
            f"other versions than were tested, {', '.join(other)}",
            "pip install 'holdfast[render]'",
        )
    return ok(f"torch {have.get('torch')} and {len(have) - 1} more are as they were tested")


def gpu(patient: Patient) -> Iterator[Judged]:
    """Whether there is a GPU to draw with, asked of its driver."""
    if not patient.config.render.get("checkpoints"):
        return
    device = str(patient.config.render.get("engine", {}).get("device", "auto"))
    yield judge_gpu(device, _gpus())


def judge_gpu(device: str, gpus: Sequence[str]) -> Judged:
    """`render.engine.device`, and the NVIDIA GPUs that there are."""
    if device == "cpu":
        return ok("render.engine.device is cpu, so it takes minutes for each picture")
    if device == "mps":
        return ok("render.engine.device is mps, of which only drawing tells more")
    number = int(device.partition(":")[2] or 0)
    if number < len(gpus):
        return ok(f"GPU {number}: {gpus[number]}")
    if device == "auto":
        return warn(
            "there is no NVIDIA GPU, so the processor draws, minutes for each picture",
            "`holdfast work` lets a machine that has one draw for this archive",
        )
    return fail(
        f"render.engine.device is {device}, and there are {len(gpus)} NVIDIA GPUs",
        "see what nvidia-smi says, or set it to auto",
    )


def _gpus() -> Sequence[str]:
    program = shutil.which(_GPU[0])
    if program is None:
        return ()
    try:
        told = subprocess.run(  # noqa: S603 - a fixed line, and a program of the PATH
            [program, *_GPU[1:]], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    return [line.strip() for line in told.stdout.splitlines() if line.strip()]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
