"""An archive on nine hosts: who stands on which, and how they are told of each other."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from receiver.simulator import Simulator
from tests.archiver import postgres_server
from tests.archiver.moto_server import make_bucket, serve_moto
from tests.archiver.postgres_server import PostgresServer
from tests.deploy.programs import AROUND_SITE, DEPLOY, program
from tests.hosts import NETWORK, OUTSIDE, Host, network
from tests.service import Service, starting, write_config

HEAR = ("hear1", "hear2", "hear3")
WORK = ("work1", "work2")
SHOW, FIRST, SECOND, BUCKET = "show", "data1", "data2", "bucket"
PUBLIC_PORT = 8080
BALANCER_PORT = 8443
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKTEST",
    "AWS_SECRET_ACCESS_KEY": "SKTESTSECRET",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Archive:
    """All that runs: the hosts by name, the service on each, both servers of the database."""

    hosts: Mapping[str, Host]
    services: Mapping[str, Service]
    primary: PostgresServer
    standby: PostgresServer
    database: str
    endpoint: str


@contextmanager
def hosted(
    folder: Path,
    simulator: Simulator,
    *,
    names: tuple[str, ...] = (*HEAR, *WORK, SHOW),
    synchronous: bool = True,
) -> Iterator[Archive]:
    """The archive at work, behind its balancer; it is in the bucket of its own host."""
    with ExitStack() as stack:
        hosts = stack.enter_context(network(*names, FIRST, SECOND, BUCKET))
        primary = stack.enter_context(postgres_server.running(host=hosts[FIRST]))
        pair = primary.synchronous_standby if synchronous else primary.standby
        standby = stack.enter_context(pair(hosts[SECOND]))
        database = primary.new_database_name()
        bucket = hosts[BUCKET]
        endpoint = stack.enter_context(serve_moto(bucket.address, bucket.inside))
        shared = {
            "bucket": {"url": f"s3://{make_bucket(endpoint, BUCKET)}", "endpoint": endpoint},
            "egress": {
                "allow_http": True,
                "allow_ports": [int(simulator.base_url.rpartition(":")[2])],
                "allow_cidrs": [NETWORK],
            },
            "providers_doitong": {"download_hosts": [OUTSIDE]},
        }
        url = f"postgresql://postgres@{hosts[FIRST].address},{hosts[SECOND].address}/{database}"
        services = {}
        for name in names:
            config_file = configured(folder / name, hosts[name], url, shared)
            services[name] = stack.enter_context(served(config_file, hosts[name]))
        for service in services.values():
            service.logged("ready", role="supervisor")
        hear = [hosts[name].address for name in names if name in HEAR]
        stack.enter_context(balanced(folder / "balancer", hear))
        yield Archive(
            hosts=hosts,
            services=services,
            primary=primary,
            standby=standby,
            database=database,
            endpoint=endpoint,
        )


def configured(
    folder: Path, host: Host, url: str, shared: Mapping[str, Mapping[str, object]]
) -> Path:
    """The configuration of the node that is called as its host."""
    folder.mkdir()
    return write_config(
        folder,
        listen={
            "public": f"{host.address}:{PUBLIC_PORT}",
            "private": "127.0.0.1:8081",
            "trusted_proxies": [f"{OUTSIDE}/32"],
        },
        catalog={"url": url, "data_folder": str(folder / "data"), "node": host.name},
        **shared,
    )


@contextmanager
def served(config_file: Path, host: Host) -> Iterator[Service]:
    """The service of a host, in the role that its name says."""
    role = {"hear": "receive", "work": "archive", "show": "web"}[host.name[:4]]
    with starting(config_file, roles=[role], env=CREDENTIALS, inside=host.inside) as service:
        try:
            yield service
        finally:
            config_file.with_name("log").write_text(service.log)


@contextmanager
def balanced(folder: Path, addresses: list[str]) -> Iterator[None]:
    """The site of `deploy/` in a real nginx, with a line for each receiver, and without TLS."""
    site = (DEPLOY / "nginx.conf").read_text()
    own = next(line for line in site.splitlines() if "server 127.0.0.1:8080" in line)
    lines = [own.replace("127.0.0.1:8080", f"{it}:{PUBLIC_PORT}") for it in addresses]
    listening = f"    listen 127.0.0.1:{BALANCER_PORT};"
    site = site.replace(own, "\n".join(lines)).replace("    listen 443 ssl;", listening)
    kept = [it for it in site.splitlines() if "ssl" not in it]
    folder.mkdir()
    (folder / "site.conf").write_text("\n".join(kept))
    (folder / "nginx.conf").write_text(AROUND_SITE.format(folder=folder))
    command = [program("nginx", "nginx-light"), "-e", str(folder / "error.log"), "-c"]
    with subprocess.Popen([*command, str(folder / "nginx.conf")]) as process:
        try:
            yield
        finally:
            process.terminate()
