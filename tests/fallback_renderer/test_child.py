"""The process that draws, spoken to over its own pipes."""

from __future__ import annotations

import io
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import c2pa
import pytest
from PIL import Image

from fallback_renderer.messages import (
    Cancel,
    Failed,
    FailureKind,
    Finished,
    FromChild,
    FromParent,
    Order,
    Progress,
    Ready,
    Setup,
    Unfit,
    from_child,
    line,
)
from fallback_renderer.settings import Credentials, Engine, Render
from tests.fallback_renderer.certificates import make
from tests.fallback_renderer.requests import drawn

ENGINE = "tests.fallback_renderer.faulty_engine"


class Talk:
    """A child, and what is said to it and by it."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def say(self, *messages: FromParent) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b"".join(map(line, messages)))
        self.process.stdin.flush()

    def hear(self) -> FromChild:
        assert self.process.stdout is not None
        return from_child.decode(self.process.stdout.readline())

    def answer(self) -> tuple[list[Progress], Finished | Failed]:
        """The answer to an order, and the progress that came before it."""
        steps = []
        while isinstance(said := self.hear(), Progress):
            steps.append(said)
        assert isinstance(said, Finished | Failed), said
        return steps, said

    def draw(self, order: Order) -> Finished | Failed:
        self.say(order)
        return self.answer()[1]


@contextmanager
def child(render: Render, engine: str = ENGINE, **options: Any) -> Iterator[Talk]:
    """One that was told how it is to draw; it is gone afterwards whatever it did."""
    with subprocess.Popen(
        [sys.executable, "-m", "fallback_renderer.child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **options,
    ) as process:
        try:
            talk = Talk(process)
            talk.say(Setup(render=render, engine=engine))
            yield talk
        finally:
            process.kill()


@pytest.fixture(scope="module")
def talk() -> Iterator[Talk]:
    """A child that is ready, for all that no child ends by."""
    with child(Render(engine=Engine(threads=3))) as one:
        assert isinstance(one.hear(), Ready)
        yield one


def order(png: Path, prompt: str = "a cat", **asked: Any) -> Order:
    """An order for a small picture."""
    return Order(
        request=drawn(prompt=prompt, width=64, height=64, **{"seed": 7, **asked}),
        provider="modelslab",
        generation_id="302455",
        index=1,
        model="midjourney",
        png=str(png),
    )


def test_a_picture_is_drawn_and_stamped(talk: Talk, tmp_path: Path) -> None:
    """With every note, the request's and the engine's, told to the parent and in the file."""
    said = talk.draw(order(tmp_path / "a.png", "a cat", enhance_prompt=True))

    assert isinstance(said, Finished)
    notes = [str(note) for note in said.drawn.notes]
    assert [note.split(":")[:2] for note in notes] == [
        ["ignored", " enhance_prompt"],
        ["unavailable", " scheduler"],
    ]
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (said.drawn.width, said.drawn.height) == (64, 64)
        assert image.getpixel((0, 0)) == 7
        facts = json.loads(image.info["holdfast"])
    assert facts["notes"] == notes
    assert (facts["generation_id"], facts["index"], facts["model"]) == ("302455", 1, "midjourney")
    assert (facts["software"], facts["drawn_with"]) == (said.drawn.software, "sd15")
    assert facts["parameters"]["seed"] == said.drawn.seed == 7
    assert not said.drawn.flagged


def test_what_the_safety_checker_saw_is_told(talk: Talk, tmp_path: Path) -> None:
    """The picture is drawn all the same; what becomes of it is not the child's to say."""
    said = talk.draw(order(tmp_path / "a.png", "flag it"))

    assert isinstance(said, Finished)
    assert said.drawn.flagged


def test_the_same_order_is_the_same_file(talk: Talk, tmp_path: Path) -> None:
    """In another child and at another time: nothing in an unsigned picture is left to chance."""
    talk.draw(order(tmp_path / "a.png"))
    with child(Render(engine=Engine(threads=3))) as other:
        other.hear()
        other.draw(order(tmp_path / "b.png"))

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_prints_do_not_reach_the_parent(talk: Talk, tmp_path: Path) -> None:
    """Libraries print, in Python and in C; the pipe is for messages only."""
    assert isinstance(talk.draw(order(tmp_path / "a.png", "print")), Finished)


def test_progress_is_told_seldom_and_at_the_end(talk: Talk, tmp_path: Path) -> None:
    """A message for each of five hundred quick steps would cost more than the steps."""
    talk.say(order(tmp_path / "a.png", provider="doitong", steps=500))
    steps, said = talk.answer()

    assert isinstance(said, Finished)
    assert steps[-1] == Progress(step=500, steps=500)
    assert len(steps) < 250


@pytest.mark.parametrize(
    ("prompt", "kind", "reason", "spent"),
    [
        ("have no weights", FailureKind.REFUSED, "no weights: fetch them", False),
        ("run out of memory", FailureKind.TROUBLE, "CUDA is out of memory", True),
        ("fail", FailureKind.REFUSED, "KeyError: 'http://host/a?…", True),
    ],
)
def test_a_failure_is_an_answer(
    talk: Talk, tmp_path: Path, prompt: str, kind: FailureKind, reason: str, spent: bool
) -> None:
    """It says whose it is, and whether the child can be trusted any longer; never a secret."""
    said = talk.draw(order(tmp_path / "a.png", prompt))

    assert isinstance(said, Failed)
    assert (said.kind, said.spent) == (kind, spent)
    assert reason in said.reason
    assert "hush" not in said.reason
    assert not (tmp_path / "a.png").exists()


