"""The receiver that one would write first, with aiohttp's defaults: what attacks are tried against.

It says its port on stdout, and its faults on stderr.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from tests.service import SECRET


@dataclass(kw_only=True, slots=True)
class Plain:
    """It at work: its port, its process, and what it has said on stderr."""

    port: int
    pid: int
    log: list[str] = field(default_factory=list)


@contextmanager
def plain_app() -> Iterator[Plain]:
    """It as a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.torture.plain_app"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        plain = Plain(port=int(process.stdout.readline()), pid=process.pid)
        reader = threading.Thread(target=lambda: plain.log.extend(process.stderr or ()))
        reader.start()
        try:
            yield plain
        finally:
            process.kill()
            reader.join()


def _serve() -> None:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.execute("CREATE TABLE heard (id TEXT)")

    async def hook(request: web.Request) -> web.Response:
        body = await request.read()
        given = request.headers.get("X-Doitong-Signature", "")
        right = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(given, right):
            return web.Response(status=401)
        said = json.loads(body)
        database.execute("INSERT INTO heard VALUES (?)", (said["id"],))
        return web.Response(status=202)

    app = web.Application()
    app.add_routes([web.post("/webhooks/doitong", hook)])
    web.run_app(app, host="127.0.0.1", port=0, print=_say_port)


def _say_port(text: str) -> None:
    for word in text.split():
        if word.startswith("http://127.0.0.1:"):
            print(word.rpartition(":")[2], flush=True)


if __name__ == "__main__":
    _serve()
