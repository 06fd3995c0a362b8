"""Every way by which a stranger's link enters a whole service, on an island, with hostile links.

Whatever allows less is opened (every host, every port, plain http), so that the address alone keeps
the service out of what is inside.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from aiohttp import web

from archiver import clock
from archiver.egress import ANY_HOST, EgressPolicy
from archiver.egress.policy import permitted_url
from archiver.errors import FetchError
from archiver.sqlite import open_reader
from receiver.path_tokens import mint
from tests.archiver.island import DOMAIN
from tests.archiver.ssrf_corpus import PORTS, corpus
from tests.archiver.street import Street, street
from tests.receiver import signed_events
from tests.receiver.wire import ask, connected, head, length, webhook
from tests.service import HOLDFAST, SECRET, Service, eventually, running

_PROVIDER_PORT = 9100
_HOOKS = "https://hooks.example.org"
_PUBLIC_URL = {"HOLDFAST_PUBLIC_URL": _HOOKS}
_TOKEN = "rule token"
_LINKS_IN_ONE = 4
_ALL_PORTS = [80, 443, *PORTS]
_ANYHOW = EgressPolicy(allow_http=True, allow_ports=frozenset(_ALL_PORTS))
_PICTURE = f"https://cdn.{DOMAIN}/picture"
_TURNS = f"https://rebind-late-7.{DOMAIN}/picture"
_TELL = f"https://rebind-late-8.{DOMAIN}/told"
_QUIET_SECONDS = 0.2

# What a client may write between the provider's name and its path.
_PATHS = """
    @IN/x :80@IN/x //IN/x /@IN/x /\\IN/x \\@IN/x %40IN/x #@IN/x ?@IN/x /../../../x /..//IN/x
    /%2e%2e/x //@IN/x /http://IN/x :80/x .IN/x /x?https://IN/ ;@IN/x /%00@IN/ /%0d%0aHost:IN/
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A service on the island, everybody else there, and the links to be sent."""

    service: Service
    folder: Path
    everybody: Street
    links: Sequence[str]

    @property
    def gateway(self) -> int:
        """The port of its gateway."""
        return int(self.service.logged("listening")["gateway"].rpartition(":")[2])

    def some(self) -> list[tuple[int, Sequence[str]]]:
        """The links in small numbered lots."""
        starts = range(0, len(self.links), _LINKS_IN_ONE)
        return [(start, self.links[start : start + _LINKS_IN_ONE]) for start in starts]


def main(folder: Path, seed: int, count: int, guarded: bool) -> dict[str, dict[str, int]]:
    """Of each way: how many links went in, and how many connections came of it, in and out."""
    return asyncio.run(_all(folder, seed, count, guarded))


async def _all(folder: Path, seed: int, count: int, guarded: bool) -> dict[str, dict[str, int]]:
    chance = Random(seed)
    links = [_PICTURE, _TURNS, *chance.sample(corpus(chance), count)]
    found = {}
    async with street(folder) as everybody, _provider(links):
        with running(folder, env=_PUBLIC_URL, **_tables(links, guarded=guarded)) as service:
            scene = Scene(service=service, folder=folder, everybody=everybody, links=links)
            for name, way in _WAYS.items():
                sent = await way(scene)
                await _came_to_rest(scene)
                inside, public = await everybody.met_since()
                found[name] = {"sent": sent, "inside": len(inside), "public": public}
            assert await asyncio.to_thread(service.stop) == 0
            assert "Traceback" not in service.log, service.log
    return found


def _tables(links: Sequence[str], *, guarded: bool) -> dict[str, dict[str, Any]]:
    anywhere = [] if guarded else ["0.0.0.0/0", "::/0"]
    hosts = sorted({host for link in links if (host := _host(link))})
    provider = {
        "base_url": f"http://127.0.0.1:{_PROVIDER_PORT}",
        "gateway": True,
        "heal": "lost",
        "download_hosts": hosts,
    }
    plain = [host for host in hosts if "%" not in host and ":" not in host]
    return {
        "listen": {"public": "127.0.0.1:0", "private": "127.0.0.1:0", "gateway": "127.0.0.1:0"},
        "egress": {"allow_http": True, "allow_ports": _ALL_PORTS, "allow_cidrs": anywhere},
        "notify": {"url": _TELL, "allow_cidrs": anywhere},
        "notify_secrets": {"a": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
        "providers_doitong": {"download_hosts": hosts},
        "providers_modelslab": provider,
        "providers_modelslab_secrets": {"a": SECRET},
        "providers_dashscope": {**provider, "events": True, "certificate_hosts": plain},
        "providers_dashscope_secrets": {"rule": _TOKEN},
    }


def _host(link: str) -> str:
    with suppress(FetchError):
        return str(permitted_url(link, ANY_HOST, _ANYHOW).raw_host)
    return ""


async def _doitong(scene: Scene) -> int:
    for number, link in enumerate(scene.links):
        said = {"id": f"d{number}", "status": "completed", "url": link, "service": "flux-pro"}
        answer = await ask(scene.service.public, webhook(json.dumps(said).encode(), secret=SECRET))
        assert answer.status == 202
    return len(scene.links)


async def _modelslab_webhooks(scene: Scene) -> int:
    for start, links in scene.some():
        said = {"status": "success", "id": start + 1, "output": links}
        path = f"/webhooks/modelslab/{mint(SECRET, b'%d' % start)}".encode()
        assert await _post(scene.service.public, path, said) == 202
    return len(scene.links)


async def _modelslab_answers(scene: Scene) -> int:
    for start, _ in scene.some():
        path = f"/gateway/modelslab/api/v6/images/fetch/{start + 1}".encode()
        assert await _post(scene.gateway, path, {"key": "k"}) == 200
    return len(scene.links)


async def _dashscope_answers(scene: Scene) -> int:
    for start, _ in scene.some():
        path = f"/gateway/dashscope/api/v1/tasks/t{start}".encode()
        assert (await ask(scene.gateway, head(method=b"GET", path=path))).status == 200
    return len(scene.links)


async def _inputs(scene: Scene) -> int:
    for number, link in enumerate(scene.links):
        path = f"/api/v1/generations/modelslab/{900000 + number}".encode()
        said = {"prompt": "a fox", "init_image": link}
        assert await _post(scene.service.private, path, said, method=b"PUT") == 202
    return len(scene.links)


async def _certificates(scene: Scene) -> int:
    """A dozen a minute are asked for, at most."""
    names = [f"{label}-6.{DOMAIN}" for label in ("private", "rebind", "six", "mixed", "alias")]
    hosts = ["cdn." + DOMAIN, *names, "127.0.0.1", "169.254.169.254", "127.0.0.1:6379"]
    for number, host in enumerate(hosts):
        headers = signed_events.signed(
            f"{_HOOKS}/webhooks/dashscope",
            body := b'{"id": "%d"}' % number,
            certificate_url=f"https://{host}/c.pem",
            at=clock.now(),
            token=_TOKEN,
        )
        wire = head(length(body), *headers, path=b"/webhooks/dashscope") + body
        assert (await ask(scene.service.public, wire)).status in (401, 503)
    return len(hosts)


async def _paths(scene: Scene) -> int:
    """Whatever a client writes, requests go to the provider's address and to no other."""
    wires = [
        head(method=b"GET", path=f"/gateway/{name}{end.replace('IN', inside)}".encode())
        for name in ("dashscope", "modelslab")
        for end in _PATHS.split()
        for inside in ("127.0.0.1", "169.254.169.254", "[::1]")
    ]
    whole = head(method=b"GET", path=b"http://169.254.169.254/gateway/dashscope/x")
    tunnel = head(method=b"CONNECT", path=b"169.254.169.254:443")
    led = head(
        (b"X-Forwarded-Host", b"127.0.0.1:6379"), method=b"GET", path=b"/gateway/dashscope/to"
    )
    wires += [whole, tunnel, led, led.replace(b"Host: 127.0.0.1", b"Host: 169.254.169.254")]
    for wire in wires:
        async with connected(scene.gateway) as wired:
            await wired.send(wire)
            assert b" 500 " not in await wired.reader.readline()
    return len(wires)


