"""Any S3 server as a bucket: boto3 finds credentials and endpoint, `s3_wire` moves the bytes."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import ParamSpec, TypeVar
from urllib.parse import quote, unquote, urlsplit

import aiohttp
import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from archiver.blobs import BlobHead, Put, is_key, require_key
from archiver.blobs.s3_answers import NO_CREDENTIALS, complaint
from archiver.blobs.s3_wire import SignedRequests
from archiver.body import Body
from archiver.errors import BucketError, ConfigError

_METADATA = "x-amz-meta-"
_PIECE_BYTES = 2**20
_P = ParamSpec("_P")
_R = TypeVar("_R")


class S3Blobs:
    """The BlobStore in an S3 bucket, all keys below `prefix`.

    `endpoint` names a server other than AWS; it is addressed by path. Credentials, and whatever is
    None, are found the usual AWS ways. ConfigError if they contradict each other.
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
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix and prefix.strip("/") + "/"
        try:
            session = session or boto3.Session()
            credentials = session.get_credentials()
            self._client = session.client(
                "s3",
                endpoint_url=endpoint,
                region_name=region,
                config=Config(signature_version="s3v4", retries={"mode": "standard"}),
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"bucket {bucket} cannot be opened: {error}") from error
        server = self._client.meta.endpoint_url
        self._endpoint = None if _is_aws(server) else server
        self._base_url = bucket_url(server, bucket)
        self._requests = SignedRequests(
            bucket=bucket,
            endpoint=self._endpoint,
            region=self._client.meta.region_name,
            credentials=credentials,
            backoff_seconds=backoff_seconds,
        )

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
        body = body if isinstance(body, Body) else Body.of(body)
        headers = {
            "Content-Type": media_type,
            "x-amz-checksum-sha256": b64encode(body.sha256).decode(),
            **{_METADATA + name: quote(value, safe="/:") for name, value in metadata.items()},
        }
        if not replace:
            headers["If-None-Match"] = "*"
        async with self._requests.ask(
            "PUT", self._url(key), good={200, 412}, headers=headers, body=body
        ) as response:
            await response.read()
        if response.status == 412:
            return Put.EXISTED
        return Put.REPLACED if replace else Put.CREATED

    @asynccontextmanager
    async def read(self, key: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """See BlobStore."""
        async with self._requests.ask("GET", self._url(key), good={200}) as response:
            yield self._pieces(response)

    async def head(self, key: str) -> BlobHead | None:
        """See BlobStore."""
        async with self._requests.ask("HEAD", self._url(key), good={200, 404}) as response:
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
            )

    async def delete(self, key: str) -> None:
        """See BlobStore."""
        async with self._requests.ask("DELETE", self._url(key), good={200, 204, 404}) as response:
            await response.read()

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """See BlobStore."""
        pages = iter(
            self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
        )
        while page := await self._administer(lambda: next(pages, None)):
            for item in page.get("Contents", ()):
                key = item["Key"].removeprefix(self._prefix)
                if is_key(key):
                    yield key

    async def presigned_url(
        self, key: str, *, expires_seconds: int, media_type: str, filename: str
    ) -> str | None:
        """See BlobStore."""
        require_key(key)
        # RFC 6266 and 8187, so that a name in any script survives.
        disposition = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        return await self._administer(
            self._client.generate_presigned_url,
            "get_object",
            Params={
                "Bucket": self._bucket,
                "Key": self._prefix + key,
                "ResponseContentType": media_type,
                "ResponseContentDisposition": disposition,
            },
            ExpiresIn=expires_seconds,
        )

    async def check(self) -> None:
        """See BlobStore; a missing bucket is never made, for its name may be a slip."""
        async with self._requests.ask("HEAD", self._base_url, good={200}):
            pass

    async def close(self) -> None:
        """See BlobStore."""
        await self._requests.close()
        await asyncio.to_thread(self._client.close)

    def _url(self, key: str) -> str:
        require_key(key)
        return self._base_url + quote(self._prefix + key)

    async def _administer(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Do boto3's blocking work in a thread; its errors become BucketErrors."""
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            code = error.response["Error"]["Code"]
            raise BucketError(
                complaint(self._bucket, self._endpoint, error.operation_name, status, code)
            ) from None
        except NoCredentialsError:
            raise BucketError(NO_CREDENTIALS) from None
        except BotoCoreError as error:
            raise BucketError(
                f"bucket {self._bucket} gave no good answer ({type(error).__name__}): "
                "see whether its server is up and reachable, then try again"
            ) from None

    async def _pieces(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            while piece := await response.content.readany():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise BucketError(
                f"bucket {self._bucket} broke off an object ({type(error).__name__}); try again"
            ) from None


def _is_aws(server: str) -> bool:
    return (urlsplit(server).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn"))


def bucket_url(server: str, bucket: str) -> str:
    """Where keys begin: by host at AWS, by path elsewhere and where a dot would break the
    certificate."""
    if not _is_aws(server) or "." in bucket:
        return f"{server.rstrip('/')}/{bucket}/"
    parts = urlsplit(server)
    return f"{parts.scheme}://{bucket}.{parts.netloc}/"
