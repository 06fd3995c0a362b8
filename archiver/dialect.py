"""The catalog's SQL, which is SQLite's, in PostgreSQL's words.

The statements keep to what both understand, and what is left are a few words with one meaning:
placeholders, the index that SQLite is told to take, and functions of another name.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Quoted text first, for nothing in it is a word of ours.
_WORDS = re.compile(
    r"""
    (?P<quoted>'[^']*')
    | (?P<percent>%)
    | (?P<place>\?)
    | (?<!:):(?P<named>[a-z_]+)\b
    | (?P<index>\b(?:NOT\s+INDEXED|INDEXED\s+BY\s+\w+)\b)
    | (?P<function>\b(?:ifnull|instr)\()
    """,
    re.VERBOSE,
)
_FUNCTIONS = {"ifnull(": "coalesce(", "instr(": "strpos("}


@lru_cache(maxsize=2048)  # every statement there is, in all the shapes that lists give it
def to_postgres(sql: str) -> str:
    """The same statement for psycopg: `?` and `:name` are `%s` and `%(name)s`."""
    return _WORDS.sub(_said_otherwise, sql)


def _said_otherwise(found: re.Match[str]) -> str:
    match found.lastgroup:
        case "quoted":
            return found[0].replace("%", "%%")
        case "percent":
            return "%%"
        case "place":
            return "%s"
        case "named":
            return f"%({found['named']})s"
        case "function":
            return _FUNCTIONS[found[0]]
    return ""  # PostgreSQL finds its indexes itself
