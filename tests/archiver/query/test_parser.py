"""What people type and paste is read as they mean it, and what is wrong is said where it stands."""

from __future__ import annotations

from datetime import datetime

import pytest

from archiver.query import QueryError, Sort, parse
from archiver.query.fields import FIELDS
from archiver.query.parser import MAX_DEPTH, MAX_WORDS
from archiver.query.tree import EVERYTHING, NOTHING
from tests.clocks import NOON

# One way of asking, and others that ask for the same.
SAME = {
    "cat dog": ["cat AND dog", "cat, dog", "cat,dog", "cat; dog", "cat dog cat", "(cat) ((dog))"],
    "少女 赛博朋克": ["少女，赛博朋克", "少女、赛博朋克", "少女。赛博朋克", "少女\u3000赛博朋克"],
    "cat OR dog": ["cat | dog", "cat|dog", "cat || dog", "cat ｜ dog", "ｃａｔ ＯＲ dog"],
    "a b OR c": ["(a b) OR c", "a b | c"],
    "cat": ["CAT", "OR cat", "cat OR OR", "- cat", "--cat", "cat -", "cat OR neg:?!", "()cat(-)"],
    '"cat"': ["cat OR", "cat -OR", "cat | ()"],
    "-cat": ["－cat", "−cat", "–cat", "-(cat)", "-(-(-cat))"],
    "not cat": ["NOT cat"],
    "orange android": ["ORANGE ANDROID"],
    '"cat" dog': ['"cat"-dog', '(cat)-dog', 'cat neg:?! dog', 'cat prompt:… dog'],
    "صلى الله عليه وسلم*": ["ﷺ*"],
    "steps seed": ["ſteps ſeed"],
    '"ſteps:30"': ["ſteps:30"],
    '"golden hour"': ["“golden hour”", "„golden hour“", "«golden hour»", "「golden hour」"],
    "golden-hour": ['"golden hour"', '"golden hour', "golden_hour"],
    "c": ["c*", '"c"*'],
    "cyber*": ["cyber**", "cyber＊", '"cyber"*'],
    "少": ["少*"],
    "16:9": ['"16:9"', "16/9"],
    "(a b)": ["(a b", "((a b)", "a) b", "a b)))"],
    "model:flux": ["MODEL:Flux", "model:flux,", "ｍｏｄｅｌ：ｆｌｕｘ", 'model:"flux'],
    "neg:cat": ["neg:?!,cat", "NEG:cat,,"],
    "model:a,b": ["model:b,a,b", "model:a OR model:b", "model:a，b", 'model:"a",b'],
    "-model:flux": ["-(model:flux)", "－model：flux"],
    "type:jpeg": ["type:jpg", "type:JPG"],
    "is:archived": ["state:archived", "is:Archived"],
    "is:fallback": ["origin:fallback"],
    "is:saved": ["state:archived,rendered"],
    "size:1024x1536": ["size:1024×1536", "size:1024X1536", "width:1024 height:1536"],
    "steps:20..30": ["steps:30..20", "steps:20...30", "steps:20…30", "steps:２０．．３０"],
    "steps:30": ["steps:=30", 'steps:"30"', "steps:30..30"],
    "steps:>30": ["steps:31..", "steps:>=31", "steps:≥31", "steps:＞30", "steps:>30.5"],
    "steps:>=2k": ["steps:>=2000", "steps:>=2K"],
    "bytes:>2MB": ["bytes:>2m", "bytes:>2000000", "bytes:>2000kb", "bytes:>2MB"],
    "bytes:1KiB": ["bytes:1024", "bytes:1024b"],
    "cost:<0.01": ["cost:<=0.009999"],
    "scale:7.5": ["scale:7.50"],
    "seed:-1": ["seed:−1"],
    "sha256:9f86": ["sha256:9F86", "sha256:9f86*"],
    "created:2026-11": ["created:2026/11", "created:2026-11-30..2026-11-01"],
    "created:today": ["created:2026-11-21"],
    "created:7d": ["created:1w", "created:>=7d", "created:>=2026-11-14T12:00"],
    "steps:30.5": ["steps:0.5"],
}  # fmt: skip

