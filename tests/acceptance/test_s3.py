"""The same service with its bucket on an S3 server."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from archiver.keys import manifest_key
from receiver.simulator import Simulator
from tests.acceptance.test_spine import Told, submit
from tests.archiver.moto_server import (
    administering,
    begin_upload,
    begun_uploads,
    make_bucket,
    serve_moto,
)
from tests.service import SECRET, Service, eventually, from_simulator, running

pytest_plugins = ["tests.archiver.ceph_server"]

BUCKET = "my-archive"
PREFIX = "holdfast/"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKTEST",
    "AWS_SECRET_ACCESS_KEY": "SKTESTSECRET",
    "AWS_DEFAULT_REGION": "us-east-1",
}
TOLD = [
    Told(prompt=f"fox number {number}", faults=frozenset({"twice"}), remembered=True)
    for number in range(5)
]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """A lenient S3 server."""
    with serve_moto() as url:
        yield url


@pytest.fixture(scope="module", params=["moto", "ceph"])
def endpoint(request: pytest.FixtureRequest) -> str:
    """Each S3 server that there is, with one empty bucket."""
    url: str = request.getfixturevalue(request.param)
    make_bucket(url, BUCKET)
    return url


def objects(endpoint: str) -> dict[str, bytes]:
    """Everything in the bucket."""
    with administering(endpoint) as client:
        listed = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {
            item["Key"]: client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read()
            for item in listed
        }


async def sealed(client: ClientSession, service: Service, generation_id: str) -> dict[str, Any]:
    """The story of a generation once its manifest tells it."""
    url = f"http://127.0.0.1:{service.private}/api/v1/generations/doitong/{generation_id}"

    async def told() -> dict[str, Any] | None:
        async with client.get(url) as answer:
            story: dict[str, Any] = await answer.json()
        done = story.get("state") == "succeeded" and story["slots"][0]["state"] == "archived"
        return story if done and story["sealed_revision"] == story["revision"] else None

    return await eventually(told)


async def test_pictures_come_to_a_bucket_of_s3_and_out_again(tmp_path: Path, endpoint: str) -> None:
    """Bytes and manifests lie under the prefix, and `/content` leads to a presigned URL that works
    without credentials; the key that signed it is in no log line."""
    bucket = {"url": f"s3://{BUCKET}/{PREFIX}", "endpoint": endpoint}
    async with (
        Simulator(SECRET.encode(), drawing_seconds=0) as simulator,
        ClientSession() as client,
    ):
        egress = from_simulator(simulator.base_url)
        with running(tmp_path, env=CREDENTIALS, bucket=bucket, egress=egress) as service:
            ids = [await submit(client, simulator, service, it) for it in TOLD]
            stories = [await sealed(client, service, it) for it in ids]
            truth = {row["id"]: row["sha256"] for row in simulator.report()}
            held = await asyncio.to_thread(objects, endpoint)
            for generation_id, story in zip(ids, stories, strict=True):
                [slot] = story["slots"]
                [asset] = slot["assets"]
                stored = held.pop(PREFIX + asset["blob_key"])
                assert hashlib.sha256(stored).hexdigest() == truth[generation_id]
                manifest = json.loads(held.pop(PREFIX + manifest_key("doitong", generation_id)))
                assert manifest["slots"][0]["assets"] == [asset]
                url = f"http://127.0.0.1:{service.private}/api/v1/assets/{slot['number']}/content"
                async with client.get(url, allow_redirects=False) as answer:
                    assert (answer.status, answer.headers["Cache-Control"]) == (302, "no-store")
                    presigned = answer.headers["Location"]
                assert presigned.startswith(f"{endpoint}/{BUCKET}/{PREFIX}blobs/sha256/")
                async with client.get(presigned) as answer:
                    assert (answer.status, await answer.read()) == (200, stored)
                    assert answer.content_type == asset["media_type"]
            assert held == {}
            assert {row["downloads"] for row in simulator.report()} == {1}
            assert await asyncio.to_thread(service.stop) == 0
            assert "Signature=" not in service.log
            assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in service.log


async def test_a_bucket_that_is_missing_is_said_and_webhooks_are_taken(
    tmp_path: Path, endpoint: str
) -> None:
    """The log says what to type; what is heard meanwhile waits and is fetched once there is one."""
    bucket = {"url": "s3://not-yet", "endpoint": endpoint}
    async with (
        Simulator(SECRET.encode(), drawing_seconds=0) as simulator,
        ClientSession() as client,
    ):
        egress = from_simulator(simulator.base_url)
        with running(tmp_path, env=CREDENTIALS, bucket=bucket, egress=egress) as service:
            said = service.logged("the bucket cannot be used", role="archive")
            assert f"aws s3 mb s3://not-yet --endpoint-url {endpoint}" in said["error"]
            generation_id = await submit(client, simulator, service, TOLD[0])
            await simulator.idle()
            await asyncio.to_thread(service.logged, "retry", kind="fetch")
            await asyncio.to_thread(make_bucket, endpoint, "not-yet")
            story = await sealed(client, service, generation_id)
            assert story["slots"][0]["state"] == "archived"


def test_what_a_crash_left_in_the_bucket_is_removed(tmp_path: Path, moto: str) -> None:
    """A start aborts old uploads of ours, and says how many."""
    bucket = make_bucket(moto, "littered")
    ours, theirs = f"{PREFIX}blobs/sha256/00/film.mp4", "film.mp4"
    for key in (ours, theirs):
        begin_upload(moto, bucket, key)
    place = {"url": f"s3://{bucket}/{PREFIX}", "endpoint": moto}
    with running(tmp_path, env=CREDENTIALS, bucket=place) as service:
        service.logged("unfinished uploads removed", role="archive", count=1)
    assert list(begun_uploads(moto, bucket)) == [theirs]
