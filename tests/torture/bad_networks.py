"""A bucket and links that answer wrongly or not at all, and a service that hears webhooks."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from archiver import clock
from tests.archiver.moto_server import administering, make_bucket, serve_moto
from tests.archiver.origin import Script, answer
from tests.preloading import preloaded
from tests.torture.puppet import Puppet, pulling_strings
from tests.torture.s3_door import ERRORS, Door, door_before
from tests.torture.trial import Row, Run

RECOVERY_SECONDS = 5.0
NOWHERE = "nowhere.invalid"
_BUCKET = "my-archive"
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKTEST",
    "AWS_SECRET_ACCESS_KEY": "SKTESTSECRET",
    "AWS_DEFAULT_REGION": "us-east-1",
}
_HOUR_SECONDS = 3600
# No wait of a fetch is longer.
_LONGEST_WAIT_SECONDS = 400
_LIFE = timedelta(seconds=12)


async def _reset(writer: asyncio.StreamWriter) -> None:
    """Some of an answer, and a reset."""
    writer.write(answer(body=bytes(1000))[:300])
    await writer.drain()
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _half_close(writer: asyncio.StreamWriter) -> None:
    """Some of an answer, and an end of this direction alone."""
    writer.write(answer(body=bytes(1000))[:300])
    writer.write_eof()
    await asyncio.sleep(1)


async def _byte_by_byte(writer: asyncio.StreamWriter) -> None:
    """A byte a second, for longer than any link lives."""
    head, body = answer(body=bytes(100_000)).split(b"\r\n\r\n", 1)
    writer.write(head + b"\r\n\r\n")
    for byte in body:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


BAD_LINKS: dict[str, Script] = {
    "429": answer(429, Retry_After="1"),
    "500": answer(500),
    "HTML": answer(200, b"<!doctype html><title>One moment</title>", Content_Type="text/html"),
    "reset": _reset,
    "half-close": _half_close,
    "byte-by-byte": _byte_by_byte,
}


def bad_networks(run: Run) -> list[Row]:
    """Whatever a bucket and links do, webhooks are stored, and each generation comes to an end."""
    environ = preloaded("shifted_clock", run.folder) | _CREDENTIALS
    count = 200 if run.long else 20
    with serve_moto() as endpoint:
        make_bucket(endpoint, _BUCKET)
        rows = asyncio.run(_buckets(run.folder / "buckets", environ, endpoint, count))
    return [*rows, asyncio.run(_links(run.folder / "links", count // 4))]


async def _buckets(
    folder: Path, environ: Mapping[str, str], endpoint: str, count: int
) -> list[Row]:
    """A row for each way in which a bucket fails; the one that is not there is so for an hour."""
    folder.mkdir()
    shift = folder / "shift"
    shift.write_bytes(bytes(8))
    env = {**environ, "CLOCK_SHIFT": str(shift)}
    async with door_before(endpoint) as door:
        bucket = {"url": f"s3://{_BUCKET}", "endpoint": door.url}
        async with pulling_strings(folder, env=env, bucket=bucket) as puppet:
            rows = [await _bucket(puppet, door, shift, error, count) for error in ERRORS]
            missing = len(_missing(puppet, endpoint))
            lost = await _lied_to(puppet, door, endpoint, count)
    row = Row(
        test="what S3 keeps",
        dose=f"{(count + 1) * len(ERRORS)} pictures, after all of that",
        must="each that the catalog knows is in the bucket",
        result=f"{missing} missing",
        kept=missing == 0,
        control=f"a server that keeps nothing: {lost} missing",
        control_broke=lost > 0,
    )
    return [*rows, row]


async def _bucket(puppet: Puppet, door: Door, shift: Path, error: str, count: int) -> Row:
    before = puppet.service.roles()
    names = [f"{error or 'down'}-{number}" for number in range(count)]
    await door.shut(error)
    await asyncio.gather(*map(puppet.tell, names))
    await puppet.asked_for(*names, times=2)
    if not error:
        _pass(shift, _HOUR_SECONDS)
        await puppet.asked_for(*names, times=3)
    await door.open()
    began_at, last = clock.monotonic(), f"{error or 'down'}-after"
    await puppet.tell(last)
    is_back = await puppet.archived(last)
    seconds = clock.monotonic() - began_at
    _pass(shift, _LONGEST_WAIT_SECONDS)
    whole = await puppet.archived(*names)
    lost, same = len(puppet.lost()), before == puppet.service.roles()
    told = {status for status, times in puppet.answers.items() if times} == {202}
    return Row(
        test=f"S3 {ERRORS[error] or 'down'}",
        dose=f"{error or 'for an hour'}, {count} webhooks meanwhile",
        must="each stored, a new picture archived < 5 s after, then all; same processes",
        result=f"{lost} lost, {seconds:.1f} s to recover, {'all' if whole else 'NOT ALL'} archived,"
        f" {'the same' if same else 'OTHER'} processes",
        kept=is_back
        and whole
        and same
        and told
        and not (lost or puppet.unequal())
        and seconds < RECOVERY_SECONDS,
    )


async def _lied_to(puppet: Puppet, door: Door, endpoint: str, count: int) -> int:
    """How many of so many pictures are missing that a server has said it keeps."""
    names = [f"lies-{number}" for number in range(count)]
    door.lies = True
    await asyncio.gather(*map(puppet.tell, names))
    await puppet.archived(*names)
    door.lies = False
    return len(_missing(puppet, endpoint))


def _missing(puppet: Puppet, endpoint: str) -> set[str]:
    with administering(endpoint) as client:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=_BUCKET)
        kept = {found["Key"] for page in pages for found in page.get("Contents", ())}
    return {key for (key,) in puppet.rows("SELECT blob_key FROM assets")} - kept


def _pass(shift: Path, seconds: int) -> None:
    """Lets so much time pass by the clock of the service."""
    (already,) = struct.unpack("q", shift.read_bytes())
    with shift.open("r+b") as file:
        file.write(struct.pack("q", already + seconds))


async def _links(folder: Path, count: int) -> Row:
    """Links that are bad for a while, and links that are bad until they die."""
    folder.mkdir()
    patient = {"patience_seconds": 1.0}
    hosts = {"download_hosts": ["127.0.0.1", NOWHERE]}
    async with pulling_strings(folder, env={}, archive=patient, providers_doitong=hosts) as puppet:
        before = puppet.service.roles()
        for what, script in BAD_LINKS.items():
            for each in range(count):
                await puppet.tell(f"{what}-{each}-mended", script)
                await puppet.tell(f"{what}-{each}", script, mends=False, life=_LIFE)
        for each in range(count):
            await puppet.tell(f"no-such-host-{each}", host=NOWHERE, life=_LIFE)
        rest = await puppet.ended()
        fates, same = puppet.fates(), before == puppet.service.roles()
    states = Counter(state for state, _ in fates.values())
    unsaid = [name for name, (state, why) in fates.items() if state != "archived" and not why]
    mended = [name for name in fates if name.endswith("mended")]
    wrong = puppet.unequal() + [name for name in mended if fates[name][0] != "archived"]
    harmed = puppet.lost() or puppet.lies or unsaid or wrong
    said = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    return Row(
        test="bad links",
        dose=f"{', '.join(BAD_LINKS)}, no such host: {len(puppet.told)} webhooks",
        must="what is mended archived, all else held or dead with a reason; no other bytes kept",
        result=f"{said}; {len(unsaid)} without a reason, {len(wrong)} wrong",
        kept=rest and same and not harmed,
    )
