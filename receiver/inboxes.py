"""All the inboxes of one archive, for reading: found as they appear, asked only when changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from archiver.errors import InboxUnavailableError, UnreadableError
from archiver.inbox import InboxReader
from archiver.inbox.sqlite import SqliteInboxReader, inbox_files
from archiver.links import url_sha256
from archiver.log import logger
from archiver.models import Delivery, DeliveryRef, Link
from receiver.providers import observations


class Inboxes:
    """Readers of every inbox file in a folder; a file is opened when it first appears."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._readers: dict[Path, SqliteInboxReader] = {}
        self._behind: set[str] = set()
        self._unopened: set[Path] = set()

    def changed(self) -> Iterator[InboxReader]:
        """The inboxes that may hold something not yet read; each stays so until `caught_up`."""
        for reader in self._all():
            if reader.changed():
                self._behind.add(reader.uuid)
            if reader.uuid in self._behind:
                yield reader

    def all(self) -> Sequence[SqliteInboxReader]:
        """Every inbox that can be opened."""
        return self._all()

    def caught_up(self, inbox: InboxReader) -> None:
        """Says that all of an inbox was read, up to its next change."""
        self._behind.discard(inbox.uuid)

    def get(self, ref: DeliveryRef) -> Delivery | None:
        """One delivery, wherever it lies; None if its inbox or its row is gone.

        Raises InboxUnavailableError if it may lie in an inbox that cannot be opened.
        """
        found = self._reader(ref.inbox)
        if found is None and self._unopened:
            raise InboxUnavailableError(f"an inbox in {self._folder} cannot be opened")
        return found.get(ref.position) if found else None

    def reveal(self, link: Link) -> str | None:
        """A link's full URL, read again out of the delivery that brought it; None if it is gone.

        The URL opens the picture to anyone, so it is not copied out of the inbox into any row.
        """
        delivery = self.get(link.heard_in)
        if delivery is None:
            return None
        try:
            said = observations(delivery)
        except UnreadableError:
            return None
        slots = (slot.url for one in said for slot in one.slots if slot.url)
        inputs = (named.url for one in said for named in one.inputs)
        named = (url for url in (*slots, *inputs) if url and url_sha256(url) == link.url_sha256)
        return next(named, None)

    def backlog(self, position: Callable[[str], int]) -> int:
        """How many deliveries lie beyond the position reached in each inbox."""
        return sum(reader.count_after(position(reader.uuid)) for reader in self._all())

    def close(self) -> None:
        """Lets the files go."""
        for reader in self._readers.values():
            reader.close()

    def _reader(self, inbox: str) -> SqliteInboxReader | None:
        """An inbox by its own name; new files are looked for only if it is not open already."""
        known = (reader for readers in (self._readers.values, self._all) for reader in readers())
        return next((reader for reader in known if reader.uuid == inbox), None)

    def _all(self) -> list[SqliteInboxReader]:
        for path in inbox_files(self._folder):
            if path not in self._readers:
                self._open(path)
        return list(self._readers.values())

    def _open(self, path: Path) -> None:
        """Opens an inbox; one that its writer is just making is opened at the next look."""
        try:
            self._readers[path] = SqliteInboxReader(path)
        except InboxUnavailableError as error:
            if path not in self._unopened:
                logger().warning("an inbox is not opened yet", error=str(error))
            self._unopened.add(path)
        else:
            self._unopened.discard(path)
