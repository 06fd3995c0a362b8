"""The S3 driver on the wire: what it signs and says, what it sits out, and what it advises."""

import asyncio
import hashlib
import hmac
import re
import threading
from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from botocore.credentials import DeferredRefreshableCredentials, RefreshableCredentials
from botocore.exceptions import CredentialRetrievalError

from archiver.blobs import Put
from archiver.blobs.s3 import S3Blobs, bucket_url
from archiver.blobs.s3_wire import SignedRequests
from archiver.clock import now
from archiver.errors import BucketError, NotAnObjectKeyError
from tests.archiver.moto_server import session
from tests.archiver.origin import Origin, answer, serve_origin

KEY = "manifests/doitong/0a/a%2fb.json"
PATH = "/archive/manifests/doitong/0a/a%252fb.json"
ERROR = """<Error><Code>{code}</Code><AWSAccessKeyId>AKTEST</AWSAccessKeyId>
<SignatureProvided>5ec2e7</SignatureProvided><StringToSign>5ec2e7</StringToSign></Error>"""


@pytest.fixture
async def server() -> AsyncIterator[Origin]:
    async with serve_origin() as server:
        yield server


@pytest.fixture
async def blobs(server: Origin) -> AsyncIterator[S3Blobs]:
    blobs = S3Blobs("archive", endpoint=server.url(""), session=session(), backoff_seconds=0.001)
    # So that no test meets the probe for conditional puts, which test_blobs_condition is about.
    server.answers = {"/archive/": answer(), "/archive/probes/if-none-match": answer(412)}
    await blobs.check()
    for heard in (server.answers, server.requests, server.bodies):
        heard.clear()
    yield blobs
    await blobs.close()


async def put(blobs: S3Blobs, body: bytes = b"{}", *, replace: bool = False) -> Put:
    """Put a manifest."""
    return await blobs.put(
        KEY,
        body,
        media_type="application/json",
        metadata={"generation": "a  b é"},
        replace=replace,
    )


def headers_of(request: str) -> dict[str, str]:
    """The headers of a request, names in lower case."""
    pairs = (line.split(": ", 1) for line in request.splitlines()[1:] if line)
    return {name.lower(): value for name, value in pairs}


def signature_of(request: str, secret: str) -> str:
    """What the request's signature should be, worked out from AWS's description of SigV4."""
    headers = headers_of(request)
    method, target, _ = request.splitlines()[0].split(" ")
    path, _, query = target.partition("?")
    found = re.search(r"Credential=[^/]+/(\S+), SignedHeaders=(\S+),", headers["authorization"])
    assert found is not None
    scope, signed = found.groups()
    lines = [f"{name}:{' '.join(headers[name].split())}\n" for name in signed.split(";")]
    canonical = [method, path, query, "".join(lines), signed, headers["x-amz-content-sha256"]]
    digest = hashlib.sha256("\n".join(canonical).encode()).hexdigest()
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, digest])
    return hmac.new(key, text.encode(), "sha256").hexdigest()


async def test_a_put_says_what_the_server_needs_to_check_it(server: Origin, blobs: S3Blobs) -> None:
    """One digest signs the body and lets the server verify it; the length is told beforehand."""
    server.answers[PATH] = answer()
    assert await put(blobs, b'{"a": 1}') is Put.CREATED
    (request,), (body,) = server.requests, server.bodies
    digest, headers = hashlib.sha256(b'{"a": 1}'), headers_of(request)
    assert body == b'{"a": 1}'
    assert headers["x-amz-content-sha256"] == digest.hexdigest()
    assert headers["x-amz-checksum-sha256"] == b64encode(digest.digest()).decode()
    assert headers["content-type"] == "application/json"
    assert headers["content-length"] == "8"
    assert headers["if-none-match"] == "*"
    assert headers["x-amz-meta-generation"] == "a%20%20b%20%C3%A9"
    assert {"expect", "transfer-encoding", "content-encoding"}.isdisjoint(headers)


async def test_a_replacing_put_has_no_condition(server: Origin, blobs: S3Blobs) -> None:
    """Only a put that must not overwrite is made conditional."""
    server.answers[PATH] = answer()
    assert await put(blobs, replace=True) is Put.REPLACED
    assert "if-none-match" not in headers_of(server.requests[0])


@pytest.mark.parametrize(
    ("said", "sha256"),
    [
        (b64encode(hashlib.sha256(b"x").digest()).decode(), hashlib.sha256(b"x").digest()),
        (f"{b64encode(hashlib.sha256(b'x').digest()).decode()}-3", None),
        ("c2hvcnQ=", None),
        ("?", None),
        (None, None),
    ],
)
async def test_a_head_tells_the_digest_that_the_server_keeps(
    server: Origin, blobs: S3Blobs, said: str | None, sha256: bytes | None
) -> None:
    """Of all bytes, that is; an object that came in parts has a digest of digests."""
    headers = {"content_type": "image/png"} | ({"x_amz_checksum_sha256": said} if said else {})
    server.answers[PATH] = answer(**headers)
    head = await blobs.head(KEY)
    assert head is not None
    assert head.sha256 == sha256
    assert headers_of(server.requests[0])["x-amz-checksum-mode"] == "ENABLED"


