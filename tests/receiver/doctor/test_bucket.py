"""The bucket: a folder, and S3 servers that know everything, nothing, or not enough."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archiver import clock
from archiver.models import Origin
from receiver.doctor import bucket
from receiver.doctor.bucket import judge_rules, rule_command
from receiver.doctor.finding import Judged, Verdict
from receiver.doctor.patient import Patient
from receiver.settings import Bucket
from tests.archiver.deaf_server import serve_deaf
from tests.archiver.filled import filling
from tests.archiver.moto_server import administering, make_bucket, serve_moto
from tests.archiver.origin import answer, serve_origin
from tests.receiver.doctor.patients import archive, patient, verdicts


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    with serve_moto() as endpoint:
        yield endpoint


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a test's server takes for good."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "AKTEST"),
        ("AWS_SECRET_ACCESS_KEY", "SKTESTSECRET"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)


def of_s3(folder: Path, endpoint: str, url: str = "s3://archive/some") -> Patient:
    """A patient with a bucket on that server, and the true time."""
    known = patient(folder, bucket={"url": url, "endpoint": endpoint, "region": "us-east-1"})
    return Patient(config=known.config, now=clock.now)


def test_a_folder_keeps_the_first_of_two(tmp_path: Path) -> None:
    """And has no probe left in it."""
    root = tmp_path / "bucket"
    root.mkdir()
    assert verdicts(bucket.bucket(patient(tmp_path))) == [Verdict.OK]
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_catalog_that_is_damaged_is_no_fault_of_the_buckets(tmp_path: Path) -> None:
    """It is looked at all the same, as it has what brings the catalog back."""
    (tmp_path / "bucket").mkdir()
    archive(tmp_path).write_bytes(b"this is no database at all" * 400)
    assert verdicts(bucket.bucket(patient(tmp_path))) == [Verdict.OK]


async def test_a_bucket_that_is_not_mounted(tmp_path: Path) -> None:
    """A folder that is gone fails once there should be something in it, and is never made."""
    root = tmp_path / "bucket"
    [judged] = await asyncio.to_thread(list, bucket.bucket(patient(tmp_path)))
    assert judged.verdict is Verdict.WARN
    async with filling(tmp_path) as archive:
        await archive.hear("a", "a fox")
        await archive.save("a", PNG, Origin.PROVIDER)
    assert verdicts(await examined(tmp_path)) == [Verdict.OK]
    root.rename(tmp_path / "away")
    [judged] = await examined(tmp_path)
    assert judged.verdict is Verdict.FAIL
    assert not root.exists()
    root.mkdir()
    [judged] = await examined(tmp_path)
    assert (judged.verdict, "lacks blobs/sha256/" in judged.sentence) == (Verdict.FAIL, True)
    assert list(root.iterdir()) == []


async def examined(folder: Path) -> list[Judged]:
    return await asyncio.to_thread(lambda: list(bucket.bucket(patient(folder))))


def test_an_s3_bucket_as_it_should_be(tmp_path: Path, moto: str) -> None:
    """It keeps the first, has our time, and wants a rule; typed as it is said, it has the rule."""
    make_bucket(moto, "archive")
    known = of_s3(tmp_path, moto)
    assert verdicts(bucket.bucket(known)) == [Verdict.OK]
    assert verdicts(bucket.bucket_clock(known)) == [Verdict.OK]
    [judged] = bucket.uploads(known)
    assert judged.verdict is Verdict.WARN
    with administering(moto) as client:
        assert client.list_objects_v2(Bucket="archive").get("Contents", []) == []
        words = shlex.split(judged.cure)
        assert words[:3] == ["aws", "s3api", "put-bucket-lifecycle-configuration"]
        said = dict(zip(words[3::2], words[4::2], strict=True))
        assert said["--endpoint-url"] == moto
        client.put_bucket_lifecycle_configuration(
            Bucket=said["--bucket"],
            LifecycleConfiguration=json.loads(said["--lifecycle-configuration"]),
        )
    assert verdicts(bucket.uploads(known)) == [Verdict.OK]


async def test_a_server_that_ignores_the_condition(tmp_path: Path, moto: str) -> None:
    """Nothing is in danger; it costs a request for each object."""
    make_bucket(moto, "deaf")
    async with serve_deaf(moto) as endpoint:
        known = of_s3(tmp_path, endpoint, "s3://deaf")
        [judged] = await asyncio.to_thread(list, bucket.bucket(known))
    assert (judged.verdict, "If-None-Match" in judged.sentence) == (Verdict.WARN, True)


def test_a_bucket_that_is_not_there(tmp_path: Path, moto: str) -> None:
    """The sentence says what to type; the server still tells its time, and no rules."""
    known = of_s3(tmp_path, moto, "s3://nowhere")
    [judged] = bucket.bucket(known)
    assert (judged.verdict, "aws s3 mb s3://nowhere" in judged.sentence) == (Verdict.FAIL, True)
    assert verdicts(bucket.bucket_clock(known)) == [Verdict.OK]
    [judged] = bucket.uploads(known)
    assert (judged.verdict, "NoSuchBucket" in judged.sentence) == (Verdict.WARN, True)


async def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    """Neither time nor rules are known."""
    async with serve_origin() as server:
        endpoint = server.url("")
    known = of_s3(tmp_path, endpoint)
    for check in (bucket.bucket_clock, bucket.uploads):
        [judged] = await asyncio.to_thread(list, check(known))
        assert (judged.verdict, "EndpointConnectionError" in f"{judged}") == (Verdict.WARN, True)


async def test_a_server_of_another_time(tmp_path: Path) -> None:
    """It refuses signatures that are a quarter of an hour old, or yet to be made."""
    async with serve_origin() as server:
        date = f"{clock.now() + timedelta(minutes=10):%a, %d %b %Y %H:%M:%S GMT}"
        server.answers["/archive"] = answer(403, Date=date)
        [judged] = await asyncio.to_thread(
            list, bucket.bucket_clock(of_s3(tmp_path, server.url("")))
        )
    assert (judged.verdict, "ahead of ours" in judged.sentence) == (Verdict.FAIL, True)


@pytest.mark.parametrize(("told", "ahead"), [(0, 0), (-0.9, 0), (-3, -2), (4, 4)])
def test_a_server_tells_whole_seconds(told: float, ahead: float) -> None:
    """Within the second that it names nothing is known to be wrong."""
    now = datetime(2026, 11, 21, tzinfo=UTC)
    found = bucket._beyond_a_second(now + timedelta(seconds=told), now)
    assert found.total_seconds() == pytest.approx(ahead)


OURS = {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
RULES = {
    "for everything": ([{**OURS, "Filter": {"Prefix": ""}}], Verdict.OK),
    "for ours": ([{**OURS, "Filter": {"Prefix": "some/"}}], Verdict.OK),
    "for the old way of saying it": ([{**OURS, "Prefix": ""}], Verdict.OK),
    "for others": ([{**OURS, "Filter": {"Prefix": "other/"}}], Verdict.WARN),
    "for a part of ours": ([{**OURS, "Filter": {"Prefix": "some/blobs/"}}], Verdict.WARN),
    "for what is labelled": ([{**OURS, "Filter": {"Tag": {"Key": "a"}}}], Verdict.WARN),
    "for two conditions": ([{**OURS, "Filter": {"And": {"Prefix": ""}}}], Verdict.WARN),
    "switched off": ([{**OURS, "Status": "Disabled", "Filter": {}}], Verdict.WARN),
    "about something else": ([{"Status": "Enabled", "Filter": {}}], Verdict.WARN),
    "none": ([], Verdict.WARN),
}


@pytest.mark.parametrize(("rules", "verdict"), RULES.values(), ids=RULES)
def test_rules_that_end_unfinished_uploads(rules: list[dict[str, Any]], verdict: Verdict) -> None:
    """Only one that holds for all of our keys will do."""
    assert judge_rules(Bucket(url="s3://archive/some"), rules).verdict is verdict


def test_the_cure_keeps_the_rules_there_are() -> None:
    """For they are all put at once; whatever is in them, a shell takes it as it is."""
    theirs = {
        "ID": "it's theirs; $(true)",
        "Expiration": {"Date": datetime(2027, 1, 1, tzinfo=UTC)},
    }
    words = shlex.split(rule_command(Bucket(url="s3://archive"), [theirs]))
    first, second = json.loads(words[-1])["Rules"]
    assert first["ID"] == theirs["ID"]
    assert second["Filter"] == {"Prefix": ""}
    assert "--endpoint-url" not in words


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080200000090"
    "7753de0000000c4944415408d763f8cfc000000301010018dd8db00000000049454e44ae426082"
)
