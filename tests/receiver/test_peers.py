"""Callers are known by their address, and by nothing that they merely claim."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.peers import FailureLimit, caller

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
PROXY, OTHER_PROXY = "10.0.0.1", "fd00::1"
CLIENT, STRANGER = "192.0.2.7", "198.51.100.9"

# (peer, the values of X-Forwarded-For, the caller)
CALLERS: dict[str, tuple[str, list[str], str]] = {
    "straight": (CLIENT, [], CLIENT),
    "straight, and claiming": (STRANGER, [CLIENT], STRANGER),
    "through a proxy": (PROXY, [CLIENT], CLIENT),
    "through two": (PROXY, [f"{CLIENT}, {OTHER_PROXY}"], CLIENT),
    "through two, in two headers": (OTHER_PROXY, [CLIENT, PROXY], CLIENT),
    "claiming another to the left": (PROXY, [f"{CLIENT},{STRANGER}"], STRANGER),
    "claiming a proxy to the left": (PROXY, [PROXY, STRANGER], STRANGER),
    "IPv6": (OTHER_PROXY, ["2001:db8::1"], "2001:db8::1"),
    "a proxy that says nothing": (PROXY, [], PROXY),
    "a proxy for a proxy": (PROXY, [OTHER_PROXY], PROXY),
    "a hop that is no address": (PROXY, [f"{CLIENT}, unknown"], PROXY),
    "a hop with a port": (PROXY, [f"{CLIENT}:4711"], PROXY),
    "an empty hop": (PROXY, [f"{CLIENT},"], PROXY),
    "no address, as of a UNIX socket": ("", [CLIENT], ""),
    "IPv4 at a socket of IPv6": (f"::ffff:{CLIENT}", [], CLIENT),
    "IPv6 that looks like it": ("::ffff:19%.0..010", [], "::ffff:19%.0..010"),
    "such a proxy": (f"::ffff:{PROXY}", [f"{CLIENT}, ::ffff:{PROXY}"], CLIENT),
    "such a client": (PROXY, [f"{STRANGER}, ::ffff:{CLIENT}"], CLIENT),
}


@pytest.mark.parametrize(("peer", "forwarded", "expected"), CALLERS.values(), ids=CALLERS)
def test_caller(peer: str, forwarded: list[str], expected: str) -> None:
    """Only what a trusted proxy appended is believed, read from the right."""
    assert caller(peer, forwarded, TRUSTED) == expected


@given(st.sampled_from([CLIENT, PROXY, ""]), st.lists(st.text(), max_size=3))
def test_without_trust_there_is_only_the_peer(peer: str, forwarded: list[str]) -> None:
    """Whatever anybody claims."""
    assert caller(peer, forwarded, []) == peer


HOPS = st.sampled_from([CLIENT, STRANGER, PROXY, OTHER_PROXY, "unknown", ""]) | st.text()


@given(st.lists(HOPS, max_size=4))
def test_a_claim_cannot_choose_the_caller(claims: list[str]) -> None:
    """Whatever a stranger writes before it reaches the proxy, the proxy's word stands."""
    assert caller(PROXY, [*claims, STRANGER], TRUSTED) == STRANGER


class TestFailureLimit:
    """Guessing is slowed down, speaking is not."""

    def test_refuses_after_so_many_in_a_minute(self) -> None:
        """And for the rest of that minute only, told in whole seconds."""
        limit = FailureLimit(per_minute=2)
        answers = []
        for seconds in (120.0, 121.5, 150.9, 179.9, 180.0):
            answers.append(limit.retry_after_seconds(CLIENT, seconds))
            limit.failed(CLIENT, seconds)

        assert answers == [None, None, 30, 1, None]

    def test_counts_each_caller_alone(self) -> None:
        """One who guesses does not silence the others."""
        limit = FailureLimit(per_minute=1)
        limit.failed(STRANGER, 60.0)

        assert limit.retry_after_seconds(STRANGER, 60.0) == 60
        assert limit.retry_after_seconds(CLIENT, 60.0) is None

    @pytest.mark.parametrize(
        ("one", "other", "is_same"),
        [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
            (f"::ffff:{CLIENT}", CLIENT, True),
            (f"::ffff:{CLIENT}", f"::ffff:{STRANGER}", False),
            ("::1", f"::ffff:{STRANGER}", False),
            (":", "::", False),
        ],
    )
    def test_a_network_of_ipv6_is_one_caller(self, one: str, other: str, is_same: bool) -> None:
        """Whoever has one address of a /64 has all; IPv4 in the clothes of IPv6 is what it is."""
        limit = FailureLimit(per_minute=1)
        limit.failed(one, 60.0)

        assert (limit.retry_after_seconds(other, 60.0) is not None) is is_same

    def test_asking_is_no_failure(self) -> None:
        """A sender whose signatures are right is never refused for its rate."""
        limit = FailureLimit(per_minute=1)

        assert {limit.retry_after_seconds(CLIENT, 60.0) for _ in range(100)} == {None}

    def test_a_new_minute_forgets_the_failures(self) -> None:
        """Also when the first thing in it is another failure."""
        limit = FailureLimit(per_minute=2)
        for seconds in (59.0, 59.9, 60.0):
            limit.failed(CLIENT, seconds)

        assert limit.retry_after_seconds(CLIENT, 60.5) is None

    @pytest.mark.parametrize("per_minute", [0, -1])
    def test_nought_is_no_limit(self, per_minute: int) -> None:
        """As the configuration says."""
        limit = FailureLimit(per_minute)
        for _ in range(100):
            limit.failed(CLIENT, 60.0)

        assert limit.retry_after_seconds(CLIENT, 60.0) is None

    @given(st.floats(0, 10**7))
    def test_waiting_is_worth_it(self, seconds: float) -> None:
        """Who stays away as long as told may speak again, and it is never more than a minute."""
        limit = FailureLimit(per_minute=1)
        limit.failed(CLIENT, seconds)
        wait_seconds = limit.retry_after_seconds(CLIENT, seconds)

        assert wait_seconds is not None
        assert 1 <= wait_seconds <= 60
        assert limit.retry_after_seconds(CLIENT, seconds + wait_seconds) is None
