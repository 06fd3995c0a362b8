"""An internet of the test's own: every address there is lies on this machine, and no way leads out.

In a network namespace whose loopback answers for all of IPv4 and IPv6, a real client with its real
resolver can be led to any address whatever, and nothing that it does is seen outside. Linux only,
with util-linux and iproute2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.archiver.certificate import write_certificate

NAME_SERVER = "127.0.0.53"
# The domain of all names of the island, for which its certificate is good.
DOMAIN = "public.test"

_NAMESPACES = ("unshare", "--map-root-user", "--net", "--mount")
# One address that is not loopback's own, without which resolvers ask for no addresses.
_SETTLE = """
set -e
ip link set lo up
ip address add 192.0.2.1/32 dev lo
ip -6 address add 2001:db8::1/128 dev lo nodad
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/hosts" /etc/hosts
shift
exec "$@"
"""
_PATIENCE_SECONDS = 600


@cache
def there_is_one() -> bool:
    """Whether this machine lets us make one."""
    try:
        made = subprocess.run([*_NAMESPACES, "ip", "link"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return made.returncode == 0


wanted = pytest.mark.skipif(not there_is_one(), reason="network namespaces need Linux and ip(8)")


def on_island(module: str, folder: Path, **said: Any) -> Any:
    """Runs `main(folder, **said)` of a module there; what it returns, as JSON."""
    (folder / "resolv.conf").write_text(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n::1 localhost ip6-localhost\n")
    certificate = write_certificate(folder / "everybody.pem", DOMAIN, f"*.{DOMAIN}")
    code = f"from {module} import main; from tests.archiver.island import tell; tell(main)"
    told = subprocess.run(
        [*_NAMESPACES, "sh", "-c", _SETTLE, "sh", str(folder), sys.executable, "-c", code],
        input=json.dumps({"folder": str(folder), **said}),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_SECONDS,
        env={**os.environ, "SSL_CERT_FILE": str(certificate)},
        check=False,
    )
    if told.returncode != 0:
        raise RuntimeError(f"{module} ended with {told.returncode}: {told.stderr[-3000:]}")
    return json.loads(told.stdout.splitlines()[-1])


def tell(main: Any) -> None:
    """The other end of `on_island`."""
    said = json.load(sys.stdin)
    print(json.dumps(main(Path(said.pop("folder")), **said)))
