"""`holdfast render` and `holdfast work` as they are typed, with an engine that draws squares."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result
from PIL import Image

from archiver.catalog import CatalogReader
from archiver.desk import Verdict
from archiver.errors import ConfigError
from archiver.models import GenerationParams, GenerationState, Slot, SlotObservation
from fallback_renderer import role
from fallback_renderer.commands import by_hand, lost
from fallback_renderer.pool import Pool
from fallback_renderer.remote import HttpDesk
from fallback_renderer.role import work_for
from fallback_renderer.settings import from_settings
from receiver.cli import main
from tests.contracts.desk import MODERATED, House, open_house, png
from tests.fallback_renderer.test_remote import SECRET, served

ROOT = Path(__file__).parent.parent.parent
CHECKPOINT = {"family": "sd15", "models": ["sd-1.5"], "path": "weights", "default": True}
SQUARES = "tests.fallback_renderer.faulty_engine"
# With a model that the checkpoint stands in for.
PARAMS = GenerationParams(prompt="a fox", model="stable-diffusion", seed=7, width=64, height=64)

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _squares(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever draws draws squares, wherever it runs; and nobody's log is changed for good."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for room in (by_hand, lost, role):
        monkeypatch.setattr(room, "Pool", partial(Pool, engine=SQUARES))
    level = logging.getLogger("aiohttp.server").level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    logging.getLogger("aiohttp.server").setLevel(level)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where all is typed: a configuration, and as yet no archive."""
    monkeypatch.chdir(tmp_path)
    settings = {
        "catalog": {"url": "sqlite:///catalog.db"},
        "bucket": {"url": "file:bucket"},
        "render.checkpoints.mine": CHECKPOINT,
    }
    lines = [
        line
        for name, table in settings.items()
        for line in (f"[{name}]", *(f"{key} = {json.dumps(it)}" for key, it in table.items()))
    ]
    (tmp_path / "holdfast.toml").write_text("\n".join(lines))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model_index.json").touch()
    return tmp_path


def typed(*arguments: str) -> Result:
    """A command run to its end, inside this process."""
    return CliRunner().invoke(main, arguments)


def said(*arguments: str, exit_code: int = 0) -> list[dict[str, Any]]:
    """What it prints with --json."""
    done = typed(*arguments, "--json")
    assert (done.exit_code, done.stderr) == (exit_code, "")
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def prepare(folder: Path, work: Callable[[House], Awaitable[T]]) -> T:
    """An archive that has come to something, before anything is typed."""

    async def made() -> T:
        async with open_house(folder) as house:
            return await work(house)

    return asyncio.run(made())


async def lose_two(house: House, **how: Any) -> int:
    """A generation `doitong/fox` that lost both of its pictures; the number of its second."""
    slots = (SlotObservation(index=0), SlotObservation(index=1))
    return await house.lose(params=PARAMS, slots=slots, **how)


def slots(folder: Path) -> list[Slot]:
    """Those of `doitong/fox` as they stand."""
    reader = CatalogReader(folder / "catalog.db")
    with reader.view() as tables:
        generation = tables.generations.load("doitong", "fox")
    reader.close()
    assert generation is not None
    return list(generation.slots)


def states(folder: Path) -> list[str]:
    return [slot.state.value for slot in slots(folder)]


def test_all_that_a_generation_lost_is_drawn(here: Path) -> None:
    """Each slot with its own seed, into the archive, and it is said how; then nothing is left."""
    second = prepare(here, lose_two)
    told = said("render", "doitong/fox")
    names = {"provider": "doitong", "id": "fox", "reason": None}

    assert [{name: it[name] for name in names} for it in told] == [names] * 2
    assert [(it["slot"], it["number"]) for it in told] == [(0, second - 1), (1, second)]
    assert [(it["how"]["drawn_with"], it["how"]["seed"]) for it in told] == [
        ("weights", 7),
        ("weights", 8),
    ]
    assert "unavailable: scheduler: squares need none" in told[0]["notes"]
    assert states(here) == ["rendered", "rendered"]
    seeds = [asset.rendering.seed for slot in slots(here) for asset in slot.assets]
    assert seeds == [7, 8]
    again = typed("render", "doitong/fox")
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr.startswith("Error: doitong/fox has lost nothing: ")


