"""A moto server in a process of its own: S3's protocol over real HTTP, kept in memory."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cache
from threading import Thread
from typing import Any

import boto3

KEYS_PER_PAGE = 10


@contextmanager
def serve_moto(address: str = "127.0.0.1", inside: Sequence[str] = ()) -> Iterator[str]:
    """The endpoint of an empty server on a free port; `inside` has it run on another host."""
    command = [*inside, sys.executable, "-u", "-m", "moto.server", "-H", address, "-p", "0"]
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


@contextmanager
def administering(endpoint: str) -> Iterator[Any]:
    """boto3's client for a test server of any kind."""
    with closing(session().client("s3", endpoint_url=endpoint)) as client:
        yield client


def make_bucket(endpoint: str, name: str) -> str:
    """A new bucket of this name."""
    with administering(endpoint) as client:
        client.create_bucket(Bucket=name)
    return name


def begin_upload(endpoint: str, bucket: str, key: str) -> None:
    """What a program leaves that dies while it sends an object in parts.

    moto says of each that it was begun in 2010.
    """
    with administering(endpoint) as client:
        client.create_multipart_upload(Bucket=bucket, Key=key)


def begun_uploads(endpoint: str, bucket: str) -> dict[str, datetime]:
    """When each upload in parts was begun, by key, of those that are not finished."""
    with administering(endpoint) as client:
        uploads = client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())
    return {upload["Key"]: upload["Initiated"] for upload in uploads}
