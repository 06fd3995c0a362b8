"""What every BlobStore promises, whatever it is made of."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

import pytest
from aiohttp import ClientSession
from yarl import URL

from archiver.blobs import BlobHead, BlobStore, Put
from archiver.body import Body, Budget, collect
from archiver.errors import BucketError, NotAnObjectKeyError
from archiver.keys import blob_key, manifest_key, thumb_key
from archiver.media import Walker

MIB = 2**20
DIGESTS = [hashlib.sha256(bytes([n])).digest() for n in range(16)]
KEY = blob_key(DIGESTS[0], "png")
NOT_KEYS = ["", "/", "/etc/passwd", "..", "a/../b", "a/./b", "a//b", "a/", ".holdfast/x", "a\\b"]
NOT_KEYS += ["a\0b", "a b", "a\n", "Ünicode", "UPPER", "a?b", "~a"]

TEXTS = ["", " two  spaces ", "100%25", "a=b&c", "测试 ♥", "line\r\nX-Evil: 1", "é" * 150]


async def content(blobs: BlobStore, key: str) -> bytes:
    """All bytes of an object."""
    async with blobs.read(key) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def put(
    blobs: BlobStore,
    key: str = KEY,
    body: Body | bytes = b"bytes",
    *,
    replace: bool = False,
    **metadata: str,
) -> Put:
    """Put something as a picture."""
    return await blobs.put(key, body, media_type="image/png", metadata=metadata, replace=replace)


class BlobStoreContract:
    """Subclass it with a fixture `blobs` that is an empty bucket."""

    keys_per_page: ClassVar = 1000

    async def test_what_was_put_is_there(self, blobs: BlobStore) -> None:
        """Bytes, media type and metadata come back as they were given."""
        assert await put(blobs, body=b"picture", provider="doitong") is Put.CREATED
        assert await content(blobs, KEY) == b"picture"
        expected = BlobHead(size_bytes=7, media_type="image/png", metadata={"provider": "doitong"})
        assert await blobs.head(KEY) == expected

    async def test_an_empty_object_is_an_object(self, blobs: BlobStore) -> None:
        """No bytes are not the same as no object."""
        await put(blobs, body=b"")
        assert await content(blobs, KEY) == b""
        head = await blobs.head(KEY)
        assert head is not None
        assert head.size_bytes == 0

    async def test_any_text_is_metadata(self, blobs: BlobStore) -> None:
        """A value of any script, shape and spacing comes back unchanged."""
        metadata = {f"value-{number}": text for number, text in enumerate(TEXTS)}
        await blobs.put(KEY, b"", media_type="image/png", metadata=metadata)
        head = await blobs.head(KEY)
        assert head is not None
        assert head.metadata == metadata

    async def test_the_first_stays(self, blobs: BlobStore) -> None:
        """Without `replace` a second put changes nothing at all and says so."""
        await put(blobs, body=b"first", by="first")
        assert await put(blobs, body=b"the second", by="second") is Put.EXISTED
        assert await content(blobs, KEY) == b"first"
        head = await blobs.head(KEY)
        assert head is not None
        assert (head.size_bytes, head.metadata) == (5, {"by": "first"})

    async def test_replace_replaces(self, blobs: BlobStore) -> None:
        """With `replace` the newest put is what is there, all of it."""
        assert await put(blobs, body=b"the first", by="first", replace=True) is Put.REPLACED
        assert await put(blobs, body=b"second", replace=True) is Put.REPLACED
        assert await content(blobs, KEY) == b"second"
        head = await blobs.head(KEY)
        assert head is not None
        assert (head.size_bytes, head.metadata) == (6, {})

    async def test_of_many_at_once_one_creates(self, blobs: BlobStore) -> None:
        """Creating is atomic: 16 race with different bytes, one wins and its bytes stay whole."""
        bodies = [bytes([n]) * 10_000 for n in range(16)]
        outcomes = await asyncio.gather(*(put(blobs, body=body) for body in bodies))
        assert sorted(outcomes) == [Put.CREATED] + [Put.EXISTED] * 15
        assert await content(blobs, KEY) == bodies[outcomes.index(Put.CREATED)]

    async def test_a_large_body_from_memory_or_disk(self, blobs: BlobStore, tmp_path: Path) -> None:
        """A body of many chunks arrives whole, wherever it waited."""
        chunks = [bytes([n]) * (MIB // 3) for n in range(16)]

        async def arriving() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        for key, max_memory_bytes in ((KEY, 16 * MIB), (thumb_key(DIGESTS[0]), MIB)):
            async with await collect(
                arriving(),
                None,
                budget=Budget(16 * MIB),
                spool_dir=tmp_path / "spool",
                walker=Walker(),
                max_memory_bytes=max_memory_bytes,
            ) as body:
                assert await put(blobs, key, body) is Put.CREATED
            assert await content(blobs, key) == b"".join(chunks)

    async def test_what_is_not_there(self, blobs: BlobStore) -> None:
        """No head, no error when deleting it, and reading it says what is missing."""
        assert await blobs.head(KEY) is None
        await blobs.delete(KEY)
        with pytest.raises(BucketError, match=KEY):
            await content(blobs, KEY)

    async def test_deleting_deletes(self, blobs: BlobStore) -> None:
        """After a delete nothing is left, and the key can be created anew."""
        await put(blobs, by="first")
        await blobs.delete(KEY)
        assert await blobs.head(KEY) is None
        assert [key async for key in blobs.list("")] == []
        assert await put(blobs) is Put.CREATED
        head = await blobs.head(KEY)
        assert head is not None
        assert head.metadata == {}

    async def test_listing_by_prefix_in_order(self, blobs: BlobStore) -> None:
        """Exactly the keys that begin with the prefix, any prefix, in the order of their bytes."""
        keys = [blob_key(digest, "png") for digest in DIGESTS[:4]]
        keys += [manifest_key("doitong", name) for name in ("a", "Ω/../..", "x" * 999)]
        keys += ["a/b", "a-b/c", "a.b", "a/b.c/d"]
        for key in keys:
            await put(blobs, key)
        prefixes = ["", "blobs/", "blobs/sha256/" + DIGESTS[1].hex()[:2], "manifests/doit"]
        prefixes += ["a", "a/b", "a/b.", keys[0], keys[0] + "x", keys[0] + "/x", "../", "none/"]
        listed = {prefix: [key async for key in blobs.list(prefix)] for prefix in prefixes}
        assert listed == {
            prefix: sorted(key for key in keys if key.startswith(prefix)) for prefix in prefixes
        }

    async def test_more_keys_than_one_page(self, blobs: BlobStore) -> None:
        """A listing goes on past the most that one answer holds."""
        keys = [f"manifests/segments/{n:04}.json" for n in range(self.keys_per_page * 2 + 1)]
        for key in keys:
            await put(blobs, key, b"")
        assert [key async for key in blobs.list("manifests/")] == keys

    async def test_what_is_no_key_goes_nowhere(self, blobs: BlobStore) -> None:
        """A key that could climb out of the bucket or that `keys` did not make is a bug, told."""
        for key in NOT_KEYS:
            with pytest.raises(NotAnObjectKeyError):
                await put(blobs, key)
            with pytest.raises(NotAnObjectKeyError):
                await content(blobs, key)
            with pytest.raises(NotAnObjectKeyError):
                await blobs.head(key)
            with pytest.raises(NotAnObjectKeyError):
                await blobs.delete(key)
        assert [key async for key in blobs.list("")] == []

    async def test_a_presigned_url_is_a_download_or_none(self, blobs: BlobStore) -> None:
        """Whoever has the URL gets the bytes, called and typed as wished; None means serve them."""
        key = manifest_key("doitong", "100% ünusual")
        await put(blobs, key, b"picture")
        url = await blobs.presigned_url(
            key, expires_seconds=60, media_type="image/webp", filename='A "猫".webp'
        )
        if url is None:
            return
        async with ClientSession() as browser, browser.get(URL(url, encoded=True)) as response:
            assert await response.read() == b"picture"
            assert response.headers["Content-Type"] == "image/webp"
            disposition = response.headers["Content-Disposition"]
            assert disposition == "attachment; filename*=UTF-8''A%20%22%E7%8C%AB%22.webp"

    async def test_a_usable_bucket_passes_its_check(self, blobs: BlobStore) -> None:
        """Checking leaves no trace."""
        await blobs.check()
        assert [key async for key in blobs.list("")] == []
