"""Ceph's gateway: a real S3 server, that checks signatures and digests and tells racers apart.

A monitor, one OSD that keeps its objects in memory, and the gateway, all on loopback. Ceph's tools
write the new cluster's keys and maps into a temporary folder, so that nothing needs administering.
"""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest

from archiver import clock
from tests.archiver.moto_server import KEYS_PER_PAGE, session

_PACKAGES = ("ceph-mon", "ceph-osd", "radosgw")
# A start takes a few seconds of it.
_PATIENCE_SECONDS = 120
_LOOK_SECONDS = 0.05
_CONFIGURATION = """
[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{monitor_port}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
rgw_frontends = beast endpoint=127.0.0.1:{gateway_port}
keyring = {folder}/keyring
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/rgw
run_dir = {folder}
log_file = {folder}/$name.log
mon_cluster_log_to_file = false
admin_socket =
pid_file =
osd_objectstore = memstore
memstore_device_bytes = 4294967296
# One copy of everything, and a monitor that decides at once instead of waiting for more to decide.
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
mon_client_hunt_interval = 0.2
# Few, so that a test soon has more than one page of them.
rgw_max_listing_results = {keys_per_page}
"""


@pytest.fixture(scope="session")
def ceph() -> Iterator[str]:
    """The endpoint of one gateway for all tests, that knows the credentials of `session`."""
    missing = [name for name in _PACKAGES if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} missing: apt-get install {' '.join(_PACKAGES)}")
    with serve_ceph() as endpoint:
        yield endpoint


@contextmanager
def serve_ceph() -> Iterator[str]:
    """The endpoint of an empty gateway on a free port; afterwards nothing of it is left."""
    with TemporaryDirectory(prefix="ceph-") as name, ExitStack() as daemons:
        folder = Path(name)
        monitor_port, gateway_port = _free_ports()
        _found(folder, monitor_port, gateway_port)
        for daemon, its_name in (("ceph-mon", "mon.a"), ("ceph-osd", "osd.0")):
            _start(daemons, folder, daemon, its_name)
        known = session().get_credentials().get_frozen_credentials()
        keys = (f"--access-key={known.access_key}", f"--secret-key={known.secret_key}")
        _run(folder, "radosgw-admin", "user", "create", "--uid=x", "--display-name=x", *keys)
        gateway = _start(daemons, folder, "radosgw", "client.admin")
        _await_listener(gateway, gateway_port, folder)
        yield f"http://127.0.0.1:{gateway_port}"


def _found(folder: Path, monitor_port: int, gateway_port: int) -> None:
    """Write the configuration, the keys and the maps of a new cluster, and its daemons' folders."""
    fsid = str(uuid4())
    configuration = _CONFIGURATION.format(
        folder=folder,
        fsid=fsid,
        monitor_port=monitor_port,
        gateway_port=gateway_port,
        keys_per_page=KEYS_PER_PAGE,
    )
    (folder / "ceph.conf").write_text(configuration)
    keyring, monitors, disks = (str(folder / name) for name in ("keyring", "monmap", "osdmap"))
    (folder / "keyring").touch(mode=0o600)
    for owner in ("mon.", "osd.0", "client.admin"):
        caps = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
        _run(folder, "ceph-authtool", keyring, "--gen-key", "-n", owner, *caps)
    address = f"[v2:127.0.0.1:{monitor_port}]"
    _run(folder, "monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, monitors)
    _run(folder, "osdmaptool", "--createsimple", "1", disks)
    for daemon in ("mon", "osd", "rgw"):
        (folder / daemon).mkdir()
    _run(folder, "ceph-mon", "--mkfs", "-i", "a", "--monmap", monitors, "--osdmap", disks)
    _run(folder, "ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", str(uuid4()), "--no-mon-config")


def _run(folder: Path, program: str, *arguments: str) -> None:
    subprocess.run(
        [program, "-c", str(folder / "ceph.conf"), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PATIENCE_SECONDS,
        check=True,
    )


def _start(daemons: ExitStack, folder: Path, program: str, name: str) -> subprocess.Popen[bytes]:
    """A daemon in the foreground, killed when `daemons` closes: what it holds is thrown away."""
    daemon = subprocess.Popen(
        [program, "-c", str(folder / "ceph.conf"), "-f", "-n", name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    daemons.callback(daemon.wait)
    daemons.callback(daemon.kill)
    return daemon


def _await_listener(gateway: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    gives_up_at = clock.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            late = clock.monotonic() > gives_up_at
            log = folder / "client.admin.log"
            if late or gateway.poll() is not None:
                raise AssertionError(log.read_text()[-2000:]) from None
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on: a cluster's map must name them before they are bound."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
