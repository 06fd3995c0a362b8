"""Several hosts on this machine: each has an address, and can be killed, cut off and slowed.

A host is a network namespace with a cable to the one bridge that joins them all. All of them see
the same files. They live within namespaces of one process, so with it they end, and whatever ran on
them. Linux only, with util-linux and iproute2.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

NETWORK = "10.77.0.0/24"
# Of whoever stands outside: the balancer, the providers and the test itself.
OUTSIDE = "10.77.0.1"
PROGRAMS = {
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "ip": "iproute2",
    "tc": "iproute2",
    "nginx": "nginx-light",
}

_OWN = ("--net", "--mount", "--pid", "--ipc")
# All that runs there ends with the first of its processes, whatever ends that one.
_NAMESPACES = ("unshare", *_OWN, "--fork", "--kill-child", "--mount-proc")
# Whoever is not root stays who he is, for PostgreSQL does not run as root.
_OF_A_USER = ("--user", "--map-current-user", "--keep-caps")
_TRIAL = "ip link add trial type bridge && ip link add cable type veth peer name eth0"
# Told by a line that the namespace is there.
_HOLD = "ip link set lo up && echo && exec sleep infinity"
_BURST_BYTES = 1600
_QUEUE_SECONDS = 5
_PATIENCE_SECONDS = 300


class Host:
    """One machine among others, as far as its network goes."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.address = f"10.77.0.{number}"
        self._hardware = f"02:00:00:00:00:{number:02x}"
        self._cable = f"to-{name}"
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", _HOLD], stdout=subprocess.PIPE, text=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "\n"
        self._place = f"/proc/{self._holder.pid}/ns/net"
        # What stands before a command that is to run on it.
        self.inside = ("nsenter", f"--net={self._place}", "--")
        self._plug_in()

    def meet(self, other: Host) -> None:
        """Where the other is stays known: what is sent to a vanished host is met with silence."""
        known = ("to", other.address, "lladdr", other._hardware, "nud", "permanent")
        _run(*self.inside, "ip", "neighbour", "replace", *known, "dev", "eth0")

    def cut_off(self) -> None:
        """Nothing reaches it any more, and nobody is told."""
        _run("ip", "link", "set", self._cable, "down")

    def reconnect(self) -> None:
        """All is as it was before `cut_off`."""
        _run("ip", "link", "set", self._cable, "up")

    @contextmanager
    def slowed(self, *, bytes_per_second: int) -> Iterator[None]:
        """So much goes through its cable either way, and the rest waits."""
        speed = ("rate", f"{bytes_per_second}bps", "burst", f"{_BURST_BYTES}b")
        ends = ((self._cable, ()), ("eth0", self.inside))
        for device, inside in ends:
            shape = ("root", "tbf", *speed, "latency", f"{_QUEUE_SECONDS}s")
            _run(*inside, "tc", "qdisc", "add", "dev", device, *shape)
        try:
            yield
        finally:
            for device, inside in ends:
                _run(*inside, "tc", "qdisc", "del", "dev", device, "root")

    def kill(self) -> None:
        """Ends every process on it without a word; returns once there is none."""
        while processes := self._processes():
            for pid in processes:
                with _gone_already():
                    os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        """Takes it away."""
        self.kill()
        self._holder.kill()
        self._holder.communicate()

    def _plug_in(self) -> None:
        own = ("netns", str(self._holder.pid), "address", self._hardware)
        _run("ip", "link", "add", self._cable, "type", "veth", "peer", "name", "eth0", *own)
        _run("ip", "link", "set", self._cable, "master", "bridge", "up")
        _run(*self.inside, "ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        _run(*self.inside, "ip", "link", "set", "eth0", "up")

    def _processes(self) -> list[int]:
        here = Path(self._place).readlink()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self._holder.pid:
                with _gone_already():
                    if (entry / "ns/net").readlink() == here:
                        found.append(int(entry.name))
        return found


@contextmanager
def network(*names: str) -> Iterator[dict[str, Host]]:
    """Hosts of these names, that reach each other and whoever stands outside."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", "bridge", "type", "bridge")
    _run("ip", "address", "add", f"{OUTSIDE}/24", "dev", "bridge")
    _run("ip", "link", "set", "bridge", "up")
    hosts: dict[str, Host] = {}
    try:
        for number, name in enumerate(names, start=2):
            hosts[name] = Host(name, number)
        for one in hosts.values():
            for other in hosts.values():
                if one is not other:
                    one.meet(other)
        yield hosts
    finally:
        for host in hosts.values():
            host.close()


@cache
def missing() -> str:
    """Why there can be no hosts here, and what would help; empty where there can."""
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=_path()) is None:
            return f"{program} is missing: apt-get install {package}"
    tried = subprocess.run(
        [*_namespaces(), "sh", "-c", _TRIAL], capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        return ""
    return f"no networks of our own, as root or in a user namespace: {tried.stderr.strip()}"


def among_hosts(module: str, folder: Path, **said: Any) -> Any:
    """Runs `main(folder, **said)` of a module where hosts can be; what it returns, as JSON."""
    code = f"from {module} import main; from tests.archiver.island import tell; tell(main)"
    done = subprocess.run(
        [*_namespaces(), sys.executable, "-c", code],
        input=json.dumps({"folder": str(folder), **said}),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        env={**os.environ, "PATH": _path()},
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} ended with {done.returncode}: {done.stderr[-6000:]}")
    sys.stderr.write(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _namespaces() -> list[str]:
    own = () if os.geteuid() == 0 else _OF_A_USER
    return [_NAMESPACES[0], *own, *_NAMESPACES[1:]]


def _path() -> str:
    """Debian has some of the programs where only root looks."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@contextmanager
def _gone_already() -> Iterator[None]:
    """What has ended meanwhile needs nothing more."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError):
        return


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
