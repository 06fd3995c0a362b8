"""The Containerfile, as far as it can be known without an engine to build it."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
import shlex
import tomllib
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from receiver.cli import main
from receiver.config import load
from receiver.settings import Listen
from tests.deploy.programs import DEPLOY, ROOT

README = (ROOT / "README.md").read_text()
TEXT = (DEPLOY / "Containerfile").read_text()
IGNORED = (DEPLOY / "Containerfile.dockerignore").read_text().split()


def instructions() -> list[tuple[str, str]]:
    """Each with its words, comments left out and broken lines joined."""
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(*line.split(maxsplit=1),) for line in joined.splitlines() if line]  # type: ignore[misc]


def stages() -> dict[str, list[tuple[str, str]]]:
    """What each stage is made by; its first word is what it stands on."""
    found: dict[str, list[tuple[str, str]]] = {}
    for name, words in instructions():
        if name == "FROM":
            base, _, stage = words.split()
            found[stage] = [("FROM", base)]
        elif found:
            found[[*found][-1]].append((name, words))
    return found


def ancestry(stage: str) -> list[tuple[str, str]]:
    """All that an image is made by, from the bottom."""
    (_, base), *own = stages()[stage]
    return [*(ancestry(base) if base in stages() else [("FROM", base)]), *own]


def last(stage: str, name: str) -> str:
    """The instruction of that name that holds for an image."""
    return [words for found, words in ancestry(stage) if found == name][-1]


IMAGES = ("service", "render")


def test_the_base_is_pinned() -> None:
    """To a whole version, the one Python that the package is made for."""
    (argument,) = [words for name, words in instructions() if name == "ARG"]
    tag = re.fullmatch(r"PYTHON=docker\.io/library/python:(3\.11\.\d+)-slim-[a-z]+", argument)
    assert tag
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert tag[1].startswith(wanted.removeprefix(">="))
    known = {*stages(), "${PYTHON}"}
    assert [base for (_, base), *_ in stages().values() if base not in known] == []


def test_what_is_copied_exists() -> None:
    """Every path from here is there, is let through, and is all that the build needs."""
    copied = [
        path
        for name, words in instructions()
        if name == "COPY" and not words.startswith("--from=")
        for path in shlex.split(words)[:-1]
    ]
    assert [path for path in copied if not (ROOT / path).exists()] == []
    let_through = [line.removeprefix("!") for line in IGNORED if line.startswith("!")]
    assert sorted(copied) == sorted(let_through)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for pattern in packages["packages"]["find"]["include"]:
        assert fnmatch.filter(copied, pattern)
    origins = re.findall(r"--from=(\S+)", TEXT)
    assert [stage for stage in origins if stage not in stages()] == []


@pytest.mark.parametrize("image", IMAGES)
def test_nobody_in_it_is_root_and_nothing_builds(image: str) -> None:
    """An unprivileged user of a number, and no package or compiler of the system's."""
    made = ancestry(image)
    assert made[0] == ("FROM", "${PYTHON}")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(image, "USER"))
    assert [words for name, words in made if name == "RUN" and "pip" in words] == []
    assert "apt-get" not in TEXT
    assert f"--uid {last(image, 'USER').partition(':')[0]} " in TEXT


@pytest.mark.parametrize("image", IMAGES)
def test_the_archive_is_on_a_volume(image: str) -> None:
    """And it is where relative paths lead that the defaults have."""
    assert last(image, "VOLUME") == last(image, "WORKDIR") == "/data"


def test_torch_is_only_where_it_draws() -> None:
    """By the locks that there are; without a target the small image is built."""
    assert [*stages()][-1] == "service"
    service = ["requirements-build.lock", "requirements.lock"]
    for image, wanted in {
        "service": service,
        "render": [*service, "requirements-render.lock"],
    }.items():
        (origin,) = re.findall(r"--from=(\S+)", last(image, "COPY"))
        installed = " ".join(words for name, words in ancestry(origin) if name == "RUN")
        assert re.findall(r"-r (\S+)", installed) == wanted
        assert all((DEPLOY / lock).exists() for lock in wanted)
        assert "/opt/holdfast/bin/pip install" in installed  # as the README has it


def test_nothing_is_installed_whose_hash_is_not_known() -> None:
    """Each time pip is called, it has a lock to keep to, or may fetch nothing at all."""
    said = [words for name, words in instructions() if name == "RUN"]
    calls = [call for words in said for call in words.split("&&") if "pip" in call]
    assert len(calls) == 5
    for call in calls:
        locked = "--require-hashes -r requirements" in call
        assert locked or "--no-deps" in call
        assert locked or "--no-index" in call or "--no-build-isolation" in call


def test_its_environment_is_a_configuration() -> None:
    """Webhooks come in from outside, and the private listener stays within until it has tokens."""
    said = dict(pair.split("=", 1) for pair in shlex.split(last("service", "ENV")))
    ours = {name: value for name, value in said.items() if name.startswith("HOLDFAST_")}
    assert ours.pop("HOLDFAST_CONFIG") == "/etc/holdfast/holdfast.toml"
    listen = load(None, environ=ours).listen
    assert listen.public == "0.0.0.0:8080"
    assert (listen.private, listen.gateway) == (Listen().private, Listen().gateway)
    assert last("service", "EXPOSE") == listen.public.rpartition(":")[2]


def test_its_health_is_asked_for_where_it_is_told() -> None:
    """By a line of Python that is one, for nothing else is there to ask with."""
    words = last("service", "HEALTHCHECK")
    program, option, line = json.loads(words.partition("CMD ")[2])
    assert (program, option) == ("python", "-c")
    ast.parse(line)
    (url,) = re.findall(r"http://\S+(?=')", line)
    assert (urlsplit(url).port, urlsplit(url).path) == (8080, "/healthz")


def test_it_starts_the_service() -> None:
    """The program that pip installs, by a command that there is, from its own folder's `bin`."""
    assert json.loads(last("service", "ENTRYPOINT")) == ["holdfast"]
    assert "PATH=/opt/holdfast/bin:" in last("service", "ENV")
    command = json.loads(last("service", "CMD"))
    assert CliRunner().invoke(main, [*command, "--help"]).exit_code == 0


def test_the_readme_builds_and_runs_it() -> None:
    """With the file that there is, and for as long as a drain takes."""
    assert "podman build -f deploy/Containerfile -t holdfast ." in README
    assert "--stop-timeout 30" in README
