"""What a server makes of `If-None-Match: *`: proved with a probe, because some ignore it silently.

Those that do would let a put overwrite, so there an object is asked for before it is put.
"""

import asyncio
from contextlib import suppress

from archiver.blobs.s3_answers import NOT_IMPLEMENTED, RefusedError
from archiver.blobs.s3_wire import SignedRequests
from archiver.body import Body
from archiver.errors import BucketError
from archiver.log import logger

CREATE_ONLY = {"If-None-Match": "*"}
_PROBE = Body.of(b"whether this can be overwritten; it may be deleted\n")


class Condition:
    """Whether one server honours the condition; `url` is where the probe is put."""

    def __init__(self, requests: SignedRequests, url: str) -> None:
        self._requests = requests
        self._url = url
        self._honoured: bool | None = None
        self._turn = asyncio.Lock()

    async def is_honoured(self) -> bool:
        """What the last proof said; the first to ask makes one. Raises BucketError if it fails."""
        async with self._turn:
            return await self._prove() if self._honoured is None else self._honoured

    async def prove(self) -> None:
        """Ask the server anew. Raises BucketError, and what was known before stays known."""
        async with self._turn:
            await self._prove()

    async def _prove(self) -> bool:
        # A probe that was left lying makes the first put fail too, which is as good a proof.
        honoured = await self._put_fails() or await self._put_fails()
        # Where nothing may be deleted the probe stays.
        with suppress(BucketError):
            async with self._requests.ask("DELETE", self._url, good={200, 204, 404}):
                pass
        if not honoured and self._honoured is not False:
            logger().warning(
                "the bucket's server ignores If-None-Match, so each object is asked for before it "
                "is put; two workers that store the same bytes at the same moment may both write, "
                "which is harmless, because keys are digests"
            )
        self._honoured = honoured
        return honoured

    async def _put_fails(self) -> bool:
        """Whether a conditional put is told that there is an object already."""
        try:
            async with self._requests.ask(
                "PUT", self._url, good={200, 412}, headers=CREATE_ONLY, body=_PROBE
            ) as response:
                return response.status == 412
        except RefusedError as error:
            if error.code != NOT_IMPLEMENTED:
                raise
            return False