async def test_every_request_is_signed(server: Origin, blobs: S3Blobs) -> None:
    """Signatures are those of AWS's description, the second of a day like the first."""
    server.answers[PATH] = answer(content_type="application/json")
    await put(blobs)
    await put(blobs, b"other", replace=True)
    await blobs.head(KEY)
    await blobs.delete(KEY)
    async with blobs.read(KEY) as chunks:
        assert [chunk async for chunk in chunks] == []
    signatures = [
        headers_of(request)["authorization"].rpartition("Signature=")[2]
        for request in server.requests
    ]
    assert signatures == [signature_of(request, "SKTESTSECRET") for request in server.requests]
    assert len(set(signatures)) == 5


async def _break_off(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: a/b\r\n\r\nsome")


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def _exists_already(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    "trouble",
    [
        answer(500),
        answer(503, ERROR.format(code="SlowDown").encode()),
        answer(409, ERROR.format(code="ConditionalRequestConflict").encode()),
        answer(400, ERROR.format(code="RequestTimeout").encode()),
        answer(400, ERROR.format(code="BadDigest").encode()),
        _hang_up,
    ],
)
async def test_a_passing_trouble_is_sat_out(server: Origin, blobs: S3Blobs, trouble: bytes) -> None:
    """A few more attempts are made, each with the whole body and a signature of its own."""
    server.answers[PATH] = [trouble, trouble, answer()]
    assert await put(blobs, b"all of it") is Put.CREATED
    assert len(server.requests) == 3
    assert server.bodies[-1] == b"all of it"


async def test_an_answer_that_was_lost_is_found_again(server: Origin, blobs: S3Blobs) -> None:
    """A put whose answer never came is tried again and finds itself there: no error."""
    server.answers[PATH] = [_hang_up, answer(412, ERROR.format(code="PreconditionFailed").encode())]
    assert await put(blobs) is Put.EXISTED


async def test_an_answer_before_the_body_is_heard(server: Origin, blobs: S3Blobs) -> None:
    """A server that refuses a large body unread, and hangs up, is understood."""
    server.answers[PATH] = _exists_already
    assert await put(blobs, bytes(2**24)) is Put.EXISTED
    assert len(server.requests) == 1


@pytest.mark.parametrize("trouble", [answer(503, b"<Code>SlowDown</Code>"), _hang_up])
async def test_a_trouble_that_stays_is_the_buckets(
    server: Origin, blobs: S3Blobs, trouble: bytes
) -> None:
    """After a few attempts the operator reads where to look."""
    server.answers[PATH] = trouble
    with pytest.raises(BucketError, match=r"archive .*4 attempts .*127\.0\.0\.1 is up"):
        await put(blobs)
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (404, "NoSuchBucket", r"`aws s3 mb s3://archive --endpoint-url http://127"),
        (403, "AccessDenied", "s3:PutObject"),
        (403, "InvalidAccessKeyId", "aws configure"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "ExpiredToken", "aws sso login"),
        (301, "PermanentRedirect", r"bucket\.region"),
        (307, "TemporaryRedirect", r"bucket\.region"),
        (501, "NotImplemented", "use a server"),
        (501, "", "use a server"),
        (403, "", "s3:PutObject"),
        (404, "", "aws s3 mb"),
        (418, "Teapot", "documentation"),
    ],
)
async def test_a_refusal_says_what_to_type(
    server: Origin, blobs: S3Blobs, status: int, code: str, advice: str
) -> None:
    """It is told at once, by its code alone: the rest of the answer quotes keys and signatures."""
    server.answers[PATH] = answer(status, ERROR.format(code=code).encode())
    with pytest.raises(BucketError, match=advice) as caught:
        await put(blobs)
    assert f"archive answered PUT /archive/{KEY} with {status}" in str(caught.value).replace(
        "%252f", "%2f"
    )
    assert "5ec2e7" not in str(caught.value)
    assert "AKTEST" not in str(caught.value)
    assert len(server.requests) == 1


async def test_a_bucket_that_is_missing_fails_its_check(server: Origin, blobs: S3Blobs) -> None:
    """It is never made silently, because its name may be misspelt."""
    with pytest.raises(BucketError, match="aws s3 mb s3://archive"):
        await blobs.check()
    assert [request.split(" ")[0] for request in server.requests] == ["HEAD"]


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [(404, "NoSuchBucket", "aws s3 mb"), (403, "AccessDenied", "s3:ListBucket")],
)
async def test_listing_fails_with_advice_too(
    server: Origin, blobs: S3Blobs, status: int, code: str, advice: str
) -> None:
    """What goes through boto3 speaks like the rest."""
    server.answers["/archive"] = answer(status, ERROR.format(code=code).encode())
    with pytest.raises(BucketError, match=advice) as caught:
        [key async for key in blobs.list("")]
    assert "5ec2e7" not in str(caught.value)


