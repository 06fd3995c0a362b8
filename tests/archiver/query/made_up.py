"""Rows out of thin air: cards of few different values, and texts of a few words of any script."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from archiver.cards import Card
from archiver.models import GenerationState, Origin, SlotState
from tests.archiver.query.archive import Row
from tests.archiver.query.scripts import WORDS
from tests.clocks import NOON

TEXTS: dict[str, list[str | None]] = {
    "provider": ["doitong", "modelslab", "dashscope"],
    "service": [None, "flux-pro", "Stable Diffusion"],
    "model": [None, "flux-pro", "Flux pro", "flux_pro", "flux", "a, b (c)", "少女"],
    "version": [None, "1.5", "1-5", "main"],
    "scheduler": [None, "Euler", "Euler a", "DPM++ 2M"],
    "generation_id": ["7f3a-11", "7f3A-12", "81"],
    "track_id": [None, "order 17", "order", "Ω"],
    "state": [*SlotState],
    "origin": [None, *Origin],
    "media_type": [None, "image/png", "image/jpeg", "video/mp4"],
}
DIGESTS = [bytes([0x9F, 0x86, last]) + bytes(29) for last in (0x00, 0xD0, 0xD1)]

# How a number of a column may be written, and what it is on the card.
SIDES = [("512", 512), ("1024", 1024), ("1k", 1000), ("１０２４", 1024)]
NUMBERS: dict[str, list[tuple[str, float]]] = {
    "width": SIDES,
    "height": SIDES,
    "steps": [("20", 20), ("30", 30), ("0", 0), ("٣٠", 30)],
    "guidance_scale": [("7.5", 7.5), ("7", 7.0), ("7.0", 7.0), ("0.5", 0.5)],
    "cost_micros": [("0.04", 40_000), ("10", 10_000_000), ("10k", 10_000_000_000)],
    "size_bytes": [("2MB", 2_000_000), ("1.5kb", 1500), ("1KiB", 1024), ("1500", 1500)],
    "seed": [("42", 42), ("-1", -1), ("−1", -1), *((f"{2**63 - k}", 2**63 - k) for k in (0, 1))],
}


def _day(year: int, month: int = 1, day: int = 1, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


MILLISECOND = timedelta(milliseconds=1)
# How a date may be written, its first millisecond, and its last.
DATES = [
    (written, begins, ends - MILLISECOND)
    for written, begins, ends in [
        ("2026", _day(2026), _day(2027)),
        ("2026-11", _day(2026, 11), _day(2026, 12)),
        ("2026/11/21", _day(2026, 11, 21), _day(2026, 11, 22)),
        ("2026-11-21T10", _day(2026, 11, 21, 10), _day(2026, 11, 21, 11)),
        ("2026-11-21T10:00", _day(2026, 11, 21, 10), _day(2026, 11, 21, 10, 1)),
        ("2026-11-21T12:00+02:00", _day(2026, 11, 21, 10), _day(2026, 11, 21, 10, 1)),
        ("today", _day(2026, 11, 21), _day(2026, 11, 22)),
        ("yesterday", _day(2026, 11, 20), _day(2026, 11, 21)),
    ]
]
# How an age may be written, and the moment that was so long ago.
AGES = {
    "2h": NOON - timedelta(hours=2),
    "7d": NOON - timedelta(days=7),
    "1mo": _day(2026, 10, 21, 12),
    "1y": _day(2025, 11, 21, 12),
}
MOMENTS = [
    *(
        moment + step
        for _, *ends in DATES
        for moment in ends
        for step in (0 * MILLISECOND, MILLISECOND)
    ),
    *(moment - step for moment in AGES.values() for step in (0 * MILLISECOND, MILLISECOND)),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A row, and the units by which each of its texts is found."""

    row: Row
    prompt: tuple[str, ...]
    neg: tuple[str, ...]
    about: tuple[str, ...]


def rows(seed: int, count: int) -> list[Told]:
    """Some rows, the same ones for the same seed."""
    random = Random(seed)
    numbers = random.sample(range(1, 3 * count), count)
    return [_row(random, number) for number in numbers]


def _row(random: Random, number: int) -> Told:
    (prompt, prompt_units), (neg, neg_units), (about, about_units) = (
        _text(random) for _ in range(3)
    )
    row = Row(_card(random, number), prompt, neg, about)
    return Told(row=row, prompt=prompt_units, neg=neg_units, about=about_units)


def _text(random: Random) -> tuple[str, tuple[str, ...]]:
    """A few words with nothing but signs between them."""
    written, units, before = "", (), None
    for word in random.sample(WORDS, random.randint(0, 12)):
        signs = [" ", ", ", "\n", " (", "。", "! "]
        if before and not (before.spaced and word.spaced):
            signs.append("")
        written += (random.choice(signs) if before else "") + random.choice(word.written)
        units, before = units + word.units, word
    return written, units


def _card(random: Random, number: int) -> Card:
    texts = {column: random.choice(values) for column, values in TEXTS.items()}
    numbers = {
        column: random.choice([None, *(each for _, each in values)])
        for column, values in NUMBERS.items()
    }
    flags = {flag: random.random() < 0.5 for flag in ("drawn", "flagged", "moderated", "damaged")}
    return Card(
        number=number,
        slot_index=0,
        generation_state=random.choice([*GenerationState]),
        sha256=random.choice([None, *DIGESTS]),
        created_at=random.choice(MOMENTS),
        completed_at=random.choice([None, *MOMENTS]),
        archived_at=random.choice([None, *MOMENTS]),
        first_heard_at=NOON,
        **texts,
        **numbers,
        **flags,
    )
