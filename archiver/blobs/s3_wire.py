"""Signed requests to an S3 server: botocore signs, aiohttp carries, a passing trouble is sat out.

A body goes out in the chunks it came in, under the SHA-256 that was taken while it came; botocore
would read it again, and boto3's own put_object costs several times the processor and a thread.
"""

import asyncio
import hmac
import os
import ssl
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property, lru_cache
from hashlib import sha256
from http.client import HTTPMessage

import aiohttp
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError
from yarl import URL

from archiver.blobs.s3_answers import NO_CREDENTIALS, RefusedError, error_code, is_passing, refusal
from archiver.body import Body
from archiver.errors import BucketError

_ATTEMPTS = 4
_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_LEAST_BYTES_PER_SECOND = 16 * 2**10
_ERROR_DOCUMENT_BYTES = 4096
_READ_BUFFER_BYTES = 2**20
_NOTHING_SHA256 = sha256().digest()


class SignedRequests:
    """A session with one bucket's server.

    `endpoint` is None for AWS and only serves the sentences of errors.
    """

    def __init__(
        self,
        *,
        bucket: str,
        endpoint: str | None,
        region: str,
        credentials: Credentials | None,
        backoff_seconds: float,
    ) -> None:
        self._bucket = bucket
        self._endpoint = endpoint
        self._region = region
        self._credentials = credentials
        self._backoff_seconds = backoff_seconds

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        *,
        good: Collection[int],
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a request and yield the answer once its status is a `good` one.

        Any other raises RefusedError, or BucketError after a few attempts if it might have passed.
        """
        async with await self._insist(method, url, good, headers or {}, body) as response:
            yield response

    def refusal(self, method: str, url: str, status: int, code: str) -> RefusedError:
        """The error for an answer that is not to be had otherwise by asking again."""
        asked = f"{method} {URL(url).path}"
        return refusal(self._bucket, self._endpoint, asked, status, code)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._session.close()

    async def _insist(
        self,
        method: str,
        url: str,
        good: Collection[int],
        headers: Mapping[str, str],
        body: Body | None,
    ) -> aiohttp.ClientResponse:
        trouble = ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._backoff_seconds * (2**attempt - 1))
            try:
                response = await self._send(method, url, headers, body)
                if response.status in good:
                    return response
                async with response:
                    code = error_code(await response.content.read(_ERROR_DOCUMENT_BYTES))
            except (aiohttp.ClientError, OSError) as error:
                trouble = type(error).__name__
                continue
            if not is_passing(response.status, code):
                raise self.refusal(method, url, response.status, code)
            trouble = f"{response.status} {code}".strip()
        raise BucketError(
            f"bucket {self._bucket} gave no good answer in {_ATTEMPTS} attempts ({trouble}): "
            f"see whether {URL(url).host} is up and reachable, then try again"
        ) from None

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: Body | None
    ) -> aiohttp.ClientResponse:
        digest = _NOTHING_SHA256 if body is None else body.sha256
        target = URL(url, encoded=True)
        told = {"Host": target.host_port_subcomponent or "", **headers}
        signed = self._sign(method, url, told, digest, await self._frozen_credentials())
        patience_seconds = None
        if body is not None:
            signed["Content-Length"] = str(body.size_bytes)
            patience_seconds = _READ_SECONDS + body.size_bytes / _LEAST_BYTES_PER_SECOND
        return await self._session.request(
            method,
            target,
            headers=signed,
            data=None if body is None else body.chunks(),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=patience_seconds, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
            ),
        )

    def _sign(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        digest: bytes,
        credentials: ReadOnlyCredentials,
    ) -> dict[str, str]:
        request = AWSRequest(method=method, url=url, headers=dict(headers))
        request.context["sha256"] = digest.hex()
        _KnownDigestAuth(credentials, "s3", self._region).add_auth(request)
        return dict(request.headers.items())

    async def _frozen_credentials(self) -> ReadOnlyCredentials:
        """Credentials good for one request; those that expire are renewed in a thread."""
        credentials = self._credentials
        if credentials is None:
            raise BucketError(NO_CREDENTIALS)
        if not isinstance(credentials, RefreshableCredentials) or not credentials.refresh_needed():
            return credentials.get_frozen_credentials()
        try:
            return await asyncio.to_thread(credentials.get_frozen_credentials)
        except BotoCoreError as error:
            raise BucketError(
                f"the credentials for bucket {self._bucket} could not be renewed "
                f"({type(error).__name__}): see `aws sts get-caller-identity`"
            ) from None

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        # Made at the first request, because a session belongs to the running loop.
        authorities = ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=authorities),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            read_bufsize=_READ_BUFFER_BYTES,
        )


class _KnownDigestAuth(S3SigV4Auth):
    """botocore's signer, less what it would do twice or more: hash the body, derive the day's key,
    gather the headers, and look through all of them for each."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["sha256"])

    def headers_to_sign(self, request: AWSRequest) -> HTTPMessage:
        gathered: HTTPMessage | None = request.context.get("to_sign")
        if gathered is None:
            gathered = request.context["to_sign"] = super().headers_to_sign(request)
        return gathered

    def canonical_headers(self, headers_to_sign: Iterable[str]) -> str:
        assert isinstance(headers_to_sign, HTTPMessage)
        lines = ((name, " ".join(value.split())) for name, value in headers_to_sign.items())
        return "\n".join(f"{name}:{value}" for name, value in sorted(lines))

    def signature(self, string_to_sign: str, request: AWSRequest) -> str:
        key = _signing_key(self.credentials.secret_key, self.credential_scope(request))
        return hmac.digest(key, string_to_sign.encode(), "sha256").hex()


@lru_cache(maxsize=8)
def _signing_key(secret: str, scope: str) -> bytes:
    """SigV4's key for a day, region and service, the parts of `scope`."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
