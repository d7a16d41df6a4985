"""How long a consumer lets records gather after a batch."""

from __future__ import annotations

from consumers.log import rest_after


def test_a_rest_is_as_long_as_its_batch_was_large() -> None:
    """Who comes alone is hardly waited behind, and no rest is longer than some 25 ms."""
    assert rest_after(1, 500) < 0.000_1
    assert rest_after(30, 500) == 30 * rest_after(1, 500)
    assert rest_after(499, 500) < 0.03


def test_nobody_rests_with_a_backlog_or_without_records() -> None:
    """A poll that gave as much as it may has more behind it; one that gave nothing has waited already."""
    assert rest_after(500, 500) == rest_after(0, 500) == 0.0
