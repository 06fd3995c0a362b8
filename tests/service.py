"""The installed service as processes of its own, and what a test may see of it from outside."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from archiver import clock

T = TypeVar("T")

HOLDFAST = str(Path(sys.executable).with_name("holdfast"))
SECRET = "whsec service"
# A test that waits longer for a process has failed.
PATIENCE_SECONDS = 60
_LOOK_SECONDS = 0.02
# Called so until the kernel has the role's name for it.
SPARE = "spare"


class Service:
    """One `holdfast serve`: its addresses, its log lines as they come, its processes."""

    def __init__(self, process: subprocess.Popen[str], config_file: Path) -> None:
        self.process = process
        self.config_file = config_file
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def logged(self, event: str, **fields: object) -> dict[str, Any]:
        """Waits for a log line of that event and with those fields."""
        with self._news:
            found = self._news.wait_for(
                lambda: self._find(event, fields) or self._closed, PATIENCE_SECONDS
            )
        assert isinstance(found, dict), f"no line says {event!r}:\n{self.log}"
        return found

    def count(self, event: str) -> int:
        """How many log lines of that event there are by now."""
        return sum(line.get("event") == event for line in self._told())

    def logged_again(self, event: str, before: int) -> dict[str, Any]:
        """Waits for a log line of that event after `before` others."""
        with self._news:
            self._news.wait_for(
                lambda: self.count(event) > before or self._closed, PATIENCE_SECONDS
            )
        found = [line for line in self._told() if line.get("event") == event]
        assert len(found) > before, f"no other line says {event!r}:\n{self.log}"
        return found[before]

    @property
    def log(self) -> str:
        """Everything that any of its processes has said so far."""
        return "".join(self.lines)

    @property
    def public(self) -> int:
        """The port of the public listener."""
        return _port(self.logged("listening")["public"])

    @property
    def private(self) -> int:
        """The port of the private listener."""
        return _port(self.logged("listening")["private"])

    def pid(self, role: str) -> int:
        """The process of a role."""
        [pid] = [pid for pid, name in self.roles().items() if name == role]
        return pid

    def roles(self) -> dict[int, str]:
        """The roles that live at this moment, by process; who stands by to be one is none yet."""
        return {pid: name for pid, name in _children(self.process.pid) if name != SPARE}

    def spare(self) -> int:
        """Waits for the process that stands by to be a role."""
        _until(lambda: SPARE in dict(_children(self.process.pid)).values())
        return next(pid for pid, name in _children(self.process.pid) if name == SPARE)

    def kill(self, role: str) -> None:
        """Ends a role's process without a word; returns once it is dead."""
        pid = self.pid(role)
        os.kill(pid, signal.SIGKILL)
        _until(lambda: pid not in self.roles())

    def restart(self, role: str) -> None:
        """Tells a role to end; returns once it was started again and serves."""
        with self._news:
            before = self._count("ready", role)
            os.kill(self.pid(role), signal.SIGTERM)
            back = self._news.wait_for(
                lambda: self._count("ready", role) > before, PATIENCE_SECONDS
            )
        assert back, f"{role} did not come back:\n{self.log}"

    def ended(self) -> int:
        """Waits until it and all of its roles have ended; its exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        # The roles hold the other end of the pipe, so its end is theirs.
        self._reader.join(PATIENCE_SECONDS)
        assert not self._reader.is_alive(), f"a role outlives its parent:\n{self.log}"
        return code

    def stop(self) -> int:
        """Asks it to end, as a service manager does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def _find(self, event: str, fields: Mapping[str, object]) -> dict[str, Any] | None:
        wanted = {"event": event, **fields}.items()
        return next((line for line in self._told() if wanted <= line.items()), None)

    def _count(self, event: str, role: str) -> int:
        wanted = {"event": event, "role": role}.items()
        return sum(wanted <= line.items() for line in self._told())

    def _told(self) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for line in self.lines if line.startswith("{"))

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()


