"""Capturing: a link's bytes into the bucket, or the right thing to do about why not."""

from __future__ import annotations

import asyncio
import hashlib
import io
from base64 import b64encode, encodebytes
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

import fastcrc
import pytest
from prometheus_client import REGISTRY

from archiver.blobs import BlobStore
from archiver.blobs.opening import open_blob_store
from archiver.body import Budget
from archiver.capture import Capture
from archiver.catalog import Catalog, CatalogReader, Tables
from archiver.catalog.jobs import JobRow
from archiver.egress import Egress, EgressPolicy
from archiver.errors import LeaseLostError
from archiver.ledger import keep
from archiver.lifecycle import archive, release_links, stop_asking
from archiver.links import url_sha256
from archiver.models import Generation, Slot
from archiver.store import Store
from archiver.work import Job, JobKind, JobState, WantedJob
from archiver.worker import Bench, Settled, Worker
from tests.archiver.generated import URL_DIES_AT, joined, linked, succeeded
from tests.archiver.heard import asset
from tests.archiver.media_bodies import STRANGERS, TOO_LARGE, WHOLE
from tests.archiver.origin import Origin, Script, answer, serve_origin
from tests.clocks import NOON, FrozenClock

PICTURE, _ = WHOLE["png"]
PATIENCE_SECONDS = 900.0
SIGNED = "/1.png?Expires=1795280400&Signature=hush"
SIGNED_FRESH = "/1.png?Expires=1795366800&Signature=hush"


@dataclass(kw_only=True)
class Capturing:
    """One generation with one link to the origin, and the performer that fetches it."""

    capture: Capture
    catalog: Catalog
    blobs: BlobStore
    origin: Origin
    clock: FrozenClock
    urls: dict[bytes, str]
    hosts: set[str]

    def url(self, path: str) -> str:
        """A link to the origin, that can be revealed."""
        url = self.origin.url(path)
        self.urls[url_sha256(url)] = url
        return url

    async def heard(self, path: str = SIGNED, prompt: str | None = None) -> None:
        """A delivery says that the picture is there."""
        await self.heard_url(self.url(path), prompt)

    async def heard_url(self, url: str, prompt: str | None = None) -> None:
        """A delivery says that the picture is behind this link, or in it."""
        self.urls[url_sha256(url)] = url
        observation = succeeded("1", url, prompt)

        def work(tables: Tables) -> None:
            before = tables.generations.load("doitong", "1")
            keep(tables, before, joined(before, observation), now=self.clock())

        await self.catalog.write(work)

    async def claim(self) -> Job:
        def work(tables: Tables) -> list[Job]:
            tables.jobs.promote(now=self.clock())
            return tables.jobs.claim(
                JobKind.FETCH, limit=9, worker="w", lease_seconds=30, now=self.clock()
            )

        (job,) = await self.catalog.write(work)
        return job

    async def fetch(self) -> Settled:
        """Claims, performs and settles, as the worker does."""
        settle = await self.capture.perform(await self.claim())
        settled = await self.catalog.write(settle)
        assert "hush" not in repr(settled)
        return settled

    async def job(self) -> JobRow:
        number = (await self.slot()).number
        assert number is not None
        job = await self.catalog.write(lambda tables: tables.jobs.of(JobKind.FETCH, number))
        assert job is not None
        return job

    async def generation(self) -> Generation:
        known = await self.catalog.write(lambda tables: tables.generations.load("doitong", "1"))
        assert known is not None
        return known

    async def slot(self) -> Slot:
        (slot,) = (await self.generation()).slots
        return slot

    async def given_up(self) -> Slot:
        """How it stands once its provider was asked and had no other link."""

        def work(tables: Tables) -> None:
            before = tables.generations.load("doitong", "1")
            assert before is not None
            keep(tables, before, stop_asking(before), now=self.clock())

        assert (await self.slot()).state in ("expected", "dead")
        await self.catalog.write(work)
        return await self.slot()

    async def held(self) -> list[int]:
        """The archive numbers that wait for the operator."""
        return await self.catalog.write(lambda tables: tables.jobs.held_for_operator())


