"""A moto server in a process of its own: S3's protocol over real HTTP, kept in memory."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Thread

import boto3

KEYS_PER_PAGE = 10


@contextmanager
def serve_moto() -> Iterator[str]:
    """The endpoint of an empty server on a free port."""
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    environment = os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": str(KEYS_PER_PAGE)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        # It prints its address once it listens, then a line for every request, which must be read.
        announced = (re.search(r"http://[\d.]+:\d+", line) for line in process.stderr)
        endpoint = next(found[0] for found in announced if found)
        reader = Thread(target=process.stderr.read)
        reader.start()
        try:
            yield endpoint
        finally:
            process.kill()
            reader.join()


@cache
def session() -> boto3.Session:
    """Credentials that a test server takes for good, whatever the environment holds."""
    return boto3.Session("AKTEST", "SKTESTSECRET", region_name="us-east-1")


def make_bucket(endpoint: str, name: str) -> str:
    """A new bucket of this name."""
    client = session().client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket=name)
    client.close()
    return name
