"""A service as its operator sees it: processes that die, are told to end, or cannot start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from archiver.errors import ConfigError
from archiver.inbox.sqlite import SqliteInboxReader
from receiver.config import from_tree
from receiver.roles import supervisor
from receiver.roles.premises import take
from receiver.roles.starting import Starter
from receiver.roles.supervisor import Supervisor
from tests.receiver.roles_in_process import configuration
from tests.receiver.wire import (
    EXPECTING,
    Wire,
    ask,
    closed_to_newcomers,
    connected,
    head,
    length,
    signature,
    webhook,
)
from tests.service import (
    PATIENCE_SECONDS,
    SECRET,
    Service,
    eventually,
    running,
    starting,
    write_config,
)

BODY = b'{"id": "abc", "status": "processing"}'


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service of all roles that tests may kill one by one."""
    with running(tmp_path_factory.mktemp("whole")) as service:
        yield service


@pytest.mark.parametrize("role", ["receive", "archive", "web"])
async def test_a_role_that_is_killed_comes_back_unnoticed(whole: Service, role: str) -> None:
    """The sockets are the parent's: while a role is dead nobody is refused, only kept waiting,
    and what was told meanwhile is archived as ever."""
    path = f"/api/v1/generations/doitong/{role}".encode()
    asked = head(length(b'{"prompt": "a fox"}'), method=b"PUT", path=path) + b'{"prompt": "a fox"}'
    pushed = [b'{"id": "%b", "status": "queued", "n": %d}' % (role.encode(), n) for n in range(20)]
    killed = whole.pid(role)
    whole.kill(role)
    answers = await asyncio.gather(
        ask(whole.private, asked),
        *(ask(whole.public, webhook(body, secret=SECRET)) for body in pushed),
    )
    assert {answer.status for answer in answers} == {202}

    async def told() -> dict[str, Any] | None:
        answer = await ask(whole.private, head(method=b"GET", path=path))
        story = json.loads(answer.body)
        return story if len(story.get("deliveries", ())) == 21 else None

    assert (await eventually(told))["params"] == {"prompt": "a fox"}
    died = whole.logged("a role died and is started again", role=role)
    assert (died["status"], whole.pid(role) != killed) == (-signal.SIGKILL, True)


def test_who_stands_by_takes_over(whole: Service) -> None:
    """The listener's successor has loaded all that takes long before it is needed; and where it
    has died itself meanwhile, or has not come yet, there is one from nothing as ever."""
    spare, before = whole.spare(), whole.count("ready")
    whole.kill("receive")
    whole.logged_again("ready", before)
    assert whole.pid("receive") == spare

    killed, before = whole.spare(), whole.count("ready")
    os.kill(killed, signal.SIGKILL)
    whole.kill("receive")
    whole.logged_again("ready", before)
    assert whole.pid("receive") not in (killed, spare)
    assert "Traceback" not in whole.log


async def test_where_nobody_can_stand_by_the_service_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role's next process is then one from nothing; and the end is as ever."""
    monkeypatch.setattr("receiver.roles.starting._MOMENT_SECONDS", 0)
    starter, gone = Starter(tmp_path, None), 9999  # nothing that is open has this number
    with capture_logs() as said:
        starter.stand_by("receive", [gone])
        assert starter._coming is not None
        await starter._coming
        await starter.end()
    assert [line["event"] for line in said] == ["nobody stands by for a role"]


def test_who_stands_by_ends_with_its_parent(tmp_path: Path) -> None:
    """A parent that is killed says nothing; a spare that nobody gives orders is none."""
    with running(tmp_path) as service:
        service.spare()
        service.process.kill()
        assert service.ended() == -signal.SIGKILL  # which waits for the end of every process
        assert "Traceback" not in service.log


def test_a_role_that_is_told_to_end_is_started_again_at_once(whole: Service) -> None:
    """Somebody wanted it so: that is no fault, and nobody has to wait for it."""
    told = whole.pid("web")
    whole.restart("web")
    whole.logged("a role was told to end and is started again", role="web", level="info")
    assert whole.pid("web") != told


@asynccontextmanager
async def inside(service: Service) -> AsyncIterator[Wire]:
    """A connection whose webhook is being read: it was bidden to go on, and does not."""
    begun = head(signature(BODY, SECRET), length(BODY), EXPECTING)
    async with connected(service.public) as wire:
        assert (await wire.ask(begun)).status == 100
        yield wire


async def test_who_stands_by_keeps_no_door_open(tmp_path: Path) -> None:
    """While the service ends, whoever comes is refused as ever, and can go to another host."""
    with running(tmp_path) as service:
        service.spare()
        async with inside(service):
            service.process.send_signal(signal.SIGTERM)
            await closed_to_newcomers(service.public)
            assert service.process.poll() is None
        assert service.ended() == 0