@pytest.fixture
async def capturing(
    tmp_path: Path,
    catalog: Catalog,
    reader: CatalogReader,
    clock: FrozenClock,
    log_file: io.StringIO,
) -> AsyncIterator[Capturing]:
    """A real origin, bucket and catalog; whatever a test does, no link's query is written down."""
    blobs = open_blob_store((tmp_path / "bucket").as_uri())
    urls: dict[bytes, str] = {}
    hosts = {"127.0.0.1"}
    async with serve_origin() as origin:
        policy = EgressPolicy(
            allow_http=True,
            allow_ports=frozenset({origin.port}),
            allow_networks=(ip_network("127.0.0.0/8"),),
            max_bytes=1 << 20,
        )
        async with Egress(policy) as egress:
            capture = Capture(
                egress=egress,
                store=Store(blobs, Budget(1 << 20), tmp_path / "spool"),
                catalog=reader,
                reveal=lambda link: urls.get(link.url_sha256),
                download_hosts=lambda _: hosts,
                patience_seconds=PATIENCE_SECONDS,
                now=clock,
                random=lambda: 0.5,
            )
            yield Capturing(
                capture=capture,
                catalog=catalog,
                blobs=blobs,
                origin=origin,
                clock=clock,
                urls=urls,
                hosts=hosts,
            )
    assert "hush" not in log_file.getvalue()
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"hush" not in file.read_bytes(), file


