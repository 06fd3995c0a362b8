"""A role's process before it is one: what takes long to load is loaded, and nothing is open.

`python -m receiver.roles.spare ROLE`, with a role of this package. At the first byte of its orders
it becomes that role, within a tenth of a second. A process from nothing takes half a second for
that, on a busy machine several.
"""

from __future__ import annotations

import runpy
import sys
from contextlib import suppress
from importlib import import_module
from io import BufferedReader
from pathlib import Path
from typing import cast

# Other people's, for of ours some count from their import on, and then two would count as one.
_SLOW = (
    *("aiohttp.web", "cryptography.x509", "msgspec", "prometheus_client"),
    *("pysqlite3", "structlog", "uvloop"),
)


def main(role: str) -> None:
    """Waits until there are orders and obeys them; ends where the parent ends without any."""
    _be_called("spare")
    for name in _SLOW:
        with suppress(ImportError):  # the role knows whether it can do without
            import_module(name)
    if cast(BufferedReader, sys.stdin.buffer).peek(1):
        _be_called(role)
        runpy.run_module(f"receiver.roles.{role}", run_name="__main__")


def _be_called(name: str) -> None:
    """For whoever looks at processes, where the kernel has such names: proc(5)."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)


if __name__ == "__main__":
    main(sys.argv[1])
