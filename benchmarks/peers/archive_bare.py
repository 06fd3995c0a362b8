"""The bare loop: GET, SHA-256, signed PUT of the chunks as they came; no queue, no index, no look
at the bytes. What an archiver in Python can at most reach."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator

import aiohttp
import uvloop
from yarl import URL

from benchmarks.meter import Meter, Transfers

KEY_ID, SECRET, REGION = "AKTEST", "SKTESTSECRET", "us-east-1"


def signed(host: str, path: str, digest: str) -> dict[str, str]:
    """The headers of a PUT under AWS's Signature Version 4."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    scope = f"{moment[:8]}/{REGION}/s3/aws4_request"
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": moment}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    asked = hashlib.sha256(f"PUT\n{path}\n\n{lines}\n{names}\n{digest}".encode()).hexdigest()
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{asked}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY_ID}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return headers


async def copy(session: aiohttp.ClientSession, told: Transfers, number: int) -> None:
    """One picture from the source into the bucket."""
    chunks: list[bytes] = []
    digest = hashlib.sha256()
    async with session.get(URL(told.url(number), encoded=True)) as response:
        assert response.status == 200
        async for chunk in response.content.iter_any():
            chunks.append(chunk)
            digest.update(chunk)
    size = sum(map(len, chunks))
    assert size == told.size_bytes

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    name = digest.hexdigest()
    path = f"/{told.bucket}/blobs/sha256/{name[:2]}/{name}.png"
    url = URL(told.endpoint + path, encoded=True)
    headers = signed(f"{url.host}:{url.port}", path, name)
    headers |= {"content-type": "image/png", "content-length": str(size)}
    async with session.put(url, data=body(), headers=headers) as response:
        assert response.status == 200, await response.text()


async def main() -> None:
    """As many at once as told."""
    told = Transfers.told()
    numbers = iter(range(told.count))
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), auto_decompress=False, read_bufsize=2**20
    ) as session:

        async def work() -> None:
            for number in numbers:
                await copy(session, told, number)

        meter = Meter()
        await asyncio.gather(*(work() for _ in range(told.workers)))
        meter.tell(told.count)


uvloop.run(main())
