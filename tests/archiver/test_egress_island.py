"""Nothing inside is reached, with real addresses, a real resolver and a name server that lies."""

from __future__ import annotations

import pytest

from tests.archiver import island

GUARDED = ("guarded", "guarded by the address alone", "a proxy that judges")
# Without the guard, with what guides show in its place, or with an operator who allows everything.
UNGUARDED = ("plain", "resolved and checked", "everywhere allowed", "a proxy that judges nothing")

pytestmark = island.wanted
Found = dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What a sample of the corpus did to each client."""
    said = {"seed": 8, "made_up": 20, "sample": 60, "clients": [*GUARDED, *UNGUARDED]}
    told: Found = island.on_island(
        "tests.archiver.ssrf_visits", tmp_path_factory.mktemp("island"), **said
    )
    return told


@pytest.mark.parametrize("client", GUARDED)
def test_no_link_leads_inside(found: Found, client: str) -> None:
    """Of any notation, redirected or rebound; public places are reached all the while."""
    assert found[client]["inside"] == 0
    assert found[client]["public"] > 0


@pytest.mark.parametrize("client", UNGUARDED)
def test_the_same_links_do_lead_inside(found: Found, client: str) -> None:
    """So the guard is what keeps them out, and who opens it, or has a blind proxy, is inside."""
    assert found[client]["inside"] >= 5
