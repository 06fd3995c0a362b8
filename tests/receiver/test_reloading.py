"""A configuration that changes while webhooks come in."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import subprocess
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from receiver.roles import supervisor
from receiver.roles.activation import Notifier
from receiver.roles.reloading import Reloader, concerned
from receiver.roles.supervisor import ROLES, Supervisor
from receiver.settings import Config
from tests.receiver import stubborn
from tests.receiver.roles_in_process import configuration
from tests.receiver.wire import ask, webhook
from tests.service import (
    HOLDFAST,
    PATIENCE_SECONDS,
    SECRET,
    Service,
    eventually,
    running,
    starting,
    write_config,
)

NEW = "whsec of tomorrow"
REFUSED = "the new configuration is refused; the old one stays"
_bodies = itertools.count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two roles, so that one of them is started again before the other."""
    # Or a bucket of S3 would have credentials looked for where there are none.
    env = {"AWS_EC2_METADATA_DISABLED": "true"}
    folder = tmp_path_factory.mktemp("reloaded")
    with running(folder, roles=["receive", "web"], env=env) as service:
        yield service


def say(service: Service, *, more: str = "", **tables: Any) -> None:
    """Writes another configuration in place of the one that the service was started with."""
    file = write_config(service.config_file.parent, **tables)
    file.write_text(f"{file.read_text()}\n{more}\n")


def secret_file(label: str, path: str | Path) -> str:
    """Where a secret lies."""
    return f'[providers.doitong.secrets_file]\n{label} = "{path}"'


async def reload(service: Service, event: str = "the configuration is reloaded") -> dict[str, Any]:
    """Tells the service, and returns the line that says what came of it."""
    before = service.count(event)
    service.process.send_signal(signal.SIGHUP)
    return await asyncio.to_thread(service.logged_again, event, before)


async def push(service: Service, secret: str) -> int:
    """One webhook that nobody has sent before; the status of the answer."""
    body = b'{"id": "%d", "status": "queued"}' % next(_bodies)
    return (await ask(service.public, webhook(body, secret=secret))).status


@asynccontextmanager
async def steady_traffic(service: Service, secret: str) -> AsyncIterator[Counter[int]]:
    """Webhooks one after the other on many hands, and how they were answered; nobody is refused a
    connection, or the context raises."""
    answers: Counter[int] = Counter()
    over = asyncio.Event()

    async def hand() -> None:
        while not over.is_set():
            answers[await push(service, secret)] += 1

    hands = [asyncio.create_task(hand()) for _ in range(4)]
    try:
        yield answers
    finally:
        over.set()
        await asyncio.gather(*hands)


async def test_a_secret_is_exchanged_and_nobody_is_refused(service: Service) -> None:
    """The new one is added beside the old, the provider changes over, the old one is taken out:
    each webhook is answered with 202 all the while, and at the end the old secret opens nothing."""
    file = service.config_file.with_name("tomorrow")
    file.write_text(f"{NEW}\n")
    assert await push(service, NEW) == 401
    async with steady_traffic(service, SECRET) as answers:
        say(service, more=secret_file("2026-12", file))
        reloaded = await reload(service)
        assert {await push(service, it) for it in (SECRET, NEW)} == {202}
    assert reloaded["changed"] == ["providers.doitong.secrets.2026-12"]
    assert reloaded["needs_restart"] == []
    assert answers.keys() == {202}
    async with steady_traffic(service, NEW) as answers:
        say(service, providers_doitong_secrets={"test": NEW})
        await reload(service)
        assert await push(service, SECRET) == 401
    assert answers.keys() == {202}
    assert SECRET not in service.log
    assert NEW not in service.log


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"listen": {"read_seconds": -1}}, "listen.read_seconds: expected `float` >= 0.0"),
        (
            {"providers_doitong_secrets": {"test": " "}},
            "the webhook secret labelled 'test' is empty",
        ),
        (
            {"more": secret_file("test", "/nowhere")},
            "providers.doitong.secrets_file.test: /nowhere cannot be read: No such file",
        ),
        ({"listen": {"private": "0.0.0.0:0"}}, "which others can reach"),
        ({"render_checkpoints_x": {"family": "none"}}, "render.checkpoints.x"),
        ({"bucket": {"url": "ftp://nowhere"}}, "bucket.url is 'ftp://nowhere'"),
        (
            {"providers_modelslab": {"base_url": "https://[x"}},
            "providers.modelslab.base_url is not https://host",
        ),
        (
            {"manifests": {"signing_key_file": "a\0b"}},
            "manifests.signing_key_file: 'a\\x00b' cannot be read",
        ),
    ],
)
async def test_what_is_wrong_is_refused_whole(
    service: Service, tables: dict[str, Any], why: str
) -> None:
    """One line says why; no role is touched, and all goes on with what it had."""
    say(service)
    await reload(service)
    roles = service.roles()
    say(service, **tables)
    refused = await reload(service, REFUSED)
    assert why in refused["error"]
    assert service.roles() == roles
    assert await push(service, SECRET) == 202


