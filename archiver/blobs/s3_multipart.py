"""Large objects in parts: a connection that breaks costs one part, and never the whole video.

At most a few uploads at once, each with one part in memory. The server verifies each part by its
digests; the whole is digested again on the way, so that what spoilt while it waited on disk is
never completed. What a crash leaves behind is for S3Blobs.sweep.
"""

import asyncio
import hashlib
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from html import unescape
from urllib.parse import quote
from xml.sax.saxutils import escape

from archiver.blobs.s3_answers import NO_SUCH_UPLOAD, NOT_IMPLEMENTED, RefusedError, error_code
from archiver.blobs.s3_wire import SignedRequests
from archiver.body import Body
from archiver.errors import BucketError

_UPLOADS_AT_ONCE = 4
# A worker told to stop does not wait long for a server that is gone.
_ABORT_SECONDS = 10
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_MOST_PARTS = 10_000
_UPLOAD_ID = re.compile(rb"<UploadId>([^<]+)</UploadId>")


class Multipart:
    """Uploads to one server in parts of `part_bytes` (5 MiB at least, by S3's law)."""

    def __init__(self, requests: SignedRequests, *, part_bytes: int) -> None:
        self._requests = requests
        self._part_bytes = part_bytes
        self._turns = asyncio.Semaphore(_UPLOADS_AT_ONCE)

    async def put(
        self,
        url: str,
        body: Body,
        headers: Mapping[str, str],
        *,
        replace: bool,
        condition: Mapping[str, str],
    ) -> bool:
        """Store `body` as the object at `url`, whole or not at all; False if one is there already.

        Few servers honour a `condition` on the last step, so the object is asked for just before.
        """
        async with self._turns:
            upload = upload_url(url, await self._begin(url, headers))
            completed = False
            try:
                etags = await self._send(upload, body)
                if replace or not await self._exists(url):
                    completed = await self._complete(upload, etags, condition)
            except RefusedError as error:
                # An earlier attempt to complete may have come through with its answer lost.
                if replace or error.code != NO_SUCH_UPLOAD or not await self._exists(url):
                    raise
            finally:
                if not completed:
                    with suppress(BucketError, TimeoutError):  # left for the sweep
                        async with asyncio.timeout(_ABORT_SECONDS):
                            await self.abort(upload)
            return completed

    async def abort(self, upload: str) -> None:
        """Remove an upload and its parts, or nothing if there is none."""
        async with self._requests.ask("DELETE", upload, good={200, 204, 404}):
            pass

    async def _begin(self, url: str, headers: Mapping[str, str]) -> str:
        async with self._requests.ask(
            "POST", f"{url}?uploads", good={200}, headers=headers
        ) as response:
            found = _UPLOAD_ID.search(await response.read())
        if found is None:
            raise BucketError(f"{response.url.host} began an upload without a name; try again")
        return unescape(found[1].decode())

    async def _send(self, upload: str, body: Body) -> list[str]:
        """Send all parts, one after the other, each tried again alone; their ETags in order."""
        part_bytes = max(self._part_bytes, -(-body.size_bytes // _MOST_PARTS))
        etags: list[str] = []
        whole = hashlib.sha256()
        async for chunks in _cut(body.chunks(), part_bytes):
            url = f"{upload}&partNumber={len(etags) + 1}"
            etags.append(await self._send_part(url, chunks, whole))
            chunks.clear()  # before the next is gathered
        if whole.digest() != body.sha256:
            raise BucketError("a body changed while it waited on disk: see `dmesg`, then try again")
        return etags

    async def _send_part(self, url: str, chunks: Sequence[bytes], whole: "hashlib._Hash") -> str:
        part, md5 = await asyncio.to_thread(_digested, chunks, whole)
        # Required where objects are locked, and verified by servers that ignore the signed digest.
        headers = {"Content-MD5": b64encode(md5).decode()}
        async with self._requests.ask(
            "PUT", url, good={200}, headers=headers, body=part
        ) as response:
            return response.headers["ETag"]

    async def _exists(self, url: str) -> bool:
        async with self._requests.ask("HEAD", url, good={200, 404}) as response:
            return response.status == 200

    async def _complete(
        self, upload: str, etags: Sequence[str], condition: Mapping[str, str]
    ) -> bool:
        """Make an object of the parts; False if the server says that there is one already."""
        try:
            async with self._requests.ask(
                "POST", upload, good={200, 412}, headers=condition, body=_list_of_parts(etags)
            ) as response:
                code = error_code(await response.read())
        except RefusedError as error:
            if error.code != NOT_IMPLEMENTED or not condition:
                raise
            return await self._complete(upload, etags, {})
        # The answer begins before the parts are joined, so a failure may come as a 200.
        if response.status == 200 and code:
            raise self._requests.refusal("POST", upload, response.status, code)
        return response.status == 200


def upload_url(url: str, upload_id: str) -> str:
    """Where one upload for the object at `url` is found."""
    return f"{url}?uploadId={quote(upload_id, safe='')}"


async def _cut(chunks: AsyncIterator[bytes], part_bytes: int) -> AsyncIterator[list[bytes]]:
    """The same bytes in parts of exactly that size, for some servers insist, and a last one."""
    part: list[bytes] = []
    missing_bytes = part_bytes
    async for chunk in chunks:
        rest = chunk
        while len(rest) >= missing_bytes:
            part.append(rest[:missing_bytes])
            rest = rest[missing_bytes:]
            yield part
            part, missing_bytes = [], part_bytes
        if rest:
            part.append(rest)
            missing_bytes -= len(rest)
    if part:
        yield part


def _digested(chunks: Sequence[bytes], whole: "hashlib._Hash") -> tuple[Body, bytes]:
    md5 = hashlib.md5(usedforsecurity=False)
    for chunk in chunks:
        whole.update(chunk)
        md5.update(chunk)
    return Body.of(*chunks), md5.digest()


def _list_of_parts(etags: Sequence[str]) -> Body:
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    space = "http://s3.amazonaws.com/doc/2006-03-01/"
    document = f'<CompleteMultipartUpload xmlns="{space}">{parts}</CompleteMultipartUpload>'
    return Body.of(document.encode())
