"""Errors say whose fault it is, whether trying again helps, and what the operator should type."""

from archiver.models import Fault


class HoldfastError(Exception):
    """Anything holdfast raises on purpose; ``str()`` is a sentence fit for an operator's eyes."""


class ConfigError(HoldfastError):
    """The configuration cannot be used; the operator's to mend, trying again is useless."""


class InboxUnavailableError(HoldfastError):
    """A delivery could not be committed: our fault, and the sender should try again."""


class UnreadableError(HoldfastError):
    """An authentic delivery that we do not understand: it is kept, and a fix can read it again."""


class CatalogUnavailableError(HoldfastError):
    """The catalog could not commit: our fault, and trying again helps once the disk does."""


class LedElsewhereError(CatalogUnavailableError):
    """Another node has this one's work; it is nobody's fault, and this one can stand by."""


class LeaseLostError(HoldfastError):
    """A job's lease passed to another worker, so this one's outcome must change nothing."""


class NotOfferedError(HoldfastError):
    """What a renderer asked the desk for is not to be had; the sentence says why."""


class BucketError(HoldfastError):
    """The bucket refused or failed: our fault or the operator's, trying again usually helps."""


class ManifestError(HoldfastError):
    """A manifest, segment or tombstone that cannot be read, or must not be believed.

    Trying again is useless; the sentence says what is wrong with it.
    """


class BackupError(HoldfastError):
    """A backup could not be taken or restored; nothing was changed, and the sentence says why."""


class MoveError(HoldfastError):
    """An archive cannot be moved so; the operator's to mend, and its files are as they were."""


class NotAnObjectKeyError(HoldfastError):
    """A key that does not come from ``archiver.keys`` was given to a bucket; a bug of ours."""


class FetchError(HoldfastError):
    """A link's bytes did not reach the bucket; `fault` says whose fault it is and what follows.

    The sentence never holds the URL's query. `retry_after_seconds` is the source's own wish.
    """

    def __init__(
        self, fault: Fault, reason: str, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(reason)
        self.fault = fault
        self.retry_after_seconds = retry_after_seconds
