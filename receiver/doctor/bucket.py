"""The bucket: whether it keeps what it is given, and clears up what was broken off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import boto3
from botocore.config import Config as ClientConfig
from botocore.exceptions import BotoCoreError, ClientError

from archiver.blobs import BlobStore, Put, read_whole
from archiver.blobs.opening import open_blob_store
from archiver.errors import BucketError, CatalogUnavailableError, ConfigError
from receiver.doctor.disk import judge_skew
from receiver.doctor.finding import Judged, fail, ok, warn
from receiver.doctor.patient import Patient
from receiver.settings import Bucket

_FIRST, _SECOND = b"put by holdfast doctor; it may be deleted\n", b"this must not be kept\n"
_TEXT = "text/plain"
_TIMEOUT_SECONDS = 10
_DAYS = 2
# What a server says that keeps no such rules.
_NO_RULES = "NoSuchLifecycleConfiguration"

Client = Any


def bucket(patient: Patient) -> Iterator[Judged]:
    """Whether it takes an object once and not twice, and has what the index says it has."""
    settings, newest = patient.config.bucket, _newest_key(patient)
    parts = urlsplit(settings.url)
    if parts.scheme == "file" and not Path(unquote(parts.path)).is_dir():
        # Nobody is to make it here: where a disk is not mounted, it would lie in its place.
        yield judge_no_folder(settings.url, newest)
        return
    yield asyncio.run(_examined(settings, newest))


def judge_no_folder(url: str, newest: str | None) -> Judged:
    """A folder that is not there, though the index may say that it has that object."""
    if newest is None:
        return warn(f"there is no {url} yet", "start the service, which makes it")
    return fail(
        f"there is no {url}, and the index says that pictures are in it",
        "see that bucket.url names the right one and its disk is mounted",
    )


async def _examined(settings: Bucket, newest: str | None) -> Judged:
    url = settings.url
    blobs = open_blob_store(url, endpoint=settings.endpoint, region=settings.region)
    try:
        if newest is not None and await blobs.head(newest) is None:
            return fail(
                f"{url} lacks {newest}, which the index says it has",
                "see that bucket.url names the right one and its disk is mounted; holdfast audit",
            )
        await blobs.check()
        if not await _keeps_the_first(blobs):
            return fail(
                f"{url} lets a put overwrite what is there",
                "use a server, or a file system, that tells of two who create one object",
            )
        if not await _honours_the_condition(blobs, url):
            return warn(
                f"the server of {url} ignores `If-None-Match: *`, so each object is asked for "
                "before it is put",
                "nothing is in danger; a server that honours it saves a request for each object",
            )
    except BucketError as error:
        return fail(str(error))
    finally:
        await blobs.close()
    return ok(f"{url} keeps what it is given, and the first of two that create one object")


async def _keeps_the_first(blobs: BlobStore) -> bool:
    key = f"probes/{uuid4().hex}"
    try:
        created = await blobs.put(key, _FIRST, media_type=_TEXT, metadata={})
        again = await blobs.put(key, _SECOND, media_type=_TEXT, metadata={})
        kept = await read_whole(blobs, key)
    finally:
        with suppress(BucketError):  # where nothing may be deleted it stays
            await blobs.delete(key)
    return (created, again, kept) == (Put.CREATED, Put.EXISTED, _FIRST)


async def _honours_the_condition(blobs: BlobStore, url: str) -> bool:
    """Who would let a presigned put overwrite is given none; a folder gives none to anybody."""
    if not url.startswith("s3:"):
        return True
    presigned = await blobs.presigned_put(
        "probes/never",
        sha256=bytes(32),
        size_bytes=1,
        media_type=_TEXT,
        metadata={},
        expires_seconds=1,
    )
    return presigned is not None


def bucket_clock(patient: Patient) -> Iterator[Judged]:
    """Whether the server of an S3 bucket has our time; it refuses signatures of another."""
    settings = patient.config.bucket
    with closing(_client(settings)) as client:
        began = patient.now()
        said = _asked(client.head_bucket, settings)
    date = said.headers.get("date")
    if date is None:
        yield warn(f"the server of {settings.url} does not tell its time", said.complaint)
        return
    # It tells whole seconds, and its answer took a while.
    told_at = parsedate_to_datetime(date).astimezone(UTC)
    middle = began + (patient.now() - began) / 2
    yield judge_skew(_beyond_a_second(told_at, middle), settings.url)


def uploads(patient: Patient) -> Iterator[Judged]:
    """Whether an S3 bucket ends uploads in parts that a crash has broken off."""
    settings = patient.config.bucket
    with closing(_client(settings)) as client:
        said = _asked(client.get_bucket_lifecycle_configuration, settings)
    if said.code not in ("", _NO_RULES):
        yield warn(
            f"{settings.url} does not tell its lifecycle rules ({said.code})",
            "allow s3:GetLifecycleConfiguration, or see for yourself that one of them ends "
            "unfinished uploads",
        )
        return
    yield judge_rules(settings, said.answer.get("Rules", ()))


def judge_rules(settings: Bucket, rules: Sequence[Mapping[str, Any]]) -> Judged:
    """The lifecycle rules of a bucket, as S3 tells them."""
    prefix = _prefix(settings)
    if any(_ends_uploads(rule, prefix) for rule in rules):
        return ok(f"{settings.url} ends unfinished uploads by a rule of its own")
    return warn(
        f"{settings.url} has no rule that ends unfinished uploads, and only a running service does",
        rule_command(settings, rules),
    )


def rule_command(settings: Bucket, rules: Sequence[Mapping[str, Any]]) -> str:
    """What puts the rule beside those there are, for the whole configuration is put at once."""
    rule = {
        "ID": "holdfast-unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": _prefix(settings)},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _DAYS},
    }
    document = json.dumps({"Rules": [*rules, rule]}, default=str).replace("'", "'\\''")
    endpoint = f" --endpoint-url {settings.endpoint}" if settings.endpoint else ""
    return (
        f"aws s3api put-bucket-lifecycle-configuration --bucket {_name(settings)}{endpoint}"
        f" --lifecycle-configuration '{document}'"
    )


def _ends_uploads(rule: Mapping[str, Any], prefix: str) -> bool:
    """Whether it holds for all of our keys."""
    where = rule.get("Filter", {})
    theirs = where.get("Prefix", rule.get("Prefix", "")) if "And" not in where else None
    narrow = theirs is None or "Tag" in where or not prefix.startswith(theirs)
    enabled = rule.get("Status") == "Enabled" and "AbortIncompleteMultipartUpload" in rule
    return enabled and not narrow


class _Said:
    """What a server answered: `code` is S3's name of a refusal, or what went wrong, or ""."""

    def __init__(self, answer: Mapping[str, Any], *, code: str, complaint: str) -> None:
        self.answer = answer
        self.code = code
        self.complaint = complaint
        about = answer.get("ResponseMetadata", {})
        self.headers: Mapping[str, str] = about.get("HTTPHeaders", {})