def test_one_slot_is_drawn_by_its_number(here: Path) -> None:
    """The other is left as it is; people read a line, and the notes under it."""
    second = prepare(here, lose_two)
    done = typed("render", str(second))

    assert (done.exit_code, done.stderr) == (0, "")
    line, *notes = done.stdout.splitlines()
    assert line.startswith(f"slot 1, archive number {second}: drawn with weights, ")
    assert line.endswith(", seed 8")
    assert "  unavailable: scheduler: squares need none" in notes
    assert states(here) == ["held", "rendered"]


@pytest.mark.parametrize("verdict", [Verdict.REFUSED, Verdict.DISCARDED])
def test_what_renderers_have_given_up_is_drawn_by_hand(here: Path, verdict: Verdict) -> None:
    """Somebody may have mended what was wrong."""

    async def give_up(house: House) -> int:
        number = await house.lose(params=PARAMS)
        await house.desk.fail(await house.claim(), verdict, "no")
        return number

    number = prepare(here, give_up)
    assert [it["reason"] for it in said("render", str(number))] == [None]
    assert states(here) == ["rendered"]


def test_what_is_not_drawn_says_why(here: Path) -> None:
    """The rest is drawn all the same; the exit code says that something is not."""

    async def begin(house: House) -> int:
        second = await lose_two(house)
        house.clock.advance(seconds=10**9)  # so that for the command the lease is not over
        await house.claim("somebody else", number=second)
        return second

    second = prepare(here, begin)
    told = said("render", "doitong/fox", exit_code=1)
    assert [it["reason"] for it in told] == [
        None,
        f"slot {second} is being drawn already, by somebody else",
    ]
    assert states(here) == ["rendered", "held"]


REASONS: dict[str, tuple[dict[str, Any], str]] = {
    "moderated": ({"failure": MODERATED}, "moderation, never drawn: not this fox"),
    "canceled": (
        {"state": GenerationState.CANCELED, "failure": None},
        "canceled at the provider",
    ),
}


@pytest.mark.parametrize(("how", "reason"), REASONS.values(), ids=REASONS)
def test_what_may_not_be_drawn_never_is(here: Path, how: dict[str, Any], reason: str) -> None:
    """Not by hand either, nor is it planned."""
    prepare(here, partial(lose_two, **how))
    done = typed("render", "doitong/fox")

    assert (done.exit_code, done.stderr) == (1, "")
    assert done.stdout.count(reason) == 2
    planned = said("render", "--plan", "doitong/fox", exit_code=1)
    assert all(it["reason"] and it["how"] == {} for it in planned)
    assert slots(here)[0].assets == ()


def test_what_the_engine_cannot_draw_is_told(here: Path) -> None:
    """With the engine's own words, and the slot says the same."""
    prepare(here, partial(House.lose, params=replace(PARAMS, prompt="have no weights")))
    [told] = said("render", "doitong/fox", exit_code=1)

    assert told["reason"] == "no weights: fetch them"
    assert [slot.reason for slot in slots(here)] == ["not drawn: no weights: fetch them"]


