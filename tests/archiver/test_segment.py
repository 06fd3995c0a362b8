"""Text of every script, cut into tokens, stored in a real index and found again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from archiver.segment import query_terms, segment

ANY_TEXT = st.text(st.characters(exclude_categories=()))
WORDS = [
    "masterpiece", "Fáilte", "fearr", "Straße", "Ёлка", "ΣΊΣΥΦΟΣ", "8k", "a-b",
    "少女戦車", "赛博朋克", "ガラス", "사이버펑크", "แมวน้ำ", "ແມວ",
    "ឆ្មា", "ကြောင်", "बिल्ली", "ਬਿੱਲੀ", "قِطَّة", "חָתוּל",
    "👩🏽‍🚀", "🇮🇪", "❤️",
]  # fmt: skip

# One row for every class of script and habit: what is written, and its tokens.
TOKENS = {
    "English": ("Masterpiece, best QUALITY!", "masterpiece best quality"),
    "digits and letters": ("8k 1024x1536 v1.5", "8k 1024x1536 v1 5"),
    "tags of a prompt": ("(neon:1.2), <lora:x>, a_b-c", "neon 1 2 lora x a b c"),
    "Irish": ("Fearr Gaeilge bhriste ná Béarla", "fearr gaeilge bhriste na bearla"),
    "Irish, old dots": ("An ḃean", "an bean"),
    "French, both ways of writing é": ("été e\u0301te\u0301", "ete ete"),
    "German": ("Straße Öl", "strasse ol"),
    "Vietnamese": ("Việt Nam", "viet nam"),
    "Turkish": ("İstanbul", "istanbul"),
    "Greek": ("ΣΊΣΥΦΟΣ ᾳ", "σισυφοσ α"),
    "Russian": ("Ёлка й", "елка и"),
    "full width and ligatures": ("ＦＵＬＬ ﬁne Ⅳ", "full fine iv"),
    "Chinese": ("赛博朋克，少女。", "赛 博 朋 克 少 女"),
    "Chinese among English": ("a少女b", "a 少 女 b"),
    "rare Han": ("𠮷々〇", "𠮷 々 〇"),
    "Japanese": ("スター・ウォーズの夜", "ス タ ー ウ ォ ー ズ の 夜"),
    "dakuten tell apart": ("カ ガ ｶﾞ カ\u3099", "カ ガ ガ ガ"),
    "Korean": ("안녕 하\u1112\u1161\u11ab", "안 녕 하 한"),
    "Thai": ("แมว ๒", "แ ม ว ๒"),
    "Thai sign on a Latin letter": ("x\u0e31y", "x \u0e31 y"),
    "Lao": ("ແມວ", "ແ ມ ວ"),
    "Khmer": ("ឆ្មា។", "ឆ ្ ម ា"),
    "Burmese": ("ကြောင်။", "က ြ ေ ာ င ်"),
    "Hindi": ("बिल्ली। ज़मीन", "बिल्ली ज\u093cमीन"),
    "Punjabi": ("ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ", "ਸਤਿ ਸ੍ਰੀ ਅਕਾਲ"),
    "Tamil": ("பூனை", "பூனை"),
    "Tibetan": ("བཀྲ་ཤིས", "བཀྲ ཤིས"),
    "Arabic": ("السَّلامُ أحمد مـــرحبا", "السلام احمد مرحبا"),
    "Persian, with an invisible break": ("می\u200cخواهم", "میخواهم"),
    "Hebrew": ("שָׁלוֹם", "שלום"),
    "emoji": ("🐱🐶cat❤️★", "🐱 🐶 cat ❤ ★"),
    "emoji joined and toned": ("👩🏽‍🚀 👍🏿", "👩 🚀 👍"),
    "flags": ("🇮🇪🇺🇸 🇮", "🇮🇪 🇺🇸 🇮"),
    "keycap": ("1️⃣", "1"),
    "a digit among the symbols": ("❶x", "❶ x"),
    "nothing but signs": ("«—» … $ €", ""),
    "lone surrogates": ("a\ud800b \udfff", "a b"),
}  # fmt: skip

# What is typed, and how it is asked for: a word of several tokens is a phrase.
TERMS = {
    "Best quality": (("best",), ("quality",)),
    "  a-b, c ": (("a", "b"), ("c",)),
    "少女 cyberpunk": (("少", "女"), ("cyberpunk",)),
    "少女\u3000戦車": (("少", "女"), ("戦", "車")),
    'don\'t "quote" NOT*': (("don", "t"), ("quote",), ("not",)),
    "one\ttwo\nthree": (("one",), ("two",), ("three",)),
    "👩‍🚀": (("👩", "🚀"),),
    "- * \" ( ) \udc00": (),
    "": (),
}  # fmt: skip


def in_order(tokens: list[str], wanted: list[str]) -> bool:
    """Whether `wanted` stands in `tokens` without a gap, as FTS5 understands a phrase."""
    return any(
        tokens[at : at + len(wanted)] == wanted for at in range(len(tokens) - len(wanted) + 1)
    )


@pytest.fixture
def index() -> Database:
    database = Database(memory=True)
    database.execute("CREATE VIRTUAL TABLE texts USING fts5(words, tokenize = 'ascii')")
    return database


def found(index: Database, words: str) -> list[int]:
    phrases = " AND ".join(f'"{" ".join(term)}"' for term in query_terms(words))
    rows = index.execute("SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rowid", [phrases])
    return [rowid for (rowid,) in rows]


@pytest.mark.parametrize(("text", "tokens"), TOKENS.values(), ids=TOKENS)
def test_cuts_every_script(text: str, tokens: str) -> None:
    """Words where there are spaces, characters where there are none, ornaments left out."""
    assert tokens == segment(text)


@pytest.mark.parametrize(("typed", "terms"), TERMS.items())
def test_a_typed_word_of_several_tokens_is_a_phrase(
    typed: str, terms: tuple[tuple[str, ...], ...]
) -> None:
    """Spaces divide the words; whatever else divides makes a phrase."""
    assert terms == query_terms(typed)


@pytest.mark.parametrize("word", WORDS)
def test_sqlite_finds_every_word_within_its_text(index: Database, word: str) -> None:
    """SQLite's own tokenizer keeps our tokens apart and finds each word, and each alone."""
    for other in WORDS:
        index.execute("INSERT INTO texts VALUES (?)", [segment(f"x {other}, y")])
    assert [WORDS.index(word) + 1] == found(index, word)


