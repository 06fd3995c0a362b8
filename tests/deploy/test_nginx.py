"""The site for nginx, in a real nginx before the real receiver."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from archiver import clock
from archiver.inbox.sqlite import SqliteInboxReader
from receiver.settings import Listen
from receiver.signatures import DOITONG_HEADER, sign
from tests.deploy.programs import AROUND_SITE, DEPLOY, free_port, program, run
from tests.service import SECRET, Service, eventually, running

SITE = (DEPLOY / "nginx.conf").read_text()
LISTEN = Listen()


def certificate(folder: Path) -> None:
    """A certificate of nobody's, and its key, where the site looks for them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example.org")])
    now = clock.now()
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "fullchain.pem").write_bytes(built.public_bytes(pem))
    (folder / "privkey.pem").write_bytes(key.private_bytes(pem, pkcs8, plain))


def configured(folder: Path, *, port: int, receiver: int) -> Path:
    """A whole configuration around the site, whose places are other ones here."""
    site = SITE
    for ours, here in {
        "    listen [::]:443 ssl;\n": "",
        "443": f"127.0.0.1:{port}",
        "127.0.0.1:8080": f"127.0.0.1:{receiver}",
        "/etc/ssl/holdfast": str(folder),
    }.items():
        assert ours in site
        site = site.replace(ours, here)
    certificate(folder)
    (folder / "site.conf").write_text(site)
    (folder / "nginx.conf").write_text(AROUND_SITE.format(folder=folder))
    return folder / "nginx.conf"


def test_nginx_takes_it(tmp_path: Path) -> None:
    """`nginx -t`."""
    nginx = program("nginx", "nginx-light")
    config = configured(tmp_path, port=free_port(), receiver=free_port())
    assert "test is successful" in run(nginx, "-t", "-e", tmp_path / "error.log", "-c", config)


def test_its_limits_are_ours() -> None:
    """As large bodies as we take, and no connection that we close before nginx does."""
    assert f"client_max_body_size {LISTEN.max_body_bytes >> 20}m;" in SITE
    assert LISTEN.keepalive_seconds > 10
    assert LISTEN.read_seconds < 15
    assert "keepalive_timeout 10s;" in SITE
    assert "client_body_timeout 15s;" in SITE
    assert f"server {LISTEN.public} fail_timeout=2s;" in SITE


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """The receiver alone."""
    with running(tmp_path, roles=["receive"]) as receiving:
        yield receiving


@pytest.fixture
async def public(service: Service, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Whoever comes from outside."""
    nginx, port = program("nginx", "nginx-light"), free_port()
    folder = tmp_path / "nginx"
    folder.mkdir()
    config = configured(folder, port=port, receiver=service.public)
    trust = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
    trust.check_hostname = False
    connector = aiohttp.TCPConnector(ssl=trust)
    with subprocess.Popen([nginx, "-e", str(folder / "error.log"), "-c", str(config)]) as process:
        try:
            async with aiohttp.ClientSession(
                f"https://127.0.0.1:{port}", connector=connector
            ) as session:

                async def up() -> int | None:
                    try:
                        return await status(session, "GET", "/healthz")
                    except aiohttp.ClientConnectionError:
                        return None

                assert await eventually(up) == 200
                yield session
        finally:
            process.terminate()


async def status(
    session: aiohttp.ClientSession, method: str, path: str, body: bytes = b"", **headers: str
) -> int:
    async with session.request(method, path, data=BytesIO(body), headers=headers) as answer:
        return answer.status


async def told(session: aiohttp.ClientSession, body: bytes, **headers: str) -> int:
    """The answer to a signed webhook."""
    signed = {DOITONG_HEADER: sign(SECRET, body), **headers}
    return await status(session, "POST", "/webhooks/doitong", body, **signed)


async def test_only_webhooks_and_signs_of_life_are_public(
    public: aiohttp.ClientSession, service: Service, tmp_path: Path
) -> None:
    """They come through byte for byte; what is too large, or none of a stranger's business, not."""
    claim = {"X-Forwarded-For": "192.0.2.1"}
    assert await told(public, b'{"id": "1", "prompt": "\xc3\xa9"}', **claim) == 202
    assert await told(public, b"x" * (LISTEN.max_body_bytes + 1)) == 413
    assert await told(public, b"x" * LISTEN.max_body_bytes) == 202
    assert await status(public, "GET", "/readyz") == 200
    for path in ("/", "/metrics", "/api/v1/assets", "/webhooks", "/gateway/doitong/graphql"):
        assert await status(public, "GET", path) == 404
    with closing(SqliteInboxReader(tmp_path / "inbox" / "receive.db")) as inbox:
        first, _ = inbox.after(0, limit=9)
    assert (first.body, first.peer) == (b'{"id": "1", "prompt": "\xc3\xa9"}', "127.0.0.1")
    assert "/webhooks/" not in (tmp_path / "nginx" / "access.log").read_text()


async def test_a_restart_behind_it_refuses_nobody(
    public: aiohttp.ClientSession, service: Service
) -> None:
    """nginx has a connection open whose other end is killed; the next webhook takes another."""
    assert await told(public, b"one webhook") == 202
    service.kill("receive")
    assert await told(public, b"another webhook") == 202
