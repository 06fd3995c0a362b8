"""The units, as systemd itself reads them."""

from __future__ import annotations

import re
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest

from receiver.roles.activation import handed_over
from receiver.settings import Listen
from tests.deploy.programs import DEPLOY, program, run

UNITS = sorted([*DEPLOY.glob("*.service"), *DEPLOY.glob("*.socket")])
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
SOCKETS = [unit for unit in UNITS if unit.suffix == ".socket"]
INSTALLED = "/opt/holdfast/bin/holdfast"

# In tenths, as `systemd-analyze security` gives them: 0 is the best, 96 a unit that says nothing.
MOST_EXPOSED = {"holdfast.service": 20, "holdfast-render.service": 40}


class Unit(RawConfigParser):
    """A unit's settings; of one that stands there often the last."""

    def __init__(self, path: Path) -> None:
        super().__init__(strict=False, interpolation=None, delimiters=("=",))
        self.optionxform = str  # type: ignore[assignment]
        self.read(path)


def test_systemd_takes_them(tmp_path: Path) -> None:
    """All of them together, with the program where this one is installed."""
    analyze = program("systemd-analyze", "systemd")
    here = str(Path(sys.executable).with_name("holdfast"))
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, here))
    assert run(analyze, "verify", *(tmp_path / unit.name for unit in UNITS)) == ""


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_they_are_sandboxed(service: Path) -> None:
    """Systemd's own measure of what a break-in could reach stays low."""
    analyze = program("systemd-analyze", "systemd")
    threshold = f"--threshold={MOST_EXPOSED[service.name]}"
    said = run(analyze, "security", "--no-pager", "--offline=yes", threshold, service)
    assert "Overall exposure level" in said


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_they_start_the_program_that_the_readme_installs(service: Path) -> None:
    """With a configuration that systemd hands over, and with the time that a drain takes."""
    settings = Unit(service)["Service"]
    assert settings["ExecStart"].split()[:2] == [INSTALLED, "--config"]
    assert INSTALLED.removesuffix("holdfast") in (DEPLOY.parent / "README.md").read_text()
    assert "LoadCredential=holdfast.toml:" in service.read_text()
    assert int(settings["TimeoutStopSec"]) >= 30


def test_there_is_a_socket_for_each_listener() -> None:
    """At its own address, under the name by which the service knows it."""
    listeners = {name: getattr(Listen(), name) for name in ("public", "private", "gateway")}
    units = [Unit(path) for path in SOCKETS]
    handed = {it["Socket"]["FileDescriptorName"]: it["Socket"]["ListenStream"] for it in units}
    assert handed == listeners
    names = {"LISTEN_PID": "7", "LISTEN_FDS": "3", "LISTEN_FDNAMES": ":".join(handed)}
    assert set(handed_over(names, 7)) == set(listeners)
    assert {it["Socket"]["Service"] for it in units} == {"holdfast.service"}
    always = Unit(DEPLOY / "holdfast.service")["Service"]["Sockets"].split()
    assert always == ["holdfast.socket", "holdfast-private.socket"]


def test_the_readme_names_them_all() -> None:
    """An operator installs what the page says, and enables each by name."""
    section = (DEPLOY.parent / "README.md").read_text()
    assert re.search(r"install .* deploy/holdfast\*", section)
    assert [path.name for path in SOCKETS if path.name not in section] == []
