"""Emphasis in prompts: what weighs how much, and that nothing is lost on the way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback_renderer.prompting import (
    MAX_WEIGHT,
    Chunk,
    count_words,
    cut_to_words,
    is_overweight,
    is_weighted,
    parse,
    plain,
    write,
)

UP, DOWN = 1.1, 1 / 1.1

PROMPTS: list[tuple[str, list[tuple[str, float]]]] = [
    ("", []),
    ("a cat", [("a cat", 1.0)]),
    ("a (red) cat", [("a ", 1.0), ("red", UP), (" cat", 1.0)]),
    ("((red))", [("red", UP * UP)]),
    ("[red]", [("red", DOWN)]),
    ("[[red]]", [("red", DOWN * DOWN)]),
    ("(red:1.3)", [("red", 1.3)]),
    ("(red: .5 )", [("red", 0.5)]),
    ("(red:-1)", [("red", -1.0)]),
    ("(red:0)", [("red", 0.0)]),
    ("(a (b:1.5) c)", [("a ", UP), ("b", UP * 1.5), (" c", UP)]),
    ("(a [b] c:2)", [("a ", 2.0), ("b", 2 * DOWN), (" c", 2.0)]),
    (r"\(red\)", [("(red)", 1.0)]),
    (r"(a\)b:1.2)", [("a)b", 1.2)]),
    (r"a\\b \c", [("a\\b \\c", 1.0)]),
    ("a (b", [("a ", 1.0), ("b", UP)]),
    ("a) b] c", [("a) b] c", 1.0)]),
    ("(a]b)", [("a]b", UP)]),
    ("[a:1.3)", [("a:1.3)", DOWN)]),
    ("a:1.3)", [("a:1.3)", 1.0)]),
    ("(a:b:1.2)", [("a:b", 1.2)]),
    ("(a:1.2.3)", [("a:1.2.3", UP)]),
    ("(a:1e3)", [("a:1e3", UP)]),
    ("()(:2)a", [("a", 1.0)]),
    ("(a:1)(b:1.0) c", [("ab c", 1.0)]),
    ("(a:99)(b:-99)", [("a", MAX_WEIGHT), ("b", -MAX_WEIGHT)]),
    ("(红色:1.3) 猫", [("红色", 1.3), (" 猫", 1.0)]),
    ("16:9 :) :-(", [("16:9 :) :-", 1.0)]),
]


@pytest.mark.parametrize(("prompt", "chunks"), PROMPTS)
def test_brackets_weigh(prompt: str, chunks: list[tuple[str, float]]) -> None:
    """The syntax, case by case."""
    read = parse(prompt)

    assert [text for text, _ in chunks] == [chunk.text for chunk in read]
    assert [weight for _, weight in chunks] == pytest.approx([chunk.weight for chunk in read])


PIECES = st.sampled_from(["(", ")", "[", "]", ":", "\\", ":1.3)", ":0.5)", "a", " ", "红", ":9e9)"])
TRICKY = st.lists(PIECES, max_size=24).map("".join) | st.text(max_size=24)


@given(TRICKY)
def test_reading_what_was_written_changes_nothing(prompt: str) -> None:
    """`parse` after `write` is the same chunks, for any prompt."""
    chunks = parse(prompt)

    assert chunks == parse(write(chunks))


@given(
    st.lists(
        st.tuples(
            st.text(st.sampled_from("()[]\\: a红.1\n"), min_size=1, max_size=6),
            st.floats(-MAX_WEIGHT, MAX_WEIGHT),
        ),
        max_size=6,
    )
)
def test_any_chunks_can_be_written(pairs: list[tuple[str, float]]) -> None:
    """Any text with any weight, to the last digit, neighbours of one weight as one."""
    merged: list[Chunk] = []
    for text, weight in pairs:
        if merged and merged[-1].weight == weight:
            merged[-1] = Chunk(text=merged[-1].text + text, weight=weight)
        else:
            merged.append(Chunk(text=text, weight=weight))

    assert tuple(merged) == parse(write(merged))


@given(TRICKY)
def test_plain_is_what_the_chunks_say(prompt: str) -> None:
    """Without weights, the words are the same."""
    assert "".join(chunk.text for chunk in parse(prompt)) == plain(prompt)


@given(st.text(st.characters(exclude_characters="()[]\\")))
def test_words_without_brackets_are_themselves(prompt: str) -> None:
    """A plain prompt is not touched."""
    assert prompt == plain(prompt)
    assert not is_weighted(prompt)


def test_the_longest_and_oddest_prompts_are_read_at_once() -> None:
    """Neither depth nor length nor repetition costs more than its share."""
    deep = "(a:999" * 20_000
    assert is_overweight("(a:11)")
    assert not is_overweight("(a:10)")
    for prompt in ("(" * 200_000, "(a" * 50_000 + ")" * 50_000, ":1" * 100_000, deep):
        assert all(abs(chunk.weight) <= MAX_WEIGHT for chunk in parse(prompt))
    nothing = (Chunk(text="a", weight=0.0),)
    assert parse("(" * 200 + "a:0)" + ":999)" * 199) == nothing
    assert parse(f"((a:{'9' * 400}):0)") == nothing
    assert parse(f"(a:{'9' * 5000})") == (Chunk(text="a", weight=MAX_WEIGHT),)


@pytest.mark.parametrize(
    ("prompt", "most", "cut"),
    [
        ("one two three", 2, "one two"),
        ("  one\n two\tthree ", 2, "  one\n two"),
        ("one two ", 2, "one two"),
        ("one ", 2, "one "),
        ("", 2, ""),
    ],
)
def test_a_prompt_is_cut_after_a_word(prompt: str, most: int, cut: str) -> None:
    """Whole words only, and what stands between them as it was."""
    assert cut == cut_to_words(prompt, most)
    assert count_words(cut) <= most