def stored(folder: Path) -> list[bytes | None]:
    """What the inbox of `receive` holds."""
    reader = SqliteInboxReader(folder / "inbox" / "receive.db")
    try:
        return [delivery.body for delivery in reader.after(0, limit=100)]
    finally:
        reader.close()


@pytest.mark.parametrize("told", ["the parent", "every process", "the parent, by its death"])
async def test_who_is_inside_at_the_end_is_answered(tmp_path: Path, told: str) -> None:
    """Whoever is told to end, and in whatever way the parent ends: nobody new is let in, the
    request under way is committed and answered, and no process is left."""
    with running(tmp_path, roles=["receive"]) as service:
        async with inside(service) as wire:
            if told == "every process":  # as systemd does
                os.kill(service.pid("receive"), signal.SIGTERM)
            dies = told == "the parent, by its death"
            service.process.send_signal(signal.SIGKILL if dies else signal.SIGTERM)
            await closed_to_newcomers(service.public)
            assert (await wire.ask(BODY)).status == 202
        assert service.ended() == (-signal.SIGKILL if dies else 0)
        assert service.logged("stopped", role="receive")
    assert stored(tmp_path) == [BODY]


async def test_who_is_told_twice_ends_at_once(tmp_path: Path) -> None:
    """The second SIGTERM waits for nobody: the request under way is cut off, the roles end too."""
    with running(tmp_path, roles=["receive"]) as service:
        async with inside(service) as wire:
            service.process.send_signal(signal.SIGTERM)
            await closed_to_newcomers(service.public)
            service.process.send_signal(signal.SIGTERM)
            assert await wire.rest() == b""
            assert service.ended() == 1
    assert stored(tmp_path) == []


def test_a_whole_service_ends_in_order(tmp_path: Path) -> None:
    """SIGTERM: each role says that it has stopped, and the exit code is 0."""
    with running(tmp_path) as service:
        assert sorted(service.roles().values()) == ["archive", "receive", "web"]
        assert service.stop() == 0
        for role in ("receive", "archive", "web"):
            assert service.logged("stopped", role=role)


def test_a_service_that_is_told_while_it_starts_ends(tmp_path: Path) -> None:
    """A role that is not ready yet keeps nobody waiting."""
    with starting(write_config(tmp_path)) as service:
        service.logged("listening")
        assert service.stop() == 0
        assert "did not end in time" not in service.log
        assert "Traceback" not in service.log


def test_the_whole_service_outlives_no_parent(tmp_path: Path) -> None:
    """Whatever kills the parent, its roles see it and end by themselves."""
    with running(tmp_path) as service:
        service.process.kill()
        assert service.ended() == -signal.SIGKILL
        assert "Traceback" not in service.log


def test_a_role_that_can_never_start_ends_the_service(tmp_path: Path) -> None:
    """A private listener that would be open to all: its line says what to type, and the service
    ends with exit code 1 instead of trying for ever."""
    config_file = write_config(tmp_path, listen={"private": "0.0.0.0:0"})
    with starting(config_file) as service:
        assert service.ended() == 1
        said = service.logged("the role cannot start", role="web")
        assert "add [tokens.NAME]" in said["error"]
        assert service.lines[-1] == "Error: the role web cannot start; its log line says why\n"
        assert "Traceback" not in service.log


# A renderer that can never start; the others do not know what is wrong with it.
NO_RENDERER = {
    "render": {"idle_seconds": 0},
    "render_checkpoints_sd": {"family": "sd15", "path": "nowhere", "default": True},
}


async def test_the_service_goes_on_without_a_renderer(tmp_path: Path) -> None:
    """Webhooks come first on a bad night: why there will be no drawings is said once, the service
    is ready all the same, and all that it is told is stored."""
    with running(tmp_path, **NO_RENDERER) as service:
        wrong = service.logged("the role cannot start", role="render")
        assert wrong["error"] == "render.idle_seconds: expected `float` > 0.0"
        service.logged("a role cannot start; the others go on without it", role="render")
        assert (await ask(service.public, webhook(BODY, secret=SECRET))).status == 202
        assert sorted(service.roles().values()) == ["archive", "receive", "web"]
        assert service.stop() == 0
        assert service.log.count("the role cannot start") == 1


def test_a_renderer_by_itself_fails_aloud(tmp_path: Path) -> None:
    """Who asks for nothing else is told by the exit code."""
    with starting(write_config(tmp_path, **NO_RENDERER), roles=["render"]) as service:
        assert service.ended() == 1
        assert service.logged("the role cannot start", role="render")
        assert service.lines[-1] == "Error: the role render cannot start; its log line says why\n"


