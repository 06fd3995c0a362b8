"""A local folder as a bucket: each object a plain file under its key, fit for any file manager.

What a file cannot hold, its media type and metadata, lies as JSON in a parallel tree under
`.holdfast`, a name that no key can have. The description is in place before the object is, so no
object of ours is seen without one. Two that race to create one key may leave the loser's
description; with keys made of digests both describe the same bytes.
"""

import asyncio
import errno
import hashlib
import json
import mimetypes
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, ParamSpec, TypeVar
from uuid import uuid4

from archiver.blobs import BlobHead, PresignedPut, Put, is_key, require_key
from archiver.body import Body
from archiver.durable import make_folder, sync
from archiver.errors import BucketError
from archiver.handles import close, opened

_PIECE_BYTES = 2**20
_KEYS_PER_STEP = 256
_SMALL_BYTES = 2**14
_ADVICE = {
    errno.EACCES: "let the user that runs holdfast write there (chown)",
    errno.EEXIST: "move the file that is in the way, or set bucket.url to another folder",
    errno.EDQUOT: "raise the quota or free some space",
    errno.ENODEV: "mount its disk, or make the folder .holdfast there for a new bucket",
    errno.ENOSPC: "free some space or put bucket.url on a larger disk",
    errno.ENOTDIR: "move the file that is in the way, or set bucket.url to another folder",
    errno.EPERM: "use a file system with hard links, and let holdfast's user write there (chown)",
    errno.EROFS: "mount the disk for writing",
}
_P = ParamSpec("_P")
_R = TypeVar("_R")