async def _rescued(scene: Scene) -> int:
    """What was archived is gone from the bucket, and its name leads elsewhere by now."""
    shutil.rmtree(scene.folder / "bucket" / "blobs")
    scene.everybody.names.turn()
    for command in (["rescue", "--yes", "--bucket"], ["audit", "--yes"]):
        process = await asyncio.create_subprocess_exec(
            HOLDFAST, "--config", str(scene.service.config_file), *command,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await process.wait() in (0, 1, 3)
    return 2


async def _post(port: int, path: bytes, said: object, *, method: bytes = b"POST") -> int:
    body = json.dumps(said).encode()
    kind = (b"Content-Type", b"application/json")
    return (await ask(port, head(length(body), kind, method=method, path=path) + body)).status


_WAYS: dict[str, Callable[[Scene], Awaitable[int]]] = {
    "doitong's webhooks, and notify": _doitong,
    "modelslab's webhooks": _modelslab_webhooks,
    "modelslab's answers": _modelslab_answers,
    "dashscope's answers": _dashscope_answers,
    "pictures that requests name": _inputs,
    "eventbridge's certificates": _certificates,
    "paths through the gateway": _paths,
    "rescue and audit": _rescued,
}


@asynccontextmanager
async def _provider(links: Sequence[str]) -> AsyncIterator[None]:
    """Both providers behind the gateway: each status answer has a lot of the links."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        if request.path.startswith("/api/v6/images/fetch/"):
            lot = links[int(name) - 1 :][:_LINKS_IN_ONE]
            return web.json_response({"status": "success", "id": int(name), "output": [*lot]})
        if request.path.startswith("/api/v1/tasks/t"):
            results = [{"url": link} for link in links[int(name[1:]) :][:_LINKS_IN_ONE]]
            told = {"task_id": name, "task_status": "SUCCEEDED", "results": results}
            return web.json_response({"output": told, "request_id": "r"})
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})

    runner = web.ServerRunner(web.Server(answer, access_log=None), shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", _PROVIDER_PORT).start()
    yield
    await runner.cleanup()


async def _came_to_rest(scene: Scene) -> None:
    """Returns once all that was heard is absorbed, and every link and message was tried."""

    async def rests() -> bool | None:
        return True if _rests(scene.folder) else None

    await eventually(rests)
    await asyncio.sleep(_QUIET_SECONDS)  # the last connections are accepted


def _rests(folder: Path) -> bool:
    catalog = open_reader(folder / "catalog.db")
    try:
        reached = dict(catalog.execute("SELECT inbox, position FROM inbox_positions"))
        [(left,)] = catalog.execute(
            "SELECT count(*) FROM jobs WHERE kind IN ('fetch', 'notify', 'seal') AND"
            " (state IN ('available', 'running') OR state = 'scheduled' AND attempts = 0)"
        )
    finally:
        catalog.close()
    return left == 0 and all(reached.get(uuid, 0) >= last for uuid, last in _ends(folder))


def _ends(folder: Path) -> list[tuple[str, int]]:
    ends = []
    for name in ("receive", "gateway", "web"):
        inbox = open_reader(folder / "inbox" / f"{name}.db")
        try:
            said = "SELECT uuid, (SELECT coalesce(max(position), 0) FROM deliveries) FROM inbox"
            ends += list(inbox.execute(said))
        finally:
            inbox.close()
    return ends