def _asked(ask: Callable[..., Any], settings: Bucket) -> _Said:
    try:
        return _Said(ask(Bucket=_name(settings)), code="", complaint="")
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "refused"))
        return _Said(error.response, code=code, complaint=f"it answered {code}")
    except BotoCoreError as error:
        kind = type(error).__name__
        return _Said({}, code=kind, complaint=f"see whether it is up and reachable ({kind})")


def _client(settings: Bucket) -> Client:
    try:
        return boto3.Session().client(
            "s3",
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            config=ClientConfig(
                signature_version="s3v4",
                connect_timeout=_TIMEOUT_SECONDS,
                read_timeout=_TIMEOUT_SECONDS,
                retries={"total_max_attempts": 1},
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"bucket {_name(settings)} cannot be opened: {error}") from error


def _newest_key(patient: Patient) -> str | None:
    """An object that should be there; None if there is none, or nobody knows."""
    if not patient.has_archive:
        return None
    try:
        with patient.tables() as tables:
            return tables.overview.newest_blob_key()
    except CatalogUnavailableError:  # which is no fault of the bucket's
        return None


def _beyond_a_second(told_at: datetime, now: datetime) -> timedelta:
    """How far ahead a clock is that only tells the second it is in."""
    begins, ends = told_at - now, told_at + timedelta(seconds=1) - now
    if begins <= timedelta(0) <= ends:
        return timedelta(0)
    return min(begins, ends, key=abs)


def _name(settings: Bucket) -> str:
    return urlsplit(settings.url).netloc


def _prefix(settings: Bucket) -> str:
    path = urlsplit(settings.url).path.strip("/")
    return f"{path}/" if path else ""
