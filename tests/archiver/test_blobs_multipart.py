"""Uploads in parts, on the wire: which part goes again, how an upload ends, and what is aborted."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from hashlib import md5, sha256
from random import Random

import pytest

from archiver.blobs import Put
from archiver.blobs.s3 import S3Blobs
from archiver.clock import now
from archiver.errors import BucketError
from tests.archiver.moto_server import session
from tests.archiver.origin import Origin, Script, answer, serve_origin
from tests.archiver.test_s3 import headers_of

KEY = "blobs/sha256/0a/film.mp4"
PATH = f"/archive/{KEY}"
FILM = Random(0).randbytes(2500)
PARTS = [FILM[:1000], FILM[1000:2000], FILM[2000:]]
ABSENT = answer(404)
BEGUN = answer(body=b"<R><Bucket>archive</Bucket><UploadId>2~a/b&amp;c=</UploadId></R>")
UPLOAD = "uploadId=2~a%2Fb%26c%3D"
SENT = [answer(ETag=f'"{number}"') for number in (1, 2, 3)]
ERROR = b"<Error><Code>%s</Code></Error>"
GONE = answer(204)


@pytest.fixture
async def server() -> AsyncIterator[Origin]:
    async with serve_origin() as server:
        yield server


@pytest.fixture
async def blobs(server: Origin) -> AsyncIterator[S3Blobs]:
    blobs = S3Blobs(
        "archive",
        endpoint=server.url(""),
        session=session(),
        backoff_seconds=0.001,
        large_bytes=2000,
        part_bytes=1000,
    )
    server.answers = {"/archive/": answer(), "/archive/probes/if-none-match": answer(412)}
    await blobs.check()
    for heard in (server.requests, server.bodies):
        heard.clear()
    yield blobs
    await blobs.close()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def put(blobs: S3Blobs, *, replace: bool = False) -> Put:
    """Put the film."""
    return await blobs.put(
        KEY, FILM, media_type="video/mp4", metadata={"slot": "0"}, replace=replace
    )


def asked(server: Origin) -> list[str]:
    """Each request's method and query."""
    targets = (request.split(" ")[:2] for request in server.requests)
    return [f"{method} {target.partition('?')[2]}".strip() for method, target in targets]


def ends_with(server: Origin, *answers: Script) -> None:
    """An upload whose parts arrive, and how the server answers what comes after them."""
    server.answers[PATH] = [ABSENT, BEGUN, *SENT, *answers]


async def test_each_part_is_signed_with_its_own_digest(server: Origin, blobs: S3Blobs) -> None:
    """The server can verify each; type and metadata are told at the beginning, the order last."""
    ends_with(server, ABSENT, answer())
    assert await put(blobs) is Put.CREATED
    sending = [f"PUT {UPLOAD}&partNumber={number}" for number in (1, 2, 3)]
    assert asked(server) == ["HEAD", "POST uploads", *sending, "HEAD", f"POST {UPLOAD}"]
    assert server.bodies[2:5] == PARTS
    sent = [headers_of(request) for request in server.requests[2:5]]
    assert [it["x-amz-content-sha256"] for it in sent] == [sha256(it).hexdigest() for it in PARTS]
    digests = [b64encode(md5(part).digest()).decode() for part in PARTS]
    assert [it["content-md5"] for it in sent] == digests
    begun, completed = headers_of(server.requests[1]), headers_of(server.requests[-1])
    assert (begun["content-type"], begun["x-amz-meta-slot"]) == ("video/mp4", "0")
    assert completed["if-none-match"] == "*"
    order = re.findall(rb"<PartNumber>(\d)</PartNumber><ETag>(.+?)</ETag>", server.bodies[-1])
    assert order == [(b"1", b'"1"'), (b"2", b'"2"'), (b"3", b'"3"')]


@pytest.mark.parametrize("trouble", [answer(503), _hang_up])
async def test_a_part_that_breaks_is_sent_again_alone(
    server: Origin, blobs: S3Blobs, trouble: Script
) -> None:
    """What arrived before is not sent again."""
    server.answers[PATH] = [ABSENT, BEGUN, SENT[0], trouble, *SENT[1:], ABSENT, answer()]
    assert await put(blobs) is Put.CREATED
    numbers = [it.rpartition("=")[2] for it in asked(server) if it.startswith("PUT")]
    assert numbers == ["1", "2", "2", "3"]