@pytest.mark.parametrize(
    ("text", "typed", "finds"),
    [
        ("赛博朋克少女", "朋克少", True),
        ("赛博朋克少女", "女少", False),
        ("ガラス", "カラス", False),
        ("แมวน้ำ", "น้ำ", True),
        ("बिल्ली", "बल", False),
        ("Gaeltacht na nOileán", "NOILEAN", True),
        ("masterpiece", "master", False),
        ("🇮🇪🇺🇸", "🇪🇺", False),
        ("👍🏿", "👍", True),
    ],
)
def test_finds_what_a_reader_would_find(
    index: Database, text: str, typed: str, finds: bool
) -> None:
    """Parts of a run without spaces are found; parts of words and other letters are not."""
    index.execute("INSERT INTO texts VALUES (?)", [segment(text)])
    assert finds == bool(found(index, typed))


@given(ANY_TEXT)
def test_tokens_mean_nothing_to_fts5(text: str) -> None:
    """No text raises, and of ASCII only small letters, digits and single spaces come out."""
    tokens = segment(text)
    assert not re.search(r"[^a-z0-9 \x80-\U0010ffff]|[\ud800-\udfff]|^ | $|  ", tokens)
    assert not re.search(r"\s", tokens.replace(" ", ""))


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_cut_as_it_is_beside_another_script(text: str) -> None:
    """The short way for plain text is no other way."""
    assert segment(f"{text} 猫").split() == [*segment(text).split(), "猫"]


@given(ANY_TEXT)
def test_segmenting_twice_changes_nothing(text: str) -> None:
    """What is segmented already stays as it is, so an index can be filled from an index."""
    assert segment(text) == segment(segment(text))


def test_every_character_is_stable() -> None:
    """The same for each character of the two planes that hold all scripts, joined and alone."""
    for character in map(chr, range(0x20000)):
        tokens = segment(f"a{character}b {character}")
        assert tokens == segment(tokens), f"U+{ord(character):04X}"


@given(ANY_TEXT)
def test_terms_are_the_tokens(text: str) -> None:
    """Question and index are cut alike: the terms, strung together, are the segmented text."""
    tokens = [token for term in query_terms(text) for token in term]
    assert segment(text).split() == tokens


@given(ANY_TEXT, st.sampled_from(WORDS) | ANY_TEXT, ANY_TEXT)
def test_a_word_is_found_in_every_text_that_holds_it(before: str, word: str, after: str) -> None:
    """Every term of what is typed stands in the segmented text that holds the same."""
    tokens = segment(f"{before} {word} {after}").split()
    assert all(in_order(tokens, list(term)) for term in query_terms(word))


@given(ANY_TEXT)
def test_each_token_asks_for_itself(text: str) -> None:
    """A token typed as it stands in the index is one term, and that very token."""
    for token in segment(text).split():
        assert ((token,),) == query_terms(token)


@given(st.text("少女戦車カガ사이แมวມကြျមា"), st.text("少女カ사แม", min_size=1), st.text("女ガ이ว"))
def test_any_stretch_of_a_run_is_found(before: str, typed: str, after: str) -> None:
    """In scripts without spaces, whatever stands in a text is one phrase that finds it."""
    (term,) = query_terms(typed)
    assert in_order(segment(before + typed + after).split(), list(term))
