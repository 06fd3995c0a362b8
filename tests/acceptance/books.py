"""What is left when a drill has ended, told by the database and the bucket themselves."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.acceptance.hosted import BUCKET
from tests.archiver.moto_server import administering
from tests.archiver.postgres_server import PostgresServer

# The lock is that of `postgres_store`.
_LEADER = f"""
SELECT host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objid = {0x686F6C66}
"""
_UNOBSERVED = """
SELECT count(*) FROM deliveries WHERE NOT EXISTS (
    SELECT 1 FROM observations
    WHERE observations.inbox = deliveries.inbox::text
      AND observations.position = deliveries.position)
"""
_TWICE = """
SELECT count(*) FROM (SELECT 1 FROM observations JOIN deliveries ON
    observations.inbox = deliveries.inbox::text AND observations.position = deliveries.position
    GROUP BY deliveries.sha256 HAVING count(*) > 1) AS twice
"""
# Whom nobody can be asked about is asked about in vain for ever.
JOBS_LEFT = """
SELECT count(*) FROM jobs
WHERE kind NOT IN ('poll', 'render') AND state IN ('available', 'scheduled', 'running')
"""
_ASSETS = """
SELECT generations.id, encode(assets.sha256, 'hex') FROM assets
JOIN slots ON slots.number = assets.slot JOIN generations ON generations.key = slots.generation
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Books:
    """One server's database, looked into by its socket."""

    server: PostgresServer
    database: str

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Straight from the tables."""
        with closing(psycopg.connect(self.server.url(self.database))) as connection:
            return connection.execute(sql.encode()).fetchall()

    def number(self, sql: str) -> int:
        """The one number that is asked for."""
        [(number,)] = self.rows(sql)
        return int(number)

    def kept(self) -> list[bytes]:
        """The digest of every delivery, as often as there is one."""
        return [bytes(digest) for (digest,) in self.rows("SELECT sha256 FROM deliveries")]

    def unobserved(self) -> int:
        """How many deliveries had no effect in the catalog."""
        return self.number(_UNOBSERVED)

    def observed_twice(self) -> int:
        """How many deliveries had an effect more than once; each here speaks of one generation."""
        return self.number(_TWICE)

    def assets(self) -> list[tuple[str, str]]:
        """Each row of a picture: the generation's id, and the digest."""
        return [(str(id_), str(digest)) for id_, digest in self.rows(_ASSETS)]

    def leaders(self) -> list[str]:
        """The addresses from which the catalog's work is held."""
        return [str(address) for (address,) in self.rows(_LEADER)]


def stored(endpoint: str) -> list[str]:
    """The digest of every object that is a picture."""
    with administering(endpoint) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="blobs/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return [key.rpartition("/")[2].partition(".")[0] for key in keys]