async def _break_off(writer: asyncio.StreamWriter) -> None:
    """Half of the picture, and then no more."""
    writer.write(answer(200, PICTURE)[: -len(PICTURE) // 2])
    await writer.drain()


async def _hang_up(_: asyncio.StreamWriter) -> None:
    """Not a word."""


# A picture ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "mp4"])
async def test_a_picture_is_archived_byte_for_byte(capturing: Capturing, kind: str) -> None:
    """The bytes lie in the bucket under their digest, and a row says so."""
    body, media_type = WHOLE[kind]
    capturing.origin.answers["/1.png"] = answer(200, body, Content_Type="text/plain")
    await capturing.heard()
    settled = await capturing.fetch()
    (kept,) = (await capturing.slot()).assets
    assert (settled.outcome, settled.says["size_bytes"]) == ("archived", len(body))
    assert kept.sha256 == sha256(body).digest()
    assert (kept.size_bytes, kept.media_type, kept.archived_at) == (len(body), media_type, NOON)
    async with capturing.blobs.read(kept.blob_key) as chunks:
        assert body == b"".join([chunk async for chunk in chunks])
    head = await capturing.blobs.head(kept.blob_key)
    assert head is not None
    assert head.metadata == {"provider": "doitong", "generation": "1", "slot": "0"}


async def test_what_is_archived_is_done_and_asks_for_what_follows(capturing: Capturing) -> None:
    """The slot is archived, the job completed, manifest and preview wanted, in one commit."""
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    await capturing.heard()
    await capturing.fetch()
    counts = await capturing.catalog.write(lambda tables: tables.jobs.count())
    assert (await capturing.slot()).state == "archived"
    assert counts == {
        ("fetch", "completed"): 1,
        ("seal", "available"): 1,
        ("derive", "available"): 1,
    }
    assert "Signature=hush" in capturing.origin.requests[0]


async def test_the_same_picture_again_is_one_object(capturing: Capturing) -> None:
    """Two fetches of one slot, one of them under a lost lease, leave one object and one row."""
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    await capturing.heard()
    stale = await capturing.capture.perform(await capturing.claim())
    capturing.clock.advance(seconds=31)
    await capturing.catalog.write(lambda tables: tables.jobs.recover(now=capturing.clock()))
    await capturing.fetch()
    with pytest.raises(LeaseLostError):
        await capturing.catalog.write(stale)
    (kept,) = (await capturing.slot()).assets
    assert kept.archived_at == NOON + timedelta(seconds=31)
    assert [kept.blob_key] == [key async for key in capturing.blobs.list("blobs/")]


async def test_a_link_that_outlives_its_word_is_still_fetched(capturing: Capturing) -> None:
    """A link past its deadline is tried all the same, and saved if it works."""
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    await capturing.heard()
    capturing.clock.advance(hours=6)
    assert (await capturing.fetch()).outcome == "archived"


# No picture ---------------------------------------------------------------------------------------

PASSING: dict[str, tuple[Script, str]] = {
    "404": (answer(404), "answered 404"),
    "a page": (answer(200, STRANGERS["an HTML page"]), "HTML"),
    "a transfer cut short": (_break_off, "broke off"),
    "a picture cut short": (answer(200, PICTURE[:-9]), "in the middle"),
    "403": (answer(403), "answered 403"),
    "429": (answer(429), "answered 429"),
    "500": (answer(500), "answered 500"),
    "no answer": (_hang_up, "no good answer"),
}


@pytest.mark.parametrize("trouble", PASSING)
async def test_what_may_pass_is_tried_again(capturing: Capturing, trouble: str) -> None:
    """The job waits with its reason; when the trouble has passed, the picture is saved."""
    script, reason = PASSING[trouble]
    capturing.origin.answers["/1.png"] = script
    await capturing.heard()
    settled = await capturing.fetch()
    job = await capturing.job()
    assert (settled.outcome, job.state, (await capturing.slot()).state) == (
        "retry",
        "scheduled",
        "linked",
    )
    assert reason in job.reason
    assert job.run_at == NOON + timedelta(seconds=0.5)
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    capturing.clock.advance(seconds=1)
    assert (await capturing.fetch()).outcome == "archived"


@pytest.mark.parametrize(
    "trouble", ["404", "a page", "a transfer cut short", "a picture cut short"]
)
async def test_patience_has_an_end(capturing: Capturing, trouble: str) -> None:
    """What looks like the provider's delay is lost when it lasts."""
    capturing.origin.answers["/1.png"], reason = PASSING[trouble]
    await capturing.heard(prompt="a cat")
    assert (await capturing.fetch()).outcome == "retry"
    capturing.clock.advance(seconds=PATIENCE_SECONDS)
    assert (await capturing.fetch()).outcome == "lost"
    slot = await capturing.given_up()
    assert (await capturing.job()).state == "discarded"
    assert (slot.state, slot.reason.partition(":")[0]) == ("held", "no renderer")
    assert reason in slot.reason


async def test_an_outage_uses_up_no_grace(capturing: Capturing) -> None:
    """One short answer after a long outage is the first of its kind, not the last of all."""
    capturing.origin.answers["/1.png"] = answer(503)
    await capturing.heard()
    assert (await capturing.fetch()).outcome == "retry"
    capturing.clock.advance(seconds=PATIENCE_SECONDS * 2)
    capturing.origin.answers["/1.png"], _ = PASSING["a transfer cut short"]
    assert (await capturing.fetch()).outcome == "retry"
    capturing.clock.advance(seconds=PATIENCE_SECONDS / 2)
    assert (await capturing.fetch()).outcome == "retry"
    capturing.clock.advance(seconds=PATIENCE_SECONDS)
    assert (await capturing.fetch()).outcome == "lost"


@pytest.mark.parametrize("trouble", ["403", "429", "500", "no answer"])
async def test_what_may_pass_is_tried_until_the_link_dies(
    capturing: Capturing, trouble: str
) -> None:
    """A refusal may be a clock out of step, an outage may last a night; death is final."""
    capturing.origin.answers["/1.png"], reason = PASSING[trouble]
    await capturing.heard()
    for hours in (0, 2, 2.99):
        capturing.clock.advance(hours=hours)
        assert (await capturing.fetch()).outcome == "retry"
    last_call = (await capturing.job()).run_at
    assert last_call is not None
    assert last_call <= URL_DIES_AT
    capturing.clock.advance(hours=1)
    assert (await capturing.fetch()).outcome == "expired"
    slot = await capturing.given_up()
    (link,) = slot.links
    assert slot.state == "dead"
    assert link.failure is not None
    assert link.failure.message.startswith("the link died at 2026-11-21 17:00:00 UTC: ")
    assert reason in link.failure.message


@pytest.mark.parametrize(
    ("script", "code", "state"),
    [
        (answer(410), "gone", "held: no renderer: 127.0.0.1 answered 410"),
        (answer(200, b"x" * 9, Content_Length="9999999"), "too_large", "dead: can neither be"),
        (answer(200, TOO_LARGE["png"]), "too_large", "dead: can neither be"),
    ],
    ids=["gone", "too many bytes", "too many pixels"],
)
async def test_what_cannot_pass_is_final(
    capturing: Capturing, script: Script, code: str, state: str
) -> None:
    """One answer is enough, and says whether the picture may be drawn instead."""
    capturing.origin.answers["/1.png"] = script
    await capturing.heard(prompt="a cat")
    assert (await capturing.fetch()).outcome == "lost"
    slot = await capturing.given_up()
    (link,) = slot.links
    assert link.failure is not None
    assert link.failure.code == code
    assert f"{slot.state}: {slot.reason}".startswith(state)
    assert (await capturing.job()).state == "discarded"


async def test_the_origins_own_wish_is_heeded(capturing: Capturing) -> None:
    """A Retry-After is waited for."""
    capturing.origin.answers["/1.png"] = answer(429, Retry_After="120")
    await capturing.heard()
    await capturing.fetch()
    assert (await capturing.job()).run_at == NOON + timedelta(seconds=120)


async def test_a_link_that_cannot_be_revealed_is_gone(capturing: Capturing) -> None:
    """Once the delivery that held the link is pruned there is nothing to fetch with."""
    await capturing.heard()
    capturing.urls.clear()
    assert (await capturing.fetch()).outcome == "lost"
    assert "no longer there" in (await capturing.given_up()).reason
    assert capturing.origin.requests == []


# As text ------------------------------------------------------------------------------------------

TEXT = b64encode(PICTURE)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "avif", "mp4", "webm"])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
async def test_a_picture_that_comes_as_text_is_archived_as_a_picture(
    capturing: Capturing, kind: str, prefix: str
) -> None:
    """What lies in the bucket are its own bytes, named by what they are."""
    body, media_type = WHOLE[kind]
    body += bytes(99) if kind == "webm" else b""  # too short for text to be told from it
    text = prefix.encode() + encodebytes(body)
    capturing.origin.answers["/1.png"] = answer(200, text, Content_Type="text/plain")
    await capturing.heard()
    settled = await capturing.fetch()
    (kept,) = (await capturing.slot()).assets
    assert (settled.outcome, settled.says["size_bytes"]) == ("archived", len(body))
    assert (kept.sha256, kept.media_type) == (sha256(body).digest(), media_type)


