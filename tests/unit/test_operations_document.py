"""The tests that docs/operations.md names exist, and it names all that there are of outages. Edge: files."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
DOCUMENT = (TESTS.parent / "docs" / "operations.md").read_text(encoding="utf-8")
OUTAGES = ("another_log", "disturbed_consumers", "full_disks", "outages", "restored_database")
DEFINED = re.compile(r"^def (test_\w+)\(", re.MULTILINE)


def test_every_test_that_the_document_names_exists() -> None:
    """Of each file and each test that it names there is one."""
    files = {path.name for path in TESTS.glob("*/test_*.py")}
    defined = {name for path in TESTS.glob("*/test_*.py") for name in DEFINED.findall(path.read_text(encoding="utf-8"))}

    named = set(re.findall(r"\btest_\w+(?:\.py)?", DOCUMENT))
    assert len(named) > len(OUTAGES)
    assert named <= files | defined


def test_the_document_names_every_test_of_outages() -> None:
    """An outage that is tested is described."""
    tested = {
        name
        for outages in OUTAGES
        for name in DEFINED.findall((TESTS / "acceptance" / f"test_{outages}.py").read_text(encoding="utf-8"))
    }

    assert [name for name in sorted(tested) if f"`{name}`" not in DOCUMENT] == []
