"""Signatures: the very ones that botocore makes, whatever is signed."""

from __future__ import annotations

from datetime import UTC, datetime

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from archiver.blobs.sigv4 import signed

KEYS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_.-", min_size=1, max_size=20)
QUERIES = st.sampled_from(
    ["", "?uploads", "?uploadId=a~b%2F&partNumber=12", "?list-type=2&prefix=blobs%2F&delimiter="]
)
SERVERS = st.sampled_from(
    [
        "https://bucket.s3.eu-central-1.amazonaws.com",
        "http://127.0.0.1:9000/bucket",
        "https://storage.example:443/bucket",
        "http://storage.example:80",
        "http://[::1]:9000/bucket",
    ]
)
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "If-None-Match", "x-amz-meta-slot", "x-amz-checksum-sha256"]),
    st.text("abcXYZ0189%/:=*+ ", max_size=20),
)


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]),
    server=SERVERS,
    key=KEYS,
    query=QUERIES,
    headers=HEADERS,
    body_sha256=st.binary(min_size=32, max_size=32),
    token=st.none() | st.just("a session's token=="),
    region=st.sampled_from(["us-east-1", "eu-central-1"]),
)
def test_every_signature_is_botocores(
    method: str,
    server: str,
    key: str,
    query: str,
    headers: dict[str, str],
    body_sha256: bytes,
    token: str | None,
    region: str,
) -> None:
    """The same headers and the same signature, so a server believes both or neither."""

    class Known(S3SigV4Auth):
        def payload(self, request: AWSRequest) -> str:
            return body_sha256.hex()

    url = f"{server}/{key}{query}"
    credentials = Credentials("AKTEST", "SKTESTSECRET", token)
    expected = AWSRequest(method=method, url=url, headers=dict(headers))
    Known(credentials, "s3", region).add_auth(expected)
    now = datetime.strptime(expected.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    actual = signed(
        method, url, headers, body_sha256=body_sha256, key=credentials, region=region, now=now
    )
    assert _lower(actual) == _lower(dict(expected.headers.items()))


def _lower(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
