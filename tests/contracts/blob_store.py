"""What every BlobStore promises, whatever it is made of."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import ClassVar

import pytest
from aiohttp import ClientSession
from yarl import URL

from archiver.blobs import BlobHead, BlobStore, PresignedPut, Put, read_whole
from archiver.body import Body, Budget, collect
from archiver.clock import now
from archiver.errors import BucketError, NotAnObjectKeyError
from archiver.keys import blob_key, manifest_key, thumb_key
from archiver.media import Walker

MIB = 2**20
DIGESTS = [hashlib.sha256(bytes([n])).digest() for n in range(16)]
KEY = blob_key(DIGESTS[0], "png")
NOT_KEYS = ["", "/", "/etc/passwd", "..", "a/../b", "a/./b", "a//b", "a/", ".holdfast/x", "a\\b"]
NOT_KEYS += ["a\0b", "a b", "a\n", "Ünicode", "UPPER", "a?b", "~a"]

# An S3 driver under test sends what is larger than LARGE_BYTES in parts of PART_BYTES.
LARGE_BYTES = 6 * MIB
PART_BYTES = 5 * MIB

TEXTS = ["", " two  spaces ", "100%25", "a=b&c", "测试 ♥", "line\r\nX-Evil: 1", "é" * 150]


async def content(blobs: BlobStore, key: str, **part: int) -> bytes:
    """All bytes of an object, or a part of them."""
    async with blobs.read(key, **part) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def unfinished(blobs: BlobStore) -> int:
    """How many puts lie there unfinished; they are gone after that."""
    return await blobs.sweep(begun_before=now() + timedelta(days=1))


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


async def presigned(blobs: BlobStore, body: bytes, **metadata: str) -> PresignedPut | None:
    """A request by which somebody else may put these bytes as a picture."""
    return await blobs.presigned_put(
        KEY,
        sha256=hashlib.sha256(body).digest(),
        size_bytes=len(body),
        media_type="image/png",
        metadata=metadata,
        expires_seconds=60,
    )


async def sent(request: PresignedPut, body: bytes, **headers: str) -> int:
    """What the bucket answers whoever makes that request, with some of its headers replaced."""
    told = {**request.headers, **headers}
    async with ClientSession() as stranger:
        url = URL(request.url, encoded=True)
        async with stranger.put(url, data=body, headers=told) as response:
            return response.status


def very_large(seed: int = 0) -> bytes:
    """Three parts, the last a short one."""
    return Random(seed).randbytes(2 * PART_BYTES + 12_345)


class Interrupted(Body):
    """A body to which something happens before its last byte."""

    interrupt: Callable[[], Awaitable[None]]

    async def chunks(self) -> AsyncIterator[bytes]:
        whole = b"".join([chunk async for chunk in super().chunks()])
        yield whole[:-1]
        await self.interrupt()
        yield whole[-1:]


def interrupted(data: bytes, interrupt: Callable[[], Awaitable[None]]) -> Body:
    """A body of `data` to which `interrupt` happens."""
    body = Interrupted.of(data)
    body.interrupt = interrupt
    return body


class BlobStoreContract:
    """Subclass it with a fixture `blobs` that is an empty bucket."""

    keys_per_page: ClassVar = 1000
    # Whether of many at once exactly one creates; and whether it does when they are very large.
    creates_once: ClassVar = True
    creates_large_once: ClassVar = True

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
        assert set(outcomes) <= {Put.CREATED, Put.EXISTED}
        created = [body for body, put in zip(bodies, outcomes, strict=True) if put is Put.CREATED]
        assert len(created) == 1 or not self.creates_once
        assert await content(blobs, KEY) in created

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

    async def test_a_very_large_object_comes_back(self, blobs: BlobStore) -> None:
        """Bit for bit, with its media type and metadata, and nothing is left unfinished."""
        chunks = [very_large()[start : start + MIB] for start in range(0, 11 * MIB, MIB)]
        assert await put(blobs, body=Body.of(*chunks), provider="  doi tong ") is Put.CREATED
        assert await content(blobs, KEY) == b"".join(chunks)
        head = await blobs.head(KEY)
        assert head is not None
        assert (head.size_bytes, head.media_type) == (len(very_large()), "image/png")
        assert head.metadata == {"provider": "  doi tong "}
        assert await unfinished(blobs) == 0

    async def test_a_part_is_just_that_part(self, blobs: BlobStore) -> None:
        """Any bytes of an object by themselves: its beginning, its end, all of it, one."""
        whole = very_large()[: 2 * MIB + 5]
        await put(blobs, body=whole)
        for begin, end in ((0, 1), (7, 8), (0, len(whole)), (MIB - 1, 2 * MIB + 1)):
            assert await content(blobs, KEY, begin=begin, end=end) == whole[begin:end]
        assert await content(blobs, KEY, begin=2 * MIB) == whole[2 * MIB :]
        with pytest.raises(BucketError, match=manifest_key("nobody", "0")):
            await content(blobs, manifest_key("nobody", "0"), begin=1, end=2)

    async def test_a_very_large_one_overwrites_nothing(self, blobs: BlobStore) -> None:
        """What is there stays, large or small, unless it is to be replaced."""
        await put(blobs, body=b"small")
        assert await put(blobs, body=very_large(1)) is Put.EXISTED
        assert await content(blobs, KEY) == b"small"
        assert await put(blobs, body=very_large(2), replace=True) is Put.REPLACED
        assert await put(blobs, body=very_large(3)) is Put.EXISTED
        assert await put(blobs, body=b"small") is Put.EXISTED
        assert await content(blobs, KEY) == very_large(2)
        assert await unfinished(blobs) == 0

    async def test_what_appears_while_a_very_large_one_is_put_stays(self, blobs: BlobStore) -> None:
        """Somebody faster wins, and the slower one is told."""

        async def overtake() -> None:
            assert await put(blobs, body=b"faster") is Put.CREATED

        assert await put(blobs, body=interrupted(very_large(), overtake)) is Put.EXISTED
        assert await content(blobs, KEY) == b"faster"
        assert await unfinished(blobs) == 0

    async def test_of_many_very_large_at_once_one_stays(self, blobs: BlobStore) -> None:
        """Several race with different bytes: what is there afterwards is one of them, whole."""
        bodies = [very_large(seed) for seed in range(3)]
        outcomes = await asyncio.gather(*(put(blobs, body=body) for body in bodies))
        assert set(outcomes) <= {Put.CREATED, Put.EXISTED}
        created = [body for body, put in zip(bodies, outcomes, strict=True) if put is Put.CREATED]
        assert len(created) == 1 or not self.creates_large_once
        assert await content(blobs, KEY) in created
        assert await unfinished(blobs) == 0

    @pytest.mark.parametrize("size_bytes", [100, 2 * PART_BYTES])
    async def test_a_body_that_breaks_off_leaves_nothing(
        self, blobs: BlobStore, size_bytes: int
    ) -> None:
        """Neither an object nor parts of one."""

        async def break_off() -> None:
            raise OSError("gone")

        with pytest.raises((OSError, BucketError)):
            await put(blobs, body=interrupted(bytes(size_bytes), break_off))
        assert await blobs.head(KEY) is None
        assert await unfinished(blobs) == 0

    @pytest.mark.parametrize("size_bytes", [100, 2 * PART_BYTES])
    async def test_a_put_that_is_cancelled_leaves_nothing(
        self, blobs: BlobStore, size_bytes: int
    ) -> None:
        """A worker told to stop tidies up behind itself."""
        stalls = asyncio.Event()

        async def stall() -> None:
            stalls.set()
            await asyncio.Event().wait()

        body = interrupted(bytes(size_bytes), stall)
        putting = asyncio.create_task(put(blobs, body=body))
        await stalls.wait()
        putting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await putting
        assert await blobs.head(KEY) is None
        assert await unfinished(blobs) == 0

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

    async def test_what_small_objects_are_is_listed(self, blobs: BlobStore) -> None:
        """The MD5 of each, so that nobody need read those that are known."""
        texts = {f"manifests/doitong/0{number}.json": b"%d" % number for number in range(3)}
        for key, text in texts.items():
            await put(blobs, key, text, replace=True)
        await put(blobs, "manifests/doitong/01.json", b"changed", replace=True)
        texts["manifests/doitong/01.json"] = b"changed"
        found = {key: md5 async for key, md5 in blobs.digests("manifests/")}
        assert found == {key: hashlib.md5(text).hexdigest() for key, text in texts.items()}
        assert [await read_whole(blobs, key) for key in texts] == [*texts.values()]

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
            with pytest.raises(NotAnObjectKeyError):
                await blobs.presigned_put(
                    key,
                    sha256=DIGESTS[0],
                    size_bytes=1,
                    media_type="image/png",
                    metadata={},
                    expires_seconds=60,
                )
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

    async def test_a_presigned_put_stores_these_bytes_or_none(self, blobs: BlobStore) -> None:
        """Whoever has it stores them as a put of ours would; None means: do so yourself."""
        request = await presigned(blobs, b"picture", provider="doi tong", text="é" * 20)
        if request is None:
            return
        assert await sent(request, b"picture") == 200
        assert await content(blobs, KEY) == b"picture"
        expected = {"provider": "doi tong", "text": "é" * 20}
        head = await blobs.head(KEY)
        assert head == BlobHead(size_bytes=7, media_type="image/png", metadata=expected)
        assert await put(blobs, body=b"picture") is Put.EXISTED

    async def test_a_presigned_put_overwrites_nothing(self, blobs: BlobStore) -> None:
        """What is there stays, and whoever sends is told."""
        request = await presigned(blobs, b"another")
        if request is None:
            return
        await put(blobs, body=b"picture")
        assert await sent(request, b"another") == 412
        assert await content(blobs, KEY) == b"picture"

    async def test_a_presigned_put_is_never_very_large(self, blobs: BlobStore) -> None:
        """What would go in parts goes through us."""
        assert await presigned(blobs, very_large()) is None

    async def test_a_usable_bucket_passes_its_check(self, blobs: BlobStore) -> None:
        """Checking leaves no trace."""
        await blobs.check()
        assert [key async for key in blobs.list("")] == []
