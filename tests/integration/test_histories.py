"""A thousand histories, through the real decode, decide and SQL: their facts and answers keep the laws."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.histories.hunting import hunt, hunts, on_database
from tests.histories.planted import MISTAKES

HISTORIES = 1_000
WORKERS = 2
SEED = 2026
"""The same histories each time; `python -m tests.histories --seed N` tries others."""

ORACLE = Path(__file__).parents[1] / "histories" / "oracle.py"


def test_histories_keep_the_laws(database_url: str) -> None:
    """Any order, twins, shapes, batches, interleaving and crashes: the same facts, and the oracle's answers."""
    found = list(hunts(database_url, HISTORIES, SEED, WORKERS))
    broken = [f"{each.prey.how}\n{each.prey.play}" for each in found if each.prey is not None]

    assert broken == []
    assert sum(each.histories for each in found) >= HISTORIES


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found(database_url: str, name: str) -> None:
    """The laws see what such programs get wrong."""
    with on_database(database_url) as program, MISTAKES[name].planted(program) as mistaken:
        assert hunt(mistaken, HISTORIES, SEED, shrink=False).prey is not None


def test_the_oracle_shares_no_code_with_the_program() -> None:
    """It imports the standard library and the history's model, and nothing else."""
    imported = {
        node.module
        for node in ast.walk(ast.parse(ORACLE.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
    }

    assert {name for name in imported if name.split(".")[0] in ("schemas", "consumers", "entitlements", "ops")} == set()
    assert {name for name in imported if name.startswith("tests")} == {"tests.histories.model"}