async def test_what_only_a_role_finds_wrong_is_taken_back(service: Service) -> None:
    """The one that must not wait has never heard of it, and goes on as it was."""
    say(service)
    await reload(service)
    receive = service.pid("receive")
    bucket = {"url": "s3://bucket", "endpoint": "nowhere", "region": "us-east-1"}
    say(service, bucket=bucket, providers_doitong_secrets={"test": NEW})
    refused = await reload(service, REFUSED)
    assert refused["error"] == "the role web cannot start with it; its log line says why"
    assert service.logged("the role cannot start", role="web")
    assert service.pid("receive") == receive
    assert await push(service, SECRET) == 202
    say(service)
    assert (await reload(service))["changed"] == []


async def comes_true(what: Callable[[], bool]) -> None:
    """Returns once it has."""

    async def ask() -> bool | None:
        return what() or None

    await eventually(ask)


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({}, []),
        ({"backup": {"keep": 2}}, [role for role in ROLES if role != "render"]),
        ({"render": {"idle_seconds": 2}}, list(ROLES)),
        ({"log": {"level": "debug"}}, list(ROLES)),
    ],
)
def test_a_drawing_is_not_cut_short_for_what_is_nothing_to_it(
    tmp_path: Path, tables: dict[str, Any], expected: list[str]
) -> None:
    """The renderer is started again for what it goes by; all others for anything."""
    assert concerned(configuration(tmp_path), configuration(tmp_path, **tables)) == expected


class Stubborn:
    """A supervisor of stubborn roles, and what they have said; `last` is the last word of each."""

    def __init__(self, folder: Path, roles: tuple[str, ...], told: str = "") -> None:
        self.old = replace(configuration(folder), public_url=told)
        self.stderr = (folder / "said").open("w+")
        self.supervisor = Supervisor(self.old, roles, stderr=self.stderr)

    @property
    def said(self) -> list[str]:
        return Path(self.stderr.name).read_text().splitlines()

    @property
    def last(self) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in self.said)

    async def hand_out(self, told: str, *concerned: str) -> str:
        return await self.supervisor.hand_out(
            replace(self.old, public_url=told), concerned or ROLES
        )


@asynccontextmanager
async def stubborn_roles(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *roles: str, told: str = ""
) -> AsyncIterator[Stubborn]:
    """A service of them that is ready; it ends in order."""
    modules = dict.fromkeys(ROLES, stubborn.__name__)
    monkeypatch.setattr("receiver.roles.starting.MODULES", modules)
    monkeypatch.setattr("receiver.roles.starting._SPARED", None)  # who stands by is never stubborn
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    service = Stubborn(folder, roles, told)
    service.supervisor.bind()
    stop, ready = asyncio.Event(), asyncio.Event()
    running_service = asyncio.create_task(service.supervisor.run(stop, ready=ready.set))
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        await ready.wait()
        yield service
        stop.set()
        await running_service
    service.stderr.close()


async def test_who_has_it_already_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the last role refuses it, those before it are started again with the old one."""
    async with stubborn_roles(tmp_path, monkeypatch, "receive", "web") as service:
        assert await service.hand_out("public-refuses") == "receive"
        assert service.supervisor.config is service.old
        assert await service.hand_out("well") == ""
    assert service.said == [
        "public ", "private ",
        "private public-refuses", "public public-refuses", "public ", "private ",
        "private well", "public well",
    ]  # fmt: skip


async def test_a_role_that_only_dies_of_it_has_refused_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three deaths are enough to tell, and what follows is taken as ever."""
    async with stubborn_roles(tmp_path, monkeypatch, "receive", "web") as service:
        assert await service.hand_out("public-dies") == "receive"
        assert service.said.count("public public-dies") == 3
        assert service.last == {"public": "", "private": ""}
        assert await service.hand_out("well") == ""
    assert service.last == {"public": "well", "private": "well"}


async def test_a_role_that_is_never_ready_has_refused_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for it for ever."""
    async with stubborn_roles(tmp_path, monkeypatch, "receive", "web") as service:
        with monkeypatch.context() as hasty:
            hasty.setattr(supervisor, "_READY_WITHIN_SECONDS", 0.5)
            assert await service.hand_out("private-waits") == "web"
        assert await service.hand_out("well") == ""
    assert service.last == {"public": "well", "private": "well"}


async def test_who_dies_meanwhile_and_refuses_it_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other role stays on what was refused."""
    async with stubborn_roles(tmp_path, monkeypatch, "receive", "web") as service:
        told = "private-waits public-refuses"
        handing = asyncio.create_task(service.hand_out(told))
        await comes_true(lambda: f"private {told}" in service.said)
        service.supervisor._processes["receive"].kill()
        assert await handing == "receive"
        await comes_true(lambda: service.last == {"public": "", "private": ""})