def write_config(folder: Path, **tables: Mapping[str, object]) -> Path:
    """A configuration with an archive in `folder`; a table's dots are written as underscores."""
    own: dict[str, Mapping[str, object]] = {
        "listen": {"public": "127.0.0.1:0", "private": "127.0.0.1:0"},
        "catalog": {"url": f"sqlite:///{folder}/catalog.db"},
        "bucket": {"url": (folder / "bucket").as_uri()},
        "providers_doitong": {"download_hosts": ["127.0.0.1"]},
        "providers_doitong_secrets": {"test": SECRET},
    }
    lines = []
    for name in own | tables:
        lines.append(f"[{name.replace('_', '.')}]")
        values = {**own.get(name, {}), **tables.get(name, {})}
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    file = folder / "holdfast.toml"
    file.write_text("\n".join(lines))
    return file


def from_simulator(base_url: str) -> dict[str, object]:
    """The table `[egress]` that lets a simulator's links be followed."""
    return {"allow_http": True, "allow_ports": [_port(base_url)], "allow_cidrs": ["127.0.0.0/8"]}


# What systemd does between its fork and its exec: the sockets become descriptors 3, 4, …
_HAND_OVER = """
import fcntl, os, sys
count = int(sys.argv[1])
given, command = [int(number) for number in sys.argv[2 : 2 + count]], sys.argv[2 + count :]
aside = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 64) for number in given]
for number in given:
    os.close(number)
for place, number in enumerate(aside):
    os.dup2(number, 3 + place)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count)}
os.execv(command[0], command)
"""


@contextmanager
def starting(
    config_file: Path,
    *,
    roles: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    sockets: Mapping[str, socket.socket] | None = None,
    inside: Sequence[str] = (),
) -> Iterator[Service]:
    """`holdfast serve` from its first line to its end, whatever the test does to it.

    `sockets` are handed over by these names, as systemd does; `inside` stands before the command
    and has it run on another host (`hosts`).
    """
    chosen = [argument for role in roles for argument in ("--role", role)]
    command = [*inside, HOLDFAST, "--config", str(config_file), "serve", *chosen]
    environ = {**os.environ, **(env or {})}
    numbers = [each.fileno() for each in (sockets or {}).values()]
    if sockets:
        given = [str(number) for number in (len(numbers), *numbers)]
        command = [sys.executable, "-c", _HAND_OVER, *given, *command]
        environ["LISTEN_FDNAMES"] = ":".join(sockets)
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=environ, pass_fds=numbers
    ) as process:
        service = Service(process, config_file)
        try:
            yield service
        finally:
            process.kill()
            service.ended()


@contextmanager
def running(
    folder: Path,
    *,
    roles: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    sockets: Mapping[str, socket.socket] | None = None,
    **tables: Mapping[str, object],
) -> Iterator[Service]:
    """A service that has said it is ready."""
    config_file = write_config(folder, **tables)
    with starting(config_file, roles=roles, env=env, sockets=sockets) as service:
        service.logged("ready", role="supervisor")
        yield service


def holdfast(
    config_file: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    inside: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """One command of an operator's, run to its end."""
    return subprocess.run(
        [*inside, HOLDFAST, "--config", str(config_file), *arguments],
        capture_output=True,
        text=True,
        timeout=patience_seconds,
        env={**os.environ, **(env or {})},
        check=False,
    )


@contextmanager
def no_room_to_write(pid: int) -> Iterator[None]:
    """Files of that process may not grow, as on a full disk."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))


async def eventually(ask: Callable[[], Awaitable[T | None]]) -> T:
    """Asks again and again until there is an answer."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (answer := await ask()) is None:
            await asyncio.sleep(_LOOK_SECONDS)
    return answer


def _until(what: Callable[[], bool]) -> None:
    """Asks again and again until the answer is yes; for what tells nobody when it happens."""
    gives_up_at = clock.monotonic() + PATIENCE_SECONDS
    while not what():
        assert clock.monotonic() < gives_up_at, "it never came to that"
        time.sleep(_LOOK_SECONDS)


def _children(parent: int) -> Iterator[tuple[int, str]]:
    """The living children of a process that are roles, or are to be, from proc(5)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name before these is in brackets and may hold anything.
            called, _, rest = (entry / "stat").read_text().rpartition(")")
            state, its_parent = rest.split()[:2]
            command = (entry / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended just now
        if its_parent == str(parent) and state not in "ZX" and "receiver.roles." in command:
            name = re.split(r"[.\0]", command.rstrip("\0"))[-1]
            stands_by = ".spare\0" in command and not called.endswith(f"({name}")
            yield int(entry.name), SPARE if stands_by else name


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
