"""How many manifests a second become an index again, from segments in a local folder.

    python -m benchmarks.rebuild [--generations 100000] [--rounds 3] [--singles]

The bucket is made up: for each generation a manifest of its own, a line in a segment, and an
object that stands for its picture. All of it is listed, as in earnest; with `--singles` there are
no segments, so that every manifest has to be read. The processors' seconds are told beside the
clock's, for on a busy machine they are what can be compared.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from archiver.blobs.folder import FolderBlobs
from archiver.keys import blob_key, manifest_key, segment_key
from archiver.manifest import render
from archiver.models import (
    Asset,
    DeliveryRef,
    Generation,
    GenerationParams,
    GenerationState,
    Link,
    Origin,
    Slot,
    SlotState,
)
from archiver.previews import Preview
from archiver.recovery.findings import Finding
from archiver.recovery.rebuild import Rebuilding
from archiver.recovery.segments import WIDTH, line, pack
from archiver.signing import NOBODY
from benchmarks.harness import print_table
from benchmarks.search import Made

NOW = datetime(2026, 11, 21, tzinfo=UTC)
INBOX = "8f14e45f-ceea-467f-9e21-7a5c1d2b3e4f"


def generation(number: int, made: Made) -> Generation:
    """An archived generation of one picture, with a prompt of five to forty words."""
    digest = hashlib.sha256(b"%d" % number).digest()
    name = digest.hex()[:24]
    heard_at = NOW - timedelta(seconds=60 * (10_000_000 - number))
    link = Link(
        url_sha256=hashlib.sha256(digest).digest(),
        location=f"https://cdn.doitong.com/outputs/{name}.png",
        host="cdn.doitong.com",
        expires_at=heard_at + timedelta(hours=24),
        heard_in=DeliveryRef(inbox=INBOX, position=number),
    )
    asset = Asset(
        origin=Origin.PROVIDER,
        sha256=digest,
        blob_key=blob_key(digest, "png"),
        size_bytes=1_200_000 + number,
        media_type="image/png",
        width=1024,
        height=1024,
        archived_at=heard_at,
    )
    slot = Slot(
        index=0,
        number=number,
        state=SlotState.ARCHIVED,
        reason="the provider's picture is in the bucket",
        links=(link,),
        assets=(asset,),
    )
    card = made.card(number)
    params = GenerationParams(
        task="text-to-image",
        prompt=made.prompt(),
        negative_prompt="blurry, watermark",
        model=card.model,
        width=1024,
        height=1024,
        samples=1,
        steps=card.steps,
        guidance_scale=card.guidance_scale,
        seed=card.seed,
    )
    return Generation(
        provider="doitong",
        id=name,
        account="7f3a",
        state=GenerationState.SUCCEEDED,
        service="flux-pro",
        params=params,
        cost=20.0,
        created_at=heard_at,
        completed_at=heard_at,
        first_heard_at=heard_at,
        revision=3,
        sealed_revision=3,
        slots=(slot,),
    )


def fill(bucket: Path, count: int, *, segmented: bool) -> None:
    """Makes the bucket up; its files need not outlive a power cut."""
    made = Made(1)
    lines: list[bytes] = []
    for number in range(1, count + 1):
        known = generation(number, made)
        text = render(known)
        write(bucket / manifest_key(known.provider, known.id), text)
        (asset,) = known.slots[0].assets
        write(bucket / asset.blob_key, b"")
        preview = Preview(phash=number, width=256, height=256)
        md5 = hashlib.md5(text).hexdigest()
        lines.append(line(known, md5, {asset.sha256: preview}))
        if segmented and (number % WIDTH == WIDTH - 1 or number == count):
            packed = pack(lines, None)
            first = number // WIDTH * WIDTH
            write(bucket / segment_key(first, hashlib.sha256(packed).digest()), packed)
            lines = []


def write(path: Path, content: bytes) -> None:
    """A file in a folder that may not be there yet."""
    try:
        path.write_bytes(content)
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        path.write_bytes(content)


def rebuild(bucket: Path, target: Path) -> tuple[int, float, float]:
    """How many generations it found, and the seconds of the clock and of all processors."""
    told: list[Finding] = []
    rebuilding = Rebuilding(FolderBlobs(bucket), target, trust=NOBODY, now=NOW, tell=told.append)
    begun_at, busy = time.perf_counter(), busy_seconds()
    asyncio.run(rebuilding.run())
    taken = time.perf_counter() - begun_at
    assert told == []
    return rebuilding.tally.generations, taken, busy_seconds() - busy


def busy_seconds() -> float:
    """What this process and its ended children have used of processors."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measured(bucket: Path, target: Path, rounds: int) -> Iterator[tuple[str, float, float]]:
    """For each round manifests a second, by the clock and by the processors' seconds."""
    for number in range(rounds):
        count, taken, busy = rebuild(bucket, target)
        yield f"round {number + 1}", count / taken, count / busy


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--singles", action="store_true")
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        fill(folder / "bucket", given.generations, segmented=not given.singles)
        found = list(measured(folder / "bucket", folder / "catalog.db", given.rounds))
        size = (folder / "catalog.db").stat().st_size
    clocks, works = [row[1] for row in found], [row[2] for row in found]
    found.append(("median", statistics.median(clocks), statistics.median(works)))
    rows = [(name, f"{by_clock:,.0f}", f"{by_work:,.0f}") for name, by_clock, by_work in found]
    title = f"{given.generations:,} manifests rebuilt, {size / 1e6:.0f} MB, {os.cpu_count()} cores"
    print_table(title, ("", "manifests/s", "per processor's second"), rows)


if __name__ == "__main__":
    main()
