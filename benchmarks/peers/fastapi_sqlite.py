"""FastAPI on uvicorn with a plain `def` endpoint and SQLite: the receiver of most tutorials."""

import hashlib
import sys
import threading
import time

import pysqlite3
import uvicorn
from commit_each import open_database, signed
from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool


def main() -> None:
    """Serves on the port given, into the database given."""
    open_database(sys.argv[2]).close()
    local = threading.local()
    app = FastAPI()

    def store(headers: str, body: bytes) -> None:
        if not hasattr(local, "database"):
            local.database = connect(sys.argv[2])
        local.database.execute(
            "INSERT OR IGNORE INTO deliveries (received_at, headers, body, sha256)"
            " VALUES (?,?,?,?)",
            (time.time(), headers, body, hashlib.sha256(body).digest()),
        )

    @app.post("/webhooks/doitong")
    async def handle(request: Request) -> Response:
        body = await request.body()
        if not signed(request.headers.get("X-Doitong-Signature", ""), body):
            return Response(status_code=401)
        await run_in_threadpool(store, str(dict(request.headers)), body)
        return Response(status_code=202, content="stored\n")

    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", loop="uvloop")


def connect(path: str) -> object:
    """A connection of one thread's own, as durable as ours."""
    connection = pysqlite3.connect(path, isolation_level=None, timeout=30)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


if __name__ == "__main__":
    main()
