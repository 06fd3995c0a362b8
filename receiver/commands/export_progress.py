"""How `holdfast export` shows how far it is, and in the end what came of it."""

from __future__ import annotations

from rich.console import Console
from rich.filesize import decimal
from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.text import Text

from archiver.exporting.pictures import Tally

_BAR_WIDTH = 24


class _Bar(ProgressColumn):
    """As far as the tally has come; moving without an end where nobody knows it."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> ProgressBar:
        return ProgressBar(
            total=task.total,
            completed=self._tally.slots,
            width=_BAR_WIDTH,
            pulse=task.total is None,
            animation_time=task.get_time(),
        )


class _Words(ProgressColumn):
    """The tally in words."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        return Text(in_words(self._tally))


def progress(tally: Tally, *, total: int | None) -> Progress:
    """A bar on stderr, where that is a terminal; a context manager."""
    console = Console(stderr=True, highlight=False)
    bar = Progress(
        _Bar(tally), _Words(tally), console=console, transient=True, disable=not console.is_terminal
    )
    bar.add_task("", total=total)
    return bar


def in_words(tally: Tally) -> str:
    """What an export has come to, in a line."""
    said = [f"{tally.slots:,} slots"]
    if tally.pictures or tally.there or tally.lost:
        said.append(f"{tally.pictures:,} pictures written ({decimal(tally.size_bytes)})")
    if tally.there:
        said.append(f"{tally.there:,} there already")
    if tally.lost:
        said.append(f"{tally.lost:,} lost in the bucket")
    return ", ".join(said)
