"""Asking an S3 server through boto3 for all that is not bytes, in threads, for boto3 blocks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from archiver.blobs.s3_answers import NO_CREDENTIALS, refusal
from archiver.errors import BucketError

_P = ParamSpec("_P")
_R = TypeVar("_R")


class Administration:
    """What boto3's `client` does for one bucket, its errors told as BucketErrors.

    `endpoint` is None for AWS and only serves the sentences of errors.
    """

    def __init__(self, client: Any, *, bucket: str, endpoint: str | None) -> None:
        self._client = client
        self._bucket = bucket
        self._endpoint = endpoint

    async def presigned_url(self, operation: str, *, expires_seconds: int, **params: Any) -> str:
        """A URL that permits one operation on the bucket."""
        url: str = await self._ask(
            self._client.generate_presigned_url,
            operation,
            Params={"Bucket": self._bucket, **params},
            ExpiresIn=expires_seconds,
        )
        return url

    async def pages(self, listing: str, prefix: str) -> AsyncIterator[Mapping[str, Any]]:
        """The answers to a listing of what begins with `prefix`, one after the other."""
        paginator = self._client.get_paginator(listing)
        pages = iter(paginator.paginate(Bucket=self._bucket, Prefix=prefix))
        while page := await self._ask(lambda: next(pages, None)):
            yield page

    async def close(self) -> None:
        """Let go of the connections."""
        await asyncio.to_thread(self._client.close)

    async def _ask(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            code = error.response["Error"]["Code"]
            raise refusal(
                self._bucket, self._endpoint, error.operation_name, status, code
            ) from None
        except NoCredentialsError:
            raise BucketError(NO_CREDENTIALS) from None
        except BotoCoreError as error:
            raise BucketError(
                f"bucket {self._bucket} gave no good answer ({type(error).__name__}): "
                "see whether its server is up and reachable, then try again"
            ) from None
