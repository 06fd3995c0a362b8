"""What a signed URL says of its own end, in every vendor's dialect."""

import re
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import parse_qsl, quote, urlencode

import boto3
import pytest
from botocore.config import Config
from botocore.signers import CloudFrontSigner
from hypothesis import given
from hypothesis import strategies as st

from archiver import clock
from archiver.expiry import FAMILIES, Family, expires_at

ANY_TEXT = st.text(st.characters(exclude_categories=()))
MOMENTS = st.integers(1_020_000_000, 4_070_000_000).map(lambda s: datetime.fromtimestamp(s, UTC))

# The vendors' documents' own examples where they give one, with their signatures cut short.
EXAMPLES = """
S3 SigV4             2013-05-25T00:00:00Z https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02e
S3 SigV2             2006-03-09T07:25:20Z https://b.s3.amazonaws.com/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1141889120&Signature=vjbyPxybdZaNmGa%2ByT272YEAiv4%3D
OSS V1 (DashScope)   2025-11-12T14:10:44Z https://dashscope-result-sh.oss-cn-shanghai.aliyuncs.com/7d/eb/20251105/c703e801/x-1.png?Expires=1762956644&OSSAccessKeyId=LTAIxxx&Signature=xxx%3D
OSS V4               2025-01-01T13:00:00Z https://b.oss-cn-hangzhou.aliyuncs.com/k.png?x-oss-signature-version=OSS4-HMAC-SHA256&x-oss-credential=AK%2F20250101%2Fcn-hangzhou%2Foss%2Faliyun_v4_request&x-oss-date=20250101T120000Z&x-oss-expires=3600&x-oss-signature=ab
OSS V4, epoch        2025-11-12T14:10:44Z https://b.oss-cn-hangzhou.aliyuncs.com/k.png?x-oss-date=20251105T000000Z&x-oss-expires=1762956644&x-oss-signature=ab
OSS V4, no date      2025-11-12T14:10:44Z https://b.oss-cn-hangzhou.aliyuncs.com/k.png?x-oss-expires=1762956644&x-oss-signature=ab
GCS V4               2018-10-26T18:28:09Z https://storage.googleapis.com/b/cat.jpeg?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=x&X-Goog-Date=20181026T181309Z&X-Goog-Expires=900&X-Goog-SignedHeaders=host&X-Goog-Signature=247a
GCS V2               2014-01-01T00:00:00Z https://storage.googleapis.com/b/cat.jpeg?GoogleAccessId=x%40y&Expires=1388534400&Signature=ZGVtbw%3D%3D
Azure SAS            2015-04-30T02:23:26Z https://a.blob.core.windows.net/c/k.png?sv=2015-04-05&st=2015-04-29T22%3A18%3A26Z&se=2015-04-30T02%3A23%3A26Z&sr=b&sp=rw&sig=Z%2FRHIX5Xcg0Mq2rqI3OlWTjE
Azure, a date alone  2025-04-30T00:00:00Z https://a.blob.core.windows.net/c/k.png?se=2025-04-30&sig=x
Azure, another zone  2025-04-30T00:00:00Z https://a.blob.core.windows.net/c/k.png?se=2025-04-30T02%3A00%2B02%3A00&sig=x
Azure, key first     2025-01-02T00:00:00Z https://a.blob.core.windows.net/c/k.png?skt=2025-01-01T00%3A00%3A00Z&ske=2025-01-02T00%3A00%3A00Z&se=2025-01-08T00%3A00%3A00Z&sig=x
Azure, key last      2025-01-08T00:00:00Z https://a.blob.core.windows.net/c/k.png?ske=2025-01-09T00%3A00%3A00Z&se=2025-01-08T00%3A00%3A00Z&sig=x
CloudFront canned    2013-01-01T10:00:00Z https://d111111abcdef8.cloudfront.net/image.jpg?color=red&Expires=1357034400&Signature=nitfHRCrtziwO2HwPfWw~yYDhUF5EwRunQA&Key-Pair-Id=K2JCJMDEHXQW5F
COS                  2019-05-16T08:45:51Z https://b-1250000000.cos.ap-beijing.myqcloud.com/k.png?q-sign-algorithm=sha1&q-ak=AK&q-sign-time=1557989151;1557996351&q-key-time=1557989151;1557996351&q-signature=ab
TOS                  2025-01-02T00:00:00Z https://b.tos-cn-beijing.volces.com/k.png?X-Tos-Algorithm=TOS4-HMAC-SHA256&X-Tos-Date=20250101T000000Z&X-Tos-Expires=86400&X-Tos-Signature=ab
Discord              2024-02-23T20:45:18Z https://cdn.discordapp.com/attachments/1/2/my_image.png?ex=65d903de&is=65c68ede&hm=2481f3&
Ideogram             2025-11-12T14:10:44Z https://ideogram.ai/api/images/ephemeral/x.png?exp=1762956644&sig=ab
a look-alike         2025-11-12T14:10:44Z http://127.0.0.1:1/x.png?Expires=1762956644&Signature=ab
"""
SIGNED = {
    name.strip(): (url, datetime.fromisoformat(dies_at))
    for name, dies_at, url in re.findall(r"^(.{20}) (\S+) (\S+)$", EXAMPLES, re.MULTILINE)
}