async def test_text_in_many_pieces_is_one_picture(capturing: Capturing) -> None:
    """Wherever the network cuts it, be it for ten thousand pixels or in the middle of a group."""

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for start in range(0, len(TEXT), 7):
            piece = TEXT[start : start + 7]
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    capturing.origin.answers["/1.png"] = trickle
    await capturing.heard()
    assert (await capturing.fetch()).outcome == "archived"
    (kept,) = (await capturing.slot()).assets
    assert kept.sha256 == sha256(PICTURE).digest()


async def _break_text_off(writer: asyncio.StreamWriter) -> None:
    """Half of the text, and then no more."""
    writer.write(answer(200, TEXT)[: -len(TEXT) // 2])
    await writer.drain()


@pytest.mark.parametrize(
    "script",
    [
        answer(200, TEXT[:-1]),
        answer(200, TEXT[:-8]),
        answer(200, TEXT[:80]),
        answer(200, TEXT[:80] + b"<" + TEXT[81:]),
        answer(200, b64encode(STRANGERS["an HTML page"] * 9)),
        answer(200, b64encode(TEXT)),
        _break_text_off,
    ],
    ids=["a character short", "cut", "half", "broken", "a page", "text of text", "broken off"],
)
async def test_text_that_is_no_whole_picture_is_tried_again(
    capturing: Capturing, script: Script
) -> None:
    """Nothing of it is kept, and the whole may come the next time."""
    capturing.origin.answers["/1.png"] = [script, answer(200, TEXT)]
    await capturing.heard()
    assert (await capturing.fetch()).outcome == "retry"
    assert await _objects(capturing) == []
    capturing.clock.advance(seconds=1)
    assert (await capturing.fetch()).outcome == "archived"


async def test_a_digest_promised_of_text_is_of_the_text(capturing: Capturing) -> None:
    """It is the wire's bytes that an origin knows."""
    promise = _promises(TEXT)["all"]
    capturing.origin.answers["/1.png"] = answer(200, TEXT, **promise)
    await capturing.heard()
    settled = await capturing.fetch()
    assert settled.outcome == "archived"
    assert "other_digest_than_promised" not in settled.says
    assert len(capturing.origin.requests) == 1


async def test_text_may_not_be_larger_than_a_picture(capturing: Capturing) -> None:
    """The limit is on what is downloaded."""
    capturing.origin.answers["/1.png"] = answer(200, b"QUJD" * (1 << 19))
    await capturing.heard()
    assert (await capturing.fetch()).outcome == "lost"
    assert "too_large" in repr((await capturing.slot()).links)


async def test_a_data_url_is_the_picture(capturing: Capturing) -> None:
    """Nobody is asked for it, and no row repeats it."""
    capturing.hosts.clear()
    await capturing.heard_url(f"data:image/png;base64,{TEXT.decode()}")
    assert (await capturing.fetch()).outcome == "archived"
    slot = await capturing.slot()
    (kept,) = slot.assets
    assert kept.sha256 == sha256(PICTURE).digest()
    assert [(link.location, link.host) for link in slot.links] == [("data:image/png", "")]
    assert capturing.origin.requests == []


@pytest.mark.parametrize("data", [TEXT.decode()[:-1], TEXT.decode()[:-40], "", "QUJD" * 99])
async def test_a_data_url_that_is_broken_is_lost_in_the_end(
    capturing: Capturing, data: str
) -> None:
    """It is no better the next time, and after the usual patience another is asked for."""
    await capturing.heard_url(f"data:image/png;base64,{data}", "a fox")
    assert (await capturing.fetch()).outcome == "retry"
    capturing.clock.advance(seconds=PATIENCE_SECONDS)
    assert (await capturing.fetch()).outcome == "lost"
    assert (await capturing.slot()).state == "expected"
    assert (await capturing.given_up()).state == "held"
    assert await _objects(capturing) == []


# What the origin promised -------------------------------------------------------------------------

OTHER, _ = WHOLE["png of one bit"]


def _promises(of: bytes) -> dict[str, dict[str, str]]:
    """For each kind of digest the headers that promise it of a body."""
    md5 = b64encode(hashlib.md5(of).digest()).decode()
    crc32c = b64encode(fastcrc.crc32.iscsi(of).to_bytes(4)).decode()
    return {
        "OSS": {"x_oss_hash_crc64ecma": str(fastcrc.crc64.xz(of))},
        "RFC 1864": {"Content_MD5": md5},
        "GCS": {"x_goog_hash": f"crc32c={crc32c},md5={md5}"},
        "GCS, twice": {"x_goog_hash": f"crc32c={crc32c}", "X_Goog_Hash": f"md5={md5}"},
        "all": {"x_oss_hash_crc64ecma": str(fastcrc.crc64.xz(of)), "Content_MD5": md5},
    }


KINDS = list(_promises(b""))


async def _objects(capturing: Capturing) -> list[str]:
    return [key async for key in capturing.blobs.list("")]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_promise_kept_is_not_worth_a_word(capturing: Capturing, kind: str) -> None:
    """One download is enough when the bytes are those that the origin means."""
    capturing.origin.answers["/1.png"] = answer(200, PICTURE, **_promises(PICTURE)[kind])
    await capturing.heard()
    settled = await capturing.fetch()
    assert settled.outcome == "archived"
    assert "other_digest_than_promised" not in settled.says
    assert len(capturing.origin.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_damaged_transfer_leaves_no_object(capturing: Capturing, kind: str) -> None:
    """Bytes other than promised, and others again, are tried again later, and nothing is kept."""
    third, _ = WHOLE["gif"]
    promise = _promises(PICTURE)[kind]
    damaged = [answer(200, OTHER, **promise), answer(200, third, **promise)]
    capturing.origin.answers["/1.png"] = [*damaged, answer(200, PICTURE, **promise)]
    await capturing.heard()
    assert (await capturing.fetch()).outcome == "retry"
    assert "other bytes than its" in (await capturing.job()).reason
    assert await _objects(capturing) == []
    capturing.clock.advance(seconds=1)
    assert (await capturing.fetch()).outcome == "archived"
    (kept,) = (await capturing.slot()).assets
    assert kept.sha256 == sha256(PICTURE).digest()
    assert [kept.blob_key] == await _objects(capturing)


async def test_a_second_transfer_that_is_right_is_enough(capturing: Capturing) -> None:
    """A damaged transfer is asked for once more at once."""
    promise = _promises(PICTURE)["OSS"]
    capturing.origin.answers["/1.png"] = [
        answer(200, OTHER, **promise),
        answer(200, PICTURE, **promise),
    ]
    await capturing.heard()
    settled = await capturing.fetch()
    assert (settled.outcome, settled.says["size_bytes"]) == ("archived", len(PICTURE))
    assert "other_digest_than_promised" not in settled.says


@pytest.mark.parametrize("kind", KINDS)
async def test_an_origin_that_is_always_wrong_loses_no_picture(
    capturing: Capturing, kind: str, log_file: io.StringIO
) -> None:
    """What comes twice alike was not damaged on its way: it is kept, and the doubt is told."""
    capturing.origin.answers["/1.png"] = answer(200, PICTURE, **_promises(OTHER)[kind])
    await capturing.heard()
    settled = await capturing.fetch()
    doubted = {header.replace("_", "-").lower() for header in _promises(OTHER)[kind]}
    assert settled.outcome == "archived"
    assert set(settled.says["other_digest_than_promised"]) == doubted
    assert len(capturing.origin.requests) == 2
    assert (await capturing.slot()).state == "archived"


async def test_an_origin_that_never_sends_the_same_loses_no_picture(capturing: Capturing) -> None:
    """Once the grace of a damaged transfer is over, a whole picture is better than none."""
    third, _ = WHOLE["gif"]
    promise = _promises(PICTURE)["RFC 1864"]
    one, other = answer(200, OTHER, **promise), answer(200, third, **promise)
    capturing.origin.answers["/1.png"] = [one, other, one]
    await capturing.heard()
    assert (await capturing.fetch()).outcome == "retry"
    capturing.clock.advance(seconds=PATIENCE_SECONDS)
    settled = await capturing.fetch()
    assert settled.outcome == "archived"
    assert settled.says["other_digest_than_promised"] == ("content-md5",)
    assert len(capturing.origin.requests) == 3


async def test_a_promise_makes_no_picture_of_a_page(capturing: Capturing) -> None:
    """A right digest of something that is no picture is no reason to keep it."""
    page = STRANGERS["an HTML page"]
    capturing.origin.answers["/1.png"] = answer(200, page, **_promises(page)["all"])
    await capturing.heard()
    assert (await capturing.fetch()).outcome == "retry"
    assert await _objects(capturing) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"x_oss_hash_crc64ecma": "many"},
        {"Content_MD5": "=", "x_oss_hash_crc64ecma": ""},
        {"x_goog_hash": "crc32c=,md5,=,sha9=AA"},
    ],
)
async def test_a_promise_that_cannot_be_read_is_none(
    capturing: Capturing, headers: dict[str, str]
) -> None:
    """A malformed header is the origin's affair."""
    capturing.origin.answers["/1.png"] = answer(200, PICTURE, **headers)
    await capturing.heard()
    assert (await capturing.fetch()).outcome == "archived"
    assert len(capturing.origin.requests) == 1


