"""Text of every script → tokens that SQLite's own `ascii` tokenizer can tell apart.

FTS5's other tokenizers take a Chinese sentence for one word and an Indic vowel for a space, and
one of our own would lock the index to our own program. So the text is cut here and its tokens are
stored with spaces between them: any SQLite can read and write such an index. A question must be
cut by the same version of the same rules.
"""

from __future__ import annotations

import re
import unicodedata

# Kept beside an index that `segment` filled: new rules are a new version, and an index of another
# version is filled anew.
SEGMENTER_VERSION = 1

# Left out, so that a word is found with and without them. Dakuten (they make ガ of カ) and the
# vowel signs of India and South-East Asia are no ornaments: they stay.
_LEFT_OUT = re.compile(
    "["
    "\u00ad\u200b-\u200d\u2060\ufeff\ufe00-\ufe0f"  # invisible joiners, breaks and variants
    "\U0001f3fb-\U0001f3ff"  # skin tones
    "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # Latin, Greek, keycaps
    "\u0483-\u0487"  # Cyrillic
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    "\u0898-\u089f\u08ca-\u08e1\u08e3-\u08ff"  # Arabic, with tatweel
    "]"
)

# Scripts whose words stand without spaces (less their digits and punctuation): each character is
# a token, and a run of them in a question is a phrase.
_UNSPACED = (
    "\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"  # Han
    "\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"  # kana
    "\u1100-\u11ff\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb"  # hangul
    "\u0e01-\u0e3a\u0e40-\u0e4e"  # Thai
    "\u0e81-\u0ecf\u0edc-\u0edf"  # Lao
    "\u1780-\u17d3\u17dc\u17dd"  # Khmer
    "\u1000-\u103f\u104c-\u108f\u109a-\u109d\ua9e0-\ua9ef\uaa60-\uaa76\uaa7a-\uaa7f"  # Burmese
)

_EMOJI = (
    "\u00a9\u00ae\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2934\u2935\u2b00-\u2bff\u3030\u303d"
    "\U0001f000-\U0001f1e5\U0001f200-\U0001faff"
)

# Two of them are one flag.
_FLAG_LETTERS = "\U0001f1e6-\U0001f1ff"

# Vowel signs and their like, which \w leaves out: every mark from Syriac to Vedic, and from
# Cyrillic's last block to Meetei Mayek.
_SIGNS = "".join(
    sign
    for sign in map(chr, (*range(0x0700, 0x1D00), *range(0xA640, 0xAC00)))
    if unicodedata.category(sign).startswith("M") and not re.match(f"[{_UNSPACED}]", sign)
)

_TOKEN = re.compile(
    f"[{_UNSPACED}]"
    f"|(?:[^\\W_{_UNSPACED}{_EMOJI}{_FLAG_LETTERS}]+|[{_SIGNS}]+)+"
    f"|[{_EMOJI}]"
    f"|[{_FLAG_LETTERS}]{{1,2}}"
)

# What `_TOKEN` comes to where there is nothing but ASCII.
_ASCII_TOKEN = re.compile("[0-9a-z]+")


def segment(text: str) -> str:
    """The tokens of `text` with a space between each two; segmenting twice changes nothing.

    What is neither letter, digit nor emoji (lone surrogates too) only separates, so that nothing
    in the result means anything to FTS5.
    """
    token = _ASCII_TOKEN if text.isascii() else _TOKEN
    return " ".join(token.findall(_normalised(text)))


def query_terms(text: str) -> tuple[tuple[str, ...], ...]:
    """The tokens of each word that a person typed; a word of several tokens is to be a phrase.

    Words are what spaces separate; one without any letter, digit or emoji is not asked for.
    """
    words = (_TOKEN.findall(word) for word in _normalised(text).split())
    return tuple(tuple(tokens) for tokens in words if tokens)


def _normalised(text: str) -> str:
    """One form for all that reads alike: compatible forms, ornaments, case."""
    if text.isascii():
        return text.lower()
    bare = _LEFT_OUT.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", bare.casefold())
