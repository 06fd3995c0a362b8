"""What may be asked for and what an answer means, in tables and laws."""

from contextlib import suppress
from datetime import UTC, datetime
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.egress import EgressPolicy
from archiver.egress.answers import refusal, retry_after_seconds
from archiver.egress.policy import is_permitted_address, permitted_url
from archiver.errors import FetchError
from archiver.models import Fault

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET = "Signature=hush"
PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"))


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("8.8.8.8", True),
        ("1.1.1.1", True),
        ("100.63.255.255", True),
        ("2001:4860:4860::8888", True),
        ("2a00:1450:4001::1", True),
        ("::ffff:8.8.8.8", True),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("168.63.129.16", False),
        ("169.254.169.254", False),
        ("172.31.0.1", False),
        ("192.0.0.8", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b:1::1", False),
        ("100::1", False),
        ("2001:0:0:1::1", False),
        ("2001:db8::1", False),
        ("2002:7f00:1::", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("fc00::1", False),
        ("fe80::1%1", False),
        ("fec0::1", False),
        ("ff02::1", False),
    ],
)
def test_only_public_addresses_are_permitted(address: str, permitted: bool) -> None:
    """Every private, local, tunnelled or special address is refused, however it is wrapped."""
    assert permitted == is_permitted_address(address, EgressPolicy())


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::808:808"])
def test_a_network_of_the_operators_is_permitted(address: str) -> None:
    """`allow_networks` opens exactly what it names, which networks behind NAT64 need."""
    networks = (ip_network("10.1.0.0/16"), ip_network("64:ff9b::/96"))
    policy = EgressPolicy(allow_networks=networks)
    assert is_permitted_address(address, policy)
    assert not is_permitted_address("10.2.0.1", policy)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://cdn.doitong.com/a", "egress.allow_http"),
        ("ftp://cdn.doitong.com/a", "not an https URL"),
        ("file:///etc/passwd", "not an https URL"),
        ("//cdn.doitong.com/a", "not an https URL"),
        ("", "not an https URL"),
        ("https://", "not a"),
        ("https://[::1", "not a URL"),
        ("https://cdn.doitong.com:99999/", "not a URL"),
        ("https://cdn.doitong.com\\@evil.example/", "not a URL"),
        ("https://me:pw@cdn.doitong.com/a", "user name"),
        ("https://me@cdn.doitong.com/a", "user name"),
        ("https://cdn.doitong.com:8443/a", "egress.allow_ports"),
        ("https://doitong.com/a", "providers.<name>.download_hosts"),
        ("https://evilcdn.doitong.com/a", "evilcdn.doitong.com"),
        ("https://cdn.doitong.com.evil.example/a", "download_hosts"),
        ("https://cdn。doitong。com/a", "download_hosts"),
        ("https://127.0.0.1/a", "download_hosts"),
        ("https://" + "a" * 9999 + "/", "download_hosts"),
    ],
)
def test_a_url_that_breaks_the_policy_is_refused(url: str, says: str) -> None:
    """A refusal is FORBIDDEN and names the setting that would permit it, or the flaw."""
    with pytest.raises(FetchError) as caught:
        permitted_url(url + "?" + SECRET, ["cdn.doitong.com"], EgressPolicy())
    assert caught.value.fault == Fault.FORBIDDEN
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("host", ["cdn.doitong.com", "eu.cdn.doitong.com", "CDN.Doitong.com."])
def test_an_allowed_host_allows_its_subdomains(host: str) -> None:
    """A host matches by whole labels, whatever its case, with or without the root's dot."""
    assert permitted_url(f"https://{host}/a", ["cdn.doitong.com"], EgressPolicy()).path == "/a"


def test_no_allowed_host_allows_nothing() -> None:
    """An empty list of hosts is no list of all hosts."""
    with pytest.raises(FetchError, match="download_hosts"):
        permitted_url("https://cdn.doitong.com/a", [], EgressPolicy())


@given(PRINTABLE)
def test_what_is_printable_reaches_the_wire_unchanged(text: str) -> None:
    """No escaping is done or undone, because a signature covers the URL as it was written."""
    url = permitted_url(f"https://cdn.example/{text}", ["cdn.example"], EgressPolicy())
    assert f"/{text}" == url.raw_path_qs or text.endswith("?")


@given(st.text())
def test_no_text_can_break_out_of_the_request_line(text: str) -> None:
    """Whatever a link holds, what is sent is printable ASCII, or the link is refused."""
    with suppress(FetchError):
        url = permitted_url(f"https://cdn.example/{text}", ["cdn.example"], EgressPolicy())
        assert all("!" <= character <= "~" for character in url.raw_path_qs)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 400, 3600.0),
        ("Sat, 21 Nov 2026 12:01:30 GMT", 90.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2038 00:00:00 GMT", 3600.0),
        ("Sat, 21 Nov 2026 12:01:30 -0000", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    """Seconds or a date, never negative, never more than an hour."""
    assert seconds == retry_after_seconds(value, NOW)


@given(st.text())
def test_retry_after_never_trips(value: str) -> None:
    """Whatever an origin writes there, it is a wait within bounds or none."""
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or 0 <= seconds <= 3600


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (401, Fault.REFUSED),
        (403, Fault.REFUSED),
        (404, Fault.MISSING),
        (410, Fault.GONE),
        (429, Fault.THROTTLED),
        (204, Fault.SERVER),
        (206, Fault.SERVER),
        (304, Fault.SERVER),
        (400, Fault.SERVER),
        (500, Fault.SERVER),
        (503, Fault.SERVER),
    ],
)
def test_each_status_is_somebodys_fault(status: int, fault: Fault) -> None:
    """Only 200 is good; a status that is not listed promises nothing."""
    error = refusal(status, {"Retry-After": "7"}, "cdn.example", NOW)
    assert (fault, 7.0) == (error.fault, error.retry_after_seconds)


def test_a_redirect_never_leaves_https() -> None:
    """A link that began under TLS does not end in the clear."""
    policy = EgressPolicy()
    seen_at = permitted_url("https://cdn.example/a", ["cdn.example"], policy)
    with pytest.raises(FetchError, match="allow_http"):
        permitted_url("http://cdn.example/b", ["cdn.example"], policy, seen_at=seen_at)