# The operator -------------------------------------------------------------------------------------


async def test_a_host_that_is_not_allowed_is_held_for_the_operator(capturing: Capturing) -> None:
    """It is held with the setting to type, asks for nothing, and a release tries it again."""
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    await capturing.heard()
    capturing.hosts.remove("127.0.0.1")
    assert (await capturing.fetch()).outcome == "lost"
    slot, job = await capturing.slot(), await capturing.job()
    assert (slot.state, job.state) == ("held", "held")
    assert "add it to providers.<name>.download_hosts" in job.reason
    assert "add it to providers.<name>.download_hosts" in slot.reason
    assert await capturing.held() == [slot.number]
    assert capturing.origin.requests == []

    capturing.hosts.add("127.0.0.1")
    before = await capturing.generation()
    await capturing.catalog.write(
        lambda tables: keep(tables, before, release_links(before), now=capturing.clock())
    )
    assert (await capturing.fetch()).outcome == "archived"
    assert await capturing.held() == []


async def test_a_failing_bucket_is_ours_and_retried_for_ever(
    capturing: Capturing, tmp_path: Path
) -> None:
    """The link is not given up for our own trouble, not even when it should be dead by now."""
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    (tmp_path / "bucket").write_text("a file where the bucket should be")
    await capturing.heard()
    for hours in (0, 1, 9):
        capturing.clock.advance(hours=hours)
        assert (await capturing.fetch()).outcome == "retry"
        assert str(tmp_path / "bucket") in (await capturing.job()).reason
    (tmp_path / "bucket").unlink()
    capturing.clock.advance(hours=1)
    assert (await capturing.fetch()).outcome == "archived"


