"""The same checks and the same table, but one commit for each request, on the event loop."""

import hashlib
import hmac
import sys
import time

import pysqlite3
import uvloop
from aiohttp import web

SECRETS = [b"whsec_0123456789abcdef", b"whsec_fedcba9876543210"]


def open_database(path: str) -> pysqlite3.Connection:
    """A durable table of deliveries."""
    connection = pysqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(
        "CREATE TABLE deliveries (id INTEGER PRIMARY KEY, received_at REAL, headers TEXT,"
        " body BLOB, sha256 BLOB UNIQUE) STRICT"
    )
    return connection


def signed(signature: str, body: bytes) -> bool:
    """Whether any of the secrets made this signature."""
    return any(
        hmac.compare_digest("sha256=" + hmac.digest(secret, body, "sha256").hex(), signature)
        for secret in SECRETS
    )


def main() -> None:
    """Serves on the port given, into the database given."""
    database = open_database(sys.argv[2])

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        if not signed(request.headers.get("X-Doitong-Signature", ""), body):
            return web.Response(status=401)
        database.execute(
            "INSERT OR IGNORE INTO deliveries (received_at, headers, body, sha256)"
            " VALUES (?,?,?,?)",
            (time.time(), str(dict(request.headers)), body, hashlib.sha256(body).digest()),
        )
        return web.Response(status=202, text="stored\n")

    app = web.Application()
    app.add_routes([web.post("/webhooks/doitong", handle)])
    loop = uvloop.new_event_loop()
    web.run_app(
        app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None, loop=loop
    )


if __name__ == "__main__":
    main()
