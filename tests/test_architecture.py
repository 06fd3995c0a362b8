"""The walls that import-linter cannot see: clocks, hidden imports, and the size of rooms."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROOMS = sorted(
    path
    for package in ("receiver", "archiver", "fallback_renderer")
    for path in (ROOT / package).rglob("*.py")
)
CLOCKS = {"archiver/clock.py", "receiver/simulator/clock.py"}
READINGS = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns", "monotonic_ns"}
MAX_ROOM_LINES = 320
MAX_FUNCTION_LINES = 60
FORBIDDEN_NAMES = {"utils", "util", "common", "core", "helpers", "manager", "misc"}


TREES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in ROOMS}


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All that are defined in it, methods too."""
    return [it for it in ast.walk(tree) if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_rooms_ask_no_clock_but_the_house_clock() -> None:
    """Time is told to a room; only the clocks ask the machine for it."""
    asked = [
        f"{name}:{node.lineno}"
        for name in TREES.keys() - CLOCKS
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"time", "datetime", "date"}
        and node.func.attr in READINGS | {"time"}
    ]

    assert asked == []


def test_rooms_import_at_their_tops_only() -> None:
    """A hidden import is a direction lost."""
    hidden = [
        f"{name}:{node.lineno}"
        for name, tree in TREES.items()
        for function in functions(tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]

    assert hidden == []


def test_rooms_are_small_enough_to_live_in() -> None:
    """A room is read in one sitting and a function on one screen."""
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in ROOMS}
    long = [
        f"{name}: {function.name}"
        for name, tree in TREES.items()
        for function in functions(tree)
        if function.end_lineno - function.lineno >= MAX_FUNCTION_LINES
    ]

    assert [name for name in lines if lines[name] > MAX_ROOM_LINES] == []
    assert long == []


def test_rooms_have_names_of_their_own() -> None:
    """A room called utils would fill with what belongs nowhere."""
    assert [path for path in ROOMS if path.stem in FORBIDDEN_NAMES] == []


def test_rooms_say_what_they_are_for() -> None:
    """Every room opens with a docstring."""
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []
