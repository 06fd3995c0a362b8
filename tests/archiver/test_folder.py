"""What only the local folder promises: plain files, a tidy disk, and words for its troubles."""

import errno
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from archiver.blobs import BlobHead
from archiver.blobs.folder import FolderBlobs, complaint
from archiver.body import Body
from archiver.clock import now
from archiver.errors import BucketError

KEY = "thumbs/sha256/00/picture.webp"
DAY = 24 * 3600


def files_in(folder: Path) -> set[str]:
    """Every file below a folder, by its path there."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def put(blobs: FolderBlobs, body: Body | bytes = b"bytes") -> None:
    """Put something as a picture."""
    await blobs.put(KEY, body, media_type="image/webp", metadata={"slot": "0"})


async def test_an_object_is_a_plain_file_under_its_key(tmp_path: Path) -> None:
    """Any tool can read the archive; beside it lies the description and nothing else."""
    await put(FolderBlobs(tmp_path), b"picture")
    assert (tmp_path / KEY).read_bytes() == b"picture"
    assert files_in(tmp_path) == {KEY, f".holdfast/descriptions/{KEY}.json"}


@pytest.mark.parametrize("mount_point", [True, False])
async def test_no_bucket_is_begun_where_a_disk_is_not_mounted(
    tmp_path: Path, mount_point: bool
) -> None:
    """Neither by whoever was told that there are objects, nor by whoever has put one itself."""
    root, away = tmp_path / "bucket", tmp_path / "away"
    seen = FolderBlobs(root)
    await put(seen)
    root.rename(away)
    if mount_point:
        root.mkdir()
    for blobs in (seen, FolderBlobs(root, begun=True)):
        with pytest.raises(BucketError, match=f"{root}: the bucket .* is gone; mount its disk"):
            await put(blobs)
        with pytest.raises(BucketError, match="mount its disk"):
            await blobs.check()
        assert root.exists() == mount_point
        assert files_in(root) == set()
    if mount_point:
        root.rmdir()
    away.rename(root)
    for blobs in (seen, FolderBlobs(root, begun=True)):
        assert await blobs.put("thumbs/b", b"b", media_type="image/webp", metadata={})


@pytest.mark.parametrize("objects", [True, False])
async def test_a_begun_bucket_without_what_is_ours(tmp_path: Path, objects: bool) -> None:
    """One that was copied by hand goes on; a new one begins where the sentence says so."""
    blobs = FolderBlobs(tmp_path, begun=True)
    (tmp_path / "a note").write_bytes(b"not mounted")
    (tmp_path / "blobs" if objects else tmp_path / ".holdfast").mkdir()
    if objects:
        (tmp_path / "blobs" / "a.png").write_bytes(b"copied")
    await put(blobs)
    assert (tmp_path / KEY).is_file()


async def test_a_delete_leaves_nothing(tmp_path: Path) -> None:
    """The description goes with its object."""
    blobs = FolderBlobs(tmp_path)
    await put(blobs)
    await blobs.delete(KEY)
    assert files_in(tmp_path) == set()


async def test_a_file_put_there_by_hand_is_an_object(tmp_path: Path) -> None:
    """Without a description its name tells the type; what no key can be called is not listed."""
    for name in ("thumbs/a.png", "thumbs/b", "thumbs/.DS_Store", ".hidden/a.png", "My Pictures/a"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"by hand")
    blobs = FolderBlobs(tmp_path)
    assert [key async for key in blobs.list("")] == ["thumbs/a.png", "thumbs/b"]
    expected = BlobHead(size_bytes=7, media_type="image/png", metadata={})
    assert await blobs.head("thumbs/a.png") == expected
    head = await blobs.head("thumbs/b")
    assert head is not None
    assert head.media_type == "application/octet-stream"


async def test_a_put_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """A body that breaks off becomes no object, and no litter."""

    class Broken(Body):
        async def chunks(self) -> AsyncIterator[bytes]:
            yield b"some"
            raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        await put(FolderBlobs(tmp_path), Broken.of(b"some and more"))
    assert files_in(tmp_path) == set()


async def test_a_sweep_removes_what_a_crash_left(tmp_path: Path) -> None:
    """What is old was left by a process that died; what is younger may be in use."""
    blobs = FolderBlobs(tmp_path)
    await put(blobs)
    unfinished = tmp_path / ".holdfast" / "unfinished"
    for name, age_seconds in (("old", DAY + 60), ("young", DAY - 60)):
        (unfinished / name).write_bytes(b"half")
        moment = now().timestamp() - age_seconds
        os.utime(unfinished / name, (moment, moment))
    assert await blobs.sweep(begun_before=now() - timedelta(days=1)) == 1
    assert [path.name for path in unfinished.iterdir()] == ["young"]


async def test_a_disk_in_trouble_is_told(tmp_path: Path) -> None:
    """Checking and putting fail with a sentence that names the folder."""
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "bucket"
    blobs = FolderBlobs(root)
    with pytest.raises(BucketError, match=f"{root}: File exists; move the file"):
        await blobs.check()
    with pytest.raises(BucketError, match=f"{root}: File exists; move the file"):
        await put(blobs)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "chown"),
        (errno.EDQUOT, "quota"),
        (errno.ENOSPC, "free some space"),
        (errno.EPERM, "hard links"),
        (errno.EROFS, "mount"),
        (errno.EIO, "dmesg"),
    ],
)
def test_each_trouble_of_a_disk_has_its_advice(number: int, advice: str) -> None:
    """The operator reads what happened, where, and what to do."""
    sentence = complaint(Path("/archive"), OSError(number, os.strerror(number)))
    assert sentence.startswith(f"/archive: {os.strerror(number)}; ")
    assert advice in sentence
