"""The tests that docs/access-rules.md names exist, and every rule names some. Edge: files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
DOCUMENT = (TESTS.parent / "docs" / "access-rules.md").read_text(encoding="utf-8")
RULES = dict(re.findall(r"^## (R\d+) .*?\n(.*?)(?=^## )", DOCUMENT, re.MULTILINE | re.DOTALL))
HELD = re.compile(r"`(test_\w+\.py)`(?::((?:\s+test_\w+,?)+))?")
"""A file of tests and, where it says, which of them."""


def test_every_rule_of_the_contract_stands_there() -> None:
    """R1 to R11."""
    assert list(RULES) == [f"R{number}" for number in range(1, 12)]


@pytest.mark.parametrize("rule", RULES)
def test_what_holds_a_rule_exists(rule: str) -> None:
    """Each rule names tests, and each is in the file that it is said to be in."""
    found = HELD.findall(RULES[rule].replace("\n", " "))
    missing = [
        f"{file}: {name}"
        for file, names in found
        for name in re.findall(r"test_\w+", names) or [""]
        if f"def {name}" not in (TESTS / "unit" / file).read_text(encoding="utf-8")
    ]

    assert found
    assert missing == []
