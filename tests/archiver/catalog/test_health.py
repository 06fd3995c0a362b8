"""What is amiss with a catalog is seen, and what is well is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver.catalog import Tables
from archiver.catalog.health import troubles
from archiver.catalog.schema import migrate
from archiver.ledger import keep
from archiver.sqlite import Connection, open_writer
from tests.archiver.generated import linked
from tests.clocks import NOON


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """A catalog of some generations."""
    migrate(tmp_path / "catalog.db")
    connection = open_writer(tmp_path / "catalog.db")
    connection.execute("BEGIN IMMEDIATE")
    for number in range(3):
        keep(Tables(connection), None, linked(str(number), prompt="a fox"), now=NOON)
    connection.execute("COMMIT")
    yield connection
    connection.close()


def test_a_catalog_that_is_well_is_well(connection: Connection) -> None:
    """And is not changed by looking."""
    before = connection.execute("PRAGMA data_version").fetchone()
    assert list(troubles(connection)) == []
    assert connection.execute("PRAGMA data_version").fetchone() == before


TROUBLES = {
    "the index forgot": (
        "INSERT INTO texts_fts (texts_fts) VALUES ('delete-all')",
        "the search index is not what its texts are",
    ),
    "a card is gone": ("DELETE FROM cards WHERE number=2", "1 output slots without a card"),
    "cards are stale": ("UPDATE cards SET state='dead'", "3 cards that say another state"),
    "words are gone": ("DELETE FROM texts WHERE number=1", "1 cards without words"),
    "a trigger is gone": ("DROP TRIGGER texts_au", "the triggers texts_au are gone"),
}


@pytest.mark.parametrize(("harm", "says"), TROUBLES.values(), ids=TROUBLES)
def test_what_is_amiss_is_said_with_what_to_do(
    connection: Connection, harm: str, says: str
) -> None:
    """One sentence for each."""
    connection.execute(harm)
    (sentence,) = troubles(connection)
    assert sentence.startswith(says)
    assert sentence.endswith(("holdfast reindex mends it", "is in the inboxes"))


def test_a_row_that_belongs_to_nothing_is_found(connection: Connection) -> None:
    """Which only happens where somebody wrote with another program."""
    connection.execute("PRAGMA foreign_keys=OFF")
    connection.execute("DELETE FROM slots WHERE number=3")
    assert any(said.startswith("a row of ") for said in troubles(connection))
