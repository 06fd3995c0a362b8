"""The probe for conditional puts: what it asks, when, and what is done when it fails."""

from collections.abc import AsyncIterator

import pytest

from archiver.blobs import Put
from archiver.blobs.s3 import S3Blobs
from archiver.errors import BucketError
from tests.archiver.moto_server import session
from tests.archiver.origin import Origin, answer, serve_origin

KEY = "manifests/doitong/0a/a.json"
PATH = f"/archive/{KEY}"
PROBE = "/archive/probes/if-none-match"
EXISTS = answer(412)
REFUSAL = b"<Error><Code>%s</Code></Error>"


@pytest.fixture
async def server() -> AsyncIterator[Origin]:
    async with serve_origin() as server:
        server.answers = {"/archive/": answer(), PATH: answer()}
        yield server


@pytest.fixture
async def blobs(server: Origin) -> AsyncIterator[S3Blobs]:
    blobs = S3Blobs("archive", endpoint=server.url(""), session=session(), backoff_seconds=0.001)
    yield blobs
    await blobs.close()


async def put(blobs: S3Blobs) -> Put:
    """Put a manifest."""
    return await blobs.put(KEY, b"{}", media_type="application/json", metadata={})


def asked(server: Origin) -> list[str]:
    """Each request's method, path, and whether it was conditional."""
    return [
        " ".join(request.split(" ")[:2]) + " if none" * ("If-None-Match: *" in request)
        for request in server.requests
    ]


async def test_a_check_puts_a_probe_twice(server: Origin, blobs: S3Blobs) -> None:
    """The second must be told that there is one; then it is removed, and puts need no asking."""
    server.answers[PROBE] = [answer(), EXISTS, answer(204)]
    await blobs.check()
    assert await put(blobs) is Put.CREATED
    probing = [f"PUT {PROBE} if none"] * 2 + [f"DELETE {PROBE}"]
    assert asked(server) == ["HEAD /archive/", *probing, f"PUT {PATH} if none"]


async def test_a_probe_left_lying_is_proof_enough(server: Origin, blobs: S3Blobs) -> None:
    """Where nothing may be deleted it stays, which fails nothing and serves the next time."""
    server.answers[PROBE] = [EXISTS, answer(403, REFUSAL % b"AccessDenied")]
    await blobs.check()
    assert asked(server) == ["HEAD /archive/", f"PUT {PROBE} if none", f"DELETE {PROBE}"]


async def test_unproved_it_is_proved_before_the_first_put(server: Origin, blobs: S3Blobs) -> None:
    """Whoever never checked, or in vain, overwrites nothing all the same."""
    server.answers[PROBE] = [answer(403, REFUSAL % b"AccessDenied"), EXISTS, answer(204)]
    with pytest.raises(BucketError, match="s3:PutObject"):
        await blobs.check()
    server.requests.clear()
    assert await put(blobs) is Put.CREATED
    assert await put(blobs) is Put.CREATED
    probing = [f"PUT {PROBE} if none", f"DELETE {PROBE}"]
    assert asked(server) == probing + [f"PUT {PATH} if none"] * 2


@pytest.mark.parametrize(
    "deaf",
    [answer(), answer(501), answer(400, REFUSAL % b"NotImplemented")],
)
async def test_a_server_that_does_not_know_it_is_asked_before(
    server: Origin, blobs: S3Blobs, deaf: bytes
) -> None:
    """However it shows: the condition is left away, and the object asked for instead."""
    server.answers[PROBE] = deaf
    server.answers[PATH] = [answer(404), answer(), answer(content_type="a/b")]
    await blobs.check()
    server.requests.clear()
    assert await put(blobs) is Put.CREATED
    assert await put(blobs) is Put.EXISTED
    assert asked(server) == [f"HEAD {PATH}", f"PUT {PATH}", f"HEAD {PATH}"]


async def test_a_server_that_learns_is_believed(server: Origin, blobs: S3Blobs) -> None:
    """Each check asks anew."""
    server.answers[PROBE] = [answer(), answer(), answer(), EXISTS]
    await blobs.check()
    await blobs.check()
    server.requests.clear()
    await put(blobs)
    assert asked(server) == [f"PUT {PATH} if none"]
