"""What no file of ours contains: a path of somebody's machine, the address of a package index. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.house_rules.source import Violation

A_MACHINE = re.compile(r"(?<![\w.:/-])/(?:work|root|home/[\w.-]+|Users/[\w.-]+)/")

INDEX = re.compile(
    r"""
    pypi \. org | files \. pythonhosted \. org | repo1? \. maven (?: \. apache )? \. org | registry \. npmjs \. org
    | deb \. debian \. org | (?: \b | //) docker \. io/ | --(?: extra- )? index-url | --find [-]links
    | < (?: repositories | pluginRepositories ) > | ^ \s* \[\[? (?: tool \. )? (?: uv \. index | poetry \. source )
    """,
    re.VERBOSE | re.MULTILINE,
)


def names_no_machine(path: str, text: str) -> Iterator[Violation]:
    """A clone works wherever it lies."""
    for line, found in _matches(A_MACHINE, text):
        message = f"names {found}, a folder of one machine: find it from the project's own folder, or from a setting"
        yield Violation(path=path, line=line, text=message, rule="names_no_machine")


def names_no_index(path: str, text: str) -> Iterator[Violation]:
    """Which index or registry packages come from is the business of whoever installs."""
    for line, found in _matches(INDEX, text):
        message = f"names {found.strip()}: leave the address to the installer's own settings, and pin hashes instead"
        yield Violation(path=path, line=line, text=message, rule="names_no_index")


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, str]]:
    return ((text.count("\n", 0, match.start()) + 1, match.group()) for match in pattern.finditer(text))


TEXT_RULES: tuple[Callable[[str, str], Iterator[Violation]], ...] = (names_no_machine, names_no_index)
