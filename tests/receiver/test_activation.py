"""A service that a service manager starts: sockets handed over, and word of how it stands."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from archiver.errors import ConfigError
from receiver.roles.activation import Notifier, adopt, handed_over, take_over
from tests.receiver.wire import ask, webhook
from tests.service import PATIENCE_SECONDS, SECRET, Service, running, starting, write_config

PID = 77


def given(count: object, names: str | None = None, pid: object = PID) -> dict[str, str]:
    """The variables of sd_listen_fds(3)."""
    variables = {"LISTEN_PID": str(pid), "LISTEN_FDS": str(count)}
    return variables if names is None else {**variables, "LISTEN_FDNAMES": names}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        (given(2, "public:private", pid=78), {}),
        (given(2, "public:private", pid="all"), {}),
        (given(0), {}),
        (given(1), {"public": 3}),
        (given(2), {"public": 3, "private": 4}),
        (given(2, ""), {"public": 3, "private": 4}),
        (given(1, "private"), {"private": 3}),
        (given(2, "private:public"), {"private": 3, "public": 4}),
    ],
)
def test_names_decide_and_without_names_the_order(
    environ: dict[str, str], expected: dict[str, int]
) -> None:
    """Descriptors count from 3, and what is meant for another process is not ours."""
    assert expected == handed_over(environ, PID)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (given(4), "ListenStream="),
        (given(1, "holdfast.socket"), "FileDescriptorName=public"),
        (given(2, "public:unknown"), "FileDescriptorName=private"),
        (given(2, "public:public"), "with a single ListenStream="),
        (given(2, "public"), "2 sockets called 'public'"),
        (given("two"), "LISTEN_FDS = 'two' is no number"),
        (given("²"), "LISTEN_FDS = '²' is no number"),
        (given(""), "LISTEN_FDS = '' is no number"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(environ: dict[str, str], says: str) -> None:
    """The sentence says what to write into the units."""
    with pytest.raises(ConfigError, match=says):
        handed_over(environ, PID)


def test_a_listening_socket_is_adopted() -> None:
    """It is the same socket, of either family."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.create_server((host, 0), family=family) as bound:
            adopted = adopt({"public": os.dup(bound.fileno())})["public"]
            with adopted:
                assert adopted.getsockname() == bound.getsockname()


def useless(kind: str, folder: Path) -> int:
    """A descriptor that nobody can be served on."""
    if kind == "nothing":
        return 999
    if kind == "a file":
        return os.open(folder, os.O_RDONLY)
    if kind == "a Unix socket":
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(str(folder / "s"))
        unix.listen()
        return unix.detach()
    udp = socket.SOCK_DGRAM if kind == "UDP" else socket.SOCK_STREAM
    return socket.socket(socket.AF_INET, udp).detach()


@pytest.mark.parametrize("kind", ["a file", "nothing", "a Unix socket", "UDP", "not listening"])
def test_what_does_not_listen_is_refused(kind: str, tmp_path: Path) -> None:
    """The sentence names the socket and what its unit should say."""
    descriptor = useless(kind, tmp_path)
    with pytest.raises(ConfigError, match=r"the socket private .* ListenStream=HOST:PORT"):
        adopt({"private": descriptor})