# Nothing in a prompt that is pasted is an error, and each finds the prompt that it is.
PASTED = [
    "(masterpiece:1.2), ((best quality)), <lora:add_detail:0.8>, 1girl, :), 8k:",
    "cat in the rain --ar 16:9 --v 6 --no text",
    "see https://example.com/a?b=c&d=(e) for more; C:\\pictures\\x.png",
    "Steps: 30, Sampler: Euler a, CFG scale: 7, Seed: 12345, Size: 512x512, Model hash: 9f86",
    '{"prompt": "a cat", "seed": 42, "steps": 20}',
    "{red|blue} [cat:dog:0.5] ((((((stressed))))))",
    "a 6\" pipe, 5'10\" tall, don’t, rock 'n' roll",
    "Scale: 1/7. Type: figure. State: new - mint - boxed",
    "time is 12:30; style:anime, note:none",
    "\ufeffcat\u200b \u202eback\u202c \x00 \ud800",
]

# What is wrong, where it stands, and what is said of it.
WRONG = {
    "cat steps:many": (10, "steps: takes a number, a comparison or a range: steps:30"),
    "steps:>": (6, "steps: takes"),
    "steps:..": (6, "steps: takes"),
    "steps:20..x": (6, "steps: takes"),
    "steps:3*": (6, "steps: takes"),
    "steps:20,x": (9, "steps: takes"),
    f"seed:{'9' * 31}": (5, "seed: takes"),
    "seed:1e9": (5, "seed: takes"),
    "cost:<.04": (5, "cost:<0.01"),
    "size:2MB": (5, "(that of a file goes with bytes:): size:1024x1536"),
    "size:1024x*": (5, "size: takes"),
    "-created:soon": (9, "created: takes a date in UTC"),
    "created:2026-13": (8, "created: takes a date"),
    "created:2026-02-30": (8, "created: takes a date"),
    "created:5m": (8, "min, h, d, w, mo or y"),
    "created:2026-11-01T10:00+25:00": (8, "created: takes a date"),
    "sha256:9f8": (7, "sha256: takes 4 to 64 hexadecimal digits: sha256:9f86d0"),
    "sha256:cat5": (7, "sha256: takes"),
    "state:achived": (6, "did you mean state:archived?"),
    "state:deda": (6, "did you mean state:dead?"),
    "state:failed": (6, "did you mean is:failed?"),
    "state:asleep": (6, "state: takes one of expected, linked, archived"),
    "id:7f3a": (3, "a provider's own id goes with job:"),
    "state:arch*": (6, "state: takes one of"),
    "origin:fallbac": (7, "did you mean origin:fallback?"),
    "is:potrait": (3, "did you mean is:portrait?"),
    "is:cute": (3, "is: takes one of portrait, landscape"),
    "sort:newst": (5, "did you mean sort:newest?"),
    "sort:size": (5, "sort: takes one of newest, oldest, relevance, bytes, cost"),
    "“cat” ｓｔｅｐｓ：ｘ": (12, "steps: takes"),
    "(" * 10_000: (MAX_DEPTH, "brackets go at most"),
    "cat " + "x(" * 10_000: (5 + 2 * MAX_DEPTH, "brackets go at most"),
    " ".join(map(str, range(MAX_WORDS + 1))): (3890, "at most 1000 words"),
    f"a {'猫' * 33_000}": (2, "at most 1000 words"),
    f"model:{','.join(map(str, range(9999)))}": (0, "at most 1000 words"),
}  # fmt: skip

# What is understood but may be meant otherwise, where it stands, and what is said of it.
HINTS = {
    "cat provder:bfl": (4, "did you mean provider:?"),
    "modle:x": (0, "did you mean model:?"),
    "stpes:30": (0, "did you mean steps:?"),
    "status:failed": (0, "did you mean state:?"),
    "sampler:euler": (0, "did you mean scheduler:?"),
    "cat steps: 30": (4, "steps:30"),
    "width>=1024": (0, "width:1024"),
    'model:""': (0, "model:sdxl"),
    "cat NOT dog": (4, "has a - before it"),
    "cat l*": (4, "two letters at least"),
    "a (b c": (2, "never closed"),
    "a) b": (1, "closes nothing"),
    "?!": (0, "no letter, digit or emoji"),
}


