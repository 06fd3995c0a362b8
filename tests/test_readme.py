"""The README is held against the code: its plan, its diagram, its settings, its commands."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import msgspec
import pytest

from archiver.diagram import mermaid
from fallback_renderer.settings import Render, from_settings
from receiver import config
from receiver.cli import COMMANDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    """The README's code blocks of that language."""
    return [text for found, text in BLOCKS if found == language]


def test_diagram_is_the_law() -> None:
    """The picture of a slot's states is drawn from the table that decides them."""
    assert [block.strip() for block in blocks("mermaid")] == [mermaid()]


def floor_plan() -> dict[str, bool]:
    """Each room of the plan, and whether it is marked as pure."""
    (plan,) = [block for block in blocks("") if block.startswith("receiver/")]
    rooms, wing = {}, ""
    for line in plan.splitlines():
        name = line.split()[0]
        wing = wing if line.startswith(" ") else name
        if line.startswith(" "):
            rooms[wing + name] = "◇" in line
    return rooms


def test_floor_plan_is_the_house() -> None:
    """Every room stands in the plan, and the plan has no other."""
    rooms = {
        str(path.relative_to(ROOT)) + ("/" if path.is_dir() else "")
        for wing in ("receiver", "archiver", "fallback_renderer")
        for path in (ROOT / wing).iterdir()
        if path.name not in ("__init__.py", "__pycache__")
    }

    assert set(floor_plan()) == rooms


