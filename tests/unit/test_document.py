"""How messages about a document quote what stands in it."""

from __future__ import annotations

import pytest

from entitlements.domain.document import printable, shown


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        (None, "nothing"),
        (True, "`true`"),
        (7, "7"),
        (-1.5, "-1.5"),
        (2**63 - 1, f"{2**63 - 1}"),
        (2**63, "a number out of range"),
        (-(2**63), "a number out of range"),
        (1 - 2**63, f"{1 - 2**63}"),
        (float("inf"), "a number out of range"),
        ("basic", "`basic`"),
        ({"a": 1}, "a mapping"),
        ([1], "a list"),
        ((1,), "a list"),
        (b"x", "a bytes"),
    ],
)
def test_text_and_numbers_are_quoted_of_the_rest_only_the_kind(value: object, quoted: str) -> None:
    """A number that is too long to be read is not written out."""
    assert shown(value) == quoted


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("basic", "basic"),
        ("a 'plan' of ours", "a 'plan' of ours"),
        ("two\nlines", r"two\nlines"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
    ],
)
def test_a_text_stays_on_its_line(text: str, written: str) -> None:
    """What would move a terminal's cursor is written as Python writes it, and what is long is cut."""
    assert printable(text) == written