async def test_listing_says_when_nobody_answers(
    server: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """boto3's own troubles are told without its words."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    blobs = S3Blobs("archive", endpoint=server.url(""), session=session())
    server.answers["/archive"] = _hang_up
    with pytest.raises(BucketError, match="up and reachable"):
        [key async for key in blobs.list("")]
    await blobs.close()
    assert len(server.requests) == 1


async def test_what_is_not_ours_is_not_listed(server: Origin, blobs: S3Blobs) -> None:
    """Other things may lie in the same bucket."""
    keys = ["Holiday.JPG", KEY, "notes/My Plan.txt"]
    listed = "".join(f"<Contents><Key>{quote(key)}</Key></Contents>" for key in keys)
    document = f"<ListBucketResult><EncodingType>url</EncodingType>{listed}</ListBucketResult>"
    server.answers["/archive"] = answer(body=document.encode())
    assert [key async for key in blobs.list("")] == [KEY]


async def test_an_object_that_breaks_off_is_told(server: Origin, blobs: S3Blobs) -> None:
    """Half an object is never taken for a whole one."""
    server.answers[PATH] = _break_off
    with pytest.raises(BucketError, match="broke off"):
        async with blobs.read(KEY) as chunks:
            [chunk async for chunk in chunks]


async def test_without_credentials_it_says_how_to_give_some(
    server: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is sent unsigned."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    blobs = S3Blobs("archive", endpoint=server.url(""))
    for asking in (put(blobs), blobs.check(), anext(blobs.list(""))):
        with pytest.raises(BucketError, match="aws configure"):
            await asking
    await blobs.close()
    assert server.requests == []


async def test_credentials_that_expire_are_renewed(server: Origin) -> None:
    """Each request is signed with what is good now, renewed in a thread so that nobody waits."""
    threads: list[threading.Thread] = []

    def renew() -> dict[str, str]:
        threads.append(threading.current_thread())
        name = str(len(threads))
        return {
            "access_key": "AK" + name,
            "secret_key": "SK",
            "token": "token" + name,
            "expiry_time": (now() + timedelta(minutes=1)).isoformat(),
        }

    server.answers["/"] = answer()
    requests = SignedRequests(
        bucket="archive",
        endpoint=None,
        region="us-east-1",
        credentials=RefreshableCredentials.create_from_metadata(renew(), renew, "test"),
        backoff_seconds=0,
    )
    for _ in range(2):
        async with requests.ask("HEAD", server.url("/"), good={200}):
            pass
    await requests.close()
    tokens = [headers_of(request)["x-amz-security-token"] for request in server.requests]
    assert tokens == ["token2", "token3"]
    assert "Credential=AK3/" in server.requests[1]
    assert threading.current_thread() not in threads[1:]


async def test_credentials_that_cannot_be_renewed_are_told(server: Origin) -> None:
    """The operator reads which command shows the trouble."""

    def fail() -> dict[str, str]:
        raise CredentialRetrievalError(provider="sso", error_msg="hush")

    requests = SignedRequests(
        bucket="archive",
        endpoint=None,
        region="us-east-1",
        credentials=DeferredRefreshableCredentials(fail, "sso"),
        backoff_seconds=0,
    )
    with pytest.raises(BucketError, match="aws sts get-caller-identity") as caught:
        await requests.ask("HEAD", server.url("/"), good={200}).__aenter__()
    await requests.close()
    assert "hush" not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize(
    ("server_url", "bucket", "url"),
    [
        ("https://s3.amazonaws.com", "b", "https://b.s3.amazonaws.com/"),
        ("https://s3.eu-west-1.amazonaws.com", "b", "https://b.s3.eu-west-1.amazonaws.com/"),
        ("https://s3.amazonaws.com", "b.c", "https://s3.amazonaws.com/b.c/"),
        (
            "https://s3.cn-north-1.amazonaws.com.cn",
            "b",
            "https://b.s3.cn-north-1.amazonaws.com.cn/",
        ),
        ("http://127.0.0.1:9000", "b", "http://127.0.0.1:9000/b/"),
        ("https://minio.example/s3/", "b", "https://minio.example/s3/b/"),
        ("https://amazonaws.com.example", "b", "https://amazonaws.com.example/b/"),
    ],
)
def test_a_bucket_is_addressed_as_its_server_wants(server_url: str, bucket: str, url: str) -> None:
    """By host at AWS, unless a dot would break the certificate; by path everywhere else."""
    assert bucket_url(server_url, bucket) == url


async def test_a_presigned_url_is_for_one_of_our_keys(blobs: S3Blobs) -> None:
    """No URL is signed for what `keys` did not make."""
    with pytest.raises(NotAnObjectKeyError):
        await blobs.presigned_url("../x", expires_seconds=1, media_type="a/b", filename="c")
