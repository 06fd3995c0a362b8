"""The query language: what a person types, understood, and what the index has to be asked.

`parse` reads a text into a `Query`, `plan` turns that into a `Plan`; neither knows any SQL, and no
text of a person's gets into FTS5's own syntax but as quoted tokens.
"""

from archiver.query.advice import Hint, QueryError
from archiver.query.fields import Sort
from archiver.query.parser import Query, parse
from archiver.query.plan import Condition, Matches, Plan, plan
from archiver.query.tree import And, Column, Not, Or, Range

__all__ = [
    "And",
    "Column",
    "Condition",
    "Hint",
    "Matches",
    "Not",
    "Or",
    "Plan",
    "Query",
    "QueryError",
    "Range",
    "Sort",
    "parse",
    "plan",
]
