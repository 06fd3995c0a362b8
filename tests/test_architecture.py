"""The walls that import-linter cannot see: clocks, hidden imports, and the size of rooms."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: str(path.relative_to(ROOT)))
class TestEveryRoom:
    """What holds for each source file."""

    def test_asks_no_clock_but_the_house_clock(self, path: Path) -> None:
        """Time is told to a room; only the clocks ask the machine for it."""
        asked = [
            f"{path.name}:{node.lineno}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in {"time", "datetime", "date"}
            and node.func.attr in READINGS | {"time"}
        ]

        assert not asked or str(path.relative_to(ROOT)) in CLOCKS, asked

    def test_imports_at_its_top_only(self, path: Path) -> None:
        """A hidden import is a direction lost."""
        tree = ast.parse(path.read_text())
        hidden = [
            node.lineno
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]

        assert hidden == []

    def test_is_small_enough_to_live_in(self, path: Path) -> None:
        """A room is read in one sitting and a function on one screen."""
        text = path.read_text()
        functions = [
            node
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        long = [
            f"{function.name}: {function.end_lineno - function.lineno + 1} lines"
            for function in functions
            if function.end_lineno - function.lineno >= MAX_FUNCTION_LINES
        ]

        assert text.count("\n") <= MAX_ROOM_LINES
        assert long == []

    def test_has_a_name_of_its_own(self, path: Path) -> None:
        """A room called utils would fill with what belongs nowhere."""
        assert path.stem not in FORBIDDEN_NAMES

    def test_says_what_it_is_for(self, path: Path) -> None:
        """Every room opens with a docstring."""
        assert ast.get_docstring(ast.parse(path.read_text()))
