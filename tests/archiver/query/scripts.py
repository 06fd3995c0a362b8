"""Words of every class of script, with what a reader takes for the parts that can be found."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """`written` are ways of writing one word, `units` what it is found by, in one common form.

    A word of a script without spaces is found by any stretch of its characters; another one only
    whole.
    """

    written: tuple[str, ...]
    units: tuple[str, ...]
    spaced: bool = True


def _spaced(*written: str) -> Word:
    """The last way of writing is the common form."""
    return Word(written, (written[-1],))


def _unspaced(*written: str) -> Word:
    return Word(written, tuple(written[-1]), spaced=False)


SCRIPTS: dict[str, tuple[Word, ...]] = {
    "English": (
        _spaced("Cat", "ＣＡＴ", "cat"),
        _spaced("category"),
        _spaced("Cyberpunk", "cyberpunk"),
        _spaced("not"),
    ),
    "digits": (_spaced("8K", "8k"), _spaced("８", "8"), _spaced("1girl")),
    "joined words": (
        Word(("best-quality", "Best_Quality", "best.quality"), ("best", "quality")),
        _spaced("quality"),
    ),
    "Irish": (_spaced("Fáilte", "fa\u0301ilte", "failte"), _spaced("Ḃean", "bean")),
    "German": (_spaced("Straße", "STRASSE", "strasse"), _spaced("Öl", "ol")),
    "Vietnamese": (_spaced("Việt", "viet"), _spaced("nam")),
    "Greek": (_spaced("ΣΊΣΥΦΟΣ", "Σίσυφος", "σισυφοσ"),),
    "Russian": (_spaced("Ёлка", "елка"), _spaced("кот")),
    "Chinese": (
        _unspaced("少女"),
        _unspaced("女少"),
        _unspaced("赛博朋克"),
        _unspaced("𠮷"),
    ),
    "Japanese": (
        _unspaced("ｶﾞﾗｽ", "カ\u3099ラス", "ガラス"),
        _unspaced("カラス"),
        _unspaced("の夜"),
    ),
    "Korean": (_unspaced("고양이"), _unspaced("하\u1112\u1161\u11ab", "하한")),
    "Thai": (_unspaced("แมว"), _unspaced("แมวน้ำ")),
    "Lao": (_unspaced("ແມວ"),),
    "Khmer": (_unspaced("ឆ្មា"),),
    "Burmese": (_unspaced("ကြောင်"),),
    "Hindi": (_spaced("बिल्ली"), _spaced("बल"), _spaced("ज़मीन", "ज\u093cमीन")),
    "Punjabi": (_spaced("ਬਿੱਲੀ"), _spaced("ਸਤਿ")),
    "Tamil": (_spaced("பூனை"),),
    "Arabic": (_spaced("قِطَّة", "قطة"), _spaced("مـــرحبا", "مرحبا")),
    "Hebrew": (_spaced("חָתוּל", "חתול"),),
    "emoji": (
        Word(("👩🏽\u200d🚀", "👩🚀"), ("👩", "🚀"), spaced=False),
        Word(("👍🏿", "👍"), ("👍",), spaced=False),
        Word(("❤\ufe0f", "❤"), ("❤",), spaced=False),
    ),
    "flags": (Word(("🇮🇪",), ("🇮🇪",), spaced=False), Word(("🇺🇸",), ("🇺🇸",), spaced=False)),
}

WORDS = [word for words in SCRIPTS.values() for word in words]
