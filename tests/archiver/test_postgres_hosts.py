"""Of several servers in a URL the one that was found last is asked first."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from archiver import postgres
from archiver.clock import monotonic
from archiver.postgres_hosts import Place, found_first, is_several
from tests.archiver.postgres_server import running


@pytest.mark.parametrize(
    ("url", "found", "first"),
    [
        ("postgresql://a/d", ("a", "5432"), {}),
        ("postgresql://a,b/d", None, {}),
        ("postgresql://a,b/d", ("c", "5432"), {}),
        ("postgresql://a,b,c/d", ("b", "5432"), {"host": "b,a,c", "port": ",,"}),
        ("postgresql://a,b/d", ("a", "5432"), {"host": "a,b", "port": ","}),
        ("postgresql://a:1,a:2/d", ("a", "2"), {"host": "a,a", "port": "2,1"}),
        ("postgresql:///d?host=a,b&port=7", ("b", "7"), {"host": "b,a"}),
        ("postgresql:///d?hostaddr=1,2", ("2", "5432"), {"hostaddr": "2,1"}),
        (
            "postgresql:///d?host=a,b&hostaddr=1,2&port=3,4",
            ("b", "4"),
            {"host": "b,a", "hostaddr": "2,1", "port": "4,3"},
        ),
        ("postgresql:///d", ("", "5432"), {}),
    ],
)
def test_it_is_put_before_the_others(url: str, found: Place | None, first: dict[str, str]) -> None:
    assert found_first(conninfo_to_dict(url), found) == first


@pytest.mark.parametrize(
    ("url", "several"), [("postgresql://a/d", False), ("postgresql://a,b/d", True)]
)
def test_several_are_told_from_one(url: str, several: bool) -> None:
    assert is_several(conninfo_to_dict(url)) is several


def test_a_server_that_is_gone_is_waited_for_once(tmp_path: Path) -> None:
    """It stands first in the URL, and takes connections without ever saying a word."""
    silent = tmp_path / ".s.PGSQL.5432"
    with running() as server, socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(silent))
        gone.listen()
        url = server.url().replace(f"{server.folder}", f"{tmp_path},{server.folder}")
        took = []
        for _ in range(2):
            began = monotonic()
            with postgres.opened(url):
                took.append(monotonic() - began)
    assert took[0] >= postgres.CONNECT_EACH_SECONDS > took[1]
