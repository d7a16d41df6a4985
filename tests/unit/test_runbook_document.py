"""The commands in docs/runbook.md are those of the program, and the tests it names exist. Edge: files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from ops.cli import entitle

TESTS = Path(__file__).parents[1]
DOCUMENT = (TESTS.parent / "docs" / "runbook.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    entitle (.*)$", DOCUMENT, re.MULTILINE)
HELD = re.compile(r"`(test_\w+\.py)`:((?:\s+`test_\w+`,?)+)")


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_is_one_of_the_program(command: str) -> None:
    """Its name, its options and its arguments are taken as they stand there."""
    context = click.Context(entitle, info_name="entitle")
    arguments = shlex.split(command)
    found: click.Command = entitle
    while isinstance(found, click.Group):
        name, *arguments = arguments
        known = found.get_command(context, name)
        assert known is not None, f"there is no command {name}"
        found = known

    found.make_context(found.name, arguments, parent=context)


def test_every_test_that_it_names_exists() -> None:
    """Each is in the file that it is said to be in, and every moment names some or reads nothing again."""
    named = [(file, test) for file, tests in HELD.findall(DOCUMENT) for test in re.findall(r"test_\w+", tests)]
    missing = [
        (file, test)
        for file, test in named
        if not any(f"def {test}(" in path.read_text(encoding="utf-8") for path in (TESTS / "integration").rglob(file))
    ]

    assert len(COMMANDS) > 15
    assert len(named) > 15
    assert missing == []
