"""All the inboxes of one archive, for reading: found as they appear, asked only when changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from archiver.clock import monotonic
from archiver.errors import InboxUnavailableError, UnreadableError
from archiver.inbox import InboxReader, StoredInbox
from archiver.inbox.stores import InboxStore
from archiver.links import url_sha256
from archiver.log import logger
from archiver.models import Delivery, DeliveryRef, Link
from receiver.providers import observations


class Inboxes:
    """Readers of every inbox of an archive, by name; one is opened when it first appears.

    Every method but `caught_up` and `close` raises InboxUnavailableError.
    """

    def __init__(self, store: InboxStore) -> None:
        self._store = store
        self._readers: dict[str, StoredInbox] = {}
        self._behind: set[str] = set()
        self._unopened: set[str] = set()
        self._look_at = 0.0

    def changed(self) -> Iterator[InboxReader]:
        """The inboxes that may hold something not yet read; each stays so until `caught_up`."""
        for reader in self._all():
            if reader.changed():
                self._behind.add(reader.uuid)
            if reader.uuid in self._behind:
                yield reader

    def all(self) -> Sequence[StoredInbox]:
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
            names = ", ".join(sorted(self._unopened))
            raise InboxUnavailableError(
                f"a delivery may lie in what cannot be opened just now: {names}; the log says why"
            )
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
        """Lets the inboxes go."""
        for reader in self._readers.values():
            reader.close()

    def _reader(self, inbox: str) -> StoredInbox | None:
        """An inbox by its own name; new ones are looked for only if it is not open already."""
        known = (reader for readers in (self._readers.values, self._found) for reader in readers())
        return next((reader for reader in known if reader.uuid == inbox), None)

    def _all(self) -> list[StoredInbox]:
        now = monotonic()
        if now < self._look_at:
            return list(self._readers.values())
        self._look_at = now + self._store.look_seconds
        return self._found()

    def _found(self) -> list[StoredInbox]:
        for name in self._store.names():
            if name not in self._readers:
                self._open(name)
        return list(self._readers.values())

    def _open(self, name: str) -> None:
        """Opens an inbox; one that its writer is just making is opened at the next look."""
        try:
            self._readers[name] = self._store.reader(name)
        except InboxUnavailableError as error:
            if name not in self._unopened:
                logger().warning("an inbox is not opened yet", error=str(error))
            self._unopened.add(name)
        else:
            self._unopened.discard(name)
