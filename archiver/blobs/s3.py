"""Any S3 server as a bucket: boto3 finds credentials and endpoint, `s3_wire` moves the bytes."""

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from archiver.blobs import BlobHead, PresignedPut, Put, is_key, require_key
from archiver.blobs.s3_administration import Administration
from archiver.blobs.s3_condition import CREATE_ONLY, Condition
from archiver.blobs.s3_multipart import Multipart, upload_url
from archiver.blobs.s3_wire import SignedRequests
from archiver.body import Body
from archiver.errors import BucketError, ConfigError
from archiver.keys import BACKUPS

# S3 takes up to 5 GiB at once, but what breaks off begins anew.
LARGE_BYTES = 64 * 2**20
PART_BYTES = 16 * 2**20
_METADATA = "x-amz-meta-"
_CHECKSUM = "x-amz-checksum-sha256"
_WITH_CHECKSUM = {"x-amz-checksum-mode": "ENABLED"}
_PROBE_KEY = "probes/if-none-match"
# The only ones that are large; others may keep their uploads in the same bucket.
_LARGE_KEYS = ("blobs/sha256/", BACKUPS)


class S3Blobs:
    """The BlobStore in an S3 bucket, all keys below `prefix`.

    `endpoint` names a server other than AWS; it is addressed by path. Credentials, and whatever is
    None, are found the usual AWS ways. ConfigError if they contradict each other. What is larger
    than `large_bytes` goes in parts of `part_bytes`.
    """

    def __init__(
        self,
        bucket: str,
        *,
        prefix: str = "",
        endpoint: str | None = None,
        region: str | None = None,
        session: boto3.Session | None = None,
        backoff_seconds: float = 0.25,
        large_bytes: int = LARGE_BYTES,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix and prefix.strip("/") + "/"
        try:
            session = session or boto3.Session()
            credentials = session.get_credentials()
            client = session.client(
                "s3",
                endpoint_url=endpoint,
                region_name=region,
                config=Config(signature_version="s3v4", retries={"mode": "standard"}),
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"bucket {bucket} cannot be opened: {error}") from error
        server = client.meta.endpoint_url
        endpoint = None if _is_aws(server) else server
        self._base_url = bucket_url(server, bucket)
        self._requests = SignedRequests(
            bucket=bucket,
            endpoint=endpoint,
            region=client.meta.region_name,
            credentials=credentials,
            backoff_seconds=backoff_seconds,
        )
        self._administration = Administration(client, bucket=bucket, endpoint=endpoint)
        self._condition = Condition(self._requests, self._url(_PROBE_KEY))
        self._multipart = Multipart(self._requests, part_bytes=part_bytes)
        self._large_bytes = large_bytes

    async def put(
        self,
        key: str,
        body: Body | bytes,
        *,
        media_type: str,
        metadata: Mapping[str, str],
        replace: bool = False,
    ) -> Put:
        """See BlobStore."""
        url = self._url(key)
        body = body if isinstance(body, Body) else Body.of(body)
        headers = {
            "Content-Type": media_type,
            **{_METADATA + name: value for name, value in _quoted(metadata).items()},
        }
        large = body.size_bytes > self._large_bytes
        condition = CREATE_ONLY if not replace and await self._condition.is_honoured() else {}
        # Where the server would not say it, and where saying it at the end costs a whole upload.
        if not replace and (large or not condition) and await self.head(key) is not None:
            return Put.EXISTED
        if large:
            stored = await self._multipart.put(
                url, body, headers, replace=replace, condition=condition
            )
        else:
            stored = await self._put_at_once(url, body, {**headers, **condition})
        if not stored:
            return Put.EXISTED
        return Put.REPLACED if replace else Put.CREATED

    @asynccontextmanager
    async def read(
        self, key: str, *, begin: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See BlobStore."""
        whole = begin == 0 and end is None
        headers = {} if whole else {"Range": f"bytes={begin}-{'' if end is None else end - 1}"}
        good = {200} if whole else {206}
        async with self._requests.ask("GET", self._url(key), good=good, headers=headers) as answer:
            yield self._pieces(answer)

    async def head(self, key: str) -> BlobHead | None:
        """See BlobStore."""
        async with self._requests.ask(
            "HEAD", self._url(key), good={200, 404}, headers=_WITH_CHECKSUM
        ) as response:
            if response.status == 404:
                return None
            return BlobHead(
                size_bytes=int(response.headers["Content-Length"]),
                media_type=response.headers["Content-Type"],
                metadata={
                    name.lower().removeprefix(_METADATA): unquote(value)
                    for name, value in response.headers.items()
                    if name.lower().startswith(_METADATA)
                },
                sha256=_whole_checksum(response.headers.get(_CHECKSUM)),
            )

    async def delete(self, key: str) -> None:
        """See BlobStore."""
        async with self._requests.ask("DELETE", self._url(key), good={200, 204, 404}) as response:
            await response.read()

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """See BlobStore."""
        async for item in self._listed(prefix):
            yield item["Key"].removeprefix(self._prefix)

    async def digests(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        """See BlobStore; it is what the server calls the object's ETag."""
        async for item in self._listed(prefix):
            yield item["Key"].removeprefix(self._prefix), item["ETag"].strip('"')

    async def presigned_url(
        self, key: str, *, expires_seconds: int, media_type: str, filename: str
    ) -> str | None:
        """See BlobStore."""
        require_key(key)
        # RFC 6266 and 8187, so that a name in any script survives.
        disposition = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        return await self._administration.presigned_url(
            "get_object",
            expires_seconds=expires_seconds,
            Key=self._prefix + key,
            ResponseContentType=media_type,
            ResponseContentDisposition=disposition,
        )

    async def presigned_put(
        self,
        key: str,
        *,
        sha256: bytes,
        size_bytes: int,
        media_type: str,
        metadata: Mapping[str, str],
        expires_seconds: int,
    ) -> PresignedPut | None:
        """See BlobStore; the server of AWS itself holds the bytes to their digest."""
        require_key(key)
        if size_bytes > self._large_bytes or not await self._condition.is_honoured():
            return None
        checksum = b64encode(sha256).decode()
        told = _quoted(metadata)
        url = await self._administration.presigned_url(
            "put_object",
            expires_seconds=expires_seconds,
            Key=self._prefix + key,
            ContentType=media_type,
            ContentLength=size_bytes,
            ChecksumSHA256=checksum,
            IfNoneMatch=CREATE_ONLY["If-None-Match"],
            Metadata=told,
        )
        headers = {
            **CREATE_ONLY,
            "Content-Length": str(size_bytes),
            "Content-Type": media_type,
            _CHECKSUM: checksum,
            **{_METADATA + name: value for name, value in told.items()},
        }
        return PresignedPut(url=url, headers=headers)

    async def check(self) -> None:
        """See BlobStore; a missing bucket is never made, for its name may be a slip."""
        async with self._requests.ask("HEAD", self._base_url, good={200}):
            pass
        await self._condition.prove()

    async def sweep(self, *, begun_before: datetime) -> int:
        """See BlobStore."""
        count = 0
        for ours in (self._prefix + begin for begin in _LARGE_KEYS):
            async for page in self._administration.pages("list_multipart_uploads", ours):
                for upload in page.get("Uploads", ()):
                    key = upload["Key"].removeprefix(self._prefix)
                    is_ours = upload["Key"].startswith(ours) and is_key(key)
                    if is_ours and upload["Initiated"] < begun_before:
                        await self._multipart.abort(upload_url(self._url(key), upload["UploadId"]))
                        count += 1
        return count

    async def close(self) -> None:
        """See BlobStore."""
        await self._requests.close()
        await self._administration.close()

    async def _listed(self, prefix: str) -> AsyncIterator[Mapping[str, Any]]:
        async for page in self._administration.pages("list_objects_v2", self._prefix + prefix):
            for item in page.get("Contents", ()):
                if is_key(item["Key"].removeprefix(self._prefix)):
                    yield item

    def _url(self, key: str) -> str:
        require_key(key)
        return self._base_url + quote(self._prefix + key)

    async def _put_at_once(self, url: str, body: Body, headers: Mapping[str, str]) -> bool:
        """Store in one request; False if the server says that there is something already."""
        checksum = {_CHECKSUM: b64encode(body.sha256).decode()}
        async with self._requests.ask(
            "PUT", url, good={200, 412}, headers={**headers, **checksum}, body=body
        ) as response:
            await response.read()
            return response.status == 200

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            while piece := await response.content.readany():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise BucketError(
                f"bucket {self._bucket} broke off an object ({type(error).__name__}); try again"
            ) from None


def _quoted(metadata: Mapping[str, str]) -> dict[str, str]:
    """Any text as what a header may hold."""
    return {name: quote(value, safe="/:") for name, value in metadata.items()}


def _whole_checksum(said: str | None) -> bytes | None:
    """The digest that a server keeps of all bytes; that of parts, with their number, is none."""
    try:
        digest = b64decode(said or "", validate=True)
    except ValueError:
        return None
    return digest if len(digest) == 32 else None


def _is_aws(server: str) -> bool:
    return (urlsplit(server).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


def bucket_url(server: str, bucket: str) -> str:
    """Where keys begin: by host at AWS, by path elsewhere and where a dot would break the
    certificate."""
    if not _is_aws(server) or "." in bucket:
        return f"{server.rstrip('/')}/{bucket}/"
    parts = urlsplit(server)
    return f"{parts.scheme}://{bucket}.{parts.netloc}/"
