"""What an S3 server's refusal means and what the operator should type. Pure.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. Of an answer only the
code is ever repeated: other fields quote the key id, the signature and what was signed.
"""

import re

from archiver.errors import BucketError

_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")
NOT_IMPLEMENTED = "NotImplemented"
NO_SUCH_UPLOAD = "NoSuchUpload"
_PASSING_STATUSES = frozenset({408, 409, 429, 500, 502, 503, 504})
# Those that come as 400: the connection stalled, or the bytes were damaged on their way.
_PASSING_CODES = frozenset(
    {"BadDigest", "IncompleteBody", "RequestTimeout", "XAmzContentSHA256Mismatch"}
)
_CODE_OF_STATUS = {
    301: "PermanentRedirect",
    403: "AccessDenied",
    404: "NoSuchBucket",
    501: NOT_IMPLEMENTED,
}
_CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`"
_REGION = "it is in another region: set bucket.region"
_ADVICE = {
    "AccessDenied": "allow these credentials s3:ListBucket and s3:ListBucketMultipartUploads on "
    "the bucket, and s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload on "
    "its objects",
    "AuthorizationHeaderMalformed": _REGION,
    "ExpiredToken": "renew the session's credentials, for instance with `aws sso login`",
    "InvalidAccessKeyId": _CREDENTIALS,
    "NoSuchKey": "it was taken away by somebody else",
    NO_SUCH_UPLOAD: "somebody ended this upload meanwhile; try again",
    NOT_IMPLEMENTED: "use a server that knows this request",
    "PermanentRedirect": _REGION,
    "RequestTimeTooSkewed": "set this machine's clock right: `timedatectl set-ntp true`",
    "SignatureDoesNotMatch": _CREDENTIALS,
    "TemporaryRedirect": _REGION,
}

NO_CREDENTIALS = f"there are no credentials for the bucket: {_CREDENTIALS}"


class RefusedError(BucketError):
    """A server's answer that no repetition will change; `code` is S3's name for it, or ""."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.code = code


def error_code(document: bytes) -> str:
    """The code in an error document, or "" if it holds none (an answer to HEAD has no document)."""
    found = _CODE.search(document)
    return found[1].decode() if found else ""


def is_passing(status: int, code: str) -> bool:
    """Whether the same request may well succeed in a moment."""
    return status in _PASSING_STATUSES or code in _PASSING_CODES


def refusal(bucket: str, endpoint: str | None, asked: str, status: int, code: str) -> RefusedError:
    """The error for a refusal of what was `asked`, and what to do about it."""
    code = code or _CODE_OF_STATUS.get(status, "")
    advice = _ADVICE.get(code, "see the server's documentation of this answer")
    if code == "NoSuchBucket":
        server = f" --endpoint-url {endpoint}" if endpoint else ""
        advice = f"create it with `aws s3 mb s3://{bucket}{server}`"
    sentence = f"bucket {bucket} answered {asked} with {status} {code}".rstrip()
    return RefusedError(f"{sentence}: {advice}", code)