ROLES = {
    "by default": ({}, ("receive", "archive", "web")),
    "with clients": ({"providers": {"doitong": {"gateway": True}}}, ("gateway",)),
    "with something to draw with": (
        {"render": {"checkpoints": {"sd": {"path": "anything"}}}},
        ("render",),
    ),
    "with nothing to draw with": ({"render": {"idle_seconds": 5, "checkpoints": {}}}, ()),
}


@pytest.mark.parametrize(("tables", "also"), ROLES.values(), ids=ROLES)
def test_a_role_is_run_where_it_is_of_use(tables: dict[str, Any], also: tuple[str, ...]) -> None:
    """A gateway that leads somewhere, and a renderer that has something to draw with."""
    always = {"receive", "archive", "web"}

    assert set(supervisor.wanted_roles(from_tree(tables))) == always | set(also)


def test_a_part_of_a_service_leaves_the_counts_of_the_others(tmp_path: Path) -> None:
    """The metrics begin anew with the archive, and not whenever anything is started beside it."""
    counted = tmp_path / "metrics" / "counter_1.db"
    counted.parent.mkdir()
    counted.touch()
    with running(tmp_path, roles=["receive"]):
        assert counted.exists()
    with running(tmp_path, roles=["archive"]):
        assert not counted.exists()


def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    """One sentence names the setting; no role is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        config_file = write_config(tmp_path, listen={"public": address})
        with starting(config_file) as service:
            assert service.ended() == 1
            [line] = service.lines
    assert line.startswith(f"Error: listen.public = '{address}' cannot be bound: ")


def test_a_place_that_cannot_hold_the_archive_is_said(tmp_path: Path) -> None:
    """One sentence names the place and the setting."""
    config_file = write_config(tmp_path, catalog={"url": "sqlite:////dev/null/x/catalog.db"})
    with starting(config_file) as service:
        assert service.ended() == 1
        assert service.lines[-1].startswith("Error: /dev/null/x cannot hold the archive: ")
        assert "catalog.url" in service.lines[-1]
        assert "Traceback" not in service.log


def test_a_role_that_does_not_exist_cannot_be_run(tmp_path: Path) -> None:
    """The sentence names those that do."""
    with pytest.raises(ConfigError, match="no role is called paint; roles: receive, gateway"):
        Supervisor(configuration(tmp_path), ("receive", "paint"))


async def test_a_service_ends_while_a_role_waits_for_its_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a role that keeps dying is to wait, the end does not wait with it."""
    monkeypatch.setattr(supervisor, "_BACKOFF_SECONDS", 3600)
    (tmp_path / "inbox" / "receive.db").mkdir(parents=True)  # so that it cannot be opened
    service = Supervisor(configuration(tmp_path), ("receive",))
    service.bind()
    stop = asyncio.Event()
    with capture_logs() as lines:
        running_service = asyncio.create_task(service.run(stop))

        async def died() -> bool | None:
            return any(line["event"].startswith("a role died") for line in lines) or None

        await eventually(died)
        stop.set()
        await asyncio.wait_for(running_service, PATIENCE_SECONDS)
    assert [line["status"] for line in lines] == [1]


@pytest.mark.parametrize("share", [2, 0.1], ids=["long", "shortly"])
async def test_a_role_that_serves_is_back_at_once_however_often_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """Only one that keeps dying without having served waits longer each time."""
    deaths: list[str] = []
    monkeypatch.setattr(supervisor, "_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(supervisor, "_BACKOFF_CAP_SECONDS", 3600)
    monkeypatch.setattr(supervisor, "_BACKOFF_CAP_SERVED_SECONDS", 0.002)

    async def serve_and_die(it: Supervisor, role: str) -> tuple[int, float]:
        deaths.append(role)
        it._told[role] = it.config
        return -signal.SIGKILL, share * supervisor._HEALTHY_SECONDS

    monkeypatch.setattr(Supervisor, "_run_once", serve_and_die)
    service = Supervisor(configuration(tmp_path), ("receive",))
    service.bind()
    stop = asyncio.Event()
    running_service = asyncio.create_task(service.run(stop))

    async def died_often() -> bool | None:
        return len(deaths) > 30 or None

    await eventually(died_often)
    stop.set()
    await running_service


def test_the_role_that_must_never_wait_loads_nothing_heavy() -> None:
    """Importing `receive` brings neither S3, nor pictures, nor models, nor the command line."""
    heavy = ["torch", "diffusers", "boto3", "botocore", "PIL", "sqlite_utils", "click"]
    program = f"import receiver.roles.receive, sys; print(*(sys.modules.keys() & set({heavy})))"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


async def test_one_archive_has_one_service(tmp_path: Path) -> None:
    """Two would fetch each other's links; once the first is gone, another may come."""
    first = take(tmp_path, "archive")
    with pytest.raises(ConfigError, match="already runs"):
        take(tmp_path, "archive")
    take(tmp_path, "web").close()
    first.close()
    take(tmp_path, "archive").close()