SILENT = {
    "no query": "https://cdn.example/a.png",
    "nothing at all": "",
    "an ordinary query": "https://cdn.example/a.png?width=1024&expires_in=3600",
    "only in the fragment": "https://cdn.example/a.png#?Expires=1762956644&Signature=x",
    "Expires without a signature": "https://cdn.example/a.png?Expires=1762956644",
    "se without a signature": "https://cdn.example/a.png?se=2025-01-08",
    "ex without Discord's others": "https://cdn.example/a.png?ex=65d903de",
    "ex that is no moment": "https://cdn.example/a.png?ex=12&is=1&hm=1",
    "exp that is no moment": "https://cdn.example/a.png?exp=3",
    "exp in milliseconds": "https://cdn.example/a.png?exp=1762956644000",
    "a lifetime without a date": "https://cdn.example/a.png?X-Amz-Expires=86400",
    "a date that is none": "https://cdn.example/a.png?X-Amz-Date=20251345T000000Z&X-Amz-Expires=1",
    "a number with an underscore": "https://cdn.example/a.png?Expires=1_762_956_644&Signature=x",
    "a number in other digits": "https://cdn.example/a.png?Expires=١٧٦٢٩٥٦٦٤٤&Signature=x",
    "beyond the calendar": "https://cdn.example/a.png?Expires=999999999999999&Signature=x",
    "beyond all numbers": f"https://cdn.example/a.png?Expires={'9' * 5000}&Signature=x",
    "before the calendar": "https://cdn.example/a.png?se=0001-01-01T00:00:00%2B02:00&sig=x",
    "a window without an end": "https://cdn.example/a.png?q-sign-time=1557989151",
    "a policy that is no base64": "https://cdn.example/a.png?Policy=a&Signature=x&Key-Pair-Id=K",
    "a policy without a moment": "https://cdn.example/a.png?Policy=e30_&Signature=x&Key-Pair-Id=K",
    "a host that is none": "https://[::1/a.png?x=1",
}  # fmt: skip


@pytest.mark.parametrize(("url", "expected"), SIGNED.values(), ids=SIGNED)
def test_reads_every_family(url: str, expected: datetime) -> None:
    """The documented example of every family says when it dies, in UTC."""
    moment = expires_at(url)
    assert expected == moment
    assert moment.tzinfo is UTC


@pytest.mark.parametrize("url", SILENT.values(), ids=SILENT)
def test_says_nothing_of_what_the_url_does_not_say(url: str) -> None:
    """What is absent, unsigned, malformed or outside the calendar is None and no error."""
    assert expires_at(url) is None


@pytest.mark.parametrize("signature_version", ["s3v4", "s3"])
def test_agrees_with_the_s3_sdk(signature_version: str) -> None:
    """A URL that boto3 presigns for an hour is read as dying in an hour."""
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id="key-id",
        aws_secret_access_key="key",
        config=Config(signature_version=signature_version),
    )
    before = clock.now().replace(microsecond=0)
    url = client.generate_presigned_url("get_object", {"Bucket": "b", "Key": "k.png"}, 3600)
    moment = expires_at(url)
    assert moment is not None
    assert before <= moment - timedelta(hours=1) <= clock.now()