def test_a_disk_that_takes_no_picture_is_our_trouble(talk: Talk, tmp_path: Path) -> None:
    """It is not the request's fault."""
    said = talk.draw(order(tmp_path / "nowhere" / "a.png"))

    assert isinstance(said, Failed)
    assert said.kind is FailureKind.TROUBLE


def test_a_canceled_drawing_stops(talk: Talk, tmp_path: Path) -> None:
    """Between two steps; and the order after it is not canceled with it."""
    talk.say(order(tmp_path / "a.png", "slowly", provider="doitong", steps=500))
    talk.hear()  # it is under way
    talk.say(Cancel())
    steps, said = talk.answer()

    assert isinstance(said, Failed)
    assert not said.spent
    assert Progress(step=500, steps=500) not in steps
    assert isinstance(talk.draw(order(tmp_path / "b.png")), Finished)
    assert not (tmp_path / "a.png").exists()


def test_a_cancel_that_comes_too_late_harms_nothing(talk: Talk, tmp_path: Path) -> None:
    """It is about the order before it, whenever it is read."""
    talk.draw(order(tmp_path / "a.png"))
    talk.say(Cancel(), order(tmp_path / "b.png"))

    assert isinstance(talk.answer()[1], Finished)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_the_process_is_harmed_first_and_harms_least(talk: Talk) -> None:
    """The kernel takes it before anything else, and everything else is served before it."""
    pid = talk.process.pid

    assert (Path(f"/proc/{pid}") / "oom_score_adj").read_text().strip() == "1000"
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + 10
    assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)


def test_threads_are_fixed(talk: Talk, tmp_path: Path) -> None:
    """For pixels depend on how many there are: libraries and engine are told the same number."""
    said = talk.draw(order(tmp_path / "a.png"))

    assert isinstance(said, Finished)
    assert said.drawn.device == f"{talk.process.pid} with 3 threads, 3 for libraries"


def test_only_its_parent_ends_it(talk: Talk, tmp_path: Path) -> None:
    """A service manager tells every process to end, but what is drawn may yet be finished."""
    talk.process.send_signal(signal.SIGTERM)
    talk.process.send_signal(signal.SIGINT)

    assert isinstance(talk.draw(order(tmp_path / "a.png")), Finished)


@pytest.mark.parametrize("prompt", ["a cat", "hang"])
def test_it_ends_with_its_orders(tmp_path: Path, prompt: str) -> None:
    """When nobody can order anything any more, also in the midst of a drawing."""
    with child(Render()) as talk:
        talk.hear()
        talk.say(order(tmp_path / "a.png", prompt))
        assert talk.process.stdin is not None
        talk.process.stdin.close()

        assert talk.process.wait(timeout=60) == 0


UNFIT: dict[str, tuple[str, Render, str]] = {
    "no package": ("no.such.engine", Render(), r"pip install 'holdfast[render]' (No module named"),
    "half a package": (ENGINE, Render(engine=Engine(device="cuda:2")), "pip install 'holdfast"),
    "no device": (ENGINE, Render(engine=Engine(device="cuda:1")), "there is no such device"),
    "no certificate": (
        ENGINE,
        Render(credentials=Credentials(certificate_file="/no.pem", key_file="/no.pem")),
        "render.credentials: /no.pem",
    ),
}


@pytest.mark.parametrize(("engine", "render", "reason"), UNFIT.values(), ids=UNFIT)
def test_what_the_operator_must_mend_is_said_first(
    engine: str, render: Render, reason: str
) -> None:
    """Before any order is taken, and in words; then the child ends."""
    with child(render, engine) as talk:
        said = talk.hear()

        assert isinstance(said, Unfit)
        assert reason in said.reason
        assert talk.process.wait(timeout=60) == 0


def test_pictures_are_signed_last(tmp_path: Path) -> None:
    """Over the provenance as well, for any later change would break the signature."""
    with child(Render(credentials=make(tmp_path).credentials)) as talk:
        talk.hear()
        assert isinstance(talk.draw(order(tmp_path / "a.png")), Finished)

    png = (tmp_path / "a.png").read_bytes()
    with c2pa.Reader("image/png", io.BytesIO(png)) as reader:
        assert reader.get_validation_state() == "Valid"
    with Image.open(io.BytesIO(png)) as image:
        assert json.loads(image.info["holdfast"])["generation_id"] == "302455"


def test_by_default_each_processor_that_may_be_used_has_a_thread() -> None:
    """Those of a container, which are fewer than the machine's."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    try:
        with child(Render()) as one:
            ready = one.hear()
    finally:
        os.sched_setaffinity(0, mine)

    assert isinstance(ready, Ready)
    assert ready.device.endswith("with 1 threads, 1 for libraries")