def test_pure_rooms_are_those_that_the_linter_guards() -> None:
    """The mark for purity is no decoration: import-linter holds the same rooms to it."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (guarded,) = [
        set(contract["source_modules"])
        for contract in contracts["contracts"]
        if contract["name"] == "Pure rooms do no I/O"
    ]
    marked = {
        room.removesuffix(".py").strip("/").replace("/", ".")
        for room, pure in floor_plan().items()
        if pure
    }

    assert marked == guarded


def test_named_files_exist() -> None:
    """A path in the text leads somewhere."""
    named = re.findall(r"`((?:receiver|archiver|fallback_renderer|tests)/[\w/.]*)`", README)

    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_documented(command: str) -> None:
    """Every command is mentioned."""
    assert f"holdfast {command}" in README


@pytest.mark.parametrize("block", blocks("toml"))
def test_settings_load(block: str) -> None:
    """Every configuration shown is one that is accepted."""
    tree = tomllib.loads(block)
    config.from_tree(tree)
    if "checkpoints" in tree.get("render", {}):
        from_settings(tree["render"])


def test_settings_are_all_shown_with_their_defaults() -> None:
    """The reference has every setting, and says of each what it is if left out."""
    shown = tomllib.loads(max(blocks("toml"), key=len))
    shown["providers"]["doitong"]["secrets"] = {}
    shown.pop("tokens")
    render = shown.pop("render")
    shown["bucket"] |= {"endpoint": None, "region": None}
    plain = {"providers": {"doitong": {}, "modelslab": {}, "dashscope": {}}}

    assert config.from_tree(shown) == config.from_tree(plain)
    assert _names(shown) == _names(_as_tree(config.from_tree(plain))) - {"tokens", "render"}
    assert msgspec.convert(render, Render) == Render()
    assert _names(render) == _names(_as_tree(Render())) - {"checkpoints", "credentials"}


def _names(tree: dict, prefix: str = "") -> set[str]:
    return {
        name
        for key, value in tree.items()
        for name in (
            _names(value, f"{prefix}{key}.")
            if isinstance(value, dict) and value
            else [prefix + key]
        )
    }


def _as_tree(value: object) -> object:
    fields = getattr(value, "__struct_fields__", None)
    if fields is None:
        return value
    return {name: _as_tree(getattr(value, name)) for name in fields}


def test_make_targets_exist() -> None:
    """What the README tells a newcomer to make can be made."""
    targets = re.findall(r"^make (\w+)$", README, re.MULTILINE)

    assert {"run", "test", "check"} <= set(targets)
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_make_run_shows_the_demo_and_goes_on(tmp_path: Path) -> None:
    """`make run` ends its demo well, says what to try next, and stops on Ctrl-C.

    As after its own installation, without what draws.
    """
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['diffusers'] = None\n")
    process = subprocess.Popen(
        ["make", "run"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        start_new_session=True,
    )
    try:
        shown = []
        for line in process.stdout:
            shown.append(line)
            if "goes on running" in line:
                break
        text = "".join(shown)

        assert "goes on running" in text, text
        assert "8 archived" in text
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_real_provider_session(tmp_path: Path) -> None:
    """The commands of "With a real provider" do what they promise, one after the other."""
    if shutil.which("curl") is None:
        pytest.skip("curl is missing: apt-get install curl")
    section = README.partition("## With a real provider")[2].partition("\n## ")[0]
    settings, serve, *client = re.findall(r"^```\w*\n(.*?)^```$", section, re.M | re.S)
    ports = {"8080": str(free_port()), "8081": str(free_port())}
    (tmp_path / "holdfast.toml").write_text(settings)
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOLDFAST_LISTEN__PUBLIC": f"127.0.0.1:{ports['8080']}",
        "HOLDFAST_LISTEN__PRIVATE": f"127.0.0.1:{ports['8081']}",
    }
    service = subprocess.Popen(
        serve.split(), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        _until_ready(service)
        said = ""
        for block in client:
            text = re.sub(r"127\.0\.0\.1:(808\d)", lambda m: f"127.0.0.1:{ports[m[1]]}", block)
            for script in _statements(text):
                said += _run_until_good(script, tmp_path, environment)

        assert "202 stored" in said
        assert "doitong/hello" in said
        assert "A lighthouse in a storm" in said
        assert "archive role last seen" in said
    finally:
        service.terminate()
        service.communicate(timeout=30)


def test_a_receiver_is_told(tmp_path: Path) -> None:
    """The example of "Being told" hears of the generation that was lost, and believes it."""
    section = README.partition("## Being told")[2].partition("\n## ")[0]
    settings, program, client = re.findall(r"^```\w*\n(.*?)^```$", section, re.M | re.S)
    ports = {port: str(free_port()) for port in ("8080", "8081", "9000")}

    def moved(text: str) -> str:
        text = re.sub(r"127\.0\.0\.1:(\d{4})", lambda m: f"127.0.0.1:{ports[m[1]]}", text)
        return text.replace("port=9000", f"port={ports['9000']}")

    (tmp_path / "receiver.py").write_text(moved(program))
    (tmp_path / "holdfast.toml").write_text(
        f'{moved(settings)}\n[providers.doitong]\nsecrets = {{ a = "a secret" }}\n'
    )
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOLDFAST_LISTEN__PUBLIC": f"127.0.0.1:{ports['8080']}",
        "HOLDFAST_LISTEN__PRIVATE": f"127.0.0.1:{ports['8081']}",
    }
    where = {"cwd": tmp_path, "env": environment, "text": True}
    with (
        subprocess.Popen(
            [sys.executable, "receiver.py"], stdout=subprocess.PIPE, **where
        ) as receiver,
        subprocess.Popen(["holdfast", "serve"], stderr=subprocess.PIPE, **where) as service,
    ):
        try:
            _until_ready(service)
            _run_until_good(moved(client), tmp_path, environment)
            told = (line for line in receiver.stdout if line.startswith("msg_"))
            assert re.fullmatch(r"msg_[0-9a-f]{32} generation.lost gone\n", next(told))
        finally:
            service.terminate()
            receiver.terminate()


def _statements(text: str) -> list[str]:
    return text.replace("\\\n", " ").strip().splitlines()


def _until_ready(service: subprocess.Popen) -> None:
    for line in service.stderr:
        if '"role": "supervisor"' in line and '"event": "ready"' in line:
            return
    raise AssertionError("the service ended before it was ready")


def _run_until_good(script: str, folder: Path, environment: dict) -> str:
    """What is stored is absorbed a moment later, so a look may come too early: look again."""
    gives_up_at = time.monotonic() + 20
    while True:
        done = subprocess.run(
            ["sh", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
        )
        empty = "nothing found" in done.stderr
        if (done.returncode == 0 and not empty) or time.monotonic() > gives_up_at:
            assert done.returncode == 0, done.stderr
            return done.stdout