@given(dies_at=MOMENTS, starts_at=st.none() | MOMENTS)
def test_agrees_with_the_cloudfront_sdk(dies_at: datetime, starts_at: datetime | None) -> None:
    """A custom policy that botocore signs is read to the second, with any start beside it."""
    signer = CloudFrontSigner("K2JCJMDEHXQW5F", lambda message: b"\xfb\xff")
    every_base64_letter = "https://d1.cloudfront.net/?>?>?>*"
    policy = signer.build_policy(every_base64_letter, dies_at, starts_at, "192.0.2.0/24")
    url = signer.generate_presigned_url("https://d1.cloudfront.net/k.png?a=b", policy=policy)
    assert dies_at == expires_at(url)


@given(dies_at=MOMENTS, lifetime=st.integers(0, 604_800))
def test_a_lifetime_counts_from_its_date(dies_at: datetime, lifetime: int) -> None:
    """Date plus seconds is the moment for every vendor that signs like SigV4."""
    signed_at = dies_at - timedelta(seconds=lifetime)
    for vendor in ("Amz", "Goog", "Oss", "Tos"):
        url = (
            f"https://b/k?X-{vendor}-Date={signed_at:%Y%m%dT%H%M%SZ}&X-{vendor}-Expires={lifetime}"
        )
        assert dies_at == expires_at(url)


@given(one=MOMENTS, other=MOMENTS)
def test_the_earliest_of_several_counts(one: datetime, other: datetime) -> None:
    """A URL that says two moments dies at the earlier one."""
    url = f"https://b/k?Expires={one.timestamp():.0f}&Signature=x&exp={other.timestamp():.0f}"
    assert min(one, other) == expires_at(url)


@given(st.sampled_from(sorted(SIGNED)), st.randoms(use_true_random=False))
def test_order_and_case_of_names_do_not_matter(name: str, random: Random) -> None:
    """Parameters are a set, and their names have no case."""
    url, expected = SIGNED[name]
    base, _, query = url.partition("?")
    pairs = [(random.choice([key.lower(), key.upper()]), value) for key, value in parse_qsl(query)]
    random.shuffle(pairs)
    assert expected == expires_at(f"{base}?{urlencode(pairs)}#fragment")


def test_the_first_of_a_repeated_parameter_counts() -> None:
    """A second Expires changes nothing."""
    url = "https://b/k?Expires=1762956644&Signature=x&Expires=1762950000"
    assert datetime(2025, 11, 12, 14, 10, 44, tzinfo=UTC) == expires_at(url)


def is_nothing_or_utc(moment: datetime | None) -> bool:
    return moment is None or moment.utcoffset() == timedelta(0)


@given(ANY_TEXT)
def test_is_total(url: str) -> None:
    """No text raises."""
    assert is_nothing_or_utc(expires_at(url))


@given(st.sampled_from(sorted(SIGNED)), st.integers(0, 300), st.integers(0, 40), ANY_TEXT)
def test_is_total_on_damaged_urls(name: str, start: int, length: int, graft: str) -> None:
    """No signed URL with any piece of it replaced raises."""
    url = SIGNED[name][0]
    assert is_nothing_or_utc(expires_at(url[:start] + graft + url[start + length :]))


@given(st.sampled_from(FAMILIES), st.data())
def test_is_total_on_every_familys_values(family: Family, data: st.DataObject) -> None:
    """No value in a parameter that a rule reads raises."""
    values = ANY_TEXT | st.integers().map(str) | st.datetimes().map(datetime.isoformat)
    pairs = {name: data.draw(values) for name in family.says} | dict.fromkeys(family.beside, "x")
    query = "&".join(
        f"{name}={quote(value, errors='surrogatepass')}" for name, value in pairs.items()
    )
    assert is_nothing_or_utc(expires_at(f"https://b/k?{query}"))
