"""A configuration that changes while webhooks come in."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from receiver.roles import supervisor
from receiver.roles.supervisor import ROLES, Supervisor
from tests.receiver import stubborn
from tests.receiver.roles_in_process import configuration
from tests.receiver.wire import ask, webhook
from tests.service import PATIENCE_SECONDS, SECRET, Service, running, write_config

NEW = "whsec of tomorrow"
REFUSED = "the new configuration is refused; the old one stays"
_bodies = itertools.count()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two roles, so that one of them is started again before the other."""
    with running(tmp_path_factory.mktemp("reloaded"), roles=["receive", "web"]) as service:
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
    say(service, bucket={"url": "ftp://nowhere"}, providers_doitong_secrets={"test": NEW})
    refused = await reload(service, REFUSED)
    assert refused["error"] == "the role web cannot start with it; its log line says why"
    assert service.logged("the role cannot start", role="web")
    assert service.pid("receive") == receive
    assert await push(service, SECRET) == 202
    say(service)
    assert (await reload(service))["changed"] == []


async def test_who_has_it_already_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the last role refuses it, those before it are started again with the old one."""
    monkeypatch.setattr(supervisor, "_MODULES", dict.fromkeys(ROLES, stubborn.__name__))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    old = configuration(tmp_path)
    said = (tmp_path / "said").open("w")
    service = Supervisor(old, ("receive", "web"), stderr=said)
    service.bind()
    stop, ready = asyncio.Event(), asyncio.Event()
    running_service = asyncio.create_task(service.run(stop, ready=ready.set))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ready.wait()
        assert await service.hand_out(replace(old, public_url="public")) == "receive"
        assert service.config is old
        assert await service.hand_out(replace(old, public_url="well")) == ""
        stop.set()
        await running_service
    said.close()
    assert (tmp_path / "said").read_text().splitlines() == [
        "public ", "private ",
        "private public", "public public", "public ", "private ",
        "private well", "public well",
    ]  # fmt: skip


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


def test_the_files_of_a_service_stay_its_own(service: Service) -> None:
    """It is the same process with the same sockets, and ends as ever."""
    assert service.process.poll() is None
    assert Path(f"/proc/{service.process.pid}").exists()
    assert service.stop() == 0