def test_a_plan_says_what_would_be_drawn(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slot by slot, with every difference to what was asked; no child is started, and nothing is
    changed."""
    monkeypatch.setattr(lost, "Pool", None)
    second = prepare(here, lose_two)
    before = slots(here)
    told = said("render", "--plan", "doitong/fox")

    assert [(it["slot"], it["number"], it["reason"]) for it in told] == [
        (0, second - 1, None),
        (1, second, None),
    ]
    how = told[1]["how"]
    assert (how["checkpoint"], how["prompt"], how["width"], how["seed"]) == (
        "weights",
        "a fox",
        64,
        8,
    )
    assert told[1]["notes"] == ["substituted: model: stable-diffusion is drawn with weights"]
    assert said("render", "--plan", str(second)) == told[1:]
    assert slots(here) == before


def test_a_plan_tells_no_seed_where_nobody_knows_it(here: Path) -> None:
    """The next one would be another; and no text of a stranger's paints the terminal."""
    prepare(here, partial(House.lose, params=replace(PARAMS, prompt="\x1b[31ma\nfox", seed=None)))
    [told] = said("render", "--plan", "doitong/fox")
    done = typed("render", "--plan", "doitong/fox")

    assert told["how"]["seed"] is None
    assert any(note.startswith("missing: seed: ") for note in told["notes"])
    assert "prompt  [31ma fox, " in done.stdout
    assert "seed None" not in done.stdout


def test_what_is_in_the_archive_is_not_planned(here: Path) -> None:
    """By its number, which names it."""

    async def bring(house: House) -> int:
        number = await house.lose()
        await house.store("fox", 0, png())
        return number

    number = prepare(here, bring)
    [told] = said("render", "--plan", str(number), exit_code=1)
    assert told["reason"] == "it is in the archive"


def test_a_prompt_of_ones_own_is_drawn_into_a_file(here: Path) -> None:
    """As it is asked for, and stamped as everything is that is drawn here; no archive is needed."""
    size = ("--width", "64", "--height", "72")
    params = ("--seed", "5", "--steps", "2", "--guidance-scale", "6.5", "--scheduler", "ddim")
    prompts = ("--prompt", "a fox", "--negative-prompt", "a hen", "--model", "sd-1.5")
    [told] = said("render", *prompts, *size, *params, "--out", "fox.png")

    assert told["file"] == str(here / "fox.png")
    assert (told["how"]["seed"], told["how"]["drawn_with"]) == (5, "weights")
    assert told["notes"] == ["unavailable: scheduler: squares need none"]
    with Image.open("fox.png") as image:
        assert image.size == (64, 72)
        stamped = json.loads(image.info["holdfast"])
    assert (stamped["provider"], stamped["model"]) == ("by hand", "sd-1.5")
    drawn = stamped["parameters"]
    assert (drawn["prompt"], drawn["negative_prompt"], drawn["steps"]) == ("a fox", "a hen", 2)
    assert (drawn["guidance_scale"], drawn["scheduler"]["class_name"]) == (6.5, "DDIMScheduler")
    assert {path.name for path in here.iterdir()} == {"holdfast.toml", "weights", "fox.png"}


def test_a_prompt_without_a_file_is_named_after_its_seed(here: Path) -> None:
    """So that two of them never meet, and each can be drawn again."""
    done = typed("render", "--prompt", "a fox", "--width", "64", "--height", "64", "--seed", "5")

    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("drawn-5.png: drawn with weights, seed 5, width 64, height 64, ")
    assert (here / "drawn-5.png").exists()


def test_a_prompt_is_planned_and_refused_like_any_request(here: Path) -> None:
    """With the same words."""
    [planned] = said("render", "--plan", "--prompt", "a fox", "--seed", "0")
    for_people = typed("render", "--plan", "--prompt", "a fox", "--seed", "0").stdout
    [empty] = said("render", "--prompt", " ", exit_code=1)
    [failed] = said("render", "--prompt", "have no weights", exit_code=1)

    assert (planned["how"]["seed"], planned["reason"]) == (0, None)
    assert for_people.startswith("the prompt: checkpoint weights, task text-to-image, prompt a fox")
    assert ", seed 0, clip skip 1, safety checker\n" in for_people
    assert empty["reason"] == "nobody has heard its prompt"
    assert failed["reason"] == "no weights: fetch them"
    assert {path.name for path in here.iterdir()} == {"holdfast.toml", "weights"}


USAGE = [
    ["render"],
    ["render", "1", "--prompt", "a fox"],
    ["render", "1", "--seed", "5"],
    ["render", "1", "--out", "a.png"],
    ["render", "--prompt", "a fox", "--width", "0"],
    ["render", "--prompt", "a fox", "--seed", "-1"],
    ["work"],
    ["work", "--server", "https://h"],
    ["work", "--server", "https://h", "--token-file", "t", "--role", "web"],
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_what_cannot_be_typed_is_wrong_usage(here: Path, arguments: list[str]) -> None:
    """Exit code 2, with a way to help."""
    done = typed(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--help" in done.stderr


WRONG = {
    "no archive": (["render", "1"], "there is no archive at "),
    "no archive to plan for": (["render", "--plan", "a/b"], "there is no archive at "),
    "no folder": (
        ["render", "--prompt", "a", "--model", "sd-1.5", "--out", "no/a.png"],
        "--out no/a.png: there is no folder ",
    ),
    "no checkpoint": (["--config", "empty.toml", "render", "1"], "there is nothing to draw with. "),
    "no checkpoint to work with": (
        ["--config", "empty.toml", "work", "--server", "https://h", "--token-file", "token"],
        "there is nothing to draw with. ",
    ),
    "no token": (
        ["work", "--server", "https://h", "--token-file", "no"],
        "--token-file no cannot be read as text",
    ),
    "an empty token": (
        ["work", "--server", "https://h", "--token-file", "empty.toml"],
        "--token-file empty.toml must hold the token, and nothing else",
    ),
    "a token in the clear": (
        ["work", "--server", "http://h", "--token-file", "token"],
        "--server = 'http://h' would send the token in the clear",
    ),
}


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
def test_an_error_is_a_sentence_on_stderr(here: Path, arguments: list[str], says: str) -> None:
    """Exit code 1, nothing on stdout, and no traceback."""
    (here / "empty.toml").touch()
    (here / "token").write_text("t")
    done = typed(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {says}")


@pytest.mark.parametrize("target", ["doitong/nobody", "999", "fox", "9" * 30, "doitong/\udcff"])
def test_a_target_that_is_none_is_said(here: Path, target: str) -> None:
    """And which there are."""
    prepare(here, lose_two)
    for plan in ([], ["--plan"]):
        done = typed("render", *plan, target)
        assert (done.exit_code, done.stdout) == (1, "")
        assert "a TARGET is PROVIDER/GENERATION-ID, or the archive number" in done.stderr


async def test_a_renderer_elsewhere_draws_over_http(here: Path) -> None:
    """The whole of `holdfast work` against the real private listener: child, desk and loop."""
    stop, elsewhere = asyncio.Event(), here / "elsewhere"
    elsewhere.mkdir()
    async with served(here) as house:
        number = await house.lose(params=PARAMS)
        render = from_settings({"checkpoints": {"mine": CHECKPOINT}})
        working = asyncio.create_task(work_for(house.desk, render, spool=elsewhere, stop=stop))
        while not (await house.slot(number)).assets:
            await asyncio.wait({working}, timeout=0.01)
            assert not working.done()
        stop.set()
        await working
        assert await house.stands(number) == "rendered: drawn by the fallback renderer"
    assert list(elsewhere.iterdir()) == []


async def test_a_renderer_whose_token_is_not_taken_ends(here: Path) -> None:
    """With the sentence what to write where; nobody would mend it by waiting."""

    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"detail": "a bearer token is needed"}, status=401)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", refuse)
    render = from_settings({"checkpoints": {"mine": CHECKPOINT}})
    async with TestServer(app) as server, HttpDesk(str(server.make_url("/")), SECRET) as desk:
        with pytest.raises(ConfigError, match=r"\(a bearer token is needed\): let its config"):
            await work_for(desk, render, spool=here, stop=asyncio.Event())


@pytest.mark.parametrize("words", [("doitong/fox",), ("--prompt", "a fox")])
def test_without_the_weights_nothing_is_drawn_but_a_plan(
    here: Path, words: tuple[str, ...]
) -> None:
    """The error names the setting; and what would be drawn can be seen on any machine."""
    prepare(here, partial(House.lose, params=PARAMS))
    shutil.rmtree(here / "weights")
    said("render", "--plan", *words)
    done = typed("render", *words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: render.checkpoints.mine.path: there is no checkpoint in")
