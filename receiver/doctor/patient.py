"""Whom the doctor looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from archiver.catalog import CatalogReader, Tables
from archiver.errors import CatalogUnavailableError
from receiver.doctor.finding import Judged
from receiver.layers import Layered
from receiver.settings import Config


@dataclass(frozen=True, kw_only=True, slots=True)
class Patient:
    """An archive by its configuration; it need not be there, and a service may be at work on it.

    `online`: providers may be asked, as long as it costs nothing. `said` is the configuration
    as it was said, with the names of the files of secrets, some of it by `config_file`.
    """

    config: Config
    now: Callable[[], datetime]
    online: bool = False
    said: Layered = field(default_factory=Layered)
    config_file: str = ""

    @property
    def has_archive(self) -> bool:
        """Whether there is a catalog; on a server there is, if it has any tables."""
        where = self.config.catalog.where
        return not isinstance(where, Path) or where.exists()

    @contextmanager
    def tables(self) -> Iterator[Tables]:
        """The catalog as of now; raises CatalogUnavailableError."""
        where = self.config.catalog.where
        if not self.has_archive:
            raise CatalogUnavailableError(
                f"there is no archive at {where}: start the service once, or point to another with "
                "--config FILE"
            )
        with closing(CatalogReader(where)) as archive, archive.view() as tables:
            yield tables


Check = Callable[[Patient], Iterator[Judged]]
