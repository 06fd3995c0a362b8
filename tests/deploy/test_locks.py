"""The locks: every version that an image is made of, with the hashes that its files may have."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deploy.programs import DEPLOY, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What of the package each image has in it.
EXTRAS = {
    "requirements.lock": ("postgres",),
    "requirements-render.lock": ("render", "credentials", "postgres"),
}
LOCKS = (*EXTRAS, "requirements-build.lock")

_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+?))?"
    r"(?P<hashes>(?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)
_COMMENT = re.compile(r" *#.*\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """One line of a lock."""

    name: str
    version: Version
    marker: Marker | None

    def holds_here(self) -> bool:
        """Whether it is installed on a machine like this."""
        return self.marker is None or self.marker.evaluate()


def pins(text: str) -> list[Pin]:
    """Every line of a lock, and nothing beside them; raises ValueError for what is none."""
    rest = _LINE.sub("", _COMMENT.sub("", text))
    if rest:
        raise ValueError(f"what is {rest[:80]!r}?")
    return [
        Pin(
            name=canonicalize_name(found["name"]),
            version=Version(found["version"]),
            marker=Marker(found["marker"]) if found["marker"] else None,
        )
        for found in _LINE.finditer(_COMMENT.sub("", text))
    ]


def locked(lock: str) -> dict[str, Pin]:
    """What a lock installs on a machine like this."""
    return {pin.name: pin for pin in pins((DEPLOY / lock).read_text()) if pin.holds_here()}


def wanted(lock: str) -> Iterator[Requirement]:
    """What pyproject.toml asks for."""
    yield from map(Requirement, PROJECT["dependencies"])
    for extra in EXTRAS[lock]:
        yield from map(Requirement, PROJECT["optional-dependencies"][extra])


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_versions_and_hashes_alone(lock: str) -> None:
    """No address, no path, no option: whence pip takes the files is the machine's own affair."""
    text = (DEPLOY / lock).read_text()
    assert pins(text)
    assert "://" not in text
    assert not re.search(
        r"(?m)^\s*(-|#.*(/|file:)(opt|tmp|home|work)/)", text.replace("--hash", "")
    )


@pytest.mark.parametrize(
    "line",
    [
        "aiohttp==3.14.5\n",
        "aiohttp>=3.14 \\\n    --hash=sha256:" + "0" * 64 + "\n",
        "aiohttp==3.14.5 \\\n    --hash=md5:" + "0" * 32 + "\n",
        "--index-url https://evil.example/simple\n",
        "aiohttp @ https://evil.example/aiohttp.whl\n",
    ],
)
def test_anything_else_would_be_seen(line: str) -> None:
    """A version without a hash, a range, another index."""
    with pytest.raises(ValueError, match="what is"):
        pins(line)


@pytest.mark.parametrize("lock", EXTRAS)
def test_everything_that_is_needed_is_in_it(
    lock: str, record_property: Callable[[str, object], None]
) -> None:
    """What pyproject.toml asks for, in its range, and whatever that asks for in turn."""
    here = locked(lock)
    todo = [it for it in wanted(lock) if it.marker is None or it.marker.evaluate()]
    seen = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        assert name in here, f"{lock} lacks {requirement}"
        assert requirement.specifier.contains(here[name].version, prereleases=True), requirement
        if (name, *requirement.extras) not in seen:
            seen.add((name, *requirement.extras))
            todo += _needs(name, requirement.extras, here[name].version)
    if "render" not in EXTRAS[lock]:
        assert {name for name, *_ in seen} == set(here)
    record_property("result", f"{len(pins((DEPLOY / lock).read_text()))} versions in {lock}")


def _needs(name: str, extras: set[str], version: Version) -> Iterator[Requirement]:
    """What a package asks for, as far as it is installed here in that very version."""
    try:
        found = distribution(name)
    except ModuleNotFoundError:
        return
    if Version(found.version).public != version.public:
        return  # it may ask for other things
    for line in found.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": it}) for it in ("", *extras)):
            yield requirement


def test_both_images_have_the_same_of_what_both_have() -> None:
    """What draws here and what draws there speak with one voice; nothing is installed twice."""
    service, render = (locked(lock) for lock in EXTRAS)
    assert {name: pin.version for name, pin in service.items()} == {
        name: pin.version for name, pin in render.items() if name in service
    }


def test_the_build_is_locked_as_well() -> None:
    """What makes the wheel is what pyproject.toml asks for, and no more."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    here = locked("requirements-build.lock")
    assert len(here) == len(asked)
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(here[requirement.name].version)
        assert f"echo '{requirement}'" in (ROOT / "Makefile").read_text()


def test_pip_refuses_what_is_not_the_locked_file(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A file of another hash is not installed, whoever serves it; without a hash it would be."""
    wheel = tmp_path / "idna-3.7-py3-none-any.whl"
    _make_wheel(wheel)
    for hashed, expected in ((True, 1), (False, 0)):
        lock = tmp_path / "a.lock"
        lock.write_text("idna==3.7" + (f" --hash=sha256:{'0' * 64}" if hashed else "") + "\n")
        command = [
            *(sys.executable, "-m", "pip", "install", "--no-index", "--no-deps", "--isolated"),
            *("--find-links", str(tmp_path), "--target", str(tmp_path / "there")),
            *("-r", str(lock)),
        ]
        told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert told.returncode == expected, told.stderr
        assert (tmp_path / "there" / "idna.py").exists() is not hashed
    record_property("control", "a changed file is installed where there is no hash")


def _make_wheel(path: Path) -> None:
    """A package that is not what it says it is."""
    about = "idna-3.7.dist-info"
    with ZipFile(path, "w") as wheel:
        wheel.writestr("idna.py", "raise SystemExit('evil')")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: idna\nVersion: 3.7\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
