"""Every command, as whoever has never typed it meets it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from receiver.cli import main
from tests.test_readme import README

# They print as they go until they are told to end, and nothing else.
RUNNING = {("demo",), ("serve",), ("simulate",), ("work",)}


def commands(
    group: click.Group, above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All of them with the words that name them."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name), command


COMMANDS = dict(commands(main))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_says_what_it_does_and_how_it_ends(words: tuple[str, ...]) -> None:
    """With an example that begins with its name, and every exit code."""
    told = CliRunner().invoke(main, [*words, "--help"], prog_name="holdfast")
    text = " ".join(told.output.split())
    assert told.exit_code == 0
    assert f"Usage: holdfast {' '.join(words)}" in text
    example = text.partition("Example")[2]
    assert f"holdfast {' '.join(words)}" in example, text
    assert "Exit codes: 0 " in text


@pytest.mark.parametrize("words", sorted(COMMANDS.keys() - RUNNING), ids=" ".join)
def test_machines_are_told_in_json(words: tuple[str, ...]) -> None:
    """Wherever there is an answer to be read."""
    assert any("--json" in it.opts for it in COMMANDS[words].params)


def test_operators_find_them_all() -> None:
    """In the README's table of what to type on a bad night, or where the command is told of."""
    assert [words for words in COMMANDS if f"holdfast {' '.join(words)}" not in README] == []


def test_what_is_logged_stands_beside_what_is_printed() -> None:
    """Whoever reads a command's answer reads nothing else there; good news is not logged at all."""
    script = """
from archiver.log import logger
from receiver.cli import main
main(["config", "show"], standalone_mode=False)
logger().warning("seen")
logger().info("not seen")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0
    assert "seen" not in done.stdout
    assert [line.count('"event": "seen"') for line in done.stderr.splitlines()] == [1]