def tree(text: str, now: datetime = NOON) -> object:
    """What a text asks for, in whatever order it says so."""

    def unordered(node: object) -> object:
        parts = getattr(node, "parts", None)
        return node if parts is None else (type(node), frozenset(map(unordered, parts)))

    return unordered(parse(text, now=now).tree)


@pytest.mark.parametrize(
    ("text", "other"), [(text, other) for text, others in SAME.items() for other in others]
)
def test_the_same_can_be_said_in_many_ways(text: str, other: str) -> None:
    """Keyboards, habits and slips that mean the same ask for the same."""
    assert tree(text) == tree(other)


@pytest.mark.parametrize("text", ["", "  ", ",;\n", "OR", "AND", "()", "(|)", '""', "sort:oldest"])
def test_nothing_asked_is_everything(text: str) -> None:
    """Whoever says nothing sees the whole archive."""
    assert parse(text, now=NOON).tree == EVERYTHING


@pytest.mark.parametrize("text", ["?!", "-", "...", "«—»?", "( $ )", "\ud800", "neg:€"])
def test_what_nobody_can_search_for_is_nothing(text: str) -> None:
    """Signs alone ask for something, and that is in no row."""
    assert parse(text, now=NOON).tree == NOTHING


@pytest.mark.parametrize("text", PASTED)
def test_a_pasted_prompt_is_no_error(text: str) -> None:
    """Weights, dashes, addresses, quotes and odd brackets all are words or nothing."""
    assert parse(text, now=NOON).tree not in (EVERYTHING, NOTHING)


@pytest.mark.parametrize(("text", "said"), WRONG.items(), ids=[text[:30] for text in WRONG])
def test_what_is_wrong_is_said_where_it_stands(text: str, said: tuple[int, str]) -> None:
    """The position is that of the value in the text as it was typed, and the sentence helps."""
    with pytest.raises(QueryError) as caught:
        parse(text, now=NOON)
    position, sentence = said
    assert (caught.value.position, sentence in str(caught.value)) == (position, True)


@pytest.mark.parametrize(("text", "said"), HINTS.items())
def test_a_doubt_is_a_hint(text: str, said: tuple[int, str]) -> None:
    """What has a meaning is carried out, and the doubt is put beside it."""
    (hint,) = parse(text, now=NOON).hints
    assert (hint.position, said[1] in hint.sentence) == (said[0], True)


@pytest.mark.parametrize(
    "text", ["cat", "8k: http://x", "a-b", "lora:x", "prompt:not", "16:9 (x:1.2)"]
)
def test_no_hint_where_there_is_no_doubt(text: str) -> None:
    """Ordinary words and colons are not remarked upon."""
    assert parse(text, now=NOON).hints == ()


def test_hints_do_not_fill_pages() -> None:
    """A text full of doubts has a few hints, not a thousand."""
    assert len(parse(") " * 50_000, now=NOON).hints) == 5


@pytest.mark.parametrize("name", FIELDS)
def test_a_fields_own_examples_are_right(name: str) -> None:
    """What an error or a hint tells to type can be typed."""
    for example in FIELDS[name].examples:
        query = parse(f"{name}:{example}", now=NOON)
        assert query.hints == ()
        assert (query.tree == EVERYTHING) == (name == "sort")


@pytest.mark.parametrize("sort", Sort)
def test_the_order_is_asked_for_anywhere(sort: Sort) -> None:
    """It narrows nothing, stands anywhere, and of two the last one counts."""
    query = parse(f"cat (sort:newest OR dog) sort:{sort.upper()}", now=NOON)
    assert query.sort is sort
    assert tree("cat dog") == tree(f"cat (sort:newest OR dog) sort:{sort}")
    assert parse("cat", now=NOON).sort is Sort.NEWEST


def test_brackets_go_as_deep_as_is_said() -> None:
    """The deepest that is allowed is understood."""
    text = "(" * MAX_DEPTH + "cat" + ")" * MAX_DEPTH
    assert tree(text) == tree("cat")