# Meanwhile ----------------------------------------------------------------------------------------


async def test_what_was_archived_meanwhile_is_not_fetched(capturing: Capturing) -> None:
    """A job whose slot has its picture is cancelled, and costs no download."""
    await capturing.heard()
    before = await capturing.generation()

    def work(tables: Tables) -> None:
        keep(tables, before, archive(before, 0, asset()), now=NOON)
        (slot,) = before.slots
        assert slot.number is not None
        (link,) = slot.links
        job = WantedJob(
            kind=JobKind.FETCH, subject=slot.number, target=link.url_sha256.hex(), host=link.host
        )
        tables.jobs.want([job], now=NOON)

    await capturing.catalog.write(work)
    assert (await capturing.fetch()).outcome == "cancelled"
    job = await capturing.job()
    assert (job.state, job.reason) == (JobState.CANCELLED, "no longer wanted")
    assert capturing.origin.requests == []


async def test_a_job_for_a_link_that_nobody_knows_is_cancelled(capturing: Capturing) -> None:
    """Another link's target is no error, and the link that is known is fetched next."""
    await capturing.heard()
    job = replace(await capturing.claim(), target="00" * 32)
    settled = await capturing.catalog.write(await capturing.capture.perform(job))
    assert settled.outcome == "cancelled"
    assert (await capturing.job()).state == "available"


