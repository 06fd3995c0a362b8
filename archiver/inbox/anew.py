"""An inbox that goes on as another: what is done with a copy that went its own way."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from archiver.sqlite import open_writer


def begin_anew(path: Path) -> None:
    """Gives an inbox that nobody has open another UUID; raises Error.

    To absorb it is another then, of which nothing was heard yet.
    """
    connection = open_writer(path, create=False)
    try:
        connection.execute("UPDATE inbox SET uuid = ?", (str(uuid4()),))
    finally:
        connection.close()