async def test_what_the_others_went_on_without_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any other configuration; that it refuses that as well hinders nobody."""
    roles = ("receive", "render")
    async with stubborn_roles(tmp_path, monkeypatch, *roles, told="none-refuses") as service:
        await comes_true(lambda: bool(service.supervisor._gone))
        assert await service.hand_out("none-refuses public-well", "receive") == ""
        assert await service.hand_out("none-dies") == ""
        assert await service.hand_out("well", "receive") == ""
        assert service.last == {"public": "well", "none": "well"}
        assert await service.hand_out("well again", "receive") == ""
        assert service.last == {"public": "well again", "none": "well"}


async def test_whatever_goes_wrong_the_service_manager_hears_the_end_of_it(
    tmp_path: Path,
) -> None:
    """An error that nobody has thought of is a refusal as well, and the next SIGHUP is heard."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, capture_logs() as lines:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE_SECONDS)

        def unreadable(_: Config) -> Config:
            raise RuntimeError("of https://host/?signature=hush")

        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        told = asyncio.Event()
        reloader = Reloader(Supervisor(configuration(tmp_path)), unreadable, notifier)
        reloading = asyncio.create_task(reloader.run(told))
        for _ in range(2):
            told.set()
            assert (await asyncio.to_thread(manager.recv, 99)).startswith(b"RELOADING=1")
            assert await asyncio.to_thread(manager.recv, 99) == b"READY=1"
        reloading.cancel()
    assert [line["event"] for line in lines] == [REFUSED] * 2
    assert lines[0]["error"].startswith("RuntimeError: of https://host/")
    assert "hush" not in lines[0]["error"]


async def test_what_needs_a_restart_is_named(service: Service) -> None:
    """Addresses and the archive's place stay as they are; the rest is taken."""
    say(service)
    await reload(service)
    elsewhere = service.config_file.with_name("elsewhere.db")
    say(
        service,
        listen={"public": "127.0.0.1:1", "read_seconds": 9.0},
        catalog={"url": f"sqlite:///{elsewhere}"},
        providers_doitong={"gateway": True},
    )
    reloaded = await reload(service)
    assert reloaded["changed"] == ["listen.read_seconds", "providers.doitong.gateway"]
    assert reloaded["needs_restart"] == ["catalog.url", "listen.public", "role gateway"]
    assert await push(service, SECRET) == 202
    assert not elsewhere.exists()


async def test_how_it_is_logged_changes_for_all(service: Service) -> None:
    """The parent as well, which says so in the new way."""
    say(service, log={"format": "console"})
    service.process.send_signal(signal.SIGHUP)
    await comes_true(lambda: _in_words(service, "the configuration is reloaded"))
    say(service)
    assert (await reload(service))["changed"] == ["log.format"]


def _in_words(service: Service, event: str) -> bool:
    return any(event in line and not line.startswith("{") for line in service.lines)


def test_the_files_of_a_service_stay_its_own(service: Service) -> None:
    """It is the same process with the same sockets, and ends as ever."""
    assert service.process.poll() is None
    assert Path(f"/proc/{service.process.pid}").exists()
    assert service.stop() == 0


# What a role that this service does not run would be told, and never finds.
ELSEWHERE = {"url": "https://127.0.0.1:9/x"}
SIGNING = f"whsec_{b64encode(bytes(32)).decode()}"


@pytest.fixture(scope="module")
def unasked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a mistake in it, of the file that lies where it was started."""
    folder = tmp_path_factory.mktemp("unasked")
    file = write_config(folder, notify=ELSEWHERE, notify_secrets={"a": SIGNING})
    environ = {name: it for name, it in os.environ.items() if not name.startswith("HOLDFAST_")}
    command = [HOLDFAST, "serve", "--role", "receive"]
    with subprocess.Popen(
        command, cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    ) as process:
        service = Service(process, file)
        try:
            service.logged("ready", role="supervisor")
            yield service
        finally:
            process.kill()
            service.ended()


async def test_a_mistake_of_old_hinders_no_reload(unasked: Service) -> None:
    """It is told at the start; what is refused later is what is new."""
    known = unasked.logged("the configuration has a mistake")
    assert known["error"].startswith("notify.url leads to 127.0.0.1")
    wrong = {"notify": ELSEWHERE, "notify_secrets": {"a": SIGNING}}
    say(unasked, **wrong, providers_doitong_secrets={"test": NEW})
    assert (await reload(unasked))["changed"] == ["providers.doitong.secrets.test"]
    assert await push(unasked, NEW) == 202
    say(unasked, **wrong, listen={"private": "0.0.0.0:0"})
    refused = await reload(unasked, REFUSED)
    assert refused["error"].startswith("the private listener stands on 0.0.0.0")
    assert "notify" not in refused["error"]


async def test_a_file_that_is_gone_is_no_wish_for_the_defaults(unasked: Service) -> None:
    """Where it was read because it lay there, it has to lie there."""
    unasked.config_file.rename(unasked.config_file.with_name("away"))
    refused = await reload(unasked, REFUSED)
    assert refused["error"].startswith("the configuration holdfast.toml cannot be read: No such")


def test_who_is_told_before_it_can_listen_lives_on(tmp_path: Path) -> None:
    """SIGHUP would end a process that is still reading its configuration."""
    file = write_config(tmp_path)
    text = file.read_text()
    file.unlink()
    os.mkfifo(file)
    with starting(file, roles=["receive"]) as service, file.open("w") as writing:
        service.process.send_signal(signal.SIGHUP)
        writing.write(text)
        writing.close()
        service.logged("ready", role="supervisor")