async def test_a_part_that_is_refused_ends_the_upload(server: Origin, blobs: S3Blobs) -> None:
    """The parts sent so far are removed, and the operator reads why."""
    refusal = answer(403, ERROR % b"AccessDenied")
    server.answers[PATH] = [ABSENT, BEGUN, SENT[0], refusal, GONE]
    with pytest.raises(BucketError, match="s3:AbortMultipartUpload") as caught:
        await put(blobs)
    assert asked(server)[-1] == f"DELETE {UPLOAD}"
    assert UPLOAD not in str(caught.value)


async def test_an_upload_that_cannot_be_aborted_says_why_it_failed(
    server: Origin, blobs: S3Blobs
) -> None:
    """The first trouble is told and not the second; the sweep takes care of that."""
    server.answers[PATH] = [ABSENT, BEGUN, answer(418), answer(403)]
    with pytest.raises(BucketError, match="418"):
        await put(blobs)


async def test_what_appeared_meanwhile_stays(server: Origin, blobs: S3Blobs) -> None:
    """Seen before the last step, or said by the server in it, the upload is aborted."""
    for answers in ([answer(content_type="a/b")], [ABSENT, answer(412)]):
        ends_with(server, *answers, GONE)
        assert await put(blobs) is Put.EXISTED
        assert asked(server)[-1] == f"DELETE {UPLOAD}"


async def test_a_server_may_know_the_condition_for_whole_objects_only(
    server: Origin, blobs: S3Blobs
) -> None:
    """Then the last step is done without; that nothing is there was asked just before."""
    ends_with(server, ABSENT, answer(501), answer())
    assert await put(blobs) is Put.CREATED
    assert "if-none-match" not in headers_of(server.requests[-1])


async def test_a_failure_told_as_a_success_is_heard(server: Origin, blobs: S3Blobs) -> None:
    """S3 answers before it has joined the parts, so an error may come in the document."""
    ends_with(server, ABSENT, answer(body=ERROR % b"InternalError"), GONE)
    with pytest.raises(BucketError, match="InternalError"):
        await put(blobs)
    assert asked(server)[-1] == f"DELETE {UPLOAD}"


async def test_a_last_answer_that_was_lost_is_found_again(server: Origin, blobs: S3Blobs) -> None:
    """The upload is gone because it became the object: no error."""
    ends_with(server, ABSENT, _hang_up, answer(404, ERROR % b"NoSuchUpload"), answer(), answer(404))
    assert await put(blobs) is Put.EXISTED


@pytest.mark.parametrize("replace", [False, True])
async def test_an_upload_that_somebody_ended_is_told(
    server: Origin, blobs: S3Blobs, replace: bool
) -> None:
    """Without the object, or with one that may be the old one, nothing is claimed."""
    gone = answer(404, ERROR % b"NoSuchUpload")
    before = [] if replace else [ABSENT]
    server.answers[PATH] = [*before, BEGUN, *SENT, *before, gone, ABSENT]
    with pytest.raises(BucketError, match="NoSuchUpload: somebody ended this upload"):
        await put(blobs, replace=replace)


async def test_an_upload_without_a_name_is_told(server: Origin, blobs: S3Blobs) -> None:
    """What answers so is no S3 server."""
    server.answers[PATH] = [ABSENT, answer(body=b"<html>welcome</html>")]
    with pytest.raises(BucketError, match="without a name"):
        await put(blobs)


async def test_replacing_asks_for_nothing(server: Origin, blobs: S3Blobs) -> None:
    """Whatever is there is overwritten."""
    server.answers[PATH] = [BEGUN, *SENT, answer()]
    assert await put(blobs, replace=True) is Put.REPLACED
    assert "HEAD" not in asked(server)
    assert "if-none-match" not in headers_of(server.requests[-1])


async def test_a_server_that_lists_too_much_is_not_believed(server: Origin, blobs: S3Blobs) -> None:
    """Only what lies where our large objects lie is swept, whatever was asked for and told."""
    uploads = "".join(
        f"<Upload><Key>{key}</Key><UploadId>1</UploadId>"
        "<Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>"
        for key in ("film.mp4", KEY, f"backup/{KEY}")
    )
    listed = f"<ListMultipartUploadsResult>{uploads}</ListMultipartUploadsResult>"
    server.answers |= {"/archive": answer(body=listed.encode()), PATH: GONE}
    assert await blobs.sweep(begun_before=now()) == 1
    asked = [request.split(" ")[:2] for request in server.requests]
    assert [path for method, path in asked if method != "GET"] == [f"{PATH}?uploadId=1"]
