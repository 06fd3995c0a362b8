"""What draws, by what is installed and what its driver says; nothing of it is loaded."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from receiver.doctor import drawing
from receiver.doctor.drawing import judge_gpu, judge_pins, pins
from receiver.doctor.finding import Verdict
from tests.receiver.doctor.patients import patient, verdicts

WANTED = {"torch": "2.13.0", "diffusers": "0.42.1"}
H200 = "NVIDIA H200, 143771 MiB, 570.86"


@pytest.mark.parametrize(
    ("installed", "verdict", "says"),
    [
        ({"torch": "2.13.0", "diffusers": "0.42.1"}, Verdict.OK, "torch 2.13.0 and 1 more"),
        ({"torch": "2.13.0+cpu", "diffusers": "0.42.1"}, Verdict.OK, "torch 2.13.0+cpu"),
        ({"torch": "2.13.0"}, Verdict.FAIL, "diffusers is not installed"),
        ({"torch": "2.14.0", "diffusers": "0.42.1"}, Verdict.WARN, "torch 2.14.0 for 2.13.0"),
    ],
)
def test_exact_versions(installed: dict[str, str], verdict: Verdict, says: str) -> None:
    """Pixels are theirs; a build's own addition to a version makes no other."""
    judged = judge_pins(WANTED, installed.get)
    assert (judged.verdict, says in judged.sentence) == (verdict, True)


def test_the_versions_wanted_are_those_of_the_extra() -> None:
    """What else is required is of no concern here."""
    found = pins(requires("holdfast") or ())
    assert {"torch", "diffusers", "transformers"} <= set(found)
    assert not {"aiohttp", "pytest", "c2pa-python"} & set(found)


@pytest.mark.parametrize(
    ("device", "gpus", "verdict"),
    [
        ("auto", [H200], Verdict.OK),
        ("auto", [], Verdict.WARN),
        ("cpu", [], Verdict.OK),
        ("mps", [], Verdict.OK),
        ("cuda", [H200], Verdict.OK),
        ("cuda", [], Verdict.FAIL),
        ("cuda:1", [H200], Verdict.FAIL),
        ("cuda:1", [H200, H200], Verdict.OK),
    ],
)
def test_a_gpu_that_was_asked_for(device: str, gpus: list[str], verdict: Verdict) -> None:
    """One that is not there fails; where any will do, the processor draws."""
    assert judge_gpu(device, gpus).verdict is verdict


@pytest.mark.parametrize(
    ("script", "gpus"),
    [
        (f"echo '{H200}'; echo '{H200}'", [H200, H200]),
        ("echo 'NVIDIA-SMI has failed'; exit 9", []),
        (None, []),
    ],
)
def test_the_driver_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, gpus: list[str]
) -> None:
    """By the program that comes with it, which may be missing or broken."""
    if script is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    assert list(drawing._gpus()) == gpus


def test_a_checkpoint_that_is_not_where_it_is_said_to_be(tmp_path: Path) -> None:
    """Is the renderer's own complaint; without a checkpoint nothing is looked at."""
    assert verdicts(drawing.renderer(patient(tmp_path))) == [Verdict.OK]
    assert list(drawing.gpu(patient(tmp_path))) == []
    folder = tmp_path / "weights"
    table = {"family": "sd15", "path": str(folder), "default": True}
    known = patient(tmp_path, render={"checkpoints": {"tiny": table}})
    found = drawing.renderer(known)
    next(found)
    with pytest.raises(Exception, match=r"render\.checkpoints\.tiny\.path: there is no checkpoint"):
        next(found)
    folder.mkdir()
    (folder / "model_index.json").write_text("{}")
    *_, last = drawing.renderer(known)
    assert (last.verdict, last.sentence) == (Verdict.OK, "checkpoint tiny is weights")
    assert len(list(drawing.gpu(known))) == 1


def test_torch_stays_away() -> None:
    """It takes seconds and gigabytes, and a doctor who needs them comes too late."""
    loads = "import sys, receiver.doctor, fallback_renderer.settings; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", loads], capture_output=True, text=True, check=True)
    assert not {"torch", "diffusers"} & set(told.stdout.split())