@pytest.mark.parametrize(("status", "outcome"), [(404, "retry"), (410, "lost")])
async def test_a_fresher_link_that_came_meanwhile_is_next(
    capturing: Capturing, status: int, outcome: str
) -> None:
    """However the old link ends, the slot goes on at once with the one from the redelivery."""
    capturing.origin.answers["/1.png"] = answer(status)
    await capturing.heard()
    settle = await capturing.capture.perform(await capturing.claim())
    await capturing.heard(SIGNED_FRESH)
    assert (await capturing.catalog.write(settle)).outcome == outcome
    job = await capturing.job()
    assert (job.state, job.attempts) == (JobState.AVAILABLE, 0)
    assert job.deadline_at == URL_DIES_AT + timedelta(days=1)
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    assert (await capturing.fetch()).outcome == "archived"
    assert "Expires=1795366800" in capturing.origin.requests[-1]


async def test_a_redelivery_rescues_a_dead_slot(capturing: Capturing) -> None:
    """A lost link is lost, but a fresh one brings its slot back."""
    capturing.origin.answers["/1.png"] = answer(410)
    await capturing.heard()
    await capturing.fetch()
    assert (await capturing.given_up()).state == "dead"
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    await capturing.heard(SIGNED_FRESH)
    assert (await capturing.fetch()).outcome == "archived"
    assert (await capturing.slot()).state == "archived"


