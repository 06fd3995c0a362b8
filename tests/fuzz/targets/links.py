"""Links that strangers name: what is written down of them, and whether they are asked for."""

from __future__ import annotations

from urllib.parse import urlsplit

from archiver.egress import EgressPolicy, policy
from archiver.egress.policy import permitted_url
from archiver.errors import FetchError
from archiver.links import public_part, url_sha256
from archiver.models import Fault
from tests.fuzz.target import Sabotage, Target

HOSTS = ("aliyuncs.com", "cdn.doitong.com")
POLICY = EgressPolicy()


def law(data: bytes) -> None:
    """What is asked for is https at the usual port of a permitted host, for every reader of URLs.

    What is written down has no query and no user in it.
    """
    link = data.decode("utf-8", "surrogateescape")
    location, host = public_part(link)
    assert len(url_sha256(link)) == 32
    assert host == host.lower()
    if link.lower().startswith(("https://", "http://")):  # as all links do that parsers take
        assert "?" not in location
        assert "#" not in location
        assert "@" not in location.partition("://")[2].partition("/")[0]
    try:
        url = permitted_url(link, HOSTS, POLICY)
    except FetchError as error:
        assert error.fault is Fault.FORBIDDEN
        assert len(str(error)) < 600
        return
    parts = urlsplit(str(url))
    assert (parts.scheme, parts.port or 443) == ("https", 443)
    assert not parts.username
    assert not parts.password
    host = (parts.hostname or "").lower()
    assert host == (url.raw_host or "").lower()
    assert f".{host}".rstrip(".").endswith(tuple(f".{allowed}" for allowed in HOSTS))
    assert str(url).isascii()
    assert str(url).isprintable()


TARGET = Target(
    law=law,
    sabotage=Sabotage(
        says="asking whose host it is",
        owner=policy,
        name="_is_allowed_host",
        instead=lambda *_: True,
    ),
    words=(
        *(b"https://", b"http://", b"cdn.doitong.com", b"a.aliyuncs.com", b":443", b":80", b"@"),
        *(b"[::1]", b"[::ffff:127.0.0.1]", b"\xef\xbc\x8f", b"\xe3\x80\x82", b"\\", b"%2f", b"//"),
        *(b"data:image/png;base64,", b"?a=b", b"#", b"127.0.0.1", b"xn--", b"\t", b"\r\n"),
    ),
)