class FolderBlobs:
    """The BlobStore in the folder `root`, which is made when first needed; once it is `begun`,
    so that there are objects in it, nothing is made where its disk may not be mounted."""

    def __init__(self, root: Path, *, begun: bool = False) -> None:
        self._root, self._begun = root, begun
        self._holdfast = root / ".holdfast"
        self._descriptions = self._holdfast / "descriptions"
        self._unfinished = self._holdfast / "unfinished"

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
        require_key(key)
        if not replace and await self._run((self._root / key).exists):
            return Put.EXISTED
        description = json.dumps({"media_type": media_type, "metadata": dict(metadata)})
        file = await self._opened(self._open_unfinished, _discard)
        try:
            await self._fill(file, body if isinstance(body, Body) else Body.of(body))
            return await self._run(self._publish, file, key, description, replace)
        finally:
            await self._run(_discard, file)

    @asynccontextmanager
    async def read(
        self, key: str, *, begin: int = 0, end: int | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """See BlobStore."""
        require_key(key)
        file = await self._opened(lambda: (self._root / key).open("rb"), close)
        try:
            await self._run(file.seek, begin)
            yield self._pieces(file, sys.maxsize if end is None else end - begin)
        finally:
            await self._run(file.close)

    async def head(self, key: str) -> BlobHead | None:
        """See BlobStore."""
        require_key(key)
        return await self._run(self._head, key)

    async def delete(self, key: str) -> None:
        """See BlobStore."""
        require_key(key)
        await self._run(self._delete, key)

    async def list(self, prefix: str) -> AsyncIterator[str]:
        """See BlobStore."""
        keys = self._keys(prefix, "")
        while step := await self._run(lambda: [*islice(keys, _KEYS_PER_STEP)]):
            for key in step:
                yield key

    async def digests(self, prefix: str) -> AsyncIterator[tuple[str, str]]:
        """See BlobStore."""
        keys = self._keys(prefix, "")
        while step := await self._run(
            lambda: [(key, self._md5(key)) for key in islice(keys, _KEYS_PER_STEP)]
        ):
            for found in step:
                yield found

    async def presigned_url(
        self, key: str, *, expires_seconds: int, media_type: str, filename: str
    ) -> str | None:
        """None: a folder has no URLs of its own."""
        return None

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
        """None: nobody else can reach a folder."""
        require_key(key)
        return None

    async def check(self) -> None:
        """See BlobStore."""
        await self._run(self._check)

    async def sweep(self, *, begun_before: datetime) -> int:
        """See BlobStore."""
        return await self._run(self._sweep, begun_before.timestamp())

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _run(self, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Do blocking work in a thread; whatever the disk says becomes a BucketError."""
        try:
            return await asyncio.to_thread(work, *args, **kwargs)
        except OSError as error:
            raise BucketError(complaint(self._root, error)) from error

    async def _opened(
        self, opening: Callable[[], BinaryIO], undo: Callable[[BinaryIO], None]
    ) -> BinaryIO:
        try:
            return await opened(opening, undo=undo)
        except OSError as error:
            raise BucketError(complaint(self._root, error)) from error

    async def _fill(self, file: BinaryIO, body: Body) -> None:
        pending: list[bytes] = []
        pending_bytes = 0
        async for chunk in body.chunks():
            pending.append(chunk)
            pending_bytes += len(chunk)
            if pending_bytes >= _PIECE_BYTES:
                await self._run(file.writelines, pending)
                pending, pending_bytes = [], 0
        await self._run(file.writelines, pending)

    async def _pieces(self, file: BinaryIO, size_bytes: int) -> AsyncIterator[bytes]:
        while piece := await self._run(file.read, min(_PIECE_BYTES, size_bytes)):
            yield piece
            size_bytes -= len(piece)

    def _open_unfinished(self) -> BinaryIO:
        begun = self._begun  # before it is looked for, as another thread may just make it
        # Without what is ours, objects tell of a bucket that somebody has copied by hand.
        there = self._holdfast.is_dir() or any("/" in key for key in self._keys("", ""))
        if begun and not there:
            raise OSError(errno.ENODEV, "the bucket that was begun here is gone")
        make_folder(self._unfinished)
        self._begun = True
        return (self._unfinished / uuid4().hex).open("xb")

    def _publish(self, file: BinaryIO, key: str, description: str, replace: bool) -> Put:
        target = self._root / key
        _sync(file)
        self._describe(key, description)
        make_folder(target.parent)
        if replace:
            Path(file.name).replace(target)
        else:
            try:
                target.hardlink_to(file.name)
            except FileExistsError:
                return Put.EXISTED
        sync(target.parent)
        return Put.REPLACED if replace else Put.CREATED

    def _describe(self, key: str, description: str) -> None:
        target = self._description(key)
        make_folder(target.parent)
        with self._open_unfinished() as file:
            file.write(description.encode())
            _sync(file)
        Path(file.name).replace(target)
        sync(target.parent)

    def _description(self, key: str) -> Path:
        return self._descriptions / f"{key}.json"

    def _head(self, key: str) -> BlobHead | None:
        try:
            size_bytes = (self._root / key).stat().st_size
        except FileNotFoundError:
            return None
        try:
            description = json.loads(self._description(key).read_bytes())
        except FileNotFoundError:
            # A file that somebody put there by hand.
            media_type = mimetypes.guess_type(key)[0] or "application/octet-stream"
            description = {"media_type": media_type, "metadata": {}}
        return BlobHead(size_bytes=size_bytes, **description)

    def _md5(self, key: str) -> str:
        digest = hashlib.md5(usedforsecurity=False)
        try:
            descriptor = os.open(f"{self._root}/{key}", os.O_RDONLY)
        except FileNotFoundError:
            return ""  # deleted just now
        try:
            while piece := os.read(descriptor, _SMALL_BYTES):
                digest.update(piece)
        finally:
            os.close(descriptor)
        return digest.hexdigest()

    def _delete(self, key: str) -> None:
        target = self._root / key
        if target.exists():
            target.unlink(missing_ok=True)
            sync(target.parent)
        self._description(key).unlink(missing_ok=True)

    def _keys(self, prefix: str, folder: str) -> Iterator[str]:
        """The keys below `folder` (empty, or ending in "/") that begin with `prefix`, in order."""
        for name in _names(self._root / folder):
            key = folder + name
            if name.startswith(".") or not (key.startswith(prefix) or prefix.startswith(key)):
                continue
            if name.endswith("/"):
                yield from self._keys(prefix, key)
            elif key.startswith(prefix) and is_key(key):
                yield key

    def _check(self) -> None:
        with self._open_unfinished() as file:
            _sync(file)
        link = Path(f"{file.name}.link")
        try:
            link.hardlink_to(file.name)
        finally:
            link.unlink(missing_ok=True)
            Path(file.name).unlink()

    def _sweep(self, begun_before: float) -> int:
        count = 0
        for path in self._unfinished.iterdir() if self._unfinished.is_dir() else ():
            with suppress(FileNotFoundError):  # another process may be finishing its own
                if path.stat().st_mtime < begun_before:
                    path.unlink()
                    count += 1
        return count


def _names(folder: Path) -> list[str]:
    """What is in a folder, in order; a folder in it sorts as its keys do, with the slash."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name + "/" * entry.is_dir() for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def complaint(root: Path, error: OSError) -> str:
    """The sentence for what the disk said, and what to do about it."""
    if error.errno == errno.ENOENT:
        return f"there is no {error.filename}"
    advice = _ADVICE.get(error.errno or 0, "see whether the disk is well (`dmesg`)")
    return f"{root}: {error.strerror}; {advice}"


def _discard(file: BinaryIO) -> None:
    file.close()
    Path(file.name).unlink(missing_ok=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