def counted(name: str) -> float:
    """What the metrics say of the provider."""
    return REGISTRY.get_sample_value(f"holdfast_{name}", {"provider": "doitong"}) or 0.0


async def test_the_life_that_a_link_had_left_is_measured(capturing: Capturing) -> None:
    """In seconds, once the bytes are in the bucket; what brought none is not measured."""
    before = counted("deadline_slack_seconds_sum"), counted("deadline_slack_seconds_count")
    capturing.origin.answers["/1.png"] = answer(500)
    await capturing.heard()
    assert (await capturing.fetch()).outcome == "retry"
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    capturing.clock.advance(hours=3)
    assert (await capturing.fetch()).outcome == "archived"
    left_seconds = (URL_DIES_AT - capturing.clock()).total_seconds()
    assert counted("deadline_slack_seconds_sum") - before[0] == left_seconds > 0
    assert counted("deadline_slack_seconds_count") - before[1] == 1


async def test_a_link_that_died_is_counted(capturing: Capturing) -> None:
    """Not one that is lost for another reason."""
    before = counted("links_expired_total")
    capturing.origin.answers["/1.png"] = answer(410)
    await capturing.heard()
    lost = await capturing.fetch()
    capturing.origin.answers["/1.png"] = answer(500)
    await capturing.heard(SIGNED_FRESH)
    capturing.clock.advance(hours=48)
    expired = await capturing.fetch()
    assert (lost.outcome, expired.outcome) == ("lost", "expired")
    lost.count()
    assert counted("links_expired_total") == before
    expired.count()
    assert counted("links_expired_total") == before + 1


async def test_the_worker_captures_and_tells_it(
    capturing: Capturing, log_file: io.StringIO
) -> None:
    """Through the whole loop, each slot's way is in the log by its name."""
    capturing.origin.answers["/1.png"] = answer(200, PICTURE)
    capturing.origin.answers["/2.png"] = answer(410)
    await capturing.heard()
    gone = linked("2", capturing.url("/2.png?Signature=hush"))
    await capturing.catalog.write(lambda tables: keep(tables, None, gone, now=NOON))
    bench = Bench(perform=capturing.capture.perform, slots=9, per_host=9)
    worker = Worker(capturing.catalog, {JobKind.FETCH: bench}, name="w", now=capturing.clock)
    stop = asyncio.Event()
    async with asyncio.timeout(20):
        running = asyncio.create_task(worker.run(stop, drain_seconds=20))
        while len(capturing.origin.requests) < 2:
            await asyncio.sleep(0)
        stop.set()
        worker.wake()
        await running
    said = log_file.getvalue()
    assert '"event": "archived"' in said
    assert '"event": "lost"' in said
    assert '"generation": "2"' in said
