"""A misread invoice, start to end: rebuilt and swapped while gateways ask, then back and forth."""

from __future__ import annotations

from tests.acceptance.misread import A_SECOND, WRONG, play

EVENTS = 4_000


def test_what_a_version_misread_is_rebuilt_and_swapped_while_gateways_ask() -> None:
    """Not one wrong or failed answer; facts as if it had never been wrong; gateways told who changed, each time."""
    played = play(EVENTS)

    assert played.faults() == []
    assert played.told == [set(WRONG)] * 3
    assert played.whole == [True]
    assert len(played.asked) > A_SECOND * 3