def test_no_child_hears_of_the_sockets() -> None:
    """The variables are gone, whoever they were meant for and whatever they said."""
    for variables in (given(1, pid=os.getpid() + 1), given("x", "y", pid=os.getpid())):
        environ = {"HOME": "/", **variables}
        with ExitStack() as stack:
            if variables["LISTEN_FDS"] == "x":
                stack.enter_context(pytest.raises(ConfigError))
            assert take_over(environ) == {}
        assert environ == {"HOME": "/"}


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """The service manager's end of sd_notify(3)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address)
        end.settimeout(PATIENCE_SECONDS)
        yield end


@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told(tmp_path: Path, abstract: bool) -> None:
    """Under a name in the file system or an abstract one; a manager that has gone harms nobody."""
    name = f"{tmp_path}/notify"
    environ = {"NOTIFY_SOCKET": f"@{name}" if abstract else name}
    notifier = Notifier(environ)
    assert environ == {}
    with manager(f"\0{name}" if abstract else name) as end:
        notifier.ready()
        notifier.stopping()
        assert [end.recv(100), end.recv(100)] == [b"READY=1", b"STOPPING=1"]
    notifier.stopping()
    Notifier({}).ready()


def test_a_service_serves_what_it_was_handed(tmp_path: Path) -> None:
    """By name, whatever the configuration says; the rest is bound as ever; systemd hears of both
    ends, and the roles hear of nothing."""
    with (
        manager(f"{tmp_path}/notify") as end,
        socket.create_server(("127.0.0.1", 0)) as bound,
        running(
            tmp_path,
            env={"NOTIFY_SOCKET": f"{tmp_path}/notify"},
            sockets={"private": bound},
            listen={"private": "127.0.0.1:1"},
        ) as service,
    ):
        assert end.recv(100) == b"READY=1"
        assert (service.private, service.public != service.private) == (
            bound.getsockname()[1],
            True,
        )
        for pid in service.roles():
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"LISTEN_" not in environ
            assert b"NOTIFY_SOCKET" not in environ
        assert service.stop() == 0
        assert end.recv(100) == b"STOPPING=1"


async def test_a_service_that_is_started_again_refuses_nobody(tmp_path: Path) -> None:
    """While nothing runs at all, who comes waits in the queue of the socket that outlives it."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as bound:
        port = bound.getsockname()[1]

        def sent(name: str) -> asyncio.Task[int]:
            return asyncio.create_task(answered(port, name))

        with running(tmp_path, roles=["receive"], sockets={"public": bound}) as first:
            before = [sent(f"before {number}") for number in range(10)]
            assert await asyncio.gather(*before) == [202] * 10
            assert await asyncio.to_thread(first.stop) == 0
        between = [sent(f"between {number}") for number in range(10)]
        await asyncio.to_thread(serve_until, tmp_path, bound, between)
        assert [task.result() for task in between] == [202] * 10


async def answered(port: int, name: str) -> int:
    return (await ask(port, webhook(b'{"id": "%b"}' % name.encode(), secret=SECRET))).status


def serve_until(folder: Path, bound: socket.socket, tasks: list[asyncio.Task[int]]) -> None:
    """Serves on that socket until these tasks are done."""
    with running(folder, roles=["receive"], sockets={"public": bound}) as service:
        done = asyncio.run_coroutine_threadsafe(asyncio.wait(tasks), tasks[0].get_loop())
        done.result(PATIENCE_SECONDS)
        assert service.stop() == 0


def refused(service: Service) -> str:
    """The last sentence of a service that does not start."""
    assert service.ended() == 1
    assert "Traceback" not in service.log
    return service.lines[-1]


def test_a_handed_over_door_that_others_can_reach_wants_a_key(tmp_path: Path) -> None:
    """The socket's own address decides, not the one in the configuration."""
    with (
        socket.create_server(("0.0.0.0", 0)) as bound,
        starting(write_config(tmp_path), sockets={"private": bound}) as service,
    ):
        assert "the role web cannot start" in refused(service)
        said = service.logged("the role cannot start", role="web")["error"]
    assert "stands on 0.0.0.0" in said
    assert "add [tokens.NAME]" in said


def test_a_socket_without_a_use_is_refused(tmp_path: Path) -> None:
    """A name we do not know, or a listener whose role is not run: nobody would ever answer."""
    config_file = write_config(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        with starting(config_file, sockets={"holdfast.socket": bound}) as service:
            assert "FileDescriptorName=public" in refused(service)
        with starting(config_file, roles=["archive"], sockets={"public": bound}) as service:
            assert "the socket public was handed over, but no role" in refused(service)
